package quic_test

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
)

// A silentConn is a net.PacketConn to which nobody answers. It notes when packets are written.
type silentConn struct {
	ended chan struct{} // closed by SetReadDeadline with a time that has passed: by Transport.Close
	once  sync.Once

	mu    sync.Mutex
	times []time.Time
}

func (c *silentConn) ReadFrom([]byte) (int, net.Addr, error) {
	<-c.ended
	return 0, nil, os.ErrDeadlineExceeded
}

func (c *silentConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times = append(c.times, time.Now())
	return len(b), nil
}

func (c *silentConn) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		c.once.Do(func() { close(c.ended) })
	}
	return nil
}

func (c *silentConn) SetDeadline(t time.Time) error  { return c.SetReadDeadline(t) }
func (*silentConn) SetWriteDeadline(time.Time) error { return nil }
func (*silentConn) Close() error                     { return nil }
func (*silentConn) LocalAddr() net.Addr              { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// TestFirstPacketIsLost: a client whose first packets are lost sends them again after 200 ms.
func TestFirstPacketIsLost(t *testing.T) {
	_, client := tlsConfigs(t)
	synctest.Test(t, func(t *testing.T) {
		c := &silentConn{ended: make(chan struct{})}
		tr := &quic.Transport{Conn: c}
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := tr.Dial(ctx, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2}, client, nil)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial returned %v", err)
		}
		check(t, tr.Close())
		for _, at := range c.times {
			if after := at.Sub(begun); after > 0 {
				if after < 190*time.Millisecond || after > 210*time.Millisecond {
					t.Errorf("sent again after %v", after)
				}
				return
			}
		}
		t.Error("never sent again")
	})
}
