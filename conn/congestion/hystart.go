package congestion

import "time"

// Constants of HyStart++ (RFC 9406, Section 4.3). There is no limit L, because senders here are
// paced.
const (
	hystartMinThreshold  = 4 * time.Millisecond
	hystartMaxThreshold  = 16 * time.Millisecond
	hystartDivisor       = 8
	hystartSamples       = 8
	hystartGrowthDivisor = 4
	hystartRounds        = 5
)

// hystart is HyStart++ (RFC 9406): it ends the first slow start when the round
// trip time rises, before the queue overflows. The zero value is ready.
type hystart struct {
	roundEnd uint64 // the round ends when data sent with this much delivered is acknowledged
	acked    uint64 // bytes in this round
	samples  int    // of the round trip time in this round

	// The least round trip times of this round and the last, 0 if unknown.
	current, previous time.Duration

	// Conservative slow start: growth is a quarter, until the round trip time falls below the
	// baseline again, or hystartRounds rounds have passed.
	conservative bool
	baseline     time.Duration
	rounds       int
}

// onAck returns how much the window grows, in bytes, and whether slow start is
// over.
func (h *hystart) onAck(a *Ack, mtu uint64) (grow uint64, done bool) {
	newRound := a.PriorDelivered >= h.roundEnd
	if newRound && h.sparse(mtu) {
		h.compare()
	}
	if newRound {
		done = h.nextRound(a.Delivered)
	}
	h.acked += a.Bytes
	if a.LatestRTT > 0 {
		h.samples++
		if h.current == 0 || a.LatestRTT < h.current {
			h.current = a.LatestRTT
		}
		if h.samples >= hystartSamples {
			h.compare()
		}
	}
	if h.conservative {
		return a.Bytes / hystartGrowthDivisor, done
	}
	return a.Bytes, done
}

// sparse reports whether the round saw too few samples for the RFC's rule because
// each ACK covered many packets, as they do with ACK frequency. Eight samples
// stand for sixteen packets with delayed ACKs.
func (h *hystart) sparse(mtu uint64) bool {
	return h.samples > 1 && h.samples < hystartSamples && h.acked >= 2*hystartSamples*mtu
}

// compare enters conservative slow start if the round trip time rose since the
// last round, and leaves it if that did not last.
func (h *hystart) compare() {
	if h.conservative {
		if h.current < h.baseline {
			h.conservative = false
		}
		return
	}
	if h.previous == 0 {
		return
	}
	threshold := min(max(h.previous/hystartDivisor, hystartMinThreshold), hystartMaxThreshold)
	if h.current >= h.previous+threshold {
		h.conservative = true
		h.baseline = h.current
		h.rounds = 0
	}
}

// nextRound begins a round trip and reports whether conservative slow start has
// lasted long enough to end slow start.
func (h *hystart) nextRound(delivered uint64) bool {
	h.roundEnd = delivered
	h.previous, h.current = h.current, 0
	h.samples = 0
	h.acked = 0
	if !h.conservative {
		return false
	}
	h.rounds++
	return h.rounds >= hystartRounds // a partial first round counts
}
