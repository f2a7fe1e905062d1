package loop

import (
	"context"
	"fmt"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/fifo"
)

// ReadsShort reports whether the loop reads into short buffers. Call it on the loop's goroutine.
func (l *Loop) ReadsShort() bool { return l.in.small }

// CheckAccounts returns an error if an Account differs from what is really held. The loops must be
// at rest.
func (g *Group) CheckAccounts() (err error) {
	for _, l := range g.loops {
		l.Do(context.Background(), func(time.Time) {
			if e := l.checkAccounts(); e != nil {
				err = e
			}
		})
	}
	return err
}

func (l *Loop) checkAccounts() error {
	sum := int64(0)
	for c := range l.ep.Conns() {
		a, ok := c.UserData.(*attachment)
		if !ok || a.handle == nil || a.closed || a.h != nil {
			continue // a Handler's account is checked where the Handler is
		}
		counted, held := a.handle.account.held.Load(), a.handle.reallyHeld()
		if counted != held || counted != a.handle.account.counted {
			return fmt.Errorf("connection %v holds %d bytes, %d are counted, %d of them below",
				c.ID(), held, counted, a.handle.account.counted)
		}
		sum += held
	}
	if s := l.stats(); s.Held < sum || l.held.above.Load() < sum || s.Held > l.held.limit {
		return fmt.Errorf("%d bytes are held, %d and %d are counted, of %d", sum, l.held.above.Load(), s.Held, l.held.limit)
	}
	return nil
}

// reallyHeld returns how many bytes the buffers of c hold.
func (c *Conn) reallyHeld() (n int64) {
	streams := 0
	for s := c.streams.First(); s != nil; s = s.place.Next() {
		s.mu.Lock()
		n += memoryOf(&s.in.buf) + memoryOf(&s.out.buf)
		s.mu.Unlock()
		streams++
	}
	n += int64(streams * streamCost)
	if more := c.counted - streams; more > 0 && more < streams { // see countStreams
		n += int64(more * streamCost)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range []*datagramQueue{&c.datagrams.in, &c.datagrams.out} {
		for _, d := range q.items[q.head:] {
			n += int64(d.cost())
		}
	}
	return n
}

// memoryOf returns how many bytes of memory b has. Lent memory does not count.
func memoryOf(b *fifo.Buffer) (n int64) {
	for c := b.First(); c != nil; c = c.Next {
		if c.Lender == nil {
			n += int64(len(c.Memory))
		}
	}
	return n
}

// Migrations returns how many calls of Migrate and Probe wait. It belongs to the loop's goroutine.
func Migrations(c *Conn) int { return len(c.migrations) }

// Posted reports whether c is in the mailbox of its loop.
func Posted(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dirty
}

// Unsent returns how many bytes of s were written and never sent. Call it on the loop's goroutine.
func Unsent(s *Stream) int {
	st := s.lock()
	defer st.mu.Unlock()
	return st.out.buf.Len() + st.s.Unsent()
}

// Handle gives s an event. Call it on the loop's goroutine.
func Handle(s *Stream, ev conn.Event) { s.state.Load().handleEvent(&ev) }

// RejectEarly delivers the event of rejected early data. Call it on the loop's goroutine.
func RejectEarly(c *Conn) { c.handleState(&conn.Event{Kind: conn.EventEarlyDataRejected, Conn: c.c}) }

// LetRun runs f as if goroutines ran that a turn has woken. Call it on the loop's goroutine.
func LetRun(l *Loop, f func()) {
	l.now = time.Now()
	l.lending.leave(l.now.Add(1), false)
	f()
	l.lending.back()
}

// LetRunAgain runs the functions as LetRun does, one in each round of goroutines. Call it on the
// loop's goroutine.
func LetRunAgain(l *Loop, fs ...func()) {
	l.now = time.Now()
	l.rounds(func() {
		if len(fs) > 0 {
			f := fs[0]
			fs = fs[1:]
			f()
		}
	})
}

// SendEarly sends as a turn does in its middle, after it has woken goroutines that can borrow the
// loop. It reports whether Yield is still to come. Call it on the loop's goroutine.
func SendEarly(l *Loop) (woken bool, err error) {
	l.wokeBorrower()
	_, err = l.sendAnswered(false)
	return l.woken, err
}

// Streams returns how many streams c keeps. Call it on the loop's goroutine.
func Streams(c *Conn) (n int) {
	for s := c.streams.First(); s != nil; s = s.place.Next() {
		n++
	}
	return n
}

// WaitingHandshakes returns how many handshakes of a group wait to begin.
func WaitingHandshakes(g *Group) int {
	g.work.mu.Lock()
	defer g.work.mu.Unlock()
	return g.work.firsts.len()
}

// State returns what tells the state of s from others. It is nil if s is over.
func State(s *Stream) any {
	if st := s.state.Load(); st != nil {
		return st
	}
	return nil
}

// Lent calls f while others may borrow l, as they may in the middle of a turn. Call it on the
// goroutine of the loop.
func Lent(l *Loop, f func()) {
	l.lending.leave(time.Time{}, false)
	f()
	l.lending.back()
}
