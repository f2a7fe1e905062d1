package loop

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// Letters are requests of other goroutines to a loop.
type letters struct {
	posts   []func(now time.Time)
	works   []*conn.TLSWork // finished, for Endpoint.Complete
	conns   []*Conn         // that have something to do, each at most once
	streams []*streamState  // that have something to do, each at most once
	handed  handover
	// whose holdings have changed, each at most once; they do not wake the loop
	accounts []*Account
	roused   bool // the Endpoint may have room again for those who wait for it
}

func (l *letters) empty() bool {
	return len(l.posts) == 0 && len(l.works) == 0 && len(l.conns) == 0 &&
		len(l.streams) == 0 && len(l.handed.items) == 0 && !l.roused
}

// clear empties l. It keeps the memory of l, and drops the pointers in it.
func (l *letters) clear() {
	clear(l.posts)
	clear(l.works)
	clear(l.conns)
	clear(l.streams)
	clear(l.accounts)
	l.posts, l.works = l.posts[:0], l.works[:0]
	l.conns, l.streams, l.accounts = l.conns[:0], l.streams[:0], l.accounts[:0]
	l.roused = false
	l.handed.clear()
}

// A mailbox carries work from any goroutine to the goroutine of a loop. It wakes the loop only if
// the loop sleeps, and only once, however many letters arrive.
type mailbox struct {
	wake     func()      // of the Backend
	sleeping atomic.Bool // the loop waits in ReadBatch, or is about to
	wakes    atomic.Uint64
	began    time.Time
	risen    atomic.Int64 // how long after began finished TLS work woke the loop last

	mu     sync.Mutex
	closed bool
	in     letters
}

// open locks m, so that a letter can be added. It reports false if m is closed.
func (m *mailbox) open() bool {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false
	}
	return true
}

// send unlocks m, and wakes the loop if it sleeps.
func (m *mailbox) send() {
	m.mu.Unlock()
	m.rise()
}

// rise wakes the loop if it sleeps.
func (m *mailbox) rise() {
	if m.sleeping.Load() && m.sleeping.CompareAndSwap(true, false) {
		m.wakes.Add(1)
		m.wake()
	}
}

// post lets the loop run f. It reports false if the loop has stopped; f does not run then.
func (m *mailbox) post(f func(now time.Time)) bool {
	if !m.open() {
		return false
	}
	m.in.posts = append(m.in.posts, f)
	m.send()
	return true
}

func (m *mailbox) complete(w *conn.TLSWork) {
	if m.open() {
		m.in.works = append(m.in.works, w)
		if m.sleeping.Load() {
			m.risen.Store(int64(time.Since(m.began)))
		}
		m.send()
	}
}

func (m *mailbox) conn(c *Conn) {
	if m.open() {
		m.in.conns = append(m.in.conns, c)
		m.send()
	}
}

func (m *mailbox) stream(s *streamState) {
	if m.open() {
		m.in.streams = append(m.in.streams, s)
		m.send()
	}
}

// account lets the loop settle a when it takes accounts next. It does not wake the loop.
func (m *mailbox) account(a *Account) {
	if m.open() {
		m.in.accounts = append(m.in.accounts, a)
		m.mu.Unlock()
	}
}

// rouse makes the loop take a turn, even if it has nothing to do but to settle accounts.
func (m *mailbox) rouse() {
	if m.open() {
		m.in.roused = true
		m.send()
	}
}

// hand takes a copy of d, which reached the wrong loop. It reports false if there
// is no room for it.
func (m *mailbox) hand(d *conn.Datagram) bool {
	if !m.open() {
		return false
	}
	if !m.in.handed.add(d) {
		m.mu.Unlock()
		return false
	}
	m.send()
	return true
}

// sleep announces that the loop is about to wait. It reports false if there is a letter. Otherwise
// the next letter wakes the loop.
func (m *mailbox) sleep() bool {
	m.sleeping.Store(true)
	m.mu.Lock()
	empty := m.in.empty()
	m.mu.Unlock()
	if !empty {
		m.sleeping.Store(false)
	}
	return empty
}

// worked reports whether there is finished TLS work.
func (m *mailbox) worked() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.in.works) > 0
}

// awake says that the loop does not wait any more.
func (m *mailbox) awake() { m.sleeping.Store(false) }

// take swaps the letters for those of out, which must be empty.
func (m *mailbox) take(out *letters) {
	m.mu.Lock()
	m.in, *out = *out, m.in
	m.mu.Unlock()
}

// takeAccounts is take for accounts alone.
func (m *mailbox) takeAccounts(out *letters) {
	m.mu.Lock()
	m.in.accounts, out.accounts = out.accounts, m.in.accounts
	m.mu.Unlock()
}

// close makes m refuse letters from now on.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
}
