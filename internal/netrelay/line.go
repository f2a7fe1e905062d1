package netrelay

import (
	"bytes"
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

// Link is what happens to datagrams of one direction. The zero Link passes them on at once.
type Link struct {
	Delay time.Duration
	Rate  int64 // bits of payload per second; 0 is infinite
	Queue int   // how many bytes wait for Rate or for Delay; more are dropped; 0 is infinite
	MTU   int   // bytes of a datagram; longer ones are dropped; 0 is infinite

	Loss      float64 // probabilities
	Duplicate float64
	Corrupt   float64 // of one flipped bit in a datagram
	// of an arrival behind later datagrams: it is late by Delay or a millisecond, whichever is more
	Reorder float64
	Mark    float64 // of CE on a datagram that is ECT

	// Burst is how many datagrams in a row are lost, on average. Loss is still the share of all
	// datagrams that are lost. If Burst is 1 or less, each datagram is lost or not independently. A
	// burst ends after 100 ms in which nothing is sent.
	Burst float64
}

// maxBurstGap is how long a burst of losses waits for its next datagram. Without it one burst could
// lose all probes of a sender that waits longer before each one.
const maxBurstGap = 100 * time.Millisecond

// A datagram is on its way.
type datagram struct {
	data []byte
	ecn  uint8
	flow *flow
	due  time.Time
	n    uint64 // the order among datagrams that are due at the same time
}

// A line delays and damages datagrams, and delivers them on a goroutine of its own.
type line struct {
	deliver func(*datagram)

	mu       sync.Mutex
	link     Link
	rng      *rand.Rand
	waiting  dueHeap
	bytes    int // of the datagrams that wait
	free     time.Time
	burst    time.Time // when the last datagram was lost; zero if it was not
	n        uint64
	closed   bool
	earliest *sync.Cond
	timer    *time.Timer
}

func newLine(link Link, seed, stream uint64, deliver func(*datagram)) *line {
	l := &line{deliver: deliver, link: link, rng: rand.New(rand.NewPCG(seed, stream))}
	l.earliest = sync.NewCond(&l.mu)
	l.timer = time.AfterFunc(time.Hour, func() {
		l.mu.Lock() // run, which set the timer, has given up the lock and waits
		defer l.mu.Unlock()
		l.earliest.Broadcast()
	})
	return l
}

// push takes over d. Each datagram draws the same number of times, whatever happens to it.
func (l *line) push(now time.Time, d *datagram) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost, damaged := l.draw(l.lossAt(now)), l.draw(l.link.Corrupt)
	late, marked, twice := l.draw(l.link.Reorder), l.draw(l.link.Mark), l.draw(l.link.Duplicate)
	bit := l.rng.Uint64()
	if l.burst = (time.Time{}); lost {
		l.burst = now
	}
	full := l.link.Queue > 0 && l.bytes+len(d.data) > l.link.Queue
	long := l.link.MTU > 0 && len(d.data) > l.link.MTU
	if lost || full || long || l.closed || len(d.data) == 0 {
		return
	}
	if damaged {
		i := bit % uint64(8*len(d.data))
		d.data[i/8] ^= 1 << (i % 8)
	}
	if marked && d.ecn != 0 {
		d.ecn = 3
	}
	d.due = now
	if l.link.Rate > 0 {
		if l.free.Before(now) {
			l.free = now
		}
		l.free = l.free.Add(time.Duration(int64(len(d.data)) * 8 * int64(time.Second) / l.link.Rate))
		d.due = l.free
	}
	d.due = d.due.Add(l.link.Delay)
	if late {
		d.due = d.due.Add(max(l.link.Delay, time.Millisecond))
	}
	l.wait(d)
	if twice {
		again := *d
		again.data = bytes.Clone(d.data)
		l.wait(&again)
	}
	l.earliest.Signal()
}

// wait keeps d until it is due.
func (l *line) wait(d *datagram) {
	d.n = l.n
	l.n++
	l.bytes += len(d.data)
	heap.Push(&l.waiting, d)
}

// lossAt is the probability that a datagram is lost. With bursts it depends on whether the previous
// one was lost: there are two states. The share Loss of the datagrams is in the lossy state, which
// lasts for Burst datagrams on average.
func (l *line) lossAt(now time.Time) float64 {
	switch loss := l.link.Loss; {
	case l.link.Burst <= 1 || loss >= 1:
		return loss
	case now.Sub(l.burst) < maxBurstGap:
		return 1 - 1/l.link.Burst
	default:
		return loss / (l.link.Burst * (1 - loss))
	}
}

func (l *line) draw(p float64) bool { return l.rng.Float64() < p }

// run delivers until close.
func (l *line) run() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed {
		if len(l.waiting) == 0 {
			l.earliest.Wait()
			continue
		}
		if wait := time.Until(l.waiting[0].due); wait > 0 {
			l.timer.Reset(wait)
			l.earliest.Wait()
			continue
		}
		d := heap.Pop(&l.waiting).(*datagram)
		l.bytes -= len(d.data)
		l.mu.Unlock()
		l.deliver(d)
		l.mu.Lock()
	}
}

func (l *line) setLink(link Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.link = link
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.timer.Stop()
	l.earliest.Broadcast()
}

// A dueHeap is a heap of datagrams; the one that is due first is in front.
type dueHeap []*datagram

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].n < h[j].n
	}
	return h[i].due.Before(h[j].due)
}
func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)   { *h = append(*h, x.(*datagram)) }
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return d
}
