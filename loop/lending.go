package loop

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// A lending says who may use the Endpoint of a Loop, and everything else that belongs to the
// goroutine of the Loop. That goroutine may, except while it sleeps or lets others run. Meanwhile
// any goroutine may borrow all of it for a moment: a call of a Stream then does its work at once,
// where a letter would have to wait for the next turn.
//
// A goroutine that cannot borrow writes a letter. Nobody waits for a borrower but the Loop itself,
// so what a borrower does must be short.
type lending struct {
	mu   sync.Mutex  // whoever holds it has the Endpoint
	away atomic.Bool // the loop sleeps, or lets others run

	// mu guards the rest.
	asleep bool      // the loop waits in ReadBatch, and the time of the Endpoint stands still
	until  time.Time // until when the loop has nothing to do; zero for ever
	used   bool      // a borrower has given the loop something to do
	// by how much the time of the Endpoint is behind that of the borrower
	behind time.Duration
}

// leave lets other goroutines borrow. until is when the loop has something to do.
func (b *lending) leave(until time.Time, asleep bool) {
	b.until, b.asleep = until, asleep
	b.away.Store(true)
	b.mu.Unlock()
}

// back makes the loop the only user again.
func (b *lending) back() {
	b.mu.Lock()
	b.asleep, b.behind = false, 0
	b.away.Store(false)
}

// fromNow returns the options of a datagram whose age counts from now on.
func (b *lending) fromNow(how conn.DatagramOptions) conn.DatagramOptions {
	if how.MaxAge > 0 {
		how.MaxAge += b.behind
	}
	return how
}

// wasUsed reports whether borrowers have given the loop something to do since the last call.
func (b *lending) wasUsed() bool {
	used := b.used
	b.used = false
	return used
}

// borrow lets the calling goroutine use what belongs to the goroutine of the Loop, until giveBack.
// It does not wait, and reports false if that is not possible, or if c has ended. The caller may
// hold the locks of c and of its streams.
func (c *Conn) borrow() bool {
	l := c.l
	if !l.lending.mu.TryLock() {
		return false
	}
	if l.lending.asleep {
		now := l.clock()
		if until := l.lending.until; !until.IsZero() && !now.Before(until) {
			// Timers are due. Datagrams that have come meanwhile go first, and only the loop reads
			// these.
			l.lending.mu.Unlock()
			return false
		}
		l.ep.HandleTimeout(now)
	}
	if c.c.Err() != nil { // EventClosed waits, and ends all calls with the right error
		l.giveBack()
		return false
	}
	return true
}

// borrowNow is borrow for calls to which the time matters: a loop that lets others run has not
// looked at the clock since its last turn.
func (c *Conn) borrowNow() bool {
	if !c.borrow() {
		return false
	}
	l := c.l
	if l.lending.asleep {
		return true
	}
	now := l.clock()
	if t := l.ep.Timeout(); !t.IsZero() && !now.Before(t) {
		if t.Before(l.lending.until) {
			// There is something to send, and that hides the timers. So the time stands still.
			l.lending.behind = now.Sub(t)
			return true
		}
		// Timers have become due while others ran. Datagrams go first, as in borrow.
		l.giveBack()
		return false
	}
	l.ep.HandleTimeout(now)
	l.lending.behind = 0
	l.lending.until = now.Add(1) // what the borrower sends is due at now, and counts as use
	if c.c.Err() != nil {
		l.giveBack()
		return false
	}
	return true
}

// giveBack ends what borrow began. It wakes the loop if that sleeps longer than the Endpoint can
// wait.
func (l *Loop) giveBack() {
	b := &l.lending
	l.publishMuch() // the next writer has to know what went to the connection
	wake := false
	if !b.used { // otherwise the loop takes another turn anyway
		t := l.ep.Timeout()
		b.used = !t.IsZero() && (b.until.IsZero() || t.Before(b.until))
		wake = b.used && b.asleep
	}
	b.mu.Unlock()
	if wake {
		l.mail.rise()
	}
}
