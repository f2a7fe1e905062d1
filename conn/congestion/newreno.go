package congestion

import "time"

// newReno is the congestion controller of RFC 9002, Section 7 and Appendix B.
type newReno struct {
	lossWindow
	acked    uint64 // bytes acknowledged towards the next increase in congestion avoidance
	recovery recoveryPeriod
	prr      prr
	prior    lossWindow // before the last reduction
}

// NewReno returns the controller of RFC 9002, Section 7. After slow start, the window grows by one
// packet a round trip. Congestion halves it, and Proportional Rate Reduction leads to the reduced
// window (RFC 9937).
func NewReno(p Params) Controller {
	return &newReno{lossWindow: newLossWindow(p.MTU)}
}

// State returns the name of the state, for logs.
func (r *newReno) State() string { return r.state(r.prr.active) }

// Window returns how many bytes may be in flight.
func (r *newReno) Window() uint64 { return r.prr.limit(r.cwnd, r.minimum()) }

// OnSent counts what is sent while the window shrinks.
func (r *newReno) OnSent(s *Sent) { r.prr.onSent(s.Bytes) }

// OnAck grows the window (RFC 9002, Section B.5).
func (r *newReno) OnAck(a *Ack) {
	if a.CE > 0 { // RFC 9002, Section B.7
		if !r.recovery.covers(a.Largest) {
			r.reduce(a.Now, a.InFlight, a.InFlight)
		}
		r.recovery.final = true
	}
	if r.recovery.covers(a.Largest) {
		r.prr.onAck(a, r.cwnd, r.mtu)
		return
	}
	r.prr.end()
	if !r.used(a) {
		return
	}
	if r.slowStart() {
		r.growSlowStart(a.Bytes)
		return
	}
	r.acked += min(a.Bytes, r.cwnd)
	if r.acked >= r.cwnd { // RFC 9002, Section 7.3.3 [1]
		r.acked -= r.cwnd
		r.set(r.cwnd + r.mtu)
	}
}

// OnLoss halves the window once a round trip (RFC 9002, Section B.8).
func (r *newReno) OnLoss(l *Loss) {
	if r.recovery.covers(l.Largest) {
		r.prr.onLoss(l.Bytes)
	} else {
		r.reduce(l.Now, l.InFlight+l.Bytes, l.InFlight)
	}
	r.recovery.lost(l)
	if l.Persistent { // RFC 9002, Section 7.6.2 [4]
		r.prr.end()
		r.set(r.minimum())
		r.acked = 0
	}
}

// reduce begins a recovery period (RFC 9002, Section 7.3.2). Of flight, what was in flight,
// inFlight is left.
// RFC 9002, Section 7.3.1 [1]; RFC 9002, Section 7.3.2 [1, 2].
func (r *newReno) reduce(now time.Time, flight, inFlight uint64) {
	r.prior = r.lossWindow
	r.recovery.begin(now)
	r.prr.begin(now, flight, inFlight, r.mtu)
	r.acked = 0
	r.set(r.cwnd / 2)
	r.ssthresh = r.cwnd
}

// OnSpurious undoes the last reduction once all that it was for has arrived.
func (r *newReno) OnSpurious(l *Loss) {
	if !r.recovery.spurious(l) {
		return
	}
	r.prr.end()
	r.set(max(r.cwnd, r.prior.cwnd))
	r.ssthresh = r.prior.ssthresh
}

// OnMTU takes a new maximum datagram size.
func (r *newReno) OnMTU(mtu int) { r.setMTU(mtu) }
