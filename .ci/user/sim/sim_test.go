// Package sim tests a protocol on the simulated network, as users test theirs.
package sim

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// TestLossySatellite sends a message over a link that loses every twentieth datagram and takes 300
// ms. The test ends at once, and each run is the same.
func TestLossySatellite(t *testing.T) {
	first, second := transfer(t), transfer(t)
	if first != second {
		t.Errorf("one run differs from the other: %v, %v", first, second)
	}
	if first.took < 600*time.Millisecond || first.took > 20*time.Second {
		t.Errorf("it took %v", first.took)
	}
}

type run struct {
	took       time.Duration
	transcript [32]byte
}

func transfer(t *testing.T) run {
	rnd := conntest.Seed(t, 42)
	n := conntest.New(t, 42)
	n.Default = conntest.Link{Delay: 150 * time.Millisecond, Rate: 10e6, Loss: 0.05}
	want := bytes.Repeat([]byte("message "), 10_000)
	var got bytes.Buffer
	done := false

	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind != conn.EventStreamReadable {
			return
		}
		for {
			b, err := ev.Stream.Peek(1)
			got.Write(b)
			ev.Stream.Discard(len(b))
			if len(b) == 0 {
				done = err == io.EOF
				return
			}
		}
	}
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	client.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind != conn.EventConnected {
			return
		}
		s, err := ev.Conn.OpenStream(conn.Uni)
		if err != nil {
			t.Fatal(err)
		}
		if k, err := s.Write(want); k < len(want) {
			t.Fatalf("wrote %d bytes of %d: %v", k, len(want), err)
		}
		s.CloseWrite()
	}
	if _, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig()); err != nil {
		t.Fatal(err)
	}
	start := n.Now()
	n.RunUntil(time.Minute, func() bool { return done })
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes arrived that differ from the %d sent", got.Len(), len(want))
	}
	return run{n.Now().Sub(start), n.Transcript()}
}
