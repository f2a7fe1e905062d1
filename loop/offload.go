package loop

import (
	"runtime"
	"sync"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/growstack"
)

// workersPerCore bounds the goroutines that run TLS. Most of their time is arithmetic, for which
// one goroutine a core would do. The others are for callbacks that block.
const workersPerCore = 4

// An offload runs steps of TLS handshakes away from the loops of a Group. Its goroutines start when
// there is work and end when there is none.
type offload struct {
	mu      sync.Mutex
	jobs    queue[job]
	workers int
}

// A job is a step and the loop that gets it back when it is done.
type job struct {
	l *Loop
	w *conn.TLSWork
}

func (o *offload) add(j job) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.jobs.push(j)
	if o.workers < workersPerCore*runtime.GOMAXPROCS(0) {
		o.workers++
		go o.work()
	}
}

func (o *offload) work() {
	growstack.By4K() // which sealing a session ticket would need bit by bit
	for {
		o.mu.Lock()
		j, ok := o.jobs.pop()
		if !ok {
			o.workers--
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
		j.w.Run() // run it even if the loop has stopped: the step cleans up
		j.l.mail.complete(j.w)
	}
}
