package loop

import (
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// A sleeper stands for a loop whose Backend parks it.
type sleeper struct {
	mailbox
	tokens chan struct{}
}

func newSleeper() *sleeper {
	s := &sleeper{tokens: make(chan struct{}, 1)}
	s.wake = func() { notify(s.tokens) }
	return s
}

func TestMailboxWakesOnce(t *testing.T) {
	s := newSleeper()
	nothing := func(time.Time) {}
	s.post(nothing)
	if got := s.wakes.Load(); got != 0 {
		t.Fatalf("a letter to a loop that is awake woke it %d times", got)
	}
	if s.sleep() {
		t.Fatal("sleep with a letter in the box")
	}
	var l letters
	s.take(&l)
	if len(l.posts) != 1 {
		t.Fatalf("took %d posts, want 1", len(l.posts))
	}
	l.clear()

	if !s.sleep() {
		t.Fatal("no sleep with an empty box")
	}
	for range 10 {
		s.post(nothing)
	}
	if got := s.wakes.Load(); got != 1 {
		t.Errorf("10 letters to a loop that sleeps woke it %d times, want 1", got)
	}
	s.awake()
	s.post(nothing)
	if got := s.wakes.Load(); got != 1 {
		t.Errorf("a letter after waking woke it again")
	}
}

func TestMailboxClosed(t *testing.T) {
	s := newSleeper()
	s.close()
	if s.post(func(time.Time) {}) {
		t.Error("a closed mailbox took a post")
	}
	if s.hand(&conn.Datagram{Data: []byte("x")}) {
		t.Error("a closed mailbox took a datagram")
	}
	s.stream(nil)
	s.conn(nil)
	s.complete(nil)
	if !s.in.empty() {
		t.Error("a closed mailbox took letters")
	}
}

// TestMailboxLosesNothing: many goroutines post to a loop that sleeps whenever it may. Each
// function must run, and no wake-up may be missed.
func TestMailboxLosesNothing(t *testing.T) {
	const senders, each = 8, 2000
	s := newSleeper()
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range each {
				s.post(func(time.Time) {})
			}
		})
	}
	var l letters
	for got := 0; got < senders*each; {
		if s.sleep() {
			<-s.tokens
		}
		s.awake()
		s.take(&l)
		got += len(l.posts)
		l.clear()
	}
	wg.Wait()
}

func TestMailboxAllocatesNothing(t *testing.T) {
	s := newSleeper()
	f := func(time.Time) {}
	st, c := new(streamState), new(Conn)
	d := conn.Datagram{Data: make([]byte, 1200)}
	var l letters
	turn := func() {
		s.sleep()
		for range 4 {
			s.post(f)
			s.stream(st)
			s.conn(c)
			s.hand(&d)
		}
		s.awake()
		s.take(&l)
		l.clear()
		select {
		case <-s.tokens:
		default:
		}
	}
	turn()
	turn()
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("a turn allocates %v times", n)
	}
}
