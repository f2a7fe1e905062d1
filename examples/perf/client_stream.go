package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// A streamSession is a session on the blocking tier.
type streamSession struct {
	c     *loop.Conn
	mu    sync.Mutex
	times histogram
}

// dialStream connects, and returns after the handshake.
func dialStream(ctx context.Context, g *loop.Group, to netip.AddrPort, cfg *conn.Config) (*streamSession, error) {
	c, err := g.Dial(ctx, to.String(), cfg)
	if err != nil {
		return nil, err
	}
	return &streamSession{c: c}, nil
}

func (s *streamSession) exchange(ops, width int, down, up int64) error {
	var left atomic.Int64
	left.Store(int64(ops))
	width = min(width, ops)
	errs := make(chan error, width)
	for range width {
		go func() { errs <- s.work(&left, down, up) }()
	}
	var first error
	for range width {
		if err := <-errs; err != nil && first == nil {
			first = err
			s.close()
		}
	}
	return first
}

// work does exchanges, one after another, while some are left.
func (s *streamSession) work(left *atomic.Int64, down, up int64) error {
	bp := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(bp)
	var times histogram
	for left.Add(-1) >= 0 {
		start := time.Now()
		if err := s.one(bp[:], down, up); err != nil {
			return err
		}
		times.add(time.Since(start))
	}
	s.mu.Lock()
	s.times.merge(&times)
	s.mu.Unlock()
	return nil
}

// one does one exchange. It uses the memory of b.
func (s *streamSession) one(b []byte, down, up int64) error {
	st, err := s.c.OpenStream(context.Background(), conn.Bidi)
	if err != nil {
		return err
	}
	defer st.Close()
	binary.BigEndian.PutUint64(b, uint64(down))
	if _, err := st.Write(b[:8]); err != nil {
		return err
	}
	for up > 0 {
		n, err := st.WriteShared(zeros[:min(up, int64(len(zeros)))])
		if err != nil {
			return err
		}
		up -= int64(n)
	}
	if err := st.CloseWrite(); err != nil {
		return err
	}
	for {
		n, err := st.Read(b)
		down -= int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if down != 0 {
		return fmt.Errorf("the answer is %d bytes short", down)
	}
	return nil
}

func (s *streamSession) flood(d time.Duration) (sent int64, err error) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		for range 64 {
			if err := s.c.SendDatagram(context.Background(), zeros[:datagramLen], 0); err != nil {
				return sent, err
			}
			sent++
		}
	}
	return sent, nil
}

func (s *streamSession) latency() *histogram { return &s.times }

func (s *streamSession) stats() conn.Stats { return s.c.Stats() }

func (s *streamSession) alive() bool { return s.c.Context().Err() == nil }

func (s *streamSession) close() { s.c.Close(0, "") }
