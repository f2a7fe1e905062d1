package loop

import (
	"context"
	"testing"
	"testing/synctest"
)

// TestCrewGoesOn: a goroutine whose call has returned serves the streams that are there, as long as
// the goroutine that was started for them has not run yet. No others are started meanwhile.
func TestCrewGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20
		c := &Conn{lazy: true}
		home := goroutineID()
		var served, elsewhere int
		var s *streamCrew
		s = &streamCrew{c: c, f: func(*Stream) {
			c.mu.Lock()
			first := served == 0
			if served++; goroutineID() != home {
				elsewhere++
			}
			if first { // a turn of the loop starts a goroutine, which has not run yet
				s.coming = true
				for range n - 1 {
					c.arrived.push(&streamState{handle: new(Stream)})
					s.call()
				}
			}
			c.mu.Unlock()
			if first {
				synctest.Wait() // a goroutine that was started nevertheless takes a stream
			}
		}}
		c.arrived.push(&streamState{handle: new(Stream)})
		s.work()
		synctest.Wait()
		if served != n || elsewhere != 0 {
			t.Errorf("%d of %d streams were served, %d of them by other goroutines", served, n, elsewhere)
		}

		s.work() // the goroutine runs: nothing is left for it
		c.mu.Lock()
		c.arrived.push(&streamState{handle: new(Stream)})
		s.call()
		c.mu.Unlock()
		synctest.Wait()
		if served != n+1 || elsewhere != 1 || s.coming {
			t.Errorf("%d of %d streams were served, %d of them by other goroutines", served, n+1, elsewhere)
		}
	})
}

// TestServeStreamsAccepts: a call counts as one that accepts streams, unless it fails at once.
func TestServeStreamsAccepts(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for handled, want := range map[bool]error{false: context.Canceled, true: errHandled} {
		c := &Conn{l: new(Loop), handled: handled}
		if err := c.ServeStreams(ctx, func(*Stream) {}); err != want || c.accepting == handled {
			t.Errorf("with a Handler %t: %v, accepting %t", handled, err, c.accepting)
		}
	}
}
