package congestion

import (
	"math"
	"time"
)

// maxWindow bounds every congestion window. No path needs so much. Sums of a few windows stay far
// from overflow, and are exact in floating point.
const maxWindow = 1 << 40

// noThreshold is the slow start threshold before the first congestion event.
const noThreshold = math.MaxUint64

// initialWindow is the congestion window of a new path (RFC 9002, Section 7.2).
// RFC 9002, Section 7.2 [1].
func initialWindow(mtu uint64) uint64 {
	return min(10*mtu, max(14720, 2*mtu))
}

// clampMTU keeps what a caller passes within what UDP carries.
func clampMTU(mtu int) uint64 {
	return uint64(min(max(mtu, 1), math.MaxUint16))
}

// A lossWindow is a congestion window that losses shrink. NewReno and CUBIC share it. Sizes are in
// bytes.
type lossWindow struct {
	mtu      uint64
	cwnd     uint64
	ssthresh uint64
}

func newLossWindow(mtu int) lossWindow {
	m := clampMTU(mtu)
	return lossWindow{mtu: m, cwnd: initialWindow(m), ssthresh: noThreshold}
}

// PacingRate returns 0: the rate follows from the window.
func (w *lossWindow) PacingRate() uint64 { return 0 }

// SlowStartThreshold returns where slow start ends, in bytes;
// [math.MaxUint64] before the first congestion event.
func (w *lossWindow) SlowStartThreshold() uint64 { return w.ssthresh }

// minimum is the smallest congestion window (RFC 9002, Section 7.2).
// RFC 9002, Section 7.2 [4].
func (w *lossWindow) minimum() uint64 { return 2 * w.mtu }

func (w *lossWindow) slowStart() bool { return w.cwnd < w.ssthresh }

// state names the state of a controller for logs. recovers says whether it is in recovery.
func (w *lossWindow) state(recovers bool) string {
	switch {
	case recovers:
		return "recovery"
	case w.slowStart():
		return "slow_start"
	}
	return "congestion_avoidance"
}

// set moves the window to n, within bounds.
func (w *lossWindow) set(n uint64) {
	w.cwnd = max(min(n, maxWindow), w.minimum())
}

// growSlowStart adds n bytes, but does not step over the threshold.
func (w *lossWindow) growSlowStart(n uint64) {
	w.set(min(w.cwnd+min(n, w.cwnd), w.ssthresh))
}

// setMTU takes a new maximum datagram size. A window that has not moved from its
// initial value becomes the new initial window (RFC 9002, Section 7.2).
// RFC 9002, Section 7.2 [2, 3].
func (w *lossWindow) setMTU(mtu int) {
	untouched := w.cwnd == initialWindow(w.mtu)
	w.mtu = clampMTU(mtu)
	if untouched {
		w.cwnd = initialWindow(w.mtu)
	}
	w.set(w.cwnd)
	w.ssthresh = max(w.ssthresh, w.minimum())
}

// used reports whether the sender made use of the window. If it did not, the window must not grow
// (RFC 9002, Section 7.8). Pacing may keep a sender that has more to send below its window, so half
// of the window is enough for such a sender. Half is also enough in slow start, which doubles the
// window in a round trip.
// RFC 9002, Section 7.8 [1, 2].
func (w *lossWindow) used(a *Ack) bool {
	inFlight := a.InFlight + a.Bytes
	if w.slowStart() || a.Largest != nil && !a.Largest.AppLimited {
		return inFlight > w.cwnd/2
	}
	return inFlight+3*w.mtu >= w.cwnd
}

// A recoveryPeriod begins with a congestion event and ends when a packet sent
// after it is acknowledged (RFC 9002, Section 7.3.2).
type recoveryPeriod struct {
	start time.Time

	// missing counts the bytes declared lost in this period that were not
	// acknowledged after all. final says that the reduction must stand.
	missing uint64
	final   bool
}

// covers reports whether s was sent before the period began, so that its loss or
// mark is no news and its acknowledgment no reason to grow.
func (r *recoveryPeriod) covers(s *Sent) bool {
	return s != nil && !r.start.IsZero() && !s.Now.After(r.start)
}

// begin starts a new period with nothing lost.
func (r *recoveryPeriod) begin(now time.Time) {
	*r = recoveryPeriod{start: now}
}

// lost adds what was declared lost in the period.
func (r *recoveryPeriod) lost(l *Loss) {
	r.missing += l.Bytes
}

// spurious takes back what the period declared lost, and reports whether that was
// all of it, so that the reduction must be undone. The period is over then.
func (r *recoveryPeriod) spurious(l *Loss) bool {
	if r.missing == 0 || l.Now.Before(r.start) {
		return false
	}
	r.missing -= min(r.missing, l.Bytes)
	if r.missing > 0 || r.final {
		return false
	}
	*r = recoveryPeriod{}
	return true
}
