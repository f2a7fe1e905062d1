package conn

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/script"
	"github.com/lazoquic/lazo/internal/wire"
)

// A fuzzInput is the rest of an input, which is consumed from its start.
type fuzzInput struct {
	*script.Input
	paths bool // there are frames of multipath, too
}

func newFuzzInput(b []byte) *fuzzInput { return &fuzzInput{Input: script.NewInput(b)} }

// number returns a number, mostly a small one.
func (in *fuzzInput) number() uint64 {
	switch v := in.Byte(); {
	case v < 200:
		return uint64(v)
	case v < 230:
		return uint64(v)<<8 | uint64(in.Byte())
	case v < 250:
		return 1<<62 - 1 - uint64(in.Byte())
	default:
		var b [8]byte
		copy(b[:], in.Bytes(8))
		return binary.BigEndian.Uint64(b[:]) & (1<<62 - 1)
	}
}

// frame returns a frame of any type with any fields.
func (in *fuzzInput) frame() frame {
	all := []uint64{
		wire.FramePing, wire.FrameAck, wire.FrameAckECN, wire.FrameResetStream, wire.FrameStopSending, wire.FrameCrypto,
		wire.FrameNewToken, wire.FrameStream, wire.FrameStream, wire.FrameMaxData, wire.FrameMaxStreamData, wire.FrameMaxStreamsBidi,
		wire.FrameMaxStreamsUni, wire.FrameDataBlocked, wire.FrameStreamDataBlocked, wire.FrameStreamsBlockedBidi,
		wire.FrameStreamsBlockedUni, wire.FrameNewConnectionID, wire.FrameRetireConnectionID, wire.FramePathChallenge,
		wire.FramePathResponse, wire.FrameConnectionClose, wire.FrameHandshakeDone, wire.FrameDatagram, wire.FrameAckFrequency,
		wire.FrameImmediateAck, wire.FramePadding,
	}
	if in.paths {
		all = append(all, pathFrames[:]...)
	}
	f := frame{typ: all[int(in.Byte())%len(all)]}
	switch f.typ {
	case wire.FramePadding:
		f.v[0] = uint64(in.Byte())
		return f
	case wire.FramePathChallenge, wire.FramePathResponse:
		f.data = string(append(in.Bytes(8), make([]byte, 8)...)[:8])
		return f
	case wire.FrameAck, wire.FrameAckECN:
		hi := in.number() & (1<<60 - 1)
		f.data = rangeString(hi-min(hi, in.number()), hi)
		f.v = [5]uint64{in.number(), in.number(), in.number(), in.number()}
		return f
	}
	for i := range 4 {
		f.v[i] = in.number()
	}
	if isMultipath(f.typ) {
		if f.v[0] >= 8 && f.v[0] < 200 {
			f.v[0] &= 7 // a path ID, or a limit of them
		}
		if f.typ == wire.FramePathNewConnectionID {
			f.v[2] = min(f.v[2], f.v[1])
			f.data = fmt.Sprintf("%08x", in.Byte()) + string(resetTokenOf(100*f.v[0]+f.v[1]))
		}
		return f
	}
	f.fin = in.Byte()&1 != 0
	f.data = string(in.Bytes(int(in.Byte())))
	switch f.typ {
	case wire.FrameNewConnectionID:
		f.v[1] = min(f.v[1], f.v[0])
		f.data = fmt.Sprintf("%08x", in.Byte()) + string(resetTokenOf(f.v[0]))
	case wire.FrameNewToken:
		f.data += "t"
	}
	return f
}

// FuzzConn plays a peer and an application that do anything, in an established connection.
func FuzzConn(f *testing.F) {
	for _, server := range []bool{false, true} {
		role := byte(0)
		if server {
			role = 1
		}
		for op := range byte(16) {
			f.Add([]byte{role, op, 1, 2, 3, op, 200, 5, op ^ 1, 7, 9, 11, 13, op, 240, 1, 1, 1})
		}
		for _, fr := range allFrames(server) {
			b := fr.append(nil)
			f.Add(append([]byte{role, 0, byte(len(b))}, b...))
		}
		paths := role | 128
		for op := range byte(20) {
			// A packet on path 1, or OpenPath, makes it. Its challenge is answered.
			f.Add([]byte{paths, 19, 0, 16, 1, 1, 0, 18, 1, op, 1, 2, 3, 17, 1, op, 200, 5, op ^ 1, 7, 8, 17, 2})
		}
		for i := range byte(len(pathFrames)) {
			f.Add([]byte{paths, 19, 0, 16, 1, 1, 0, 18, 1, 1, 27 + i, 1, 2, 3, 4, 1, 27 + i, 2, 2, 3, 4, 7, 200, 1, 17, 1})
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { playFuzz(t, data[:min(len(data), 600)]) })
}

// TestAnything plays FuzzConn with random inputs. In half of them the peer keeps to the rules.
func TestAnything(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			data := make([]byte, 50+rng.IntN(2000))
			for i := range data {
				data[i] = byte(rng.Uint32())
				if rng.IntN(2) == 0 {
					data[i] &= 15
				}
			}
			data[0] = byte(rng.Uint32())
			playFuzz(t, data)
		})
	}
}

// A quickTB is a testing.TB whose Helper does nothing. That of a testing.T walks the stack, which
// takes a tenth of the time of a fuzz target.
type quickTB struct{ testing.TB }

func (quickTB) Helper() {}

// playFuzz plays one input. Its first byte chooses the configuration.
func playFuzz(t *testing.T, data []byte) {
	in := newFuzzInput(data)
	flags := in.Byte()
	s := &fuzzStory{in: in, polite: flags&64 != 0}
	s.testConn = newEstablished(quickTB{t}, flags&1 != 0, func(s *testSetup) {
		s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 1200, 1200
		s.conn.InitialMaxData, s.conn.InitialMaxStreamData = 4000, 1500
		s.conn.InitialMaxStreamsBidi, s.conn.InitialMaxStreamsUni = 8, 8
		s.peer.InitialMaxData, s.peer.InitialMaxStreamData = 4000, 1500
		s.conn.DisableAckFrequency, s.peer.DisableAckFrequency = flags&2 != 0, flags&2 != 0
		s.conn.DisablePacing = flags&4 != 0
		if flags&8 != 0 {
			s.conn.MaxMTU, s.peer.MaxMTU = 1452, 1452
		}
		if flags&16 != 0 {
			s.conn.KeepAlive = time.Second
		}
		if flags&128 != 0 {
			withPaths(s)
		}
	})
	s.c.skipNext = s.c.spaces[spaceApp].sent.next + 20
	if flags&32 != 0 {
		s.c.path.ecn.state = ecnTesting
	}
	if in.paths = flags&128 != 0; in.paths {
		s.startPaths()
	}
	for !in.Empty() && !s.c.closed {
		s.step()
		s.check()
	}
	s.finish()
}

// A fuzzStory is a testConn and the input that decides what happens to it.
type fuzzStory struct {
	*testConn
	in      *fuzzInput
	streams []*Stream
	polite  bool // the peer keeps to the rules
	ids     uint64

	lanes map[uint32]*fuzzPath // with multipath
	at    uint32               // path ID of the next packets
}

// send and write are those of testConn, on the path that the input has chosen.
func (s *fuzzStory) send(p testPacket) {
	to := s.onLane(&p)
	s.deliverTo(to, s.seal(p), p.from, p.ecn)
}

func (s *fuzzStory) write(frames ...frame) { s.send(testPacket{space: spaceApp, frames: frames}) }

// anyFrame returns any frame. If the peer is polite, so is the frame.
func (s *fuzzStory) anyFrame() frame {
	if !s.polite {
		return s.in.frame()
	}
	if f := s.politeFrame(); f.typ != wire.FramePadding {
		return f
	}
	return pingFrame()
}

// politeFrame returns a frame that breaks no rule. It returns PADDING if the frame that the input
// asks for would break one.
func (s *fuzzStory) politeFrame() frame {
	in, c := s.in, s.c
	kinds := byte(20)
	if c.multi != nil {
		kinds = 28
	}
	op, dir := in.Byte()%kinds, Dir(in.Byte()&1)
	if op >= 20 {
		return s.politePathFrame(op - 20)
	}
	n := uint64(in.Byte())
	theirs, ours := s.theirs(dir, n%c.streams.limit[dir]), s.ours(dir, n%max(c.streams.next[dir], 1))
	noOurs := c.streams.next[dir] == 0
	switch {
	case op < 6: // STREAM and RESET_STREAM
		highest, final := uint64(0), uint64(1000)
		if st := c.streams.all[theirs]; st != nil {
			highest = st.highest
		} else if n%c.streams.limit[dir] < c.streams.opened[dir] {
			return frame{}
		}
		if credit := c.flow.recvMax - c.flow.received; final > highest && final-highest > credit {
			return frame{}
		}
		if op == 5 {
			return resetStreamFrame(theirs, n, final)
		}
		off := min(uint64(in.Byte())*4, final)
		size := min(final-off, uint64(in.Byte()))
		f := streamFrame(theirs, off, string(make([]byte, size)))
		f.fin = off+size == final
		return f
	case op == 6 && dir == Bidi:
		return stopSendingFrame(theirs, n)
	case op == 7 && !noOurs:
		return stopSendingFrame(ours, n)
	case op == 8 && !noOurs:
		return maxStreamDataFrame(ours, in.number())
	case op == 9:
		return maxDataFrame(in.number())
	case op == 10:
		return maxStreamsFrame(dir, n)
	case op == 11:
		for _, l := range c.local.ids {
			if l.id != s.dcid && n&1 == 0 {
				return retireIDFrame(l.seq)
			}
		}
	case op == 12 && len(c.remote.retired) < maxRetired/2:
		s.ids++
		seq := 3 + s.ids
		return newIDFrame(seq, seq-1, fmt.Sprintf("%08d", seq))
	case op == 13:
		return challengeFrame(fmt.Sprintf("%08d", n))
	case op == 14:
		return datagramFrame(string(make([]byte, n)))
	case op == 15 && !c.cfg.DisableAckFrequency:
		return ackFrequencyFrame(n, uint64(in.Byte()), 1000+in.number()&0xffff, uint64(in.Byte()))
	case op > 15:
		s.collect()
		if got := &s.got[spaceApp]; got.Len() > 0 {
			r := got.At(int(n) % got.Len())
			return ackFrame(rangeString(r.Start+uint64(in.Byte())%(r.End-r.Start), r.End-1))
		}
	}
	return frame{}
}

// step does one thing that the input asks for.
func (s *fuzzStory) step() {
	in := s.in
	ops := byte(16)
	if in.paths {
		ops = 20
	}
	op := in.Byte() % ops
	if op >= 16 {
		s.stepPaths(op - 16)
		return
	}
	if s.polite && op < 6 {
		var frames []frame
		for range op + 1 {
			if f := s.politeFrame(); f.typ != wire.FramePadding {
				frames = append(frames, f)
			}
		}
		s.write(append(frames, paddingFrames(1))...)
		return
	}
	switch op {
	case 0: // any payload in a valid packet
		s.send(testPacket{space: spaceApp, payload: in.Bytes(int(in.Byte()))})
	case 1, 2, 3, 4: // well-formed frames
		var frames []frame
		for range op {
			frames = append(frames, in.frame())
		}
		s.write(frames...)
	case 5: // a frame with a byte changed
		all := allFrames(s.server)
		b := all[int(in.Byte())%len(all)].append(nil)
		b[int(in.Byte())%len(b)] ^= in.Byte()
		s.send(testPacket{space: spaceApp, payload: b})
	case 6: // garbage
		b := append([]byte(nil), in.Bytes(int(in.Byte()))...)
		if len(b) > 9 && b[0]&1 != 0 {
			copy(b[1:], s.dcid.bytes())
		}
		s.deliver(b, s.peerAddr, ECN(in.Byte()&3))
	case 7:
		s.advance(time.Duration(in.number()&0x3fff) * time.Millisecond / 4)
	case 8:
		s.collect()
		if !s.e.Timeout().IsZero() {
			s.advanceToTimer()
		}
	case 9:
		s.collect()
		if s.got[spaceApp].Len() > 0 {
			s.ackAll()
		}
	case 10: // odd packet numbers, marks and addresses
		p := testPacket{space: spaceApp, frames: []frame{s.anyFrame()}, skip: uint64(in.Byte() & 7), ecn: ECN(in.Byte() & 3)}
		if v := in.Byte(); v&1 != 0 {
			p.from = elsewhere(int(v >> 5))
			p.size = int(v) * 5
		} else if v&2 != 0 {
			p.fixed, p.pn = true, uint64(v)
		}
		s.send(p)
	case 11:
		if in.Byte()&1 != 0 && (!s.polite || s.c.keys.sealed > 0) {
			s.turnKeys()
		}
		s.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, phase: in.Byte() == 1, reserved: in.Byte() == 77 && !s.polite})
	default:
		s.call()
	}
}

// call calls a method, as the application would.
func (s *fuzzStory) call() {
	in := s.in
	var st *Stream
	if n := len(s.streams); n > 0 {
		st = s.streams[int(in.Byte())%n]
	}
	switch op := in.Byte() % 16; {
	case op == 0:
		if st, err := s.c.OpenStream(Dir(in.Byte() & 1)); err == nil {
			s.streams = append(s.streams, st)
		}
	case op == 1:
		s.c.SendDatagram(make([]byte, int(in.Byte())*6), DatagramOptions{MaxAge: time.Duration(in.Byte()) * time.Millisecond, Notify: in.Byte()&1 != 0})
	case op == 2:
		for _, ok := s.c.ReceiveDatagram(); ok; _, ok = s.c.ReceiveDatagram() {
		}
	case op == 3:
		s.c.SetTimer(s.now.Add(time.Duration(in.Byte()) * time.Millisecond))
	case op == 4:
		s.c.UpdateKeys()
	case op == 5:
		s.c.Migrate(elsewhere(int(in.Byte() & 3)))
	case op == 6:
		s.c.Probe(elsewhere(int(in.Byte() & 3)))
	case op == 7 && in.Byte() > 250:
		s.c.Close(in.number(), string(in.Bytes(20)))
	case st == nil:
	case op == 8:
		st.Write(make([]byte, int(in.Byte())*10))
	case op == 9:
		st.Read(make([]byte, int(in.Byte())*4))
	case op == 10:
		b, _ := st.Peek(int(in.Byte()) * 10)
		st.Discard(len(b) / 2)
	case op == 11:
		st.CloseWrite()
	case op == 12:
		st.Reset(in.number())
	case op == 13:
		st.StopSending(in.number())
	case op == 14:
		st.SetPriority(Priority{Urgency: int8(in.Byte()), Incremental: in.Byte()&1 != 0})
	case op == 15:
		st.Release()
		for i, x := range s.streams {
			if x == st {
				s.streams = append(s.streams[:i], s.streams[i+1:]...)
				break
			}
		}
	}
}

// check collects what the Conn sends, and checks what must always hold.
func (s *fuzzStory) check() {
	s.collect()
	for _, ev := range s.events {
		if ev.Kind == EventStreamOpened {
			s.streams = append(s.streams, ev.Stream)
		}
	}
	if n := len(s.events); s.c.closed && (n == 0 || s.events[n-1].Kind != EventClosed) {
		s.t.Fatalf("closed, and the last events are %+v", s.events)
	}
	if !s.c.closed {
		s.events = nil
	}
	for _, d := range s.datagrams {
		if len(d.data) > maxBurst || len(d.data) > max(s.c.cfg.MaxMTU, minMTU) {
			s.t.Fatalf("a datagram of %d bytes", len(d.data))
		}
		if s.lanes != nil {
			s.see(&d)
		}
	}
	if !s.c.closed {
		s.checkPaths()
	}
	s.datagrams, s.queue, s.unread, s.undecoded = nil, nil, nil, nil
	if n := len(s.c.remote.ids); !s.c.closed && (n == 0 || n > activeConnIDs) {
		s.t.Fatalf("%d connection IDs of the peer", n)
	}
	if n := len(s.c.streams.all); n > 8*4+200 {
		s.t.Fatalf("%d streams", n)
	}
	if held := s.e.chunks.Used(); held > 1<<20 {
		s.t.Fatalf("%d bytes are held", held)
	}
}

// finish closes the connection, and checks that nothing is left of it.
func (s *fuzzStory) finish() {
	s.c.Close(1, "the end")
	s.check()
	s.advance(time.Hour)
	if n := s.e.chunks.Used(); n != 0 {
		s.t.Fatalf("%d bytes are held for nobody", n)
	}
	if err := s.e.CheckEmpty(s.now); err != nil {
		s.t.Fatal(err)
	}
}

// run feeds an Endpoint with datagrams and time until the input is empty, and then waits for the
// end. The function one delivers one datagram.
func (l *lone) run(t testing.TB, in *fuzzInput, one func(now time.Time, op byte)) {
	now := hour0()
	check := func() {
		l.discard()
		for c := l.first; c != nil; c = c.next {
			checkConn(t, c, new(LedgerCheck))
		}
	}
	step := func(d time.Duration) {
		for end, idle := now.Add(d), 0; ; idle++ {
			at := l.Timeout()
			if at.IsZero() || at.After(end) {
				now = end
				return
			}
			if at.After(now) {
				now, idle = at, 0
			} else if idle > 20 {
				t.Fatal("a timer is due again and again without time passing")
			}
			l.HandleTimeout(now)
			check()
		}
	}
	for !in.Empty() {
		op := in.Byte()
		if op >= 0xf0 {
			step(time.Duration(op&15) * 300 * time.Millisecond)
			continue
		}
		one(now, op)
		check()
	}
	step(time.Hour)
	for l.first != nil {
		l.first.Close(0, "")
		check()
	}
	step(time.Hour)
	if err := l.CheckEmpty(now); err != nil {
		t.Fatal(err)
	}
}

// FuzzClient sends datagrams to a client that dials: any bytes, and packets of a server with valid
// protection.
func FuzzClient(f *testing.F) {
	serverTLS, clientTLS := testTLS(f)
	f.Add([]byte{0, 0, 1, 0, 2, 0, 3, 0xf1})
	f.Add([]byte{1, 6, 1, 2, 3, 6, 2, 9, 5, 77, 0xff, 0, 0, 0xff})
	f.Add([]byte{7, 4, 'a', 'b', 'c', 'd', 6, 1, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		in := newFuzzInput(data[:min(len(data), 4000)])
		cfg := quietConfig()
		cfg.TLS = clientTLS
		r := dialRaw(t, serverTLS, &cfg, nil)
		own := string(r.c.local.ids[0].id.bytes())
		r.l.run(t, in, func(now time.Time, op byte) {
			r.next++
			p := rawPacket{typ: wire.TypeInitial, dcid: own, scid: rawServerID, pn: r.next, tx: r.server}
			if op&8 != 0 {
				p.typ, p.tx = wire.TypeHandshake, r.tx[spaceHandshake]
			}
			space := spaceID(op >> 3 & 1)
			var b []byte
			switch op % 8 {
			case 0:
				p.frames = []frame{cryptoFrame(0, string(r.out[space]))}
				b = p.seal()
			case 1:
				p.frames = []frame{in.frame()}
				b = p.seal()
			case 2:
				from := int(in.Byte()) % len(r.out[space])
				p.frames = []frame{cryptoFrame(uint64(from), string(r.out[space][from:]))}
				b = p.seal()
			case 3:
				p.payload = in.Bytes(int(in.Byte()))
				b = p.seal()
			case 4:
				b = append(b, in.Bytes(int(in.Byte())<<8|int(in.Byte()))...)
			case 5:
				b = p.seal()
				p.typ = in.Byte() & 3
				b = append(b, p.seal()...)
				b[int(in.Byte())%len(b)] ^= in.Byte()
			case 6: // Version Negotiation
				b = wire.AppendVersionNegotiation(nil, op, []byte(own), r.c.origin.bytes(), []uint32{uint32(in.number()), uint32(in.Byte())})
			case 7: // Retry
				b = wire.AppendRetry(nil, Version1, []byte(own), in.Bytes(int(in.Byte())%21), in.Bytes(int(in.Byte())*6))
				tag := keys.RetryTag(Version1, r.c.origin.bytes(), b)
				b = append(b, tag[:]...)
			}
			from := elsewhere(1)
			if op&0x20 != 0 {
				from = netip.AddrPortFrom(from.Addr(), 9)
			}
			r.l.Receive(now, Datagram{Data: b, Remote: from, Local: r.l.addr, ECN: ECN(op & 3)})
		})
	})
}
