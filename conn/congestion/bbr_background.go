package congestion

import (
	"math"
	"time"

	"github.com/lazoquic/lazo/internal/pacing"
)

const (
	// bbrMaxBackground bounds the loss that counts as chance, as a share of what is sent.
	bbrMaxBackground = 0.06

	// bbrBackgroundPackets is how many packets the measurement of it remembers.
	bbrBackgroundPackets = 4000
)

// bbrBackground measures how much a path loses by chance, as radio links do. The draft takes all
// loss above two percent for a sign that this flow sends too much, so it crawls on such a path.
//
// What a flow loses by sending too much, it does not lose while it sends less than the path
// carries. So the measurement takes the packets that were sent in the states that do so, while no
// queue stands. Of those a policer drops few: only where its bursts made the path look faster.
type bbrBackground struct {
	arrived, missing uint64 // bytes
}

// slow reports whether the state sends less than the path was measured to carry.
func (s bbrState) slow() bool { return s == bbrDrain || s == bbrDown || s == bbrProbeRTT }

// add counts bytes of such packets.
func (g *bbrBackground) add(arrived, missing, mtu uint64) {
	g.arrived += min(arrived, maxWindow)
	g.missing += min(missing, maxWindow)
	if g.arrived+g.missing > bbrBackgroundPackets*mtu {
		g.arrived /= 2
		g.missing /= 2
	}
}

// share returns the share of packets that chance takes, less one standard deviation of it.
func (g *bbrBackground) share(mtu uint64) float64 {
	missing := float64(g.missing)
	missing -= math.Sqrt(missing * float64(mtu))
	if missing <= 0 {
		return 0
	}
	return min(missing/float64(g.arrived+g.missing), bbrMaxBackground)
}

// measureBackground counts bytes that p was the last of. They arrived or were lost.
func (b *bbr) measureBackground(p *Sent, arrived, missing uint64) {
	if p.State[1] != 0 && b.clear {
		b.background.add(arrived, missing, b.mtu)
	}
}

// seesClear reports whether a round trip shows that not even a short queue stands.
func (b *bbr) seesClear(s *bbrSample) bool { return s.rtt <= b.minRTT+b.minRTT/32+time.Millisecond }

// seesQueue reports whether a round trip shows a queue.
func (b *bbr) seesQueue(s *bbrSample) bool { return s.rtt > b.minRTT+b.minRTT/16+pacing.Interval }

// lossThreshold is the share of what is in flight whose loss the model accepts: the draft's, and
// what chance takes, which goes on while a queue stands. In Startup, nothing is known of the path,
// and loss without a queue counts as chance.
func (b *bbr) lossThreshold() float64 {
	if b.state == bbrStartup && b.clear {
		return bbrLossThreshold + bbrMaxBackground
	}
	return bbrLossThreshold + b.background.share(b.mtu)
}
