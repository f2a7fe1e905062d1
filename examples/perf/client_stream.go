package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// A streamSession is a session on the blocking tier.
type streamSession struct {
	exchanges
	c *loop.Conn
}

// dialStream connects, and returns after the handshake.
func dialStream(ctx context.Context, g *loop.Group, to netip.AddrPort, cfg *conn.Config) (*streamSession, error) {
	c, err := g.Dial(ctx, to.String(), cfg)
	if err != nil {
		return nil, err
	}
	s := &streamSession{c: c}
	s.one, s.stop = s.stream, s.close
	return s, nil
}

// stream does one exchange, over a stream of its own.
func (s *streamSession) stream(b []byte, down, up int64) error {
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
		return errShort(down)
	}
	return nil
}

// errShort returns the error of an answer that misses so many bytes.
func errShort(n int64) error { return fmt.Errorf("the answer is %d bytes short", n) }

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

func (s *streamSession) stats() conn.Stats { return s.c.Stats() }

func (s *streamSession) alive() bool { return s.c.Context().Err() == nil }

func (s *streamSession) close() { s.c.Close(0, "") }
