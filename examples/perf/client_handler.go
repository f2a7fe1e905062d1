package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// A handlerSession is a session inside the loop. Its fields belong to the goroutine of the loop,
// except the first four.
type handlerSession struct {
	l     *loop.Loop
	c     *conn.Conn
	turn  sync.Mutex // of exchange
	done  chan error // of connecting, of exchange and of flood
	busy  bool       // somebody waits for done
	ended bool       // EventClosed has come

	todo, open, width int // exchanges
	down, up          int64
	free              []*exchange
	times             histogram

	flooding bool
	until    time.Time
	sent     int64
}

// An exchange is the state of a stream, as its UserData.
type exchange struct {
	start       time.Time
	up, missing int64 // bytes still to be sent and to be received
}

// dialHandler connects, and returns after the handshake.
func dialHandler(ctx context.Context, g *loop.Group, to netip.AddrPort, cfg *conn.Config) (*handlerSession, error) {
	s := &handlerSession{l: g.Loops()[0], done: make(chan error, 1), busy: true}
	var err error
	dial := func(now time.Time) {
		if s.c, err = s.l.Endpoint().Dial(now, conn.Target{Remote: to}, cfg); err == nil {
			s.l.SetHandler(s.c, s)
		}
	}
	if e := s.l.Do(ctx, dial); e != nil || err != nil {
		return nil, errors.Join(e, err)
	}
	select {
	case err := <-s.done:
		return s, err
	case <-ctx.Done():
		s.close()
		return nil, ctx.Err()
	}
}

// finish tells the goroutine that waits whether it worked.
func (s *handlerSession) finish(err error) {
	if s.busy {
		s.busy = false
		s.done <- err
	}
}

// HandleEvent goes on with exchanges and with the flood.
func (s *handlerSession) HandleEvent(now time.Time, ev conn.Event) {
	switch ev.Kind {
	case conn.EventConnected:
		s.finish(nil)
	case conn.EventStreamReadable:
		s.read(now, ev.Stream)
	case conn.EventStreamWritable:
		s.write(ev.Stream, ev.Stream.UserData.(*exchange))
	case conn.EventStreamReset, conn.EventStreamStopped:
		s.finish(&conn.StreamError{ID: ev.Stream.ID(), Code: ev.Code, Remote: true})
	case conn.EventStreamsAvailable:
		s.openMore(now)
	case conn.EventDatagramWritable:
		s.sendMore(now)
	case conn.EventClosed:
		s.ended = true
		s.finish(fmt.Errorf("connection closed: %w", ev.Err))
	}
}

// Flush has nothing to do, because HandleEvent does all the work.
func (s *handlerSession) Flush(time.Time, *conn.Conn) {}

func (s *handlerSession) exchange(ops, width int, down, up int64) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.wait(func(now time.Time) {
		s.todo, s.width, s.down, s.up = ops, width, down, up
		s.times = histogram{}
		s.openMore(now)
	})
}

// wait runs f on the loop, and waits until finish is called.
func (s *handlerSession) wait(f func(now time.Time)) error {
	err := s.l.Do(context.Background(), func(now time.Time) {
		if s.busy = true; s.ended {
			s.finish(s.c.Err())
			return
		}
		f(now)
	})
	if err != nil {
		return err
	}
	return <-s.done
}

// openMore opens streams up to the width, or up to the limit of the server.
func (s *handlerSession) openMore(now time.Time) {
	for s.todo > 0 && s.open < s.width {
		st, err := s.c.OpenStream(conn.Bidi)
		if errors.Is(err, conn.ErrStreamLimit) {
			return
		}
		if err != nil {
			s.finish(err)
			return
		}
		s.todo--
		s.open++
		x := s.newExchange()
		*x = exchange{start: now, up: s.up, missing: s.down}
		st.UserData = x
		var header [8]byte
		binary.BigEndian.PutUint64(header[:], uint64(s.down))
		if _, err := st.Write(header[:]); err != nil {
			s.finish(err)
			return
		}
		s.write(st, x)
	}
}

func (s *handlerSession) newExchange() *exchange {
	n := len(s.free)
	if n == 0 {
		return new(exchange)
	}
	x := s.free[n-1]
	s.free = s.free[:n-1]
	return x
}

// write uploads what the stream takes.
func (s *handlerSession) write(st *conn.Stream, x *exchange) {
	for x.up > 0 {
		n, err := st.WriteShared(zeros[:min(x.up, int64(len(zeros)))])
		x.up -= int64(n)
		if err != nil {
			if !errors.Is(err, conn.ErrWouldBlock) {
				s.finish(err)
			}
			return
		}
	}
	st.CloseWrite()
}

// read takes in an answer.
func (s *handlerSession) read(now time.Time, st *conn.Stream) {
	x := st.UserData.(*exchange)
	for {
		b, err := st.Peek(1)
		if len(b) > 0 {
			x.missing -= int64(len(b))
			st.Discard(len(b))
			continue
		}
		switch {
		case errors.Is(err, conn.ErrWouldBlock):
			return
		case err != io.EOF:
			s.finish(err)
			return
		case x.missing != 0:
			s.finish(fmt.Errorf("the answer is %d bytes short", x.missing))
			return
		}
		break
	}
	s.times.add(now.Sub(x.start))
	st.Release()
	s.free = append(s.free, x)
	s.open--
	if s.todo > 0 {
		s.openMore(now)
	} else if s.open == 0 {
		s.finish(nil)
	}
}

func (s *handlerSession) flood(d time.Duration) (int64, error) {
	err := s.wait(func(now time.Time) {
		s.flooding, s.until, s.sent = true, now.Add(d), 0
		s.sendMore(now)
	})
	return s.sent, err
}

// sendMore sends datagrams until the queue is full.
func (s *handlerSession) sendMore(now time.Time) {
	for s.flooding {
		_, err := s.c.SendDatagram(zeros[:datagramLen], conn.DatagramOptions{})
		switch {
		case err == nil:
			s.sent++
			continue
		case !errors.Is(err, conn.ErrWouldBlock):
			s.finish(err)
			s.flooding = false
		case !now.Before(s.until):
			s.finish(nil)
			s.flooding = false
		}
		return
	}
}

func (s *handlerSession) latency() *histogram { return &s.times }

func (s *handlerSession) stats() (stats conn.Stats) {
	s.l.Do(context.Background(), func(time.Time) { stats = s.c.Stats() })
	return stats
}

func (s *handlerSession) alive() (alive bool) {
	s.l.Do(context.Background(), func(time.Time) { alive = !s.ended })
	return alive
}

func (s *handlerSession) close() {
	s.l.Do(context.Background(), func(time.Time) { s.c.Close(0, "") })
}
