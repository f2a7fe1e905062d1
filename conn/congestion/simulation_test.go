package congestion

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/pacing"
)

// A simulation runs senders over one bottleneck in virtual time: packets wait in
// a queue of limited size, get lost at random, and are acknowledged. It repeats
// exactly.

const simMTU = 1200

// simTime returns the virtual time t after the start.
func simTime(t time.Duration) time.Time { return time.Unix(1_000_000, int64(t)) }

// A simLink is a bottleneck.
type simLink struct {
	rate      uint64        // bytes per second
	rtt       time.Duration // without queueing
	queue     uint64        // bytes that may wait
	loss      float64       // probability, apart from overflow
	lossEvery int           // loses one of so many packets; 0 none
	// fraction of the queue beyond which packets are marked; 0 does not mark
	ce   float64
	slot time.Duration // ACKs arrive at multiples of it; 0 does not aggregate

	// A policer has no queue. It drops what finds its bucket of tokens empty. 0 is none.
	bucket, tokens float64 // bytes
	filled         time.Duration

	free  time.Duration // when the queue will be empty
	drops int           // overflows
	count int           // packets
}

type simPacket struct {
	Sent
	size                   uint64
	delivered              uint64
	deliveredAt, firstSent time.Time
	done                   bool // acknowledged or lost
	lost                   bool
}

// A simFlow is a sender with an unlimited or paced application, and its receiver.
type simFlow struct {
	sim      *simulation
	c        Controller
	start    time.Duration
	appRate  uint64 // bytes per second that the application writes; 0 is unlimited
	ackEvery int
	ackDelay time.Duration
	ackShare int // asks for fewer acknowledgements, as package conn does, unless 0: see askForACKs

	packets  []*simPacket
	oldest   int // first that is not done
	inFlight uint64
	sentByte uint64

	delivered, limitedUntil uint64
	deliveredAt, firstSent  time.Time
	srtt, minRTT, latest    time.Duration

	pacer   pacing.Pacer
	wakeAt  time.Duration // of the pending wake-up
	lastAck time.Duration

	received      int   // newest at the receiver
	unacked       []int // received, not acknowledged yet
	marks         uint64
	largestAcked  int
	losses        int
	lostBytes     uint64
	afterReceived func(f *simFlow, a *Ack) // after each ACK
}

type simEvent struct {
	at  time.Duration
	seq int
	do  func()
}

type simEvents []simEvent

func (q simEvents) Len() int { return len(q) }
func (q simEvents) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q simEvents) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simEvents) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simEvents) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

type simulation struct {
	link   simLink
	flows  []*simFlow
	now    time.Duration
	seq    int
	events simEvents
	rng    *rand.Rand
}

func newSimulation(link simLink, seed uint64) *simulation {
	return &simulation{link: link, rng: rand.New(rand.NewPCG(seed, 1))}
}

// seedReader makes a controller's random numbers.
type seedReader struct{ rng *rand.Rand }

func (r seedReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.rng.Uint32())
	}
	return len(b), nil
}

func (s *simulation) params() Params {
	return Params{
		Now:  simTime(s.now),
		MTU:  simMTU,
		Rand: seedReader{rand.New(rand.NewPCG(s.rng.Uint64(), 2))},
	}
}

// add starts a flow.
func (s *simulation) add(start time.Duration, make func(Params) Controller) *simFlow {
	f := &simFlow{sim: s, c: make(s.params()), start: start, ackEvery: 2, ackDelay: 25 * time.Millisecond, largestAcked: -1, received: -1}
	s.flows = append(s.flows, f)
	s.at(start, func() {
		f.lastAck = s.now
		f.send()
		f.checkTimeout()
	})
	return f
}

func (s *simulation) at(t time.Duration, do func()) {
	s.seq++
	heap.Push(&s.events, simEvent{max(t, s.now), s.seq, do})
}

// run lets the time pass until t.
func (s *simulation) run(t time.Duration) {
	for len(s.events) > 0 && s.events[0].at <= t {
		e := heap.Pop(&s.events).(simEvent)
		s.now = e.at
		e.do()
	}
	s.now = t
}

// transmit puts a packet into the bottleneck.
func (s *simulation) transmit(f *simFlow, n int, size uint64) {
	l := &s.link
	l.count++
	if s.rng.Float64() < l.loss || l.lossEvery > 0 && l.count%l.lossEvery == 0 {
		return
	}
	if l.bucket > 0 {
		if l.police(s.now, size) {
			s.at(s.now+l.rtt/2, func() { f.receive(n, false) })
		}
		return
	}
	l.free = max(l.free, s.now)
	waiting := uint64((l.free - s.now).Seconds() * float64(l.rate))
	if waiting+size > l.queue {
		l.drops++
		return
	}
	marked := l.ce > 0 && float64(waiting) > l.ce*float64(l.queue)
	l.free += time.Duration(float64(size) / float64(l.rate) * 1e9)
	s.at(l.free+l.rtt/2, func() { f.receive(n, marked) })
}

// police reports whether the bucket has tokens for a packet, and takes them.
func (l *simLink) police(now time.Duration, size uint64) bool {
	l.tokens = min(l.bucket, l.tokens+(now-l.filled).Seconds()*float64(l.rate))
	l.filled = now
	if l.tokens < float64(size) {
		l.drops++
		return false
	}
	l.tokens -= float64(size)
	return true
}

// supply is what a limited application has written.
func (f *simFlow) supply() uint64 {
	if f.appRate == 0 {
		return 1 << 62
	}
	return uint64((f.sim.now - f.start).Seconds() * float64(f.appRate))
}

func (f *simFlow) wake(t time.Duration) {
	if f.wakeAt > f.sim.now && f.wakeAt <= t {
		return
	}
	f.wakeAt = t
	f.sim.at(t, func() {
		if f.sim.now >= f.wakeAt {
			f.send()
		}
	})
}

// send transmits what window, pacer and application allow.
func (f *simFlow) send() {
	s := f.sim
	rtt := f.srtt
	if rtt == 0 {
		rtt = 333 * time.Millisecond
	}
	for {
		if f.inFlight+simMTU > f.c.Window() {
			return // an ACK wakes it
		}
		if f.supply() < f.sentByte+simMTU {
			f.limitedUntil = max(f.delivered+f.inFlight, 1)
			f.wake(s.now + time.Duration(float64(simMTU)/float64(f.appRate)*1e9) + 1)
			return
		}
		g := pacing.Of(f.c, rtt, simMTU)
		budget := f.pacer.Budget(int64(s.now), g)
		if budget < simMTU {
			f.wake(max(s.now+1, time.Duration(f.pacer.Next(int64(s.now), g))))
			return
		}
		for budget >= simMTU && f.inFlight+simMTU <= f.c.Window() && f.supply() >= f.sentByte+simMTU {
			f.sendPacket()
			f.pacer.Sent(int64(s.now), simMTU, g)
			budget -= simMTU
		}
	}
}

func (f *simFlow) sendPacket() {
	now := simTime(f.sim.now)
	if f.inFlight == 0 {
		f.firstSent, f.deliveredAt = now, now
	}
	f.inFlight += simMTU
	f.sentByte += simMTU
	p := &simPacket{size: simMTU, delivered: f.delivered, deliveredAt: f.deliveredAt, firstSent: f.firstSent}
	p.Sent = Sent{Now: now, Bytes: simMTU, InFlight: f.inFlight, AppLimited: f.limitedUntil > 0}
	f.c.OnSent(&p.Sent)
	f.packets = append(f.packets, p)
	f.sim.transmit(f, len(f.packets)-1, simMTU)
}

// receive is the receiver: it acknowledges every few packets, after a while, and at once where
// some are missing.
func (f *simFlow) receive(n int, marked bool) {
	f.unacked = append(f.unacked, n)
	if marked {
		f.marks++
	}
	gap := n != f.received+1
	f.received = n
	if len(f.unacked) >= f.ackEvery || f.ackShare > 0 && gap {
		f.acknowledge()
	} else if len(f.unacked) == 1 {
		f.sim.at(f.sim.now+f.ackDelay, func() {
			if len(f.unacked) > 0 && f.unacked[0] == n {
				f.acknowledge()
			}
		})
	}
}

func (f *simFlow) acknowledge() {
	acked, marks := f.unacked, f.marks
	f.unacked, f.marks = nil, 0
	at := f.sim.now + f.sim.link.rtt/2
	if slot := f.sim.link.slot; slot > 0 {
		at = (at + slot - 1) / slot * slot
	}
	f.sim.at(at, func() { f.onAck(acked, marks) })
}

// onAck is the sender receiving an ACK: losses first, then what was acknowledged.
func (f *simFlow) onAck(acked []int, marks uint64) {
	now := simTime(f.sim.now)
	a := Ack{Now: now, CE: marks}
	largest := -1
	for _, n := range acked {
		p := f.packets[n]
		if p.done && !p.lost {
			continue
		}
		if !p.done {
			f.inFlight -= p.size
		}
		p.done = true
		a.Bytes += p.size
		f.delivered += p.size
		largest = max(largest, n)
	}
	if largest < 0 {
		return
	}
	f.lastAck = f.sim.now
	f.sampleRate(&a, f.packets[largest])
	f.detectLoss(largest)
	a.InFlight = f.inFlight
	f.c.OnAck(&a)
	if f.ackShare > 0 {
		f.askForACKs()
	}
	if f.afterReceived != nil {
		f.afterReceived(f, &a)
	}
	f.send()
}

// askForACKs is adaptAckFrequency of package conn: eight ACKs in a window, and ackShare in a round
// trip, which is 64 there for BBR and 4 for others. The receiver knows at once.
func (f *simFlow) askForACKs() {
	window := int(f.c.Window() / simMTU)
	share := max(min(f.ackShare, window/4, int(f.srtt/time.Millisecond)), 4)
	f.ackEvery = min(max(window/8, 2), 128)
	f.ackDelay = min(max(f.srtt/time.Duration(share), time.Millisecond), 25*time.Millisecond)
}

// sampleRate estimates the round trip time and the delivery rate.
func (f *simFlow) sampleRate(a *Ack, p *simPacket) {
	f.latest = a.Now.Sub(p.Now)
	if f.minRTT == 0 {
		f.srtt, f.minRTT = f.latest, f.latest
	}
	f.srtt += (f.latest - f.srtt) / 8
	f.minRTT = min(f.minRTT, f.latest)
	f.deliveredAt = a.Now
	if f.limitedUntil > 0 && f.delivered > f.limitedUntil {
		f.limitedUntil = 0
	}
	a.Largest = &p.Sent
	a.LatestRTT, a.SmoothedRTT, a.MinRTT = f.latest, f.srtt, f.minRTT
	a.Delivered, a.PriorDelivered = f.delivered, p.delivered
	interval := max(p.Now.Sub(p.firstSent), a.Now.Sub(p.deliveredAt))
	f.firstSent = p.Now
	if interval >= f.minRTT {
		a.DeliveryRate = uint64(float64(f.delivered-p.delivered) / interval.Seconds())
	}
}

// detectLoss is RFC 9002, Section 6.1.
func (f *simFlow) detectLoss(largest int) {
	f.largestAcked = max(f.largestAcked, largest)
	l := Loss{Now: simTime(f.sim.now)}
	gap := true
	for n := f.oldest; n < f.largestAcked; n++ {
		p := f.packets[n]
		if p.done {
			gap = gap || !p.lost
			continue
		}
		late := l.Now.Sub(p.Now) > max(f.srtt, f.latest)*9/8
		if n > f.largestAcked-3 && !late {
			break
		}
		p.done, p.lost = true, true
		f.inFlight -= p.size
		l.Bytes += p.size
		l.Packets++
		if gap {
			l.Ranges, gap = l.Ranges+1, false
		}
		l.Largest = &p.Sent
	}
	for f.oldest < len(f.packets) && f.packets[f.oldest].done {
		f.oldest++
	}
	if l.Largest == nil {
		return
	}
	f.losses++
	f.lostBytes += l.Bytes
	l.InFlight = f.inFlight
	f.c.OnLoss(&l)
}

// checkTimeout sends a probe when no ACK came for long.
func (f *simFlow) checkTimeout() {
	wait := max(3*f.srtt, 200*time.Millisecond)
	if f.inFlight > 0 && f.sim.now-f.lastAck >= wait {
		f.lastAck = f.sim.now
		f.sendPacket()
	}
	f.sim.at(f.sim.now+wait, f.checkTimeout)
}

// goodput is the rate at which f delivered since delivered stood at from, t long,
// as a fraction of the link's.
func (f *simFlow) goodput(from uint64, t time.Duration) float64 {
	return float64(f.delivered-from) / t.Seconds() / float64(f.sim.link.rate)
}

// measure runs s until t and returns the goodput of every flow in that time.
func (s *simulation) measure(t time.Duration) []float64 {
	begin := s.now
	from := make([]uint64, len(s.flows))
	for i, f := range s.flows {
		from[i] = f.delivered
	}
	s.run(t)
	out := make([]float64, len(s.flows))
	for i, f := range s.flows {
		out[i] = f.goodput(from[i], t-begin)
	}
	return out
}

// mbit is a link's rate.
func mbit(n float64) uint64 { return uint64(n * 1e6 / 8) }

// bdp is the bandwidth-delay product in bytes, times x.
func bdp(rate uint64, rtt time.Duration, x float64) uint64 {
	return uint64(float64(rate) * rtt.Seconds() * x)
}

func newTestLink(rate float64, rtt time.Duration, queue float64) simLink {
	r := mbit(rate)
	return simLink{rate: r, rtt: rtt, queue: max(bdp(r, rtt, queue), 20*simMTU)}
}

func logRun(t *testing.T, f *simFlow) {
	t.Helper()
	t.Logf("window %d, sent %d, delivered %d, loss runs %d, lost %d, srtt %v",
		f.c.Window(), f.sentByte, f.delivered, f.losses, f.lostBytes, f.srtt)
}
