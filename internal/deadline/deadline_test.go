package deadline

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// waitFor returns when d passes, and how long it took.
func waitFor(mu *sync.Mutex, cond *sync.Cond, d *Deadline) time.Duration {
	start := time.Now()
	mu.Lock()
	defer mu.Unlock()
	for !d.Passed() {
		cond.Wait()
	}
	return time.Since(start)
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		cond := sync.NewCond(&mu)
		var d Deadline
		if none := (*Deadline)(nil); none.Passed() {
			t.Error("a nil deadline has passed")
		} else {
			none.Stop()
		}
		calls := 0 // of what is to be done then
		set := func(after time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			d.Set(cond, time.Now().Add(after), func() { calls++ })
		}

		set(time.Second)
		if got := waitFor(&mu, cond, &d); got != time.Second {
			t.Errorf("passed after %v, want 1s", got)
		}
		set(time.Second)
		set(3 * time.Second) // later: the first must not count
		if got := waitFor(&mu, cond, &d); got != 3*time.Second {
			t.Errorf("passed after %v, want 3s", got)
		}
		set(time.Hour)
		set(time.Millisecond) // earlier
		if got := waitFor(&mu, cond, &d); got != time.Millisecond {
			t.Errorf("passed after %v, want 1ms", got)
		}
		set(-time.Second) // past
		if got := waitFor(&mu, cond, &d); got != 0 {
			t.Errorf("passed after %v, want at once", got)
		}

		set(time.Second)
		mu.Lock()
		d.Set(cond, time.Time{}, nil) // none
		mu.Unlock()
		time.Sleep(time.Hour)
		if d.Passed() {
			t.Error("a deadline that was taken back has passed")
		}
		set(time.Second)
		mu.Lock()
		d.Stop()
		mu.Unlock()
		time.Sleep(time.Hour)
		if d.Passed() {
			t.Error("a deadline that was stopped has passed")
		}
		if calls != 4 {
			t.Errorf("%d deadlines have passed, want 4", calls)
		}
	})
}

// A channelLock is a lock for which goroutines may wait while the time of a test passes.
type channelLock chan struct{}

func (l channelLock) Lock()   { l <- struct{}{} }
func (l channelLock) Unlock() { <-l }

// TestInUse: a Deadline is in use while a timer runs, and while the function of a timer that has
// fired waits for the lock, whatever happens to the Deadline meanwhile.
func TestInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mu := make(channelLock, 1)
		cond := sync.NewCond(mu)
		for name, c := range map[string]struct {
			act  func(d *Deadline) // a timer has fired, and its function waits for the lock
			want bool              // whether the Deadline is in use when that has run
		}{
			"passes": {func(*Deadline) {}, false},
			"stops":  {func(d *Deadline) { d.Stop() }, false},
			"none":   {func(d *Deadline) { d.Set(cond, time.Time{}, nil) }, false},
			"past":   {func(d *Deadline) { d.Set(cond, time.Now().Add(-time.Second), nil) }, false},
			"later":  {func(d *Deadline) { d.Set(cond, time.Now().Add(time.Second), nil) }, true},
			"later, and stops": {func(d *Deadline) {
				d.Set(cond, time.Now().Add(time.Second), nil)
				d.Stop()
			}, false},
		} {
			check := func(d *Deadline, want bool, when string) {
				t.Helper()
				if got := d.InUse(); got != want {
					t.Errorf("%s: %s: in use: %v, want %v", name, when, got, want)
				}
			}
			d := new(Deadline)
			mu.Lock()
			check(d, false, "new")
			d.Set(cond, time.Now().Add(time.Second), nil)
			check(d, true, "set")
			d.Stop()
			check(d, false, "stopped")
			d.Set(cond, time.Now().Add(time.Second), nil)
			d.Set(cond, time.Now().Add(2*time.Second), nil)
			check(d, true, "set again")
			time.Sleep(3 * time.Second)
			c.act(d)
			check(d, true, "the timer has fired")
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			check(d, c.want, "its function has run")
			mu.Unlock()
			time.Sleep(time.Hour)
			mu.Lock()
			check(d, false, "at the end")
			mu.Unlock()
		}
	})
}
