package loop

import (
	"runtime"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// workersPerCore bounds the goroutines that run TLS. Most of their time is arithmetic, for which
// one goroutine a core would do. The others are for callbacks that block.
const workersPerCore = 4

// An offload runs steps of TLS handshakes away from the loops of a Group. Its goroutines start when
// there is work and end when there is none.
type offload struct {
	mu      sync.Mutex
	firsts  queue[job] // steps that begin a handshake
	later   queue[job]
	swept   int // how many firsts were left when sweep looked for ended ones
	workers int
}

// A job is a step and the loop that gets it back when it is done.
type job struct {
	l     *Loop
	w     *conn.TLSWork
	since time.Time // of a first step
}

func (o *offload) add(l *Loop, w *conn.TLSWork) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w.Begins() {
		o.firsts.push(job{l, w, time.Now()})
		o.sweep()
	} else {
		o.later.push(job{l: l, w: w})
	}
	if o.workers < workersPerCore*runtime.GOMAXPROCS(0) {
		o.workers++
		go o.work()
	}
}

// sweep moves first steps whose connection has ended to those that go first: the work for them is
// to forget them. Otherwise they would stay behind one that has not ended, which may wait until its
// client gives up. It looks whenever the queue has doubled since.
func (o *offload) sweep() {
	if o.firsts.len() < 2*max(o.swept, 32) {
		return
	}
	o.firsts.keep(func(j job) bool {
		if j.w.Ended() {
			o.later.push(j)
			return false
		}
		return true
	})
	o.swept = o.firsts.len()
}

// patience is how long a ClientHello waits for its turn in the order of arrival. When the first one
// in the queue has waited longer, more clients come than the machine can serve. In the order of
// arrival all of them would then wait until they give up, and the work for them would be in vain.
// Those that have come last go first then. Clients send their ClientHello again after a second.
const patience = 500 * time.Millisecond

// next takes the next job. Handshakes that have begun go before those that begin: otherwise none
// would end while many begin.
func (o *offload) next() (j job, ok bool) {
	if j, ok = o.later.pop(); ok || o.firsts.len() == 0 {
		return j, ok
	}
	if oldest := o.firsts.oldest(); oldest.w.Ended() || time.Since(oldest.since) < patience {
		return o.firsts.pop()
	}
	return o.firsts.popNewest()
}

func (o *offload) work() {
	for {
		o.mu.Lock()
		j, ok := o.next()
		if !ok {
			o.workers--
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
		if !j.w.Ended() {
			j.l.giveWay(j.w.Begins())
		}
		j.w.Run() // run it even if the loop has stopped: the step cleans up
		j.l.mail.complete(j.w)
	}
}

const (
	// maxWays is how often a step of TLS gives way at most, so that handshakes come to an end on a
	// loop that never sleeps. With one core that is some ten turns. Eight leave a third of the
	// requests.
	maxWays = 64

	// stepsTime is how long steps of TLS that go on with a handshake run while the loop waits for
	// its core. With a turn after each of them a handshake takes more system calls: 4.2 to send in
	// place of 3.3.
	stepsTime = 500 * time.Microsecond
)

// giveWay lets the loop run, and the goroutines that it has woken, until it sleeps. The scheduler
// of Go has no priorities. Where handshakes keep all cores busy, packets of established connections
// would wait for several steps of them, and once more for each handler that answers: 44 ms for a
// request instead of one. On a core that nobody else needs, it takes some microseconds.
//
// begins says that the step begins a handshake. Such a step takes ten times as long as the others,
// and no request should wait for two of them.
func (l *Loop) giveWay(begins bool) {
	m := &l.mail
	if m.sleeping.Load() ||
		!begins && time.Since(m.began)-time.Duration(m.risen.Load()) < stepsTime {
		return
	}
	for n := 0; n < maxWays && !m.sleeping.Load(); n++ {
		runtime.Gosched()
	}
}
