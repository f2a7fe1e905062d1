package quic_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// TestWriteCounts: Write waits for the peer. When it fails, n is how many bytes were sent, and the
// peer gets no others.
func TestWriteCounts(t *testing.T) {
	small := &quic.Config{InitialStreamReceiveWindow: 1000, MaxStreamReceiveWindow: 1000}
	ends := map[string]func(s *quic.SendStream){
		"deadline":    func(s *quic.SendStream) { check(t, s.SetWriteDeadline(time.Now())) },
		"CancelWrite": func(s *quic.SendStream) { s.CancelWrite(7) },
	}
	for name, end := range ends {
		p := connect(t, small, nil)
		s, err := p.client.OpenUniStreamSync(within(t))
		check(t, err)
		const size = 2 << 20
		wrote, failed := make(chan int, 1), make(chan error, 1)
		go func() {
			n, err := s.Write(make([]byte, size))
			wrote <- n
			failed <- err
		}()
		in, err := p.server.AcceptUniStream(within(t))
		check(t, err)
		if _, err := io.ReadFull(in, make([]byte, 10_000)); err != nil { // and no more
			t.Fatal(err)
		}
		if err := s.TryWriteAll([]byte("x")); err != quic.ErrWouldBlock {
			t.Errorf("%s: TryWriteAll beside Write returned %v", name, err)
		}
		end(s)
		n, err := <-wrote, <-failed
		if n < 10_000 || n >= size || err == nil {
			t.Errorf("%s: Write returned %d, %v", name, n, err)
		}
		if name == "CancelWrite" {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write returned %v", err)
		}
		check(t, s.SetWriteDeadline(time.Time{}))
		check(t, s.Close())
		if b, err := io.ReadAll(in); len(b) != n-10_000 || err != nil {
			t.Errorf("%d bytes came of %d: %v", len(b)+10_000, n, err)
		}
	}
}

// A moodyConn does not tell where packets come from, and writes none after it has failed.
type moodyConn struct {
	net.PacketConn
	failed atomic.Bool
}

var errMood = errors.New("no more packets")

func (c *moodyConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, _, err := c.PacketConn.ReadFrom(p)
	return n, nil, err
}

func (c *moodyConn) WriteTo(p []byte, a net.Addr) (int, error) {
	if c.failed.Load() {
		return 0, errMood
	}
	return c.PacketConn.WriteTo(p, a)
}

// TestMoodyConn: a client needs no addresses of the packets that it gets. It ends when its
// net.PacketConn writes no more.
func TestMoodyConn(t *testing.T) {
	serverTLS, clientTLS := tlsConfigs(t)
	ln, err := quic.Listen(listenUDP(t), serverTLS, nil)
	check(t, err)
	defer ln.Close()
	pc := &moodyConn{PacketConn: listenUDP(t)}
	c, err := quic.Dial(within(t), pc, ln.Addr(), clientTLS, nil)
	check(t, err)
	s, err := c.OpenStreamSync(within(t))
	check(t, err)
	pc.failed.Store(true)
	s.Write([]byte("x"))
	if _, err := s.Read(make([]byte, 1)); err != errMood {
		t.Errorf("Read returned %v", err)
	}
}
