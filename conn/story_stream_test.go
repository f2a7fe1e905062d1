package conn

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/stream"
	"github.com/lazoquic/lazo/internal/wire"
)

// Streams: sending, receiving, and how they end (RFC 9000, Sections 2, 3 and 4.5).

// TestStreamPacking fills packets so that every small number of bytes is left for one more STREAM
// frame.
// RFC 9000, Section 12.2 [2].
func TestStreamPacking(t *testing.T) {
	for _, rest := range []string{"", "x", "xy", "a few bytes"} {
		for size := 1120; size < 1175; size++ {
			tc := newTestConn(t, false, func(s *testSetup) { s.peer.MaxDatagramFrameSize = 2000 })
			if _, err := tc.c.SendDatagram(make([]byte, size), DatagramOptions{}); err == ErrTooLarge {
				break
			}
			s := tc.open(Uni)
			tc.writeStream(s, rest)
			tc.must(s.CloseWrite())
			tc.ignore(wire.FrameDatagram)
			got, fin := "", false
			for tc.collect(); ; {
				f, ok := tc.nextFrame()
				if !ok {
					break
				}
				if f.typ != wire.FrameStream || f.v[1] != uint64(len(got)) {
					t.Fatalf("datagram of %d bytes: %v where offset %d is due", size, f, len(got))
				}
				got, fin = got+f.data, f.fin
			}
			if got != rest || !fin {
				t.Fatalf("datagram of %d bytes: %q was sent, FIN %v; want %q", size, got, fin, rest)
			}
		}
	}
}

// RFC 9000, Section 2.2 [1].
func TestStreamReassembly(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		id := tc.theirs(Uni, 0)
		tc.write(streamFrame(id, 6, "world"))
		tc.wantEvent("the stream is there", EventStreamOpened)
		tc.wantNoEvent("nothing can be read yet")
		tc.write(streamFrame(id, 3, "lo wor"))
		tc.wantNoEvent("nothing can be read yet")
		tc.write(streamFrame(id, 0, "hel"))
		ev := tc.wantEvent("now it can", EventStreamReadable)
		if got, err := tc.readStream(ev.Stream); got != "hello world" || err != ErrWouldBlock {
			t.Errorf("read %q, %v", got, err)
		}
		tc.write(streamFrame(id, 0, "hello world"))
		tc.wantNoEvent("nothing is new")
		tc.write(finFrame(id, 11, ""))
		tc.wantEvent("the end is", EventStreamReadable)
		if got, err := tc.readStream(ev.Stream); got != "" || err != io.EOF {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

// TestReadableEvents: an event follows each time that a reader was told to wait. There are no
// others.
func TestReadableEvents(t *testing.T) {
	tc := newTestConn(t, true)
	id := tc.theirs(Uni, 0)
	tc.write(streamFrame(id, 0, "a"))
	tc.wantEvent("the stream is there", EventStreamOpened)
	s := tc.wantEvent("the first data", EventStreamReadable).Stream
	tc.write(streamFrame(id, 1, "b"))
	tc.wantNoEvent("the reader has not come to the end yet")
	if b, err := s.Peek(1); string(b) == "" || err != nil {
		t.Fatalf("Peek returned %q, %v", b, err)
	}
	s.Discard(1)
	tc.write(streamFrame(id, 2, "c"))
	tc.wantNoEvent("nor now")
	if got, err := tc.readStream(s); got != "bc" || err != ErrWouldBlock {
		t.Fatalf("read %q, %v", got, err)
	}
	tc.write(streamFrame(id, 3, "d"))
	tc.wantEvent("now it has", EventStreamReadable)
}

// TestImplicitStreams: a frame for a stream opens all lower ones of its type (RFC 9000,
// Section 2.1).
// RFC 9000, Section 3.2 [1].
func TestImplicitStreams(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.write(stopSendingFrame(tc.theirs(Bidi, 2), 5))
		for i := range uint64(3) {
			if ev := tc.wantEvent("in order", EventStreamOpened); ev.Stream.ID() != tc.theirs(Bidi, i) {
				t.Errorf("stream %d", ev.Stream.ID())
			}
		}
		if ev := tc.wantEvent("and what happened to the last", EventStreamStopped); ev.Code != 5 || ev.Stream.ID() != tc.theirs(Bidi, 2) {
			t.Errorf("%+v", ev)
		}
		tc.ignore(wire.FrameAck)
		tc.wantFrame("it is reset at once", resetStreamFrame(tc.theirs(Bidi, 2), 5, 0))
	})
}

// RFC 9000, Section 3.5 [1, 2, 4].
func TestStopSending(t *testing.T) {
	tc := newTestConn(t, false)
	tc.ignore(wire.FrameAck)
	s := tc.open(Bidi)
	tc.writeStream(s, "hello")
	tc.wantFrame("data is sent", streamFrame(s.ID(), 0, "hello"))
	tc.writeStream(s, "unsent")
	tc.write(stopSendingFrame(s.ID(), 33))
	// RFC 9000, Section 3.5
	tc.wantFrame("the reset is sent without the application", resetStreamFrame(s.ID(), 33, 5))
	ev := tc.wantEvent("which learns of it", EventStreamStopped)
	if ev.Code != 33 || ev.Stream != s {
		t.Errorf("%+v", ev)
	}
	_, err := s.Write([]byte("more"))
	if se, ok := errors.AsType[*StreamError](err); !ok || se.Code != 33 || !se.Remote || se.ID != s.ID() {
		t.Errorf("Write returned %v", err)
	}
	tc.write(stopSendingFrame(s.ID(), 34))
	tc.wantNoEvent("once")
	tc.wantIdle("once")
	tc.write(streamFrame(s.ID(), 0, "the other way"))
	if got, _ := tc.readStream(s); got != "the other way" {
		t.Errorf("the other direction read %q", got)
	}
}

func TestStopSendingOfWhatHasArrived(t *testing.T) {
	tc := newTestConn(t, false)
	s := tc.open(Uni)
	tc.writeStream(s, "hello")
	tc.must(s.CloseWrite())
	tc.flush()
	tc.ackAll()
	tc.wantEvent("all has arrived", EventStreamAcked)
	tc.write(stopSendingFrame(s.ID(), 33))
	tc.ignore(wire.FrameAck)
	tc.wantIdle("there is nothing to stop")
	tc.wantNoEvent("there is nothing to stop")
}

// RFC 9000, Section 11.2 [1].
func TestResetStream(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		id := tc.theirs(Uni, 0)
		tc.write(streamFrame(id, 0, "hello"))
		tc.events = nil
		s := tc.stream(id)
		tc.events = nil
		tc.wantEvent("the stream is there", EventStreamOpened)
		tc.wantEvent("data", EventStreamReadable)
		tc.write(resetStreamFrame(id, 44, 100))
		if ev := tc.wantEvent("the peer gave up", EventStreamReset); ev.Code != 44 || ev.Stream != s {
			t.Errorf("%+v", ev)
		}
		_, err := s.Read(make([]byte, 10))
		if se, ok := errors.AsType[*StreamError](err); !ok || se.Code != 44 || !se.Remote {
			t.Errorf("Read returned %v", err)
		}
		if tc.c.flow.consumed != 100 || tc.c.flow.received != 100 {
			// RFC 9000, Section 4.5
			t.Errorf("credit for %d of %d bytes", tc.c.flow.consumed, tc.c.flow.received)
		}
		tc.write(resetStreamFrame(id, 44, 100), streamFrame(id, 20, "late"))
		tc.wantNoEvent("once")
	})
}

// TestResetBehindTheEnd: all data of a stream has come, so a reset of it has no effect (RFC 9000,
// Section 3.2).
func TestResetBehindTheEnd(t *testing.T) {
	tc := newTestConn(t, true)
	id := tc.theirs(Uni, 0)
	tc.write(finFrame(id, 0, "all"))
	tc.write(resetStreamFrame(id, 1, 3))
	if got, err := tc.readStream(tc.stream(id)); got != "all" || err != io.EOF {
		t.Errorf("read %q, %v", got, err)
	}
	if tc.hasEvent(EventStreamReset) {
		t.Error("the application was told")
	}
}

// TestReleaseEndsStreams: the peer may open another stream when both directions are done and the
// application has released the stream.
func TestReleaseEndsStreams(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		steps := map[string]func(tc *testConn, s *Stream){
			"read":    func(tc *testConn, s *Stream) { tc.write(finFrame(s.ID(), 0, "x")); tc.readStream(s) },
			"write":   func(tc *testConn, s *Stream) { s.CloseWrite(); tc.flush(); tc.ackAll() },
			"release": func(tc *testConn, s *Stream) { s.Release(); tc.flush(); tc.ackAll() },
		}
		for _, order := range []string{"read write release", "write read release"} {
			tc := newTestConn(t, server, func(s *testSetup) { s.conn.InitialMaxStreamsBidi = 1 })
			tc.ignore(wire.FrameAck)
			id := tc.theirs(Bidi, 0)
			tc.write(streamFrame(id, 0, ""))
			s := tc.stream(id)
			for _, step := range strings.Fields(order) {
				tc.wantIdle("no credit before " + step)
				steps[step](tc, s)
				if step == "release" {
					if tc.c.streams.limit[Bidi] != 2 || len(tc.c.streams.all) != 0 {
						t.Errorf("%s: limit %d, %d streams", order, tc.c.streams.limit[Bidi], len(tc.c.streams.all))
					}
				}
			}
		}
	})
}

// TestReleaseOfUnfinished: an early Release resets and stops the stream. The stream stays until the
// peer has done its part.
func TestReleaseOfUnfinished(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.InitialMaxStreamsBidi = 1 })
	tc.ignore(wire.FrameAck)
	id := tc.theirs(Bidi, 0)
	tc.write(streamFrame(id, 0, "hello"))
	tc.stream(id).Release()
	tc.wantFrame("sending is given up", resetStreamFrame(id, 0, 0))
	tc.wantFrame("receiving as well", stopSendingFrame(id, 0))
	tc.ackAll()
	tc.wantIdle("the peer may still send")
	tc.write(streamFrame(id, 5, "more"))
	tc.write(resetStreamFrame(id, 0, 9))
	tc.wantFrame("now it may open another", maxStreamsFrame(Bidi, 2))
	tc.events = nil
	tc.write(streamFrame(id, 0, "late"))
	tc.wantOpen("late frames of the old stream are ignored")
	tc.wantNoEvent("late frames of the old stream are ignored")
}

// TestStreamMemoryIsReused: late acknowledgements and losses of a stream do not change the stream
// that uses its memory now.
func TestStreamMemoryIsReused(t *testing.T) {
	tc := newTestConn(t, false)
	tc.ignore(wire.FrameAck)
	a := tc.open(Uni)
	tc.writeStream(a, "first")
	p := tc.wantFrame("data", streamFrame(a.ID(), 0, "first"))
	a.Reset(1)
	tc.wantFrame("reset", resetStreamFrame(a.ID(), 1, 5))
	a.Release()
	tc.lose(p)
	tc.ackAll() // only the reset
	b := tc.open(Uni)
	if a != b {
		t.Fatal("the memory is not reused, so this test says nothing")
	}
	tc.writeStream(b, "second")
	tc.wantFrame("data of the second", streamFrame(b.ID(), 0, "second"))
	tc.got[spaceApp].Add(p.pn, p.pn+1)
	tc.lose(tc.current)
	tc.ackAll() // the first packet of the first stream, late
	tc.wantIdle("nothing to do")
	if b.out.Acked(1) {
		t.Error("data of the second stream counts as acknowledged")
	}
	for range packetThreshold {
		tc.ping()
	}
	tc.flush()
	tc.ackAll()
	tc.wantFrame("its loss is noticed", streamFrame(b.ID(), 0, "second"))
}

// TestStopSendingComesTooLate: the peer ends the stream before STOP_SENDING reaches it.
// RFC 9000, Section 3.5 [2].
func TestStopSendingComesTooLate(t *testing.T) {
	tc := newTestConn(t, false)
	tc.ignore(wire.FrameAck)
	id := tc.theirs(Uni, 0)
	tc.write(streamFrame(id, 0, "x"))
	tc.flush()
	tc.stream(id).StopSending(1)
	tc.write(resetStreamFrame(id, 0, 1))
	tc.wantIdle("there is nothing left to stop") // RFC 9000, Section 3.5
}

// TestStreamCreditComesInBatches: there is one MAX_STREAMS for half of the streams, not one for
// each.
func TestStreamCreditComesInBatches(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.InitialMaxStreamsUni = 10 })
	tc.ignore(wire.FrameAck)
	for i := range uint64(5) {
		tc.wantIdle("the peer has plenty")
		id := tc.theirs(Uni, i)
		tc.write(finFrame(id, 0, ""))
		tc.readStream(tc.stream(id))
		tc.stream(id).Release()
	}
	tc.wantFrame("half of them are used up", maxStreamsFrame(Uni, 15))
}

// RFC 9000, Section 2.3 [1].
func TestPriorities(t *testing.T) {
	tc := newTestConn(t, true)
	low, high, normal := tc.open(Uni), tc.open(Uni), tc.open(Uni)
	low.SetPriority(Priority{Urgency: 4})
	high.SetPriority(Priority{Urgency: -3})
	for _, s := range []*Stream{low, high, normal} {
		tc.writeStream(s, "x")
	}
	for _, s := range []*Stream{high, normal, low} {
		tc.wantFrame("in the order of urgency", streamFrame(s.ID(), 0, "x"))
	}
}

// RFC 9000, Section 4.5 [2].
func TestWriteAfterTheEnd(t *testing.T) {
	tc := newTestConn(t, false)
	s := tc.open(Bidi)
	tc.must(s.CloseWrite())
	if _, err := s.Write([]byte("x")); err == nil {
		t.Error("Write after CloseWrite")
	}
	tc.must(s.CloseWrite()) // twice is fine
	s.StopSending(3)
	if _, err := s.Read(make([]byte, 1)); err == nil || errors.Is(err, ErrWouldBlock) {
		t.Errorf("Read after StopSending: %v", err)
	}
	u := tc.open(Uni)
	if _, err := u.Read(make([]byte, 1)); err == nil {
		t.Error("Read of a stream that only sends")
	}
	u.Reset(7)
	if _, err := u.Write([]byte("x")); err == nil {
		t.Error("Write after Reset")
	}
	tc.c.Close(9, "")
	for _, err := range []error{lastError(s.Write(nil)), lastError(tc.c.OpenStream(Uni)), lastError(tc.c.SendDatagram(nil, DatagramOptions{}))} {
		if err == nil {
			t.Error("a call on a closed connection succeeds")
		}
	}
}

func lastError[T any](_ T, err error) error { return err }

// A borrowed is memory that a stream uses, with the number of uses.
type borrowed struct {
	b    []byte
	uses int
}

func (l *borrowed) Lend() { l.uses++ }

// Return overwrites what the stream may not use any more.
func (l *borrowed) Return() {
	l.uses--
	if l.uses == 0 {
		clear(l.b)
	}
}

// TestWriteLent: lent data arrives like any other, also if packets are lost, and each part is used
// until it has arrived.
func TestWriteLent(t *testing.T) {
	tc := newTestConn(t, true)
	data := []byte(strings.Repeat("what is overwritten soon. ", 4000))
	s := tc.open(Uni)
	tc.writeStream(s, "head ")
	l := &borrowed{b: bytes.Clone(data)}
	n, err := s.WriteLent(l.b, l)
	if err != nil || n != len(data) {
		t.Fatalf("%d, %v", n, err)
	}
	if l.uses != n/stream.ChunkSize-1 {
		t.Errorf("%d uses of %d bytes", l.uses, n)
	}
	tc.must(s.CloseWrite())
	tc.wantAll("head " + string(data))
	if l.uses != 0 {
		t.Errorf("%d uses are left", l.uses)
	}
}

// wantAll checks that the data of the only stream arrives, although packets are lost.
func (tc *testConn) wantAll(data string) {
	tc.t.Helper()
	got := make([]byte, len(data))
	for range 200 {
		tc.collect()
		for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
			if tc.current.pn%7 == 3 {
				tc.lose(tc.current)
			} else if f.typ&^7 == wire.FrameStream {
				copy(got[f.v[1]:], f.data)
			}
		}
		tc.ackAll()
	}
	if string(got) != data {
		tc.t.Error("what arrives differs")
	}
	tc.wantEvent("all arrived", EventStreamAcked)
}

// TestLentUntilTheEnd: the uses of lent memory end with the stream or the connection, whatever ends
// it.
func TestLentUntilTheEnd(t *testing.T) {
	for name, end := range map[string]func(tc *testConn, s *Stream){
		"reset":         func(tc *testConn, s *Stream) { s.Reset(1) },
		"release":       func(tc *testConn, s *Stream) { s.Release() },
		"taken back":    func(tc *testConn, s *Stream) { s.TakeBack(1 << 20) },
		"stopped":       func(tc *testConn, s *Stream) { s.handleStopSending(1) },
		"close":         func(tc *testConn, s *Stream) { tc.c.Close(1, "") },
		"reset at":      func(tc *testConn, s *Stream) { s.ResetAt(1, 0); s.resetAcked() },
		"reset, behind": func(tc *testConn, s *Stream) { s.ResetBehind(1); s.Reset(1) },
	} {
		for _, sent := range []bool{false, true} {
			tc := newTestConn(t, true)
			s := tc.open(Uni)
			l := &borrowed{b: make([]byte, 100_000)}
			if _, err := s.WriteLent(l.b, l); err != nil {
				t.Fatal(err)
			}
			if l.uses != len(l.b)/stream.ChunkSize {
				t.Errorf("%s: %d uses", name, l.uses)
			}
			if sent {
				tc.collect()
			}
			left := 0
			if name == "taken back" { // not what is in flight
				left = (int(s.Sent()) + stream.ChunkSize - 1) / stream.ChunkSize
				if s.Sent()%stream.ChunkSize != 0 {
					left-- // the end of it is copied
				}
			}
			end(tc, s)
			if l.uses != left {
				t.Errorf("%s, sent %v: %d uses are left, want %d", name, sent, l.uses, left)
			}
		}
	}
}

// TestWriteShared: shared data arrives like any other, also if packets are lost. The Conn needs no
// memory for it.
func TestWriteShared(t *testing.T) {
	tc := newTestConn(t, true)
	data := []byte(strings.Repeat("what many peers are told. ", 4000))
	s := tc.open(Uni)
	tc.writeStream(s, "head ") // chunks of the stream then begin elsewhere than data
	n, err := s.WriteShared(data)
	if err != nil || n != len(data) {
		t.Fatalf("%d, %v", n, err)
	}
	if held := tc.e.chunks.Used(); held > 2*stream.ChunkSize {
		t.Errorf("%d bytes are held", held)
	}
	tc.must(s.CloseWrite())
	tc.wantAll("head " + string(data))
	if held := tc.e.chunks.Used(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}
