package conntest

import (
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/muldiv"
)

// A Link is one direction of a path. The zero Link is perfect.
//
// A datagram first meets Filter and MTU, then waits in Queue for its turn to be
// sent at Rate, and after that is lost, marked, damaged, delayed or duplicated.
type Link struct {
	Delay  time.Duration
	Jitter time.Duration // added to Delay, uniform from 0 up to it; reorders
	Rate   int64         // bits per second; 0 is infinite
	Queue  int           // bytes that wait or are being sent, tail drop; 0 is infinite
	MTU    int           // larger datagrams vanish; default 1500

	// Trace, if not nil, takes the place of Rate.
	Trace *RateTrace

	Loss, Duplicate float64 // probabilities
	Corrupt         float64 // probability of a few flipped bits, or of a missing end
	// probability of arriving late, by up to Delay or a millisecond, whichever is more
	Reorder float64
	Mark    float64 // probability of CE on ECT packets

	// Faults are what befalls the link at times. They add up where they overlap.
	Faults []Fault

	// Filter, if not nil, sees each datagram and reports whether to deliver it.
	// It may change the packet, its addresses and its ECN codepoint too.
	Filter func(p *Packet) bool
}

// A Packet is a datagram in flight. It and its Data are lent to [Link.Filter] for
// the call.
type Packet struct {
	Data     []byte
	Src, Dst netip.AddrPort // as others see them: see Network.Rebind
	ECN      conn.ECN
	Sent     time.Time
	N        int // number of the datagram on its link, from 0
}

const (
	defaultMTU = 1500
	minLate    = time.Millisecond // see Link.Reorder
)

// A Fault makes a link worse for a while: a burst of losses, a blackout (a Loss of 1), an MTU that
// shrinks, datagrams that come seconds late.
type Fault struct {
	From, To time.Duration // since the start of the Network; To is not part of it

	Loss, Corrupt, Duplicate, Reorder float64       // are added to those of the Link
	Delay, Jitter                     time.Duration // likewise
	MTU                               int           // instead of a larger one; 0 is none
}

// at returns the Link as its faults make it at the time now.
func (m *Link) at(now time.Duration) *Link {
	if len(m.Faults) == 0 {
		return m
	}
	worse := *m
	for _, f := range m.Faults {
		if now < f.From || now >= f.To {
			continue
		}
		worse.Loss += f.Loss
		worse.Corrupt += f.Corrupt
		worse.Duplicate += f.Duplicate
		worse.Reorder += f.Reorder
		worse.Delay += f.Delay
		worse.Jitter += f.Jitter
		if f.MTU > 0 && (worse.MTU == 0 || f.MTU < worse.MTU) {
			worse.MTU = f.MTU
		}
	}
	return &worse
}

// A link is a Link at work.
type link struct {
	model *Link
	rand  *rand.PCG
	sent  int           // datagrams so far
	free  time.Duration // when all that was accepted will have been sent
	last  uint64        // the byte of Link.Trace with which that will have been sent
}

func newLink(model *Link, seed, id uint64) *link {
	return &link{model: model, rand: rand.NewPCG(seed, id)}
}

func (l *link) set(model *Link) { l.model = model }

// draws are the random numbers of one datagram. All are drawn for every datagram, so that its fate
// depends neither on those before it nor on the settings.
type draws struct {
	loss, duplicate, corrupt, reorder, mark uint64
	jitter, jitter2, late, damage           uint64
}

func (l *link) draw() (d draws) {
	for _, p := range []*uint64{&d.loss, &d.duplicate, &d.corrupt, &d.reorder, &d.mark,
		&d.jitter, &d.jitter2, &d.late, &d.damage} {
		*p = l.rand.Uint64()
	}
	return d
}

// hits reports whether an event of the given probability happens in draw u.
func hits(u uint64, probability float64) bool {
	return float64(u>>11)/(1<<53) < probability
}

// share maps draw u to a duration from 0 up to d, uniformly.
func share(u uint64, d time.Duration) time.Duration {
	hi, _ := bits.Mul64(u, uint64(max(d, 0)))
	return time.Duration(hi)
}

// A transit is when the copies of a datagram arrive, and what else befell it.
type transit struct {
	at   [2]time.Duration
	n    int // of at; 0 if it vanished
	fate fate
}

// send takes p at the time now. It may change p.
func (l *link) send(now time.Duration, p *Packet) transit {
	m, d := l.model.at(now), l.draw()
	p.N = l.sent
	l.sent++
	if m.Filter != nil && !m.Filter(p) {
		return transit{fate: filtered}
	}
	mtu := m.MTU
	if mtu == 0 {
		mtu = defaultMTU
	}
	if len(p.Data) > mtu {
		return transit{fate: tooLarge}
	}
	if waiting := l.backlog(now); waiting > 0 && m.Queue > 0 && waiting+len(p.Data) > m.Queue {
		return transit{fate: overflowed}
	}
	l.occupy(now, len(p.Data))
	if hits(d.loss, m.Loss) {
		return transit{fate: lost}
	}

	t := transit{n: 1}
	if hits(d.mark, m.Mark) && (p.ECN == conn.ECT0 || p.ECN == conn.ECT1) {
		p.ECN = conn.ECNCE
		t.fate |= marked
	}
	if hits(d.corrupt, m.Corrupt) {
		p.Data = damage(p.Data, d.damage)
		t.fate |= damaged
	}
	t.at[0] = l.free + m.Delay + share(d.jitter, m.Jitter)
	if hits(d.reorder, m.Reorder) {
		t.at[0] += share(d.late, max(m.Delay, minLate))
		t.fate |= late
	}
	if hits(d.duplicate, m.Duplicate) {
		t.at[1] = l.free + m.Delay + share(d.jitter2, m.Jitter)
		t.n = 2
	}
	return t
}

// occupy takes the link for a datagram of size bytes.
func (l *link) occupy(now time.Duration, size int) {
	if t := l.model.Trace; t != nil {
		l.last = max(l.last, t.bytes(now)) + uint64(size)
		l.free = max(t.when(l.last), now)
		return
	}
	l.free = max(l.free, now) + l.serialise(size)
}

// serialise returns how long it takes to send size bytes at the link's rate.
func (l *link) serialise(size int) time.Duration {
	if l.model.Rate <= 0 {
		return 0
	}
	return time.Duration(muldiv.Up(uint64(size), 8*uint64(time.Second), uint64(l.model.Rate)))
}

// backlog returns the bytes that were accepted and are not sent yet.
func (l *link) backlog(now time.Duration) int {
	if t := l.model.Trace; t != nil {
		return int(l.last - min(t.bytes(now), l.last))
	}
	if l.model.Rate <= 0 || l.free <= now {
		return 0
	}
	return int(muldiv.Up(uint64(l.free-now), uint64(l.model.Rate), 8*uint64(time.Second)))
}

// damage flips one to three bits of b, or cuts it short in one case of four.
func damage(b []byte, draw uint64) []byte {
	if len(b) == 0 {
		return b
	}
	r := rand.NewPCG(draw, 0)
	if r.Uint64()%4 == 0 {
		return b[:r.Uint64()%uint64(len(b))]
	}
	for range 1 + r.Uint64()%3 {
		bit := r.Uint64() % uint64(8*len(b))
		b[bit/8] ^= 1 << (bit % 8)
	}
	return b
}
