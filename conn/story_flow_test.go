package conn

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// Flow control (RFC 9000, Section 4).

// RFC 9000, Section 2.2 [3]; RFC 9000, Section 4.1 [1, 4]; RFC 9000, Section 19.9 [1]; RFC 9000,
// Section 19.10 [3].
// RFC 9000, Section 19.12 [1]; RFC 9000, Section 19.13 [1].
func TestStreamLimitHoldsSender(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, func(s *testSetup) { s.peer.InitialMaxStreamData = 4 })
		s := tc.open(Uni)
		tc.writeStream(s, "123456789")
		tc.wantFrame("what is allowed", streamFrame(s.ID(), 0, "1234"))
		// RFC 9000, Section 4.1
		tc.wantFrame("and word that it is not enough", streamBlockedFrame(s.ID(), 4))
		tc.wantIdle("no more")
		tc.ackAll()
		tc.write(maxStreamDataFrame(s.ID(), 3))
		tc.ignore(wire.FrameAck)
		tc.wantIdle("limits do not fall")
		tc.write(maxStreamDataFrame(s.ID(), 6))
		tc.wantFrame("what is allowed now", streamFrame(s.ID(), 4, "56"))
		tc.wantFrame("once for each limit", streamBlockedFrame(s.ID(), 6))
		tc.write(maxStreamDataFrame(s.ID(), 1<<62-1))
		tc.wantFrame("the rest", streamFrame(s.ID(), 6, "789"))
		tc.wantIdle("all is sent")
		if n := tc.c.Stats().StreamBlocks; n != 2 {
			t.Errorf("StreamBlocks = %d", n)
		}
	})
}

// RFC 9000, Section 2.2 [3]; RFC 9000, Section 4.1 [1, 4]; RFC 9000, Section 19.9 [1]; RFC 9000,
// Section 19.10 [3].
// RFC 9000, Section 19.12 [1]; RFC 9000, Section 19.13 [1].
func TestConnLimitHoldsSender(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, func(s *testSetup) { s.peer.InitialMaxData = 7 })
		a, b := tc.open(Uni), tc.open(Uni)
		tc.writeStream(a, "12345")
		tc.wantFrame("what is allowed", streamFrame(a.ID(), 0, "12345"))
		tc.writeStream(b, "6789")
		tc.wantFrame("what is allowed", streamFrame(b.ID(), 0, "67"))
		tc.wantFrame("and word that it is not enough", dataBlockedFrame(7))
		tc.writeStream(a, "x")
		tc.wantIdle("once")
		if s := tc.c.Stats(); s.ConnBlocks != 1 || s.StreamBlocks != 0 {
			t.Errorf("ConnBlocks = %d, StreamBlocks = %d", s.ConnBlocks, s.StreamBlocks)
		}
		tc.must(b.CloseWrite())
		tc.wantIdle("FIN waits for its data")
		tc.ackAll()
		tc.ignore(wire.FrameAck)
		tc.write(maxDataFrame(8))
		tc.collect()
		f, _ := tc.nextFrame()
		if f.typ != wire.FrameStream || len(f.data) != 1 {
			t.Fatalf("one byte more is allowed, but %v was sent", f)
		}
		tc.flush()
		tc.write(maxDataFrame(100))
		n := 0
		for tc.collect(); ; {
			f, ok := tc.nextFrame()
			if !ok {
				break
			}
			n += len(f.data)
		}
		if n != 2 {
			t.Errorf("%d bytes follow", n)
		}
	})
}

// TestReserveOfCredit: while the limit of the connection holds a long stream up, a part of each new
// credit is kept for short ones, unless a more urgent one waits.
func TestReserveOfCredit(t *testing.T) {
	for _, urgency := range []int{-1, 0, 1} {
		tc := newTestConn(t, true, func(s *testSetup) { s.peer.InitialMaxData = 16_000 })
		tc.c.path.cc = &wideController{}
		sent := func(why string, want uint64) {
			t.Helper()
			if tc.collect(); tc.c.flow.sent != want {
				t.Errorf("urgency %+d: %s: %d bytes sent, want %d", urgency, why, tc.c.flow.sent, want)
			}
		}
		short := func(n int) {
			s := tc.open(Uni)
			s.SetPriority(Priority{Urgency: int8(urgency), Incremental: true})
			tc.writeStream(s, strings.Repeat("s", n))
		}
		tc.writeStream(tc.open(Uni), strings.Repeat("l", 60_000))
		sent("the limit was none before", 16_000)
		tc.write(maxDataFrame(32_000))
		sent("an eighth of what came is kept", 30_000)
		if urgency > 0 {
			short(1_500)
			sent("not for what is less urgent", 30_000)
			continue
		}
		short(1_500)
		sent("a short one has it", 31_500)
		short(1_500)
		sent("all of it", 32_000)
		tc.write(maxDataFrame(48_000))
		sent("again", 46_000)
	}
}

// TestReserveIsReleased: a peer may give no credit until all of it was used. So nothing is kept
// once it has acknowledged everything, whether that was sent once or again.
func TestReserveIsReleased(t *testing.T) {
	for _, lose := range []bool{false, true} {
		tc := newTestConn(t, true, func(s *testSetup) { s.peer.InitialMaxData = 16_000 })
		tc.c.path.cc = &wideController{}
		s := tc.open(Uni)
		tc.writeStream(s, strings.Repeat("l", 60_000))
		tc.collect()
		tc.write(maxDataFrame(32_000))
		if tc.collect(); tc.c.flow.sent != 30_000 {
			t.Errorf("loss %t: nothing is kept: %d bytes sent", lose, tc.c.flow.sent)
		}
		if lose {
			last := tc.queue[len(tc.queue)-1]
			tc.lostByGap(last)
		}
		tc.ackAll()
		tc.ackAll() // what was lost, too
		if tc.collect(); tc.c.flow.sent != 32_000 {
			t.Errorf("loss %t: %d bytes sent", lose, tc.c.flow.sent)
		}
		tc.write(maxDataFrame(32_001))
		tc.ackAll()
		tc.write(maxDataFrame(32_010))
		tc.ackAll()
		if tc.collect(); tc.c.flow.sent != 32_010 {
			t.Errorf("loss %t: %d bytes sent after small credit", lose, tc.c.flow.sent)
		}
	}
}

// TestReserveIsNotKeptFromNewData: what is written when everything was acknowledged may use all
// credit, because no ACK would come that could release it.
func TestReserveIsNotKeptFromNewData(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.peer.InitialMaxData = 16_000 })
	tc.c.path.cc = &wideController{}
	s := tc.open(Uni)
	tc.writeStream(s, strings.Repeat("l", 30_000))
	tc.collect()
	tc.write(maxDataFrame(32_000))
	tc.ackAll()
	tc.writeStream(s, strings.Repeat("l", 5_000))
	if tc.collect(); tc.c.flow.sent != 32_000 {
		t.Errorf("%d bytes sent", tc.c.flow.sent)
	}
}

// TestPriorityWhileBlocked: a stream that waits for MAX_DATA goes on when that comes, even if its
// priority has changed meanwhile.
func TestPriorityWhileBlocked(t *testing.T) {
	tc := newTestConn(t, false, func(s *testSetup) { s.peer.InitialMaxData = 5 })
	s := tc.open(Uni)
	tc.writeStream(s, "123456789")
	tc.wantFrame("what is allowed", streamFrame(s.ID(), 0, "12345"))
	tc.wantFrame("and word that it is not enough", dataBlockedFrame(5))
	s.SetPriority(Priority{Urgency: 2})
	tc.ackAll()
	tc.write(maxDataFrame(100))
	tc.ignore(wire.FrameAck)
	tc.wantFrame("the rest", streamFrame(s.ID(), 5, "6789"))
}

func TestEmptyStreamNeedsNoCredit(t *testing.T) {
	tc := newTestConn(t, false, func(s *testSetup) { s.peer.InitialMaxData, s.peer.InitialMaxStreamData = -1, -1 })
	s := tc.open(Uni)
	tc.must(s.CloseWrite())
	tc.wantFrame("FIN alone is always allowed", finFrame(s.ID(), 0, ""))
}

// TestLostDataNeedsNoCredit: data that is sent again counts only once.
func TestLostDataNeedsNoCredit(t *testing.T) {
	losses(t, func(t *testing.T, lost func(*testConn, *seenPacket)) {
		tc := newTestConn(t, false, func(s *testSetup) { s.peer.InitialMaxData = 5 })
		s := tc.open(Uni)
		tc.writeStream(s, "12345")
		p := tc.wantFrame("all of the credit", streamFrame(s.ID(), 0, "12345"))
		lost(tc, p)
		tc.ignore(wire.FramePing)
		tc.wantFrame("again", streamFrame(s.ID(), 0, "12345"))
		if tc.c.flow.sent != 5 {
			t.Errorf("%d bytes count", tc.c.flow.sent)
		}
	})
}

// TestCreditFollowsReading: credit is given as data is read, in steps of half a window.
// RFC 9000, Section 4.2 [1].
func TestCreditFollowsReading(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.InitialMaxStreamData = 1000 })
	tc.ignore(wire.FrameAck)
	id := tc.theirs(Uni, 0)
	tc.write(streamFrame(id, 0, string(make([]byte, 900))))
	s := tc.stream(id)
	tc.wantIdle("nothing was read")
	s.Read(make([]byte, 499))
	tc.wantIdle("less than half was read")
	s.Read(make([]byte, 1))
	tc.wantFrame("half was read", maxStreamDataFrame(id, 1500))
	s.Read(make([]byte, 400))
	tc.wantIdle("not half of the new credit")
}

func TestWindowGrowsWithTheRoundTrip(t *testing.T) {
	for _, piece := range []int{10000, 50} {
		t.Run(fmt.Sprintf("reads of %d", piece), func(t *testing.T) { windowGrows(t, piece) })
	}
}

// windowGrows tests with an application that reads at most piece bytes at a time. However many it
// reads at once, a window grows once.
func windowGrows(t *testing.T, piece int) {
	tc := newTestConn(t, true, func(s *testSetup) {
		s.conn.InitialMaxStreamData, s.conn.MaxStreamData = 1000, 5000
		s.conn.InitialMaxData, s.conn.MaxData = 10000, 10000
	})
	id := tc.theirs(Uni, 0)
	off, limit := uint64(0), uint64(1000)
	grow := func(wait time.Duration) uint64 {
		tc.now = tc.now.Add(wait)
		for off < limit {
			n := min(limit-off, 1000)
			tc.write(streamFrame(id, off, string(make([]byte, n))))
			off += n
		}
		for s, b := tc.stream(id), make([]byte, piece); s.in.Ready() > 0; {
			s.Read(b)
		}
		tc.collect()
		for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
			if f.typ == wire.FrameMaxStreamData {
				limit = f.v[1]
			}
		}
		return limit - off
	}
	if got := grow(testRTT); got != 1000 {
		t.Errorf("the first window is %d", got)
	}
	for _, want := range []uint64{2000, 4000, 5000, 5000} {
		if got := grow(testRTT); got != want {
			t.Errorf("a window that is used up in a round trip becomes %d, want %d", got, want)
		}
	}
	tc = newTestConn(t, true, func(s *testSetup) { s.conn.InitialMaxStreamData = 1000 })
	off, limit = 0, 1000
	for range 5 {
		if got := grow(10 * testRTT); got != 1000 {
			t.Errorf("a window that is used up slowly becomes %d", got)
		}
	}
}

// TestWindowsUnderMaxBuffered: the windows of all connections together grow only up to a limit.
func TestWindowsUnderMaxBuffered(t *testing.T) {
	const most = 64 << 10 // a connection with its handshake, and little more
	tc := newTestConn(t, true, func(s *testSetup) {
		s.conn.InitialMaxStreamData, s.conn.InitialMaxData = 1000, 1000
		s.endpoint.MaxBuffered = most
	})
	id := tc.theirs(Uni, 0)
	tc.fillWindows(id, 30)
	if size := tc.c.flow.size; size > 1000+most || size < 4000 || tc.e.extraCredit > most {
		t.Errorf("the window grew to %d, all of them by %d", size, tc.e.extraCredit)
	}
	tc.c.Close(0, "")
	if tc.e.extraCredit != 0 {
		t.Errorf("%d bytes of credit belong to nobody", tc.e.extraCredit)
	}
}

// stream2 returns the limit of a stream. If the stream does not exist, it returns initial.
func (tc *testConn) stream2(id StreamID, initial uint64) uint64 {
	if s := tc.c.streams.all[id]; s != nil {
		return s.recvMax
	}
	return initial
}

// RFC 9000, Section 4.6 [2, 4, 5, 6]; RFC 9000, Section 19.11 [2, 3]; RFC 9000, Section 19.14 [1].
func TestStreamCount(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		for _, dir := range []Dir{Bidi, Uni} {
			tc := newTestConn(t, server, func(s *testSetup) { s.peer.InitialMaxStreamsBidi, s.peer.InitialMaxStreamsUni = 2, 2 })
			tc.open(dir)
			tc.open(dir)
			if _, err := tc.c.OpenStream(dir); err != ErrStreamLimit {
				t.Fatalf("a third stream: %v", err)
			}
			tc.wantFrame("the peer is told", streamsBlockedFrame(dir, 2)) // RFC 9000, Section 4.6
			tc.c.OpenStream(dir)
			tc.wantIdle("once")
			tc.write(maxStreamsFrame(dir, 2), maxStreamsFrame(dir, 1))
			tc.wantNoEvent("that is no more")
			tc.write(maxStreamsFrame(dir, 3))
			tc.wantEvent("one more", EventStreamsAvailable)
			tc.open(dir)
			if _, err := tc.c.OpenStream(dir); err != ErrStreamLimit {
				t.Fatalf("a fourth stream: %v", err)
			}
			tc.ignore(wire.FrameAck)
			tc.wantFrame("once for each limit", streamsBlockedFrame(dir, 3))
			if s := tc.c.Stats(); s.StreamLimitBlocks != 2 || s.StreamsOpened != 3 || s.StreamsAccepted != 0 {
				t.Errorf("StreamLimitBlocks = %d, StreamsOpened = %d, StreamsAccepted = %d", s.StreamLimitBlocks, s.StreamsOpened, s.StreamsAccepted)
			}
		}
	})
}

func TestUnsentBytes(t *testing.T) {
	tc := newTestConn(t, false, func(s *testSetup) { s.peer.InitialMaxStreamData = 100; s.conn.UnsentBytes = 1000 })
	s := tc.open(Uni)
	n, err := s.Write(make([]byte, 5000))
	if n != 1000 || err != ErrWouldBlock || s.Available() != 0 {
		t.Fatalf("Write took %d bytes: %v; %d more are available", n, err, s.Available())
	}
	tc.flush() // sends 100
	tc.wantNoEvent("there is room, but for less than half of it")
	if s.Available() != 100 {
		t.Errorf("%d bytes are available", s.Available())
	}
	tc.write(maxStreamDataFrame(s.ID(), 600))
	tc.wantEvent("there is room for half of it", EventStreamWritable)
	tc.flush()
	tc.write(maxStreamDataFrame(s.ID(), 800))
	tc.wantNoEvent("nobody was refused since")
}

// TestSlowReader: bytes that are not read give no credit, and so hold the sender back.
func TestSlowReader(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.InitialMaxData, s.conn.InitialMaxStreamData = 2000, 2000 })
	id := tc.theirs(Uni, 0)
	for off := uint64(0); off < 2000; off += 500 {
		tc.write(streamFrame(id, off, string(make([]byte, 500))))
	}
	tc.ignore(wire.FrameAck)
	tc.advance(5 * time.Second)
	tc.wantIdle("no credit for what nobody reads")
	if n := tc.e.chunks.Used(); n > 3*4096 {
		t.Errorf("%d bytes are held", n)
	}
	tc.stream(id).Release()
	tc.flush()
	if tc.c.flow.consumed != 2000 || tc.e.chunks.Used() != 0 {
		t.Errorf("%d bytes credited, %d are held", tc.c.flow.consumed, tc.e.chunks.Used())
	}
}

// TestGrowFirstWindows: a window whose first half was used up quickly grows with the first credit,
// if that is asked for.
func TestGrowFirstWindows(t *testing.T) {
	for _, grow := range []bool{false, true} {
		tc := newTestConn(t, true, func(s *testSetup) {
			s.conn.InitialMaxStreamData, s.conn.InitialMaxData = 1000, 1000
			s.conn.GrowFirstWindows = grow
		})
		tc.fillWindows(tc.theirs(Uni, 0), 1)
		want := int64(1000)
		if grow {
			want = 1000 + 2000 // beside that of the stream, which has grown too
		}
		if size, _ := tc.c.Window(); size != want {
			t.Errorf("%v: the window is %d", grow, size)
		}
	}
}

// TestAllowWindowIncrease: the application keeps a window from growing.
func TestAllowWindowIncrease(t *testing.T) {
	for _, allow := range []bool{false, true} {
		asked := int64(0)
		tc := newTestConn(t, true, func(s *testSetup) {
			s.conn.InitialMaxStreamData, s.conn.InitialMaxData = 1000, 1000
			s.conn.AllowWindowIncrease = func(_ *Conn, delta int64) bool {
				asked += delta
				return allow
			}
		})
		id := tc.theirs(Uni, 0)
		tc.fillWindows(id, 5)
		if grown := tc.c.flow.size - 1000; asked == 0 || allow != (grown == asked) || tc.e.extraCredit != grown {
			t.Errorf("with %v: asked for %d bytes, the window grew by %d", allow, asked, grown)
		}
	}
}

// TestWindowIsAskedForAgain: the application refuses the window that grown streams need, and is
// asked again by reads that are slow.
func TestWindowIsAskedForAgain(t *testing.T) {
	refuse := true
	tc := newTestConn(t, true, func(s *testSetup) {
		s.conn.InitialMaxStreamData, s.conn.MaxStreamData = 1000, 2000
		s.conn.InitialMaxData, s.conn.GrowFirstWindows = 1000, true
		s.conn.AllowWindowIncrease = func(*Conn, int64) bool { return !refuse }
	})
	id := tc.theirs(Uni, 0)
	tc.fillWindows(id, 2)
	if s := tc.stream(id); s.window.size != 2000 || tc.c.flow.size != 1000 {
		t.Fatalf("the windows are %d and %d", s.window.size, tc.c.flow.size)
	}
	refuse = false
	off := tc.stream(id).highest
	for range 3 {
		tc.now = tc.now.Add(100 * testRTT)
		tc.write(streamFrame(id, off, string(make([]byte, 500))))
		off += 500
		tc.readStream(tc.stream(id))
		tc.flush()
	}
	if tc.c.flow.size < 3000 {
		t.Errorf("the window is %d", tc.c.flow.size)
	}
}

// TestGrownWindowIsTold: a peer that has used up the window of the connection learns at once that
// it has grown with that of a stream.
func TestGrownWindowIsTold(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) {
		s.conn.InitialMaxStreamData, s.conn.MaxStreamData = 4000, 64000
		s.conn.InitialMaxData, s.conn.MaxData = 8000, 1<<20
	})
	ids := []StreamID{tc.theirs(Uni, 0), tc.theirs(Uni, 1), tc.theirs(Uni, 2)}
	put := func(id StreamID, off uint64, n int) {
		for ; n > 0; n -= 1000 {
			tc.write(streamFrame(id, off, string(make([]byte, min(n, 1000)))))
			off += 1000
		}
	}
	fill := func() { // the peer uses all that it may
		for left := 1; left > 0; {
			tc.flush()
			left = int(tc.c.flow.recvMax - tc.c.flow.received)
			for _, id := range ids {
				var high, limit uint64 = 0, 4000
				if s := tc.c.streams.all[id]; s != nil {
					high, limit = s.highest, s.recvMax
				}
				n := min(int(limit-high), left)
				put(id, high, n)
				left -= n
			}
			left = int(tc.c.flow.recvMax - tc.c.flow.received)
		}
	}
	put(ids[0], 0, 2000)
	s, buf := tc.stream(ids[0]), make([]byte, 2000)
	s.Read(buf)
	tc.flush()
	tc.now = tc.now.Add(testRTT)
	before := s.window.size
	for fill(); s.window.size == before && s.in.Ready() > 300; {
		fill()
		s.Read(buf[:300])
	}
	tc.flush()
	if f := &tc.c.flow; s.window.size == before || f.recvMax == f.received {
		t.Errorf("the window of the stream is %d, of the connection %d; told %d, received %d",
			s.window.size, f.size, f.recvMax, f.received)
	}
}

// fillWindows has the peer send all that it may, and the application read it, so many times.
func (tc *testConn) fillWindows(id StreamID, times int) {
	tc.t.Helper()
	for off := uint64(0); times > 0; times-- {
		limit := min(tc.c.flow.recvMax, tc.stream2(id, 1000))
		for off < limit {
			n := min(limit-off, 1000)
			tc.write(streamFrame(id, off, string(make([]byte, n))))
			off += n
		}
		tc.now = tc.now.Add(testRTT)
		tc.readStream(tc.stream(id))
		tc.flush()
	}
}
