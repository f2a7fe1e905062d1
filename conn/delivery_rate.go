package conn

import (
	"time"

	"github.com/lazoquic/lazo/internal/muldiv"
)

// A deliveryRate samples how fast a path delivers (draft-cheng-iccrg-delivery-rate-estimation,
// which BBR's draft holds now).
type deliveryRate struct {
	delivered   uint64  // bytes in total
	deliveredAt instant // of the newest acknowledged packet
	firstSentAt instant // of the packets of the sampling interval
	// the application held back packets that were sent before this much was delivered
	limitedTo uint64
	latest    uint64 // bytes per second
}

// onSent notes the state in which a packet leaves.
func (r *deliveryRate) onSent(p *sentPacket, inFlight uint64, now instant) {
	if inFlight == 0 {
		r.firstSentAt, r.deliveredAt = now, now
	}
	p.delivered, p.deliveredAt, p.firstSentAt = r.delivered, r.deliveredAt, r.firstSentAt
	if r.limited() {
		p.flags |= sentAppLimited
	}
}

// limited reports whether the application limits what a packet that is sent now will say.
func (r *deliveryRate) limited() bool { return r.limitedTo > r.delivered }

// onAcked takes a sample from the newest acknowledged packet.
func (r *deliveryRate) onAcked(p *sentPacket, now instant, minRTT time.Duration) uint64 {
	sendElapsed := p.time.sub(p.firstSentAt)
	ackElapsed := now.sub(p.deliveredAt)
	interval := max(sendElapsed, ackElapsed)
	r.deliveredAt, r.firstSentAt = now, p.time
	if interval <= 0 || interval < minRTT {
		return 0
	}
	r.latest = muldiv.Down(r.delivered-p.delivered, uint64(time.Second), uint64(interval))
	return r.latest
}

// appLimited notes that the application has no more to send: until what is in flight now has
// arrived, samples may be too low.
func (f *flight) appLimited() { f.rate.limitedTo = f.rate.delivered + f.inFlight + 1 }
