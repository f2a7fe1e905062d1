package conn_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// TestRecordHasWhatIsTaken: what a stream or the queue of datagrams refuses is not on the
// recording. Applications that write again and again until all is taken would make it huge.
func TestRecordHasWhatIsTaken(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := conntest.New(t, 1)
	var tape bytes.Buffer
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd, Record: &tape})
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	if n.RunUntil(time.Minute, c.HandshakeComplete); !c.HandshakeComplete() {
		t.Fatal("there is no connection")
	}
	s, err := c.OpenStream(conn.Bidi)
	if err != nil {
		t.Fatal(err)
	}
	before, taken := tape.Len(), 0
	p, chunk := bytes.Repeat([]byte("lazo"), 256<<10), new(conn.Chunk)
	for i := range 100 {
		write := s.Write
		if i%2 == 1 {
			write = s.WriteShared
		}
		k, err := write(p)
		if !errors.Is(err, conn.ErrWouldBlock) {
			t.Fatalf("Write took %d bytes: %v", k, err)
		}
		taken += k
		if s.WriteChunk(chunk) != nil {
			t.Fatal("WriteChunk finds room where Write found none")
		}
		if _, err := c.SendDatagram(p, conn.DatagramOptions{}); err == nil {
			t.Fatal("a datagram of 1 MiB was taken")
		}
	}
	n.RunFor(time.Second) // what was collected is written
	if grown := tape.Len() - before; taken == 0 || grown > 2*taken {
		t.Errorf("%d bytes were taken, and the recording has %d more", taken, grown)
	}
	client.Endpoint.Close()
	if err := newReplay(t, &tape).Run(); err != nil {
		t.Error(err)
	}
}
