package congestion

import (
	"slices"
	"testing"
	"time"
)

// A recovery is a sender of simMTU packets in a recovery period, which sends at once
// what it may.
type recovery struct {
	prr
	ssthresh, inFlight uint64 // packets
}

// newRecovery begins a recovery period for the loss of so many of flight packets
// that an ACK of acked more showed.
func newRecovery(flight, lost, acked, ssthresh uint64) *recovery {
	r := &recovery{ssthresh: ssthresh, inFlight: flight - lost - acked}
	r.begin(simTime(0), (flight-acked)*simMTU, r.inFlight*simMTU, simMTU)
	r.ack(0, acked)
	return r
}

// ack acknowledges n packets of the flight, and returns how many are sent for that.
func (r *recovery) ack(at time.Duration, n uint64) (sent uint64) {
	a := &Ack{Now: simTime(at), Bytes: n * simMTU, InFlight: r.inFlight * simMTU}
	r.onAck(a, r.ssthresh*simMTU, simMTU)
	for (r.inFlight+1)*simMTU <= r.limit(0, 0) {
		r.inFlight++
		r.onSent(simMTU)
		sent++
	}
	return sent
}

// arrives takes n packets out of flight and acknowledges them.
func (r *recovery) arrives(n uint64) uint64 {
	r.inFlight -= n
	return r.ack(time.Second, n)
}

// The first example of RFC 6937, Section 3.1: one of twenty packets is lost, and the
// window is halved. What was lost is sent again at once; then every other ACK lets a
// packet go until as much is in flight as the reduced window holds.
func TestPRRSingleLoss(t *testing.T) {
	r := newRecovery(20, 1, 3, 10)
	if r.out != simMTU {
		t.Errorf("%d bytes sent at once, want a packet", r.out)
	}
	var sent []uint64
	for range 16 {
		sent = append(sent, r.arrives(1))
	}
	if want := []uint64{1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0}; !slices.Equal(sent[:12], want) {
		t.Errorf("sent %v: want one packet for every two ACKs", sent)
	}
	if r.inFlight != 10 {
		t.Errorf("%d packets in flight at the end, want 10", r.inFlight)
	}
}

// The second example of RFC 6937, Section 3.1: of twenty packets fifteen are lost. The sender does
// not fill the reduced window at once, but sends one packet more than arrive for each ACK.
func TestPRRHeavyLoss(t *testing.T) {
	r := newRecovery(20, 15, 3, 10)
	if r.inFlight > 6 {
		t.Errorf("%d in flight after the first ACK: a burst", r.inFlight)
	}
	last := r.inFlight
	for range 4 {
		if sent := r.arrives(1); sent != 2 {
			t.Errorf("%d packets for one that arrived; want 2, as in slow start", sent)
		}
		if r.inFlight != last+1 {
			t.Errorf("%d packets in flight, want %d", r.inFlight, last+1)
		}
		last++
	}
}

// RFC 9937: an ACK that shows more losses is not safe, so no more is
// sent than arrives.
func TestPRRUnsafeACK(t *testing.T) {
	r := newRecovery(40, 30, 3, 20)
	for range 3 {
		r.inFlight--
		r.onLoss(simMTU)
		if sent := r.arrives(1); sent != 1 {
			t.Errorf("%d packets for an ACK that shows a loss, want 1", sent)
		}
	}
	if sent := r.arrives(1); sent != 2 {
		t.Errorf("%d packets for a safe ACK, want 2", sent)
	}
}

// What losses take out of flight is not sent in their place before an ACK comes.
func TestPRRLossByTimer(t *testing.T) {
	r := newRecovery(40, 4, 3, 20)
	r.arrives(1)
	before := r.inFlight
	r.inFlight -= 8
	r.onLoss(8 * simMTU)
	if room := r.limit(0, 0); room > before*simMTU-8*simMTU+simMTU-1 {
		t.Errorf("window %d with %d packets in flight", room, r.inFlight)
	}
}

// The sender never holds on to more than the reduced window at the end, however many
// were lost and however ACKs bundle, nor to less if enough arrived.
func TestPRREndsAtThreshold(t *testing.T) {
	for _, lost := range []uint64{1, 2, 5, 10, 30} {
		for _, bundle := range []uint64{1, 2, 7} {
			r := newRecovery(100, lost, 3, 70)
			left := 100 - lost - 3
			for left > 0 {
				n := min(bundle, left)
				left -= n
				r.arrives(n)
			}
			if r.inFlight > 70 || r.inFlight < 68 {
				t.Errorf("%d lost, %d in an ACK: %d packets in flight at the end, want 70", lost, bundle, r.inFlight)
			}
		}
	}
}

// A controller halves what it sends from the first ACK on, without a silence, and is
// at the reduced window when recovery ends.
func TestPRRInControllers(t *testing.T) {
	for _, c := range lossControllers {
		t.Run(c.name, func(t *testing.T) {
			s := newSimulation(newTestLink(20, 100*time.Millisecond, 1), 1)
			f := s.add(0, c.make)
			var in, out, silent, longest int
			sent := uint64(0)
			f.afterReceived = func(f *simFlow, a *Ack) {
				if f.c.Window() == target(f.c) { // not in recovery
					sent, silent = f.sentByte, 0
					return
				}
				in++
				if f.sentByte > sent {
					out++
					silent = 0
				} else {
					silent++
				}
				longest = max(longest, silent)
				sent = f.sentByte
			}
			s.run(20 * time.Second)
			if in < 50 || out < in/4 || longest > 12 {
				t.Errorf("%d ACKs in recovery, %d after something was sent, at most %d in a row after nothing", in, out, longest)
			}
		})
	}
}
