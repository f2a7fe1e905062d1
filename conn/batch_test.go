package conn

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/script"
	"github.com/lazoquic/lazo/internal/wire"
)

// A batchSide is an Endpoint with some connections. It writes down what it says.
type batchSide struct {
	t       *testing.T
	e       *Endpoint
	now     time.Time
	stories []*fuzzStory // whose testConns share the Endpoint
	said    []string
	buf     []byte
}

// sharedAddr is where the peers of the first two connections of a batchSide are.
var sharedAddr = netip.MustParseAddrPort("10.0.0.2:1000")

// newBatchSide makes connections that depend on the seed alone.
func newBatchSide(t *testing.T, seed uint64) *batchSide {
	rng := rand.New(rand.NewPCG(seed, 1))
	server, paths := rng.IntN(3) > 0, rng.IntN(2) == 0
	quick, empty := rng.IntN(2) == 0, !server && rng.IntN(4) == 0
	x := &batchSide{t: t, now: hour0(), buf: make([]byte, maxBurst)}
	foreign := func(what string) func(time.Time, Datagram) bool {
		return func(_ time.Time, d Datagram) bool {
			x.say("%s: %d bytes from %v to %v, %v", what, len(d.Data), d.Remote, d.Local, d.ECN)
			return d.Data[len(d.Data)-1]&1 != 0
		}
	}
	s := newTestSetup(t, server, []func(*testSetup){func(s *testSetup) {
		s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 1200, 1200
		s.conn.DisablePacing, s.conn.NoALPN, s.conn.Enable0RTT = quick, true, quick
		s.conn.DisableAckFrequency, s.peer.DisableAckFrequency = quick, quick
		s.conn.MaxUDPPayloadSize, s.conn.InitialMaxStreamsBidi, s.conn.InitialMaxStreamsUni = 1500, 8, 8
		if paths {
			withPaths(s)
		}
		if rng.IntN(2) == 0 {
			s.endpoint.Elsewhere = foreign("elsewhere")
		}
		if rng.IntN(2) == 0 {
			nonQUIC := foreign("not QUIC")
			s.endpoint.NonQUIC = func(now time.Time, d Datagram) { nonQUIC(now, d) }
		}
		if empty {
			s.endpoint.ConnIDs = emptyIDs{}
		}
	}})
	x.e = newTestEndpoint(t, &s.endpoint)
	for i := range 3 {
		tc := s.testConn(t, server)
		tc.t, tc.e, tc.buf = quickTB{t}, x.e, x.buf
		if i == 2 || empty {
			tc.peerAddr = netip.AddrPortFrom(sharedAddr.Addr(), uint16(2000+i))
		}
		tc.establish(s, fmt.Sprintf("first%03d", i), fmt.Sprintf("peer%04d", i))
		story := &fuzzStory{testConn: tc, in: newFuzzInput(nil), polite: true}
		if tc.c.multi != nil {
			story.lanes = make(map[uint32]*fuzzPath)
		}
		x.stories = append(x.stories, story)
	}
	return x
}

func (x *batchSide) say(format string, args ...any) {
	x.said = append(x.said, fmt.Sprintf(format, args...))
}

// drain takes what the Endpoint has to say, and writes it down with its state.
func (x *batchSide) drain() {
	for {
		ev, more := x.e.NextEvent()
		if !more {
			break
		}
		i := slices.IndexFunc(x.stories, func(s *fuzzStory) bool { return s.c == ev.Conn })
		id := StreamID(1 << 62)
		if ev.Stream != nil {
			id = ev.Stream.ID()
		}
		x.say("event %d of %d: stream %d, %d %d %x %v %v %v", ev.Kind, i, id, ev.Code, ev.ID, ev.Data, ev.Local, ev.Remote, ev.Err)
		switch {
		case i < 0:
		case ev.Kind == EventStreamOpened:
			x.stories[i].streams = append(x.stories[i].streams, ev.Stream)
		case ev.Kind == EventStreamReadable:
			b, err := ev.Stream.Peek(1 << 20)
			x.say("%x, %v", b, err)
			ev.Stream.Discard(len(b) / 2)
		}
	}
	for {
		b, more := x.e.Transmit(x.now, x.buf, mostSegments)
		if !more {
			break
		}
		x.say("%v to %v from %v, %v:", b.SegmentSize, b.Remote, b.Local, b.ECN)
		x.said = append(x.said, string(x.buf[:b.N]))
		for rest := x.buf[:b.N]; len(rest) > 0; {
			n := min(b.SegmentSize, len(rest))
			for _, s := range x.stories {
				if s.c == b.Conn {
					d := seenDatagram{data: slices.Clone(rest[:n]), burst: b}
					if s.decode(&d); s.lanes != nil {
						s.see(&d)
					}
					s.undecoded = nil
				}
			}
			rest = rest[n:]
		}
	}
	for i, s := range x.stories {
		x.say("%d: %+v %+v", i, s.c.Snapshot(x.now, 100), s.c.Stats())
		for _, id := range s.c.routes.ids {
			x.say("%v until %v", id.id, id.until)
		}
		if !s.c.closed {
			k := &s.c.keys
			x.say("%+v %+v %v %v %d", s.c.Paths(nil), s.c.flow, s.c.routes.addrs, k.txPhase, k.sealed)
			checkConn(s.t, s.c, &s.books)
		}
	}
	if err := x.e.CheckMemory(); err != nil {
		x.t.Fatal(err)
	}
	x.say("%+v, next at %v", x.e.Stats(), x.e.Timeout())
}

// A batchMaker makes batches of datagrams for a batchSide, and damages them.
type batchMaker struct {
	*batchSide
	rng  *rand.Rand
	sent [][]byte // packets, for duplicates
}

func (m *batchMaker) one(n int) bool { return m.rng.IntN(n) == 0 }

func (m *batchMaker) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.rng.Uint32())
	}
	return b
}

// make returns a batch: where it comes from and goes to, and how it falls into datagrams.
func (m *batchMaker) make() Datagram {
	main := m.stories[m.rng.IntN(len(m.stories))]
	d := Datagram{Remote: main.peerAddr, Local: main.addr, ECN: ECN(m.rng.IntN(4)), SegmentSize: 60 + m.rng.IntN(200)}
	if m.one(4) {
		d.SegmentSize = 1200 + m.rng.IntN(200)
	}
	if m.one(8) {
		d.Remote = elsewhere(m.rng.IntN(3))
	}
	if m.one(8) {
		d.Local = elsewhere(10 + m.rng.IntN(2))
	}
	var all [][]byte
	at := m.rng.IntN(2)
	for range 1 + m.rng.IntN(12) {
		s := main
		if m.one(6) {
			s = m.stories[m.rng.IntN(len(m.stories))]
		}
		if c := s.c; m.one(4) && c.multi != nil {
			at = m.rng.IntN(len(c.multi.lanes))
			if l := c.multi.lanes[at]; l.path != nil && m.one(2) {
				d.Local = l.path.local
			}
		}
		all = append(all, m.packet(s, at, d.SegmentSize))
	}
	if m.one(5) {
		m.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	for _, b := range all {
		if m.one(25) {
			b = slices.Clone(b)
			b[m.rng.IntN(len(b))] ^= 1 << m.rng.IntN(8)
		}
		d.Data = append(d.Data, b...)
	}
	switch n := m.rng.IntN(12); n {
	case 0:
		d.Data = d.Data[:1+m.rng.IntN(len(d.Data))]
	case 1: // the borders of datagrams are elsewhere
		d.SegmentSize = 20 + m.rng.IntN(300)
	}
	return d
}

// packet returns what fills one datagram.
func (m *batchMaker) packet(s *fuzzStory, at, size int) []byte {
	switch n := m.rng.IntN(120); {
	case n < 6 && len(m.sent) > 0: // one that has come before
		return m.sent[m.rng.IntN(len(m.sent))]
	case n < 9:
		return m.bytes(size)
	case n == 9: // for another connection ID, perhaps of another kind
		b := m.bytes(size)
		copy(b[1:], "unknown ")
		return b
	case n == 10 && m.one(5): // a stateless reset
		b := m.bytes(size)
		b[0] = b[0]&^0x80 | wire.FixedBit
		return append(b[:size-resetTokenLen], resetTokenOf(uint64(m.rng.IntN(2)))...)
	case n < 15:
		return m.long(s, size)
	}
	var b []byte
	if m.one(12) && size > 200 { // behind a packet with a long header
		b = m.long(s, 0)
	}
	b = append(b, m.short(s, at, size-len(b))...)
	m.sent = append(m.sent, b)
	return b
}

// long returns a packet with a long header.
func (m *batchMaker) long(s *fuzzStory, size int) []byte {
	dcid := "long" + string(m.bytes(4))
	if ids := s.c.routes.ids; m.one(2) && len(ids) > 0 {
		dcid = string(ids[0].id.bytes())
	}
	tx, _ := keys.Initial(Version1, []byte(dcid))
	p := rawPacket{
		typ: uint8(m.rng.IntN(3)), dcid: dcid, scid: "s", pn: m.rng.Uint64() & 0xffff, tx: tx, size: size,
		frames: []frame{pingFrame(), cryptoFrame(5, "a gap")},
	}
	if m.one(6) {
		p.version = 77
	}
	return p.seal()
}

// short returns a 1-RTT packet of a connection, for the lane of an index, of so many bytes.
func (m *batchMaker) short(s *fuzzStory, at, size int) []byte {
	c := s.c
	if c.closed {
		return m.bytes(size)
	}
	s.at, s.in = 0, newFuzzInput(m.bytes(4000))
	if c.multi != nil {
		s.at = c.multi.lanes[at%len(c.multi.lanes)].id
	}
	var p testPacket
	p.space, p.size = spaceApp, size
	if s.rxPhase != s.txPhase { // the Conn has updated its keys, and so does the peer
		s.turnKeys()
	}
	room := size - 1 - maxConnIDLen - 4 - keys.Overhead
	if b := m.acks(s); m.one(3) && len(b) <= room {
		p.payload = b
	}
	for range 1 + m.rng.IntN(4) {
		if b := m.frame(s).append(nil); len(p.payload)+len(b) <= room {
			p.payload = append(p.payload, b...)
		}
	}
	p.payload = append(p.payload, wire.FramePing)
	if ids := c.local.ids; m.one(6) && len(ids) > 0 && s.at == 0 {
		p.dcid = &ids[m.rng.IntN(len(ids))].id
	}
	if m.one(100) && c.keys.sealed > 0 {
		s.turnKeys()
	}
	if m.one(30) {
		p.skip = 1 + uint64(m.rng.IntN(5))
	}
	if m.one(1000) {
		p.reserved = true
	}
	s.onLane(&p)
	return s.seal(p)
}

// frame returns a frame, which rarely breaks a rule.
func (m *batchMaker) frame(s *fuzzStory) frame {
	for {
		f := frame{}
		switch {
		case m.one(2000):
			f = s.in.frame()
		case m.one(1500):
			f = appCloseFrame(7, "enough")
		default:
			first := byte(m.rng.IntN(16))
			if n := first; (n == 5 || n == 11) && !m.one(20) {
				continue // which breaks a rule if it comes twice, or in another order
			}
			if s.c.multi != nil && m.one(3) {
				first = 20 + byte(m.rng.IntN(8))
			}
			s.in = newFuzzInput(append([]byte{first}, m.bytes(300)...))
			f = s.politeFrame()
		}
		// TLS reads what comes in CRYPTO frames at the end of a batch.
		if f.typ != wire.FrameCrypto && (f.typ != wire.FramePadding || m.one(4)) {
			return f
		}
	}
}

// acks acknowledges what has come on one of the paths.
func (m *batchMaker) acks(s *fuzzStory) []byte {
	if s.lanes == nil {
		if s.got[spaceApp].Len() == 0 {
			return nil
		}
		return s.ackOf(spaceApp).append(nil)
	}
	id := s.pathID()
	got := &s.lane(id).got
	if id == 0 {
		got = &s.got[spaceApp]
	}
	if got.Len() == 0 || id > s.c.multi.limit {
		return nil
	}
	at := func(i int) (uint64, uint64) { r := got.At(i); return r.Start, r.End }
	b, _ := wire.AppendPathAck(nil, 400, id, got.Len(), at, 0, nil)
	return b
}

// receive gives a batch to the Endpoint, or its datagrams one by one.
func (x *batchSide) receive(d Datagram, single bool) {
	d.Data = slices.Clone(d.Data)
	size := d.SegmentSize
	if !single {
		x.e.Receive(x.now, d)
		return
	}
	d.SegmentSize = 0
	for rest := d.Data; len(rest) > 0; {
		n := min(size, len(rest))
		d.Data, rest = rest[:n:n], rest[n:]
		x.e.routes.lastRoute, x.e.routes.lastLane = route{}, nil // it looks everything up
		x.e.Receive(x.now, d)
	}
}

// act does what the bytes say to one of the connections, as its application would.
func (x *batchSide) act(i int, b []byte) {
	s := x.stories[i]
	if s.in = newFuzzInput(b); s.in.Byte()&3 == 0 && s.c.multi != nil && !s.c.closed {
		s.stepPaths(3)
		return
	}
	if !s.c.closed {
		s.call()
	}
}

// wait lets time pass. The timers run unless the machine sleeps.
func (x *batchSide) wait(d time.Duration, sleeps bool) {
	end := x.now.Add(d)
	for !sleeps {
		at := x.e.Timeout()
		if at.IsZero() || at.After(end) {
			break
		}
		x.now = at
		x.e.HandleTimeout(x.now)
		x.drain()
	}
	x.now = end
}

// TestBatches: a batch of datagrams, damaged or not, has the result of the same datagrams one by
// one.
func TestBatches(t *testing.T) {
	runs := uint64(40)
	if testing.Short() {
		runs = 10
	}
	batches, datagrams := 0, 0
	script.Seeds(t, runs, func(t *testing.T, seed uint64) {
		sides := [2]*batchSide{newBatchSide(t, seed), newBatchSide(t, seed)}
		m := &batchMaker{batchSide: sides[0], rng: rand.New(rand.NewPCG(seed, 2))}
		for range 60 {
			d := m.make()
			batches, datagrams = batches+1, datagrams+(len(d.Data)+d.SegmentSize-1)/d.SegmentSize
			calls := m.rng.IntN(4)
			what, who, how := m.rng.IntN(1<<20), m.rng.IntN(len(m.stories)), m.bytes(40)
			for i, x := range sides {
				x.receive(d, i == 1)
				for k := range calls {
					x.act((who+k)%len(x.stories), how[10*k:10*k+10])
				}
				if what&1 != 0 {
					x.drain()
				}
				pause := time.Duration(what>>4&15) * time.Millisecond
				switch {
				case what>>8&63 == 0:
					pause *= 1000
				case what>>8&1023 == 1:
					pause *= 100_000
				}
				x.wait(pause, what&14 == 0)
			}
			if a, b := firstDifference(sides[0].said, sides[1].said); a != b {
				t.Fatalf("a batch says\n%q\nand its datagrams one by one\n%q", a, b)
			}
			sides[0].said, sides[1].said = sides[0].said[:0], sides[1].said[:0]
		}
	})
	t.Logf("%d datagrams in %d batches", datagrams, batches)
}

// firstDifference returns what stands in a and in b where they begin to differ.
func firstDifference(a, b []string) (inA, inB string) {
	for i := range max(len(a), len(b)) {
		if i >= len(a) {
			return "", b[i]
		} else if i >= len(b) {
			return a[i], ""
		}
		if a, b := a[i], b[i]; a != b {
			k := 0
			for k < min(len(a), len(b)) && a[k] == b[k] {
				k++
			}
			k = max(k-100, 0)
			return a[k:min(len(a), k+300)], b[k:min(len(b), k+300)]
		}
	}
	return "", ""
}
