package loop

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestFirstStepsGiveWay: a step of TLS that begins a handshake lets a loop run that was woken a
// moment ago. One that goes on with a handshake runs first, so that more packets go at once.
func TestFirstStepsGiveWay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var l Loop
	l.mail.began = time.Now()
	givesWay := func(begins bool) bool {
		l.mail.risen.Store(int64(time.Since(l.mail.began)))
		var ran atomic.Bool
		go ran.Store(true) // in the place of the loop
		l.giveWay(begins)
		return ran.Load()
	}
	stays := 0
	for range 20 { // the machine may be so busy that a step comes late
		if !givesWay(true) {
			t.Error("a first step did not give way")
		}
		if !givesWay(false) {
			stays++
		}
	}
	if stays == 0 {
		t.Error("all other steps gave way")
	}
}
