package conn_test

import (
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A counted log counts the bytes that are written to it.
type counted struct{ n int64 }

func (c *counted) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func (c *counted) Close() error { return nil }

// BenchmarkQLog tells what a qlog costs: a megabyte from a client to a server, in virtual time,
// with and without one on both sides.
func BenchmarkQLog(b *testing.B) {
	for _, on := range []bool{false, true} {
		name := "off"
		if on {
			name = "on"
		}
		b.Run(name, func(b *testing.B) { benchmarkQLog(b, on) })
	}
}

func benchmarkQLog(b *testing.B, on bool) {
	const size = 1 << 20
	rnd := rand.NewChaCha8([32]byte{1})
	n := conntest.New(b, 1)
	n.Default = conntest.Link{Delay: time.Millisecond}
	var log counted
	sc, cc := conntest.ServerConfig(), conntest.ClientConfig()
	sc.QLog, cc.QLog = nil, nil
	if on {
		open := func(conn.ConnID, bool) io.WriteCloser { return &log }
		sc.QLog, cc.QLog = open, open
	}
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	read, left := 0, 0
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind == conn.EventStreamReadable {
			for p, _ := ev.Stream.Peek(1); len(p) > 0; p, _ = ev.Stream.Peek(1) {
				read += len(p)
				ev.Stream.Discard(len(p))
			}
		}
	}
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
	if err != nil {
		b.Fatal(err)
	}
	n.RunUntil(time.Second, c.HandshakeComplete)
	s, err := c.OpenStream(conn.Uni)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 32<<10)
	write := func() {
		for left > 0 {
			k, err := s.Write(buf[:min(left, len(buf))])
			if left -= k; err != nil {
				return
			}
		}
	}
	client.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind == conn.EventStreamWritable {
			write()
		}
	}
	packets := func() uint64 { return c.Stats().PacketsSent + c.Stats().PacketsReceived }
	before, logged := packets(), log.n
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		read, left = 0, size
		write()
		n.RunUntil(time.Minute, func() bool { return read == size })
		if read != size {
			b.Fatalf("%d of %d bytes came", read, size)
		}
	}
	done := packets() - before
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(done), "ns/packet")
	b.ReportMetric(float64(log.n-logged)/float64(done), "logged-B/packet")
}
