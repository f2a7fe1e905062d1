package conn

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// Hostile peers that keep to the letter of the protocol, and try to make the Conn hold memory or do
// work for them.

// TestSparseData: single bytes come, with gaps between them (S1).
// RFC 9000, Section 21.7 [1].
func TestSparseData(t *testing.T) {
	for _, step := range []uint64{2, 100, 4096, 5000} {
		tc := newTestConn(t, true)
		by := tc.bystand()
		id := tc.theirs(Uni, 0)
		window := tc.c.cfg.InitialMaxStreamData
		sent := 0
		for off := uint64(1); off < uint64(window) && !tc.c.closed; off += step {
			tc.write(streamFrame(id, off, "x"))
			sent++
			if held := tc.e.chunks.Used(); held > window+16<<10 {
				t.Fatalf("step %d: %d bytes are held for %d", step, held, sent)
			}
			if s := tc.c.streams.all[id]; s != nil && s.in.Gaps() > maxGaps+int(window>>10)+1 {
				t.Fatalf("step %d: %d gaps are remembered", step, s.in.Gaps())
			}
		}
		tc.flush()
		by.check()
	}
}

// TestOverlappingData: the bytes that came first count.
func TestOverlappingData(t *testing.T) {
	tc := newTestConn(t, true)
	rng := rand.New(rand.NewPCG(1, 1))
	id := tc.theirs(Uni, 0)
	model, known := make([]byte, 2000), make([]bool, 2000)
	for range 400 {
		off := rng.IntN(1990)
		n := 1 + rng.IntN(min(100, 2000-off))
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(rng.Uint32())
			if !known[off+i] {
				known[off+i], model[off+i] = true, data[i]
			}
		}
		tc.write(streamFrame(id, uint64(off), string(data)))
	}
	for i, ok := range known {
		if !ok {
			tc.write(streamFrame(id, uint64(i), "\x00"))
		}
	}
	if got, _ := tc.readStream(tc.stream(id)); got != string(model) {
		t.Error("bytes that came later replaced earlier ones")
	}
}

// TestManyStreams: the peer opens all the streams that it may, with one byte on each (S2).
func TestManyStreams(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.InitialMaxStreamsBidi = 1000 })
	by := tc.bystand()
	for i := range uint64(1000) {
		tc.write(streamFrame(tc.theirs(Bidi, i), 0, "x"))
	}
	if n := len(tc.c.streams.all); n != 1000 {
		t.Fatalf("%d streams", n)
	}
	if held := tc.e.chunks.Used(); held > 1000*4096 {
		t.Errorf("%d bytes are held", held)
	}
	tc.flush()
	by.check()
	tc.c.Close(0, "")
	tc.flush()
	if held := tc.e.chunks.Used(); held != heldInChunks(by.c) {
		t.Errorf("%d bytes are held for a closed connection", held)
	}
}

// TestRapidReset: streams are opened and reset, or stopped, again and again (S3).
func TestRapidReset(t *testing.T) {
	for name, frames := range map[string]func(id StreamID) []frame{
		"reset":          func(id StreamID) []frame { return []frame{resetStreamFrame(id, 0, 0)} },
		"stop":           func(id StreamID) []frame { return []frame{stopSendingFrame(id, 0)} },
		"reset and stop": func(id StreamID) []frame { return []frame{resetStreamFrame(id, 0, 0), stopSendingFrame(id, 0)} },
		"data and reset": func(id StreamID) []frame {
			return []frame{streamFrame(id, 0, "GET /"), resetStreamFrame(id, 0, 5), stopSendingFrame(id, 0)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestConn(t, true, func(s *testSetup) { s.conn.InitialMaxStreamsBidi = 20 })
			by := tc.bystand()
			opened := uint64(0)
			for ; opened < 20; opened++ {
				tc.write(frames(tc.theirs(Bidi, opened))...)
			}
			tc.flush()
			tc.ackAll()
			// The application has released no stream. So there is no credit, although the streams
			// have ended.
			if n := tc.c.streams.limit[Bidi]; n != 20 {
				t.Fatalf("the peer may open %d streams", n)
			}
			tc.write(frames(tc.theirs(Bidi, 20))...)
			tc.wantClosed("one more than allowed", errStreamLimit)
			by.check()
		})
	}
}

// TestRapidResetWithRelease: new streams come as fast as the application releases old ones. Nothing
// is left behind.
func TestRapidResetWithRelease(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.InitialMaxStreamsBidi = 20 })
	by := tc.bystand()
	tc.ignore(wire.FrameAck)
	n := uint64(0)
	for range 100 {
		for ; n < tc.c.streams.limit[Bidi]; n++ {
			tc.write(streamFrame(tc.theirs(Bidi, n), 0, "GET /"), resetStreamFrame(tc.theirs(Bidi, n), 0, 5), stopSendingFrame(tc.theirs(Bidi, n), 0))
		}
		tc.collect()
		for _, ev := range tc.events {
			if ev.Kind == EventStreamOpened {
				ev.Stream.Release()
			}
		}
		tc.events = nil
		tc.flush()
		tc.ackAll()
		tc.flush()
		if open := len(tc.c.streams.all); open > 20 {
			t.Fatalf("%d streams", open)
		}
	}
	if n < 500 {
		t.Errorf("%d streams were opened", n)
	}
	if held := tc.e.chunks.Used(); held != heldInChunks(by.c) {
		t.Errorf("%d bytes are held", held)
	}
	if l := len(tc.e.streams.free); l > 100 {
		t.Errorf("%d streams wait to be used again", l)
	}
	by.check()
}

// TestFreeStreamsLeaveWithTheirConnection: what is kept for reuse does not keep connections that
// have ended.
func TestFreeStreamsLeaveWithTheirConnection(t *testing.T) {
	tc := newTestConn(t, true)
	tc.ignore(wire.FrameAck)
	for n := range uint64(3) {
		id := tc.theirs(Bidi, n)
		tc.write(streamFrame(id, 0, "GET /"), resetStreamFrame(id, 0, 5), stopSendingFrame(id, 0))
	}
	tc.collect()
	var handles []*Stream
	for _, ev := range tc.events {
		if ev.Kind == EventStreamOpened {
			ev.Stream.Release()
			handles = append(handles, ev.Stream)
		}
	}
	tc.flush()
	tc.ackAll()
	tc.flush()
	if n := len(tc.e.streams.free); n != 3 {
		t.Fatalf("%d streams wait to be used again", n)
	}
	tc.c.Close(0, "")
	tc.collect()
	tc.e.HandleTimeout(tc.now)
	if n := len(tc.e.streams.free); n != 0 {
		t.Errorf("%d streams lead to a connection that has ended", n)
	}
	for _, s := range handles {
		if _, err := s.Read(make([]byte, 1)); err == nil || s.Conn() != tc.c {
			t.Errorf("a released handle reads %v, and leads to %v", err, s.Conn())
		}
	}
}

// TestEventsAreBounded: a peer can raise only a few events of one stream, however often it repeats
// itself.
func TestEventsAreBounded(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.MaxDatagramFrameSize = 1000 })
	s := tc.open(Bidi)
	for i := range uint64(200) {
		id := tc.theirs(Bidi, i%4)
		tc.write(streamFrame(id, i, "x"), stopSendingFrame(id, i), stopSendingFrame(s.ID(), i), maxStreamDataFrame(s.ID(), i+1<<20),
			maxStreamsFrame(Bidi, 1000+i), maxStreamsFrame(Uni, 1000+i), datagramFrame("x"), maxDataFrame(1<<30+i))
	}
	if n := tc.e.events.tail - tc.e.events.head; n > 20 {
		t.Errorf("%d events wait", n)
	}
}

// TestStalledReceiver: the peer grants all credit and acknowledges nothing, or it grants nothing
// (S4).
func TestStalledReceiver(t *testing.T) {
	for name, edit := range map[string]func(*testSetup){
		"no acknowledgement": func(s *testSetup) { s.peer.InitialMaxData, s.peer.InitialMaxStreamData = 1<<40, 1<<40 },
		"no credit":          func(s *testSetup) { s.peer.InitialMaxData = 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestConn(t, true, edit)
			by := tc.bystand()
			s := tc.open(Uni)
			for range 100 {
				s.Write(make([]byte, 1<<20))
				tc.collect()
				tc.queue, tc.datagrams, tc.events = nil, nil, nil
			}
			if held := tc.e.chunks.Used(); held > int64(tc.c.cfg.UnsentBytes)+64<<10 {
				t.Errorf("%d bytes are held", held)
			}
			tc.flush()
			by.check()
		})
	}
}

// TestStalledReceiversTogether: no peer grants credit on any stream. Together the connections hold
// far less than the limit, at which nobody else would be let in.
func TestStalledReceiversTogether(t *testing.T) {
	const most = 4 << 20
	tc := newTestConn(t, true, func(s *testSetup) {
		s.peer.InitialMaxStreamsUni, s.peer.InitialMaxStreamData, s.peer.InitialMaxData = 100, 1000, 1<<40
		s.endpoint.MaxBuffered = most
	})
	var all []*Stream
	for range 100 {
		s := tc.open(Uni)
		s.Write(make([]byte, 1<<20))
		all = append(all, s)
	}
	tc.collect()
	if held := tc.e.chunks.Used(); held > most*3/4 {
		t.Errorf("%d bytes are held", held)
	}
	if n := all[99].Available(); n != 0 {
		t.Errorf("the last stream takes %d bytes more", n)
	}
	// Each stream goes on when its own peer gives credit.
	for _, s := range all {
		tc.write(maxStreamDataFrame(s.ID(), 1<<20))
		for range 100 {
			tc.collect()
			tc.ackAll()
		}
		if s.Available() == 0 {
			t.Fatalf("stream %d takes nothing", s.ID())
		}
	}
	writable := map[*Stream]bool{}
	for _, ev := range tc.events {
		if ev.Kind == EventStreamWritable {
			writable[ev.Stream] = true
		}
	}
	if len(writable) != len(all) {
		t.Errorf("%d of %d streams are writable again", len(writable), len(all))
	}
}

// TestBlockedFrames: a peer raises its limits by one byte at a time. Frames that say that we are
// blocked stay few (S4).
func TestBlockedFrames(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.peer.InitialMaxStreamData = 1 })
	s := tc.open(Uni)
	s.Write(make([]byte, 10000))
	tc.flush()
	for i := range uint64(300) {
		tc.write(maxStreamDataFrame(s.ID(), i+2))
		tc.collect()
		n := 0
		for _, p := range tc.queue {
			n += len(p.frames)
		}
		if n > 4 {
			t.Fatalf("%d frames answer one", n)
		}
		tc.queue, tc.datagrams = nil, nil
		tc.ackAll()
	}
}

// TestControlFlood: each frame asks for an answer. The answers do not pile up (S6).
func TestControlFlood(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, frequent, func(s *testSetup) { s.conn.MaxDatagramFrameSize = 1000 })
		by := tc.bystand()
		id := tc.theirs(Bidi, 0)
		tc.write(streamFrame(id, 0, "x"))
		var frames []frame
		for range 20 {
			frames = append(frames, pingFrame(), maxDataFrame(1), maxStreamDataFrame(id, 1), maxStreamsFrame(Bidi, 1), dataBlockedFrame(1),
				streamBlockedFrame(id, 1), streamsBlockedFrame(Uni, 1), immediateAckFrame(), challengeFrame("12345678"), stopSendingFrame(id, 1), retireIDFrame(1))
		}
		for range 500 {
			tc.write(frames...)
		}
		tc.wantOpen("nothing of it is forbidden")
		tc.collect()
		if n := len(tc.datagrams); n > 12 {
			t.Errorf("%d datagrams answer 500 packets that came in one batch", n)
		}
		if len(tc.c.local.ids) > activeConnIDs {
			t.Errorf("%d connection IDs", len(tc.c.local.ids))
		}
		tc.flush()
		by.check()
	})
}

// TestRetireFlood: the peer retires its IDs as fast as it gets new ones.
func TestRetireFlood(t *testing.T) {
	tc := newTestConn(t, true)
	by := tc.bystand()
	routes := len(tc.e.routes.ids)
	for seq := uint64(1); seq < 2000; seq++ {
		tc.write(retireIDFrame(seq))
		if tc.c.closed {
			break
		}
		if n := len(tc.c.local.ids); n > activeConnIDs {
			t.Fatalf("%d connection IDs", n)
		}
		if seq%100 == 0 {
			tc.flush() // what was sent meanwhile
		}
	}
	if n := len(tc.e.routes.ids); n > routes+activeConnIDs {
		t.Errorf("%d routes, %d before", n, routes)
	}
	if sp := tc.c.spaces[spaceApp]; sp != nil && sp.sent.bytes() > 400<<10 {
		t.Errorf("%d bytes are held for packets", sp.sent.bytes())
	}
	tc.flush()
	by.check()
}

// TestPaddingFlood: packets full of padding, and of tiny frames.
func TestPaddingFlood(t *testing.T) {
	tc := newTestConn(t, true)
	for range 200 {
		tc.write(paddingFrames(15000))
		tc.write(pingFrame(), paddingFrames(1), pingFrame())
	}
	tc.wantOpen("padding is allowed")
}

// TestHalfOpenStreams: the peer never ends its streams. The idle timeout ends them with the
// connection, and nothing is left.
func TestHalfOpenStreams(t *testing.T) {
	tc := newTestConn(t, true)
	for i := range uint64(50) {
		tc.write(streamFrame(tc.theirs(Bidi, i), 0, "half a request"))
	}
	tc.flush()
	tc.advance(time.Minute)
	if !tc.c.closed || tc.e.chunks.Used() != 0 || len(tc.e.routes.ids) != 0 {
		t.Errorf("closed %v, %d bytes, %d routes", tc.c.closed, tc.e.chunks.Used(), len(tc.e.routes.ids))
	}
}

// TestACKOfDroppedSpaces: acknowledgements in packet number spaces that are discarded change
// nothing (P1, P2).
func TestACKOfDroppedSpaces(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		for _, space := range []spaceID{spaceInitial, spaceHandshake} {
			tc.next[space] = 100
			tc.writeIn(space, ackFrame("0-1000"))
			tc.writeIn(space, pingFrame(), closeFrame(1, 0, ""))
			tc.wantIdle("the keys are discarded") // RFC 9001, Section 4.9
		}
		tc.wantOpen("the keys are discarded")
	})
}

// TestFixedBit: packets without the fixed bit are dropped or taken, and do no harm.
func TestFixedBit(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		by := tc.bystand()
		tc.send(testPacket{space: spaceApp, frames: []frame{streamFrame(tc.theirs(Uni, 0), 0, "x")}, noFixed: true})
		tc.wantOpen("a packet without the fixed bit")
		tc.write(pingFrame())
		tc.write(pingFrame())
		tc.wantAck("later packets are taken")
		by.check()
	})
}

// TestFixedBitWithoutGrease: who does not announce that it takes packets without the fixed bit
// drops them, but looks whether they are stateless resets.
// RFC 9000, Section 17.2 [1]; RFC 9000, Section 17.3.1 [1]; RFC 9000, Section 10.3.1 [1].
func TestFixedBitWithoutGrease(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, func(s *testSetup) { s.conn.DisableGreaseBit = true })
		before := tc.e.Stats().DroppedMalformed
		tc.send(testPacket{space: spaceApp, frames: []frame{closeFrame(1, 0, "")}, noFixed: true})
		tc.wantOpen("a packet without the fixed bit")
		if n := tc.e.Stats().DroppedMalformed - before; n != 1 {
			t.Errorf("%d packets count as malformed", n)
		}
		tc.write(newIDFrame(4, 4, "other id"))
		tc.flush()
		reset := make([]byte, minResetLen, 100)
		reset = append(append(reset[:1], tc.dcid.bytes()...), make([]byte, 20)...)
		tc.deliver(append(reset, resetTokenOf(4)...), tc.peerAddr, NotECT)
		if err := tc.wantEnd("a stateless reset"); !errors.Is(err, ErrStatelessReset) {
			t.Error(err)
		}
	})
	for _, own := range []bool{false, true} { // the configuration of the one client
		cfg := quietConfig()
		cfg.TLS, _ = testTLS(t)
		other := cfg
		cfg.DisableGreaseBit, other.DisableGreaseBit = !own, own
		l := newLone(t, &cfg, func(c *EndpointConfig) {
			c.ConfigForClient = func(AdmissionRequest) (*Config, error) { return &other, nil }
		})
		b := clientInitial("server 1", rawClientID, nil, pingFrame())
		b[0] &^= fixedBit
		if out := l.feed(b, elsewhere(1)); len(out) > 0 || l.Stats().Accepted > 0 {
			t.Errorf("an Initial packet without the fixed bit is taken, %d answers", len(out))
		}
	}
}

// TestGarbage: datagrams of every length that look like packets of the connection.
// RFC 9000, Section 10.3 [6].
func TestGarbage(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		by := tc.bystand()
		rng := rand.New(rand.NewPCG(7, 7))
		for n := range 400 {
			b := make([]byte, n+9)
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			copy(b[1:], tc.dcid.bytes())
			for _, first := range []byte{0x40, 0x43, 0x44, 0x5f, 0x00, 0xc0, 0xd0, 0xe0, 0xf0} {
				b[0] = first
				if first&0x80 != 0 && len(b) > 14 {
					copy(b[1:], "\x00\x00\x00\x01\x08")
					copy(b[6:], tc.dcid.bytes())
				}
				tc.deliver(append([]byte(nil), b...), tc.peerAddr, NotECT)
			}
		}
		tc.wantOpen("garbage is no reason to close")
		tc.flush()
		by.check()
	})
}

// TestMillionStreams: where the limit is a million, one frame opens no more than 4096 streams. A
// peer that opens them one after another may open more as it goes on.
func TestMillionStreams(t *testing.T) {
	const limit = 1_000_000
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.InitialMaxStreamsBidi = limit })
	if got := tc.peer.streams.peerLimit[Bidi]; got != maxStreamsAhead {
		t.Errorf("the transport parameter is %d", got)
	}
	tc.ignore(wire.FrameAck)
	tc.write(finFrame(tc.theirs(Bidi, maxStreamsAhead-1), 0, "x"))
	if got := len(tc.c.streams.all); got != maxStreamsAhead {
		t.Errorf("one frame opens %d streams", got)
	}
	tc.wantFrame("as many more", maxStreamsFrame(Bidi, 2*maxStreamsAhead))
	tc.write(finFrame(tc.theirs(Bidi, 2*maxStreamsAhead-1), 0, "x"))
	tc.wantFrame("and again", maxStreamsFrame(Bidi, 3*maxStreamsAhead))
	tc.write(finFrame(tc.theirs(Bidi, limit-1), 0, "x"))
	tc.wantClosed("beyond what was allowed", errStreamLimit)
}
