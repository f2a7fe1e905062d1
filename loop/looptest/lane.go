package looptest

import (
	"container/heap"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A lane is the state of one direction of a link.
type lane struct {
	link conntest.Link
	rand *rand.Rand
	sent int
	free time.Time // when it has sent everything that waits
}

// hash returns a number that differs between directions.
func hash(d direction) uint64 {
	h := fnv.New64a()
	h.Write([]byte(d.from.String() + " " + d.to.String()))
	return h.Sum64()
}

// send returns the times at which the copies of p arrive. It may change p.
func (l *lane) send(now time.Time, p *conntest.Packet) []time.Time {
	p.N, p.Sent = l.sent, now
	l.sent++
	k := &l.link
	if k.Filter != nil && !k.Filter(p) {
		return nil
	}
	mtu := k.MTU
	if mtu == 0 {
		mtu = 1500
	}
	if len(p.Data) > mtu {
		return nil
	}
	done := now
	if k.Rate > 0 {
		wait := max(l.free.Sub(now), 0)
		queued := float64(k.Rate) / 8 * wait.Seconds()
		if k.Queue > 0 && wait > 0 && int(queued)+len(p.Data) > k.Queue {
			return nil
		}
		done = now.Add(wait + time.Duration(float64(len(p.Data))*8/float64(k.Rate)*float64(time.Second)))
		l.free = done
	}
	if l.hit(k.Loss) {
		return nil
	}
	if l.hit(k.Mark) && (p.ECN == conn.ECT0 || p.ECN == conn.ECT1) {
		p.ECN = conn.ECNCE
	}
	if l.hit(k.Corrupt) && len(p.Data) > 0 {
		p.Data[l.rand.IntN(len(p.Data))] ^= 1 << l.rand.IntN(8)
	}
	at := []time.Time{l.arrival(done)}
	if l.hit(k.Duplicate) {
		at = append(at, l.arrival(done))
	}
	return at
}

func (l *lane) hit(probability float64) bool {
	return probability > 0 && l.rand.Float64() < probability
}

// arrival returns the time at which a datagram arrives that has left at the time done.
func (l *lane) arrival(done time.Time) time.Time {
	k := &l.link
	at := done.Add(k.Delay)
	if k.Jitter > 0 {
		at = at.Add(time.Duration(l.rand.Int64N(int64(k.Jitter))))
	}
	if l.hit(k.Reorder) {
		at = at.Add(time.Duration(l.rand.Int64N(int64(max(k.Delay, time.Millisecond)))))
	}
	return at
}

// An arrival is a datagram on its way.
type arrival struct {
	at     time.Time
	order  uint64 // the order of sending, which breaks ties
	to     netip.AddrPort
	packet conntest.Packet
}

// arrivals are ordered by time.
type arrivals []arrival

func (a *arrivals) add(x arrival) { heap.Push(a, x) }
func (a *arrivals) next() arrival { return heap.Pop(a).(arrival) }

// Len, Less, Swap, Push and Pop implement [heap.Interface].
func (a arrivals) Len() int      { return len(a) }
func (a arrivals) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a arrivals) Less(i, j int) bool {
	if !a[i].at.Equal(a[j].at) {
		return a[i].at.Before(a[j].at)
	}
	return a[i].order < a[j].order
}
func (a *arrivals) Push(x any) { *a = append(*a, x.(arrival)) }
func (a *arrivals) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	(*a)[last] = arrival{}
	*a = (*a)[:last]
	return x
}
