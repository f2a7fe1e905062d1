package loop

import (
	"math"
	"runtime"
	"sync/atomic"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/fifo"
	"github.com/lazoquic/lazo/internal/memory"
)

// An Account counts what is kept for one connection above its [conn.Conn], against
// [conn.EndpointConfig.MaxBuffered]. Conn and its Streams count their buffers there. A Handler that
// shares buffers with other goroutines counts them there too. Any goroutine may use an Account.
//
// The Endpoint learns of changes when the next turn of the loop begins, and before a turn sends:
// see [conn.Conn.Hold].
type Account struct {
	l       *Loop
	held    atomic.Int64
	changed atomic.Bool // it is in the mailbox
	// nobody can reach the connection and its streams any more
	forgotten atomic.Bool

	// The rest belongs to the loop's goroutine.
	c       *conn.Conn // nil once it has ended
	counted int64      // the part of held of which the Endpoint knows
}

// Hold counts n more bytes, or fewer if n is negative. It does not fail: if all together exceed
// the limit, the connection that holds most ends. Count whole buffers, not single bytes. What is
// kept beyond the end of the connection goes on counting until it is taken back.
func (a *Account) Hold(n int) {
	if n == 0 {
		return
	}
	a.held.Add(int64(n))
	short := a.l.held.add(int64(n))
	if !a.changed.Load() && a.changed.CompareAndSwap(false, true) {
		a.l.mail.account(a)
	}
	if short && n < 0 {
		a.l.mail.rouse() // somebody may wait for room in the Endpoint
	}
}

// Held returns how many bytes count now.
func (a *Account) Held() int64 { return a.held.Load() }

// Room returns how many bytes a buffer may hold now, if it may hold most while there is much room:
// see [conn.Endpoint.BufferRoom].
func (a *Account) Room(most, least int) int { return a.l.held.room(most, least) }

// settle tells the Endpoint what has changed.
func (a *Account) settle() {
	a.changed.Store(false) // before held is read: what changes later puts a in the mailbox again
	n := a.held.Load() - a.counted
	a.counted += n
	a.l.held.counted += n
	if a.c != nil {
		a.c.Hold(n)
	} else {
		a.l.ep.Hold(n)
		if a.forgotten.Load() {
			delete(a.l.departed, a)
		}
	}
}

// end notes that the connection of c has ended. What is still kept counts for no connection then,
// until it is taken back, or c and its streams are garbage.
func (a *Account) end(c *Conn) {
	if a.c == nil {
		return
	}
	a.l.held.counted -= a.counted
	a.c, a.counted = nil, 0
	a.settle()
	a.l.departed.add(a, c)
}

// forget stops counting whatever is left. It is the cleanup of the Conn.
func (a *Account) forget() {
	a.forgotten.Store(true)
	n := a.held.Swap(0)
	a.l.held.add(-n)
	if a.changed.CompareAndSwap(false, true) {
		a.l.mail.account(a)
	}
}

// departed are the Accounts of connections that have ended, until their Conns are garbage. To the
// garbage collector a cleanup is a root: it keeps its Account, and with it the Loop. While the Loop
// reaches the Conn, none of them is garbage. So a Loop that stops stops the cleanups. The map
// belongs to the loop's goroutine.
type departed map[*Account]runtime.Cleanup

func (d *departed) add(a *Account, c *Conn) {
	if *d == nil {
		*d = make(departed)
	}
	(*d)[a] = runtime.AddCleanup(c, (*Account).forget, a)
}

func (d departed) stop() {
	for _, cleanup := range d {
		cleanup.Stop()
	}
	clear(d)
}

// holdings are the sums of all Accounts of a Loop.
type holdings struct {
	limit int64        // EndpointConfig.MaxBuffered
	grain int64        // below may be wrong by so much between the ends of turns
	above atomic.Int64 // the sum of Account.held
	below atomic.Int64 // what else the Endpoint counted, at the end of the last turn

	counted int64 // the sum of Account.counted; belongs to the loop
}

func (h *holdings) init(maxBuffered int64) {
	switch {
	case maxBuffered == 0:
		maxBuffered = conn.DefaultMaxBuffered
	case maxBuffered < 0:
		maxBuffered = math.MaxInt64
	}
	h.limit = maxBuffered
	h.grain = maxBuffered >> 12
}

// add counts n more bytes, and reports whether memory was short before.
func (h *holdings) add(n int64) (wasShort bool) {
	return h.isShort(h.above.Add(n) - n + h.below.Load())
}

// short reports whether memory is so short that an Endpoint may let writers wait.
func (h *holdings) short() bool { return h.isShort(h.used()) }

func (h *holdings) isShort(used int64) bool { return used > h.limit-h.limit/8 }

// used returns how many bytes count against the limit.
func (h *holdings) used() int64 { return h.above.Load() + h.below.Load() }

func (h *holdings) room(most, least int) int { return memory.Share(most, least, h.used(), h.limit) }

// drift returns how many bytes the Endpoint does not know of yet.
func (h *holdings) drift() int64 { return h.above.Load() - h.counted }

// settle tells the Endpoint what was kept and given up, of which letters tell.
func (l *Loop) settle() {
	for _, a := range l.letters.accounts {
		a.settle()
	}
	clear(l.letters.accounts)
	l.letters.accounts = l.letters.accounts[:0]
}

// publish lets other goroutines know how much the Endpoint counts.
func (l *Loop) publish() {
	if n := l.ep.Held() - l.held.counted; n != l.held.below.Load() {
		l.held.below.Store(n)
	}
}

// publishMuch is publish if much has changed. It costs less where little has.
func (l *Loop) publishMuch() {
	h := &l.held
	n := l.ep.Held() - h.counted
	if d := n - h.below.Load(); d > h.grain || d < -h.grain {
		h.below.Store(n)
	}
}

// A source lends chunks of a Loop, and counts them in the Account of a connection. Memory that is
// lent by its writer does not count.
type source struct {
	*chunkPool
	account *Account
}

var _ fifo.Source = (*source)(nil)

// Get implements [fifo.Source].
func (s *source) Get(offset uint64) *fifo.Chunk {
	s.account.Hold(chunkSize)
	return s.chunkPool.Get(offset)
}

// adopt counts a chunk that came from elsewhere, and will be put back to s.
func (s *source) adopt() { s.account.Hold(chunkSize) }

// Put implements [fifo.Source].
func (s *source) Put(list *fifo.Chunk) {
	n := 0
	for c := list; c != nil; c = c.Next {
		if c.Lender == nil {
			n++
		}
	}
	s.chunkPool.Put(list)
	s.account.Hold(-n * chunkSize)
}
