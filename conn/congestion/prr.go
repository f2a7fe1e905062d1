package congestion

import (
	"time"

	"github.com/lazoquic/lazo/internal/muldiv"
)

// prr is Proportional Rate Reduction (RFC 9937). In a recovery period it allows sending in
// proportion to what arrives. So what is in flight comes down to the reduced window evenly, without
// a silence of half a round trip. If heavy losses left less in flight than that, there is no burst.
// Sizes are in bytes. The zero value is ready.
type prr struct {
	active    bool
	start     time.Time
	flight    uint64 // RecoverFS: in flight when the period began
	delivered uint64 // since then
	out       uint64 // sent since then
	window    uint64 // cwnd
	lossy     bool   // something was lost since the last ACK
}

// begin begins a recovery period. Of flight, what was in flight, inFlight is left. room is for a
// packet that is sent again.
func (p *prr) begin(now time.Time, flight, inFlight, room uint64) {
	*p = prr{active: true, start: now, flight: min(flight, maxWindow), window: min(inFlight, maxWindow) + room, lossy: true}
}

// end ends the recovery period.
func (p *prr) end() { p.active = false }

// limit returns the window. cwnd is the reduced one.
func (p *prr) limit(cwnd, minimum uint64) uint64 {
	if !p.active {
		return cwnd
	}
	return min(max(p.window, minimum), maxWindow)
}

// onSent counts what is sent in the period.
func (p *prr) onSent(bytes uint64) { p.out = min(p.out+min(bytes, maxWindow), maxWindow) }

// onLoss takes what was lost out of the window, because a loss allows nothing to be sent in its
// place.
func (p *prr) onLoss(bytes uint64) {
	p.lossy = true
	p.window -= min(bytes, p.window)
}

// onAck decides how much may be sent. ssthresh is the reduced window.
func (p *prr) onAck(a *Ack, ssthresh, mtu uint64) {
	if !p.active || a.Bytes == 0 {
		return
	}
	acked, inFlight := min(a.Bytes, maxWindow), min(a.InFlight, maxWindow)
	if a.Now.Equal(p.start) { // the ACK that showed the loss: it was in flight too
		p.flight += acked
	}
	p.delivered = min(p.delivered+acked, maxWindow)
	var send uint64
	if inFlight > ssthresh {
		send = muldiv.Up(p.delivered, ssthresh, max(p.flight, 1))
		send -= min(send, p.out)
	} else {
		send = max(p.delivered-min(p.out, p.delivered), acked)
		if !p.lossy {
			send += mtu // the ACK is safe
		}
		send = min(send, ssthresh-inFlight)
	}
	if p.out == 0 {
		send = max(send, mtu) // what was lost is sent again at once
	}
	p.window = inFlight + min(send, maxWindow)
	p.lossy = false
}
