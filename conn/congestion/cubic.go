package congestion

import (
	"math"
	"time"
)

// Constants of CUBIC (RFC 9438, Sections 4.2, 4.3 and 4.6).
const (
	cubicC     = 0.4 // segments per second cubed
	cubicBeta  = 0.7
	cubicAlpha = 3 * (1 - cubicBeta) / (1 + cubicBeta)
)

// cubic is the congestion controller of RFC 9438.
type cubic struct {
	cubicState
	hystart  hystart
	recovery recoveryPeriod
	prr      prr
	prior    cubicState // before the last reduction
	last     time.Time  // up to when the epoch's time was counted
}

// cubicState is what a reduction changes and a spurious loss restores. Sizes are
// in bytes, not segments.
type cubicState struct {
	lossWindow
	fraction  float64 // of a byte, which cwnd does not show
	cwndPrior float64 // cwnd before the last reduction
	wMax      float64

	// An epoch is a stage of congestion avoidance. Its time counts only while the
	// window is in use (RFC 9438, Sections 4.2 and 5.8).
	inEpoch bool
	elapsed time.Duration
	k       float64 // seconds until the curve is back at wMax
	wEst    float64 // the window that NewReno would have
}

// NewCubic returns the controller of RFC 9438, whose window grows by a cubic
// function of the time since the last congestion event. Its slow start is
// HyStart++ (RFC 9406), and Proportional Rate Reduction leads to the reduced window
// (RFC 9937).
// RFC 9002, Section 7 [1].
func NewCubic(p Params) Controller {
	return &cubic{cubicState: cubicState{lossWindow: newLossWindow(p.MTU)}}
}

// State returns the name of the state, for logs.
func (c *cubic) State() string { return c.state(c.prr.active) }

// Window returns how many bytes may be in flight.
func (c *cubic) Window() uint64 { return c.prr.limit(c.cwnd, c.minimum()) }

// OnSent notes when the sender was idle, which does not count for the curve, and
// counts what is sent while the window shrinks.
func (c *cubic) OnSent(s *Sent) {
	c.prr.onSent(s.Bytes)
	if s.InFlight <= s.Bytes {
		c.last = s.Now
	}
}

// OnAck grows the window.
func (c *cubic) OnAck(a *Ack) {
	if a.CE > 0 { // RFC 9002, Section B.7
		if !c.recovery.covers(a.Largest) {
			c.reduce(a.Now, a.InFlight, a.InFlight)
		}
		c.recovery.final = true
	}
	passed := max(a.Now.Sub(c.last), 0)
	c.last = a.Now
	used := c.used(a)
	if c.recovery.covers(a.Largest) {
		c.prr.onAck(a, c.cwnd, c.mtu)
		return
	}
	c.prr.end()
	if c.slowStart() {
		c.growBeforeThreshold(a, used)
	} else if used {
		c.avoid(a, passed)
	}
}

// growBeforeThreshold is slow start, which HyStart++ watches until the first
// congestion event (RFC 9406, Section 4.3).
func (c *cubic) growBeforeThreshold(a *Ack, used bool) {
	n, done := a.Bytes, false
	if c.ssthresh == noThreshold {
		n, done = c.hystart.onAck(a, c.mtu)
	}
	if used {
		c.growSlowStart(n)
	}
	if done {
		c.ssthresh = c.cwnd
	}
}

// avoid is congestion avoidance (RFC 9438, Sections 4.2 to 4.5); passed is the
// time since the last acknowledgment.
func (c *cubic) avoid(a *Ack, passed time.Duration) {
	if !c.inEpoch {
		c.beginEpoch()
	} else {
		c.elapsed += min(passed, math.MaxInt64-c.elapsed)
	}
	cwnd := float64(c.cwnd) + c.fraction
	acked := float64(min(a.Bytes, c.cwnd))

	alpha := cubicAlpha
	if c.wEst >= c.cwndPrior {
		alpha = 1 // RFC 9438, Section 4.3
	}
	c.wEst = min(c.wEst+alpha*float64(c.mtu)*acked/cwnd, maxWindow)

	t := c.elapsed.Seconds()
	if c.curve(t) < c.wEst {
		cwnd = max(cwnd, c.wEst)
	} else {
		target := c.curve(t + a.SmoothedRTT.Seconds())
		target = max(cwnd, min(target, 1.5*cwnd)) // RFC 9438, Section 4.2
		cwnd += (target - cwnd) * acked / cwnd
	}
	c.set(uint64(cwnd))
	c.fraction = cwnd - math.Floor(cwnd)
}

// beginEpoch starts the curve at the current window.
func (c *cubic) beginEpoch() {
	cwnd := float64(c.cwnd)
	c.inEpoch = true
	c.elapsed = 0
	c.wEst = cwnd
	// K is 0 after a timeout and after slow start: RFC 9438, Sections 4.8 and 4.10
	c.wMax = max(c.wMax, cwnd)
	c.k = math.Cbrt((c.wMax - cwnd) / (cubicC * float64(c.mtu)))
}

// curve returns W_cubic (RFC 9438, Section 4.2) in bytes, t seconds into the epoch.
func (c *cubic) curve(t float64) float64 {
	d := t - c.k
	return cubicC*float64(c.mtu)*d*d*d + c.wMax
}

// OnLoss reduces the window once a round trip.
func (c *cubic) OnLoss(l *Loss) {
	if c.recovery.covers(l.Largest) {
		c.prr.onLoss(l.Bytes)
	} else {
		c.reduce(l.Now, l.InFlight+l.Bytes, l.InFlight)
	}
	c.recovery.lost(l)
	if l.Persistent { // RFC 9002, Section 7.6.2; RFC 9438, Section 4.8
		c.prr.end()
		c.set(c.minimum())
		c.fraction = 0
		c.wMax = 0
		c.inEpoch = false
	}
}

// reduce begins a recovery period (RFC 9438, Sections 4.6 and 4.7). Of flight, what was in flight,
// inFlight is left.
func (c *cubic) reduce(now time.Time, flight, inFlight uint64) {
	c.prior = c.cubicState
	c.recovery.begin(now)
	c.prr.begin(now, flight, inFlight, c.mtu)
	cwnd := float64(c.cwnd)
	c.cwndPrior = cwnd
	if cwnd < c.wMax { // RFC 9438, Section 4.7: fast convergence
		c.wMax = cwnd * (1 + cubicBeta) / 2
	} else {
		c.wMax = cwnd
	}
	c.set(uint64(cwnd * cubicBeta))
	c.ssthresh = c.cwnd
	c.fraction = 0
	c.inEpoch = false
}

// OnSpurious undoes the last reduction once all that it was for has arrived
// (RFC 9438, Section 4.9).
func (c *cubic) OnSpurious(l *Loss) {
	if !c.recovery.spurious(l) {
		return
	}
	c.prr.end()
	cwnd, mtu := c.cwnd, c.mtu
	c.cubicState = c.prior
	if c.mtu != mtu { // it changed since
		c.OnMTU(int(mtu))
	}
	c.set(max(cwnd, c.cwnd))
	c.last = l.Now
}

// OnMTU takes a new maximum datagram size. The curve counts in segments, so it
// begins anew.
func (c *cubic) OnMTU(mtu int) {
	c.setMTU(mtu)
	c.inEpoch = false
}
