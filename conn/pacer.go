package conn

import (
	"math"
	"math/bits"
	"time"
)

// Limits of pacing. A burst that leaves in one system call costs a fraction of
// what its packets cost one by one, so the quantum grows with the rate; a slow
// link gets its packets singly.
const (
	pacingInterval     = time.Millisecond // a quantum, and what a late wake-up may catch up on
	pacingMaxQuantum   = 64 << 10         // bytes: what one burst of segments holds
	pacingBurstPackets = 10               // RFC 9002, Section 7.7
	pacingMaxRate      = 1 << 50          // bytes per second
	pacingMaxBurst     = 1 << 31          // bytes
)

// pacing is what the congestion controller allows of a path. Sizes are in bytes.
type pacing struct {
	rate    uint64 // bytes per second; 0 does not pace
	quantum uint64 // less than that is not worth a wake-up
	burst   uint64 // what may leave at once after a pause
}

// pacingOf returns the pacing of c. The rate for a window is a little above one
// window a round trip, so that pacing does not keep it from being used (RFC 9002,
// Section 7.7): 5/4, and 2 in slow start, where the window doubles meanwhile.
func pacingOf(c Controller, srtt time.Duration, mtu int) pacing {
	if rate := c.PacingRate(); rate > 0 {
		return newPacing(rate, mtu)
	}
	window, gain := c.Window(), uint64(5)
	if s, ok := c.(interface{ SlowStartThreshold() uint64 }); ok && window < s.SlowStartThreshold() {
		gain = 8
	}
	return newPacing(mulDiv(window, gain*uint64(time.Second)/4, uint64(max(srtt, time.Microsecond))), mtu)
}

// newPacing chooses the quantum and the burst for a rate.
func newPacing(rate uint64, mtu int) pacing {
	m := clampMTU(mtu)
	rate = min(max(rate, 1), pacingMaxRate)
	interval := mulDiv(rate, uint64(pacingInterval), uint64(time.Second))
	quantum := max(m, min(interval, pacingMaxQuantum))
	return pacing{
		rate:    rate,
		quantum: quantum,
		burst:   min(max(pacingBurstPackets*m, quantum+interval), pacingMaxBurst),
	}
}

// A pacer is a leaky bucket: what is sent fills it, and it leaks at the pacing
// rate. The zero value is ready. Times are in nanoseconds of any monotonic clock.
type pacer struct {
	level int64 // bytes times nanoseconds a second, which keeps the leak exact
	last  int64 // when level was right
}

// leak brings the bucket up to date.
func (p *pacer) leak(now int64, g pacing) {
	if now <= p.last {
		return
	}
	hi, lo := bits.Mul64(uint64(now)-uint64(p.last), g.rate)
	p.last = now
	if hi > 0 || lo >= uint64(p.level) {
		p.level = 0
	} else {
		p.level -= int64(lo)
	}
}

// budget returns how many bytes may be sent now: none, or a quantum at least.
func (p *pacer) budget(now int64, g pacing) uint64 {
	if g.rate == 0 {
		return math.MaxUint64
	}
	p.leak(now, g)
	level := (uint64(p.level) + uint64(time.Second) - 1) / uint64(time.Second)
	if level+g.quantum > g.burst {
		return 0
	}
	return g.burst - level
}

// sent counts bytes that were sent, paced or not. The debt of what was sent
// beyond the budget is bounded.
func (p *pacer) sent(now int64, bytes int, g pacing) {
	if g.rate == 0 {
		return
	}
	p.leak(now, g)
	bytes = max(bytes, 0)
	n := uint64(p.level)/uint64(time.Second) + uint64(bytes)
	if n >= 2*g.burst {
		p.level = int64(2*g.burst) * int64(time.Second)
	} else {
		p.level += int64(bytes) * int64(time.Second)
	}
}

// next returns when [pacer.budget] is a quantum again: now, if it is already.
func (p *pacer) next(now int64, g pacing) int64 {
	if g.rate == 0 {
		return now
	}
	p.leak(now, g)
	over := p.level - int64(g.burst-g.quantum)*int64(time.Second)
	if over <= 0 {
		return now
	}
	wait := (uint64(over) + g.rate - 1) / g.rate
	if wait > uint64(math.MaxInt64-max(now, 0)) {
		return math.MaxInt64
	}
	return now + int64(wait)
}

// mulDiv returns a*b/c without overflow in between, at most [math.MaxUint64].
func mulDiv(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	if hi >= c {
		return math.MaxUint64
	}
	q, _ := bits.Div64(hi, lo, c)
	return q
}
