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
