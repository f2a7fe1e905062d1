package conn

import "time"

// Constants of loss detection (RFC 9002, Section 6).
const (
	packetThreshold  = 3                      // RFC 9002, Section 6.1.1 [1, 2]
	timeThreshold    = 9.0 / 8                // round trips
	timerGranularity = time.Millisecond       // RFC 9002, Section 6.1.2 [5]
	initialRTT       = 333 * time.Millisecond // RFC 9002, Section 6.2.2 [1]
)

// An rttState estimates the round-trip time of a path (RFC 9002, Section 5).
type rttState struct {
	latest, smoothed, variance, min time.Duration
	sampled                         bool
}

func (r *rttState) init(guess time.Duration) {
	*r = rttState{smoothed: guess, variance: guess / 2}
}

// update takes a sample, and the delay that the peer reported, already limited to max_ack_delay.
func (r *rttState) update(sample, ackDelay time.Duration) {
	sample = max(sample, time.Microsecond)
	r.latest = sample
	if !r.sampled {
		r.sampled = true
		r.min, r.smoothed, r.variance = sample, sample, sample/2 // RFC 9002, Section 5.2 [1]
		return
	}
	r.min = min(r.min, sample) // RFC 9002, Section 5.2 [2]
	// RFC 9002, Section 5.3: the delay must not bring the sample below the minimum.
	if sample >= r.min+ackDelay { // RFC 9002, Section 5.3 [4]
		sample -= ackDelay
	}
	r.variance += (abs(r.smoothed-sample) - r.variance) / 4
	r.smoothed += (sample - r.smoothed) / 8
}

// shortest returns the shortest round trip, or a guess if there was none.
func (r *rttState) shortest() time.Duration {
	if !r.sampled {
		return r.smoothed
	}
	return r.min
}

func abs(d time.Duration) time.Duration { return max(d, -d) }

// pto is the probe timeout without the peer's max_ack_delay and without backoff (RFC 9002,
// Section 6.2.1).
// RFC 9002, Section 6.2.1 [1].
func (r *rttState) pto() time.Duration {
	return r.smoothed + max(4*r.variance, timerGranularity)
}

// lossDelay is how long after a later packet was acknowledged an earlier one counts as lost
// (RFC 9002, Section 6.1.2).
// RFC 9002, Section 6.1.2 [2, 4].
func (r *rttState) lossDelay() time.Duration {
	d := max(r.latest, r.smoothed)
	return max(d+d/8, timerGranularity)
}
