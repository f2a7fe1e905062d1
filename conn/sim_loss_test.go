package conn_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// "Packets are declared lost [...] a probe timeout (PTO) triggers the sending of
// one or two probe datagrams" RFC 9002, Section 6.2.
//
// The first flight of data is lost twice. The transfer must survive on probes
// alone, and the run must replay bit for bit.
func TestStreamSurvivesTailLoss(t *testing.T) {
	run := func() (hash [32]byte, elapsed time.Duration) {
		rnd := conntest.Seed(t, 1)
		n := simulate(t, 1)
		server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
		client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})

		var drop int
		up := conntest.Link{Delay: 25 * time.Millisecond, Rate: 10e6, Filter: func(p *conntest.Packet) bool {
			if drop > 0 {
				drop--
				return false
			}
			return true
		}}
		n.Connect(client, server, up, conntest.Link{Delay: 25 * time.Millisecond})

		var got []byte
		var fin bool
		server.OnEvent = func(now time.Time, ev conn.Event) {
			if ev.Kind != conn.EventStreamReadable {
				return
			}
			for {
				p, err := ev.Stream.Peek(1)
				got = append(got, p...)
				ev.Stream.Discard(len(p))
				if err == io.EOF {
					fin = true
					ev.Stream.Release()
				}
				if err != nil {
					return
				}
			}
		}

		cfg := conntest.ClientConfig()
		cfg.MaxMTU = 1200 // otherwise probes of the MTU would repair the loss
		c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		n.RunUntil(time.Second, c.HandshakeComplete)

		s, err := c.OpenStream(conn.Uni)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte("quic"), 250)
		if k, err := s.Write(want); k != len(want) || err != nil {
			t.Fatalf("Write = %d, %v; want %d, nil", k, err, len(want))
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		s.Release()
		drop = 2
		start := n.Now()
		n.RunUntil(10*time.Second, func() bool { return fin })

		if !bytes.Equal(got, want) {
			t.Errorf("server read %d bytes, want %d", len(got), len(want))
		}
		if st := c.Stats(); st.PTOs == 0 {
			t.Errorf("PTOs = 0, want probes after tail loss; stats %+v", st)
		}
		return n.Transcript(), n.Now().Sub(start)
	}

	h1, d1 := run()
	h2, d2 := run()
	if h1 != h2 || d1 != d2 {
		t.Errorf("same seed, different runs: %x in %v, %x in %v", h1[:4], d1, h2[:4], d2)
	}
}

// Whichever datagrams of the handshake are lost, it completes, and the data that
// waits for it arrives.
func TestHandshakeSurvivesLostDatagrams(t *testing.T) {
	dropping := func(numbers ...int) func(*conntest.Packet) bool {
		return func(p *conntest.Packet) bool {
			for _, n := range numbers {
				if p.N == n {
					return false
				}
			}
			return true
		}
	}
	const most = 6
	for i := range most {
		for j := i; j < most; j++ {
			for _, side := range []string{"client", "server", "both"} {
				t.Run(fmt.Sprintf("datagrams %d and %d of the %s", i, j, side), func(t *testing.T) {
					up, down := conntest.Link{Delay: 20 * time.Millisecond}, conntest.Link{Delay: 20 * time.Millisecond}
					if side != "server" {
						up.Filter = dropping(i, j)
					}
					if side != "client" {
						down.Filter = dropping(i, j)
					}
					out := scenario{seed: 1, up: up, down: down, streams: 1, upload: 3000, download: 3000}.run(t)
					require.NoError(t, out.timeout)
				})
			}
		}
	}
}

// A path that loses a fifth of all datagrams both ways delays handshakes, and
// does not prevent them.
func TestHandshakeUnderHeavyLoss(t *testing.T) {
	link := conntest.Link{Delay: 10 * time.Millisecond, Loss: 0.2}
	for seed := range uint64(50) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			sc := scenario{seed: seed, streams: 1, upload: 1, download: 1, timeout: time.Minute}.both(link)
			require.NoError(t, sc.run(t).timeout)
		})
	}
}
