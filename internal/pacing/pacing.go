// Package pacing spreads over time what a congestion controller lets be sent (RFC 9002, Section
// 7.7).
package pacing

import (
	"math"
	"math/bits"
	"time"

	"github.com/lazoquic/lazo/internal/muldiv"
)

// Limits of pacing. The quantum grows with the rate, because a burst in one system call costs a
// fraction of what its packets cost one by one. A slow link gets single packets.
const (
	// how long a quantum lasts, and how late a wake-up may be without loss of rate
	Interval     = time.Millisecond
	maxQuantum   = 64 << 10 // bytes that one burst of segments holds
	burstPackets = 10       // RFC 9002, Section 7.7
	MaxRate      = 1 << 50  // bytes per second
	maxBurst     = 1 << 31  // bytes
)

// Limits are what the congestion controller allows of a path. Sizes are in bytes. The zero value
// does not pace.
type Limits struct {
	Rate    uint64 // bytes per second; 0 does not pace
	Quantum uint64 // bytes; fewer are not worth a wake-up
	Burst   uint64 // bytes that may leave at once after a pause
}

// A Source is a congestion controller, as far as pacing follows from it. One with a slow start may
// have a method SlowStartThreshold as well, which returns the window in bytes where that ends.
type Source interface {
	Window() uint64     // bytes
	PacingRate() uint64 // bytes per second; 0 leaves it to the window
}

// Of returns the limits that follow from c. The rate for a window is a little above one window a
// round trip, so that pacing does not keep it from being used (RFC 9002, Section 7.7): 5/4, and 2
// in slow start, where the window doubles meanwhile.
func Of(c Source, srtt time.Duration, mtu int) Limits {
	if rate := c.PacingRate(); rate > 0 {
		return New(rate, mtu)
	}
	window, gain := c.Window(), uint64(5)
	if s, ok := c.(interface{ SlowStartThreshold() uint64 }); ok && window < s.SlowStartThreshold() {
		gain = 8
	}
	return New(muldiv.Down(window, gain*uint64(time.Second)/4, uint64(max(srtt, time.Microsecond))), mtu)
}

// New chooses the quantum and the burst for a rate.
func New(rate uint64, mtu int) Limits {
	m := uint64(min(max(mtu, 1), math.MaxUint16))
	rate = min(max(rate, 1), MaxRate)
	catchUp := muldiv.Down(rate, uint64(Interval), uint64(time.Second))
	quantum := max(m, min(catchUp, maxQuantum))
	return Limits{
		Rate:    rate,
		Quantum: quantum,
		Burst:   min(max(burstPackets*m, quantum+catchUp), maxBurst),
	}
}

// A Pacer is a leaky bucket: what is sent fills it, and it leaks at the pacing
// rate. The zero value is ready. Times are in nanoseconds of any monotonic clock.
type Pacer struct {
	level int64 // in bytes times nanoseconds per second, which makes the leak exact
	last  int64 // the time for which level holds
}

// leak brings the bucket up to date.
func (p *Pacer) leak(now int64, g Limits) {
	if now <= p.last {
		return
	}
	hi, lo := bits.Mul64(uint64(now)-uint64(p.last), g.Rate)
	p.last = now
	if hi > 0 || lo >= uint64(p.level) {
		p.level = 0
	} else {
		p.level -= int64(lo)
	}
}

// Budget returns how many bytes may be sent now: none, or a quantum at least.
func (p *Pacer) Budget(now int64, g Limits) uint64 {
	if g.Rate == 0 {
		return math.MaxUint64
	}
	p.leak(now, g)
	level := (uint64(p.level) + uint64(time.Second) - 1) / uint64(time.Second)
	if level+g.Quantum > g.Burst {
		return 0
	}
	return g.Burst - level
}

// Sent counts bytes that were sent, paced or not. The debt of what was sent
// beyond the budget is bounded.
func (p *Pacer) Sent(now int64, bytes int, g Limits) {
	if g.Rate == 0 {
		return
	}
	p.leak(now, g)
	bytes = max(bytes, 0)
	n := uint64(p.level)/uint64(time.Second) + uint64(bytes)
	if n >= 2*g.Burst {
		p.level = int64(2*g.Burst) * int64(time.Second)
	} else {
		p.level += int64(bytes) * int64(time.Second)
	}
}

// Next returns when [Pacer.Budget] is a quantum again: now, if it is already.
func (p *Pacer) Next(now int64, g Limits) int64 {
	if g.Rate == 0 {
		return now
	}
	p.leak(now, g)
	over := p.level - int64(g.Burst-g.Quantum)*int64(time.Second)
	if over <= 0 {
		return now
	}
	wait := (uint64(over) + g.Rate - 1) / g.Rate
	if wait > uint64(math.MaxInt64-max(now, 0)) {
		return math.MaxInt64
	}
	return now + int64(wait)
}
