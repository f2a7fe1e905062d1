package conn

import (
	"errors"
	"testing"

	"github.com/lazoquic/lazo/internal/wire"
)

// RESET_STREAM_AT of peers that break its rules (draft-ietf-quic-reliable-stream-reset).

// writeResetAt writes a RESET_STREAM_AT frame on the first unidirectional stream of the peer.
func (tc *testConn) writeResetAt(code, size, reliable uint64) {
	tc.t.Helper()
	tc.send(testPacket{space: spaceApp, payload: tc.resetAt(tc.theirs(Uni, 0), code, size, reliable)})
}

func (tc *testConn) resetAt(id StreamID, code, size, reliable uint64) []byte {
	return wire.AppendResetStreamAt(nil, uint64(id), code, size, reliable)
}

func TestHostileResetAt(t *testing.T) {
	small := func(s *testSetup) {
		s.conn.InitialMaxStreamData, s.conn.InitialMaxData, s.conn.InitialMaxStreamsUni = 10, 25, 3
	}
	data := func(n uint64, s string) func(*testConn) {
		return func(tc *testConn) { tc.write(streamFrame(tc.theirs(Uni, n), 0, s)) }
	}
	for _, h := range []struct {
		name           string
		before         func(*testConn)
		ours           bool   // on a stream in our direction only
		n              uint64 // of the stream
		size, reliable uint64
		code           uint64
	}{
		{name: "more is reliable than there is", size: 7, reliable: 8, code: errFrameEncoding},
		{name: "a stream that only we send on", ours: true, size: 1, code: errStreamState, before: func(tc *testConn) { tc.open(Uni) }},
		{name: "a stream of ours that was not opened", ours: true, size: 1, code: errStreamState},
		{name: "a stream above the limit", n: 3, size: 1, code: errStreamLimit},
		{name: "beyond the limit of the stream", size: 11, reliable: 1, code: errFlowControl},
		{name: "at the largest size", size: 1<<62 - 1, reliable: 1, code: errFlowControl},
		{name: "beyond the limit of the connection", n: 2, size: 6, reliable: 6, code: errFlowControl, before: func(tc *testConn) {
			data(0, "0123456789")(tc)
			data(1, "0123456789")(tc)
		}},
		{name: "before data", before: data(0, "0123"), size: 3, reliable: 3, code: errFinalSize},
		{name: "other than FIN", size: 5, reliable: 5, code: errFinalSize, before: func(tc *testConn) {
			tc.write(finFrame(tc.theirs(Uni, 0), 0, "0123"))
		}},
		{name: "other than the reset before", before: func(tc *testConn) { tc.writeResetAt(1, 8, 4) }, size: 9, reliable: 4, code: errFinalSize},
		{name: "another error code than before", before: func(tc *testConn) { tc.writeResetAt(2, 8, 4) }, size: 8, reliable: 4, code: errStreamState},
		{name: "another error code, and nothing is reliable", before: func(tc *testConn) { tc.writeResetAt(2, 8, 4) }, size: 8, code: errStreamState},
		{name: "another error code than RESET_STREAM", size: 8, reliable: 4, code: errStreamState, before: func(tc *testConn) {
			tc.write(resetStreamFrame(tc.theirs(Uni, 0), 2, 8))
		}},
		{name: "other than RESET_STREAM", size: 9, reliable: 4, code: errFinalSize, before: func(tc *testConn) {
			tc.write(resetStreamFrame(tc.theirs(Uni, 0), 1, 8))
		}},
	} {
		t.Run(h.name, func(t *testing.T) {
			sides(t, func(t *testing.T, server bool) {
				tc := newTestConn(t, server, small)
				if h.before != nil {
					h.before(tc)
				}
				tc.wantOpen("the peer was honest until now")
				tc.flush()
				tc.events = nil
				id := tc.theirs(Uni, h.n)
				if h.ours {
					id = tc.ours(Uni, h.n)
				}
				tc.send(testPacket{space: spaceApp, payload: tc.resetAt(id, 1, h.size, h.reliable)})
				tc.wantClosed("no honest peer sends this", h.code)
			})
		})
	}
}

// TestDataBehindResetAt: data behind the final size of a stream that was reset is an error too.
func TestDataBehindResetAt(t *testing.T) {
	tc := newTestConn(t, true)
	tc.writeResetAt(1, 8, 4)
	tc.write(streamFrame(tc.theirs(Uni, 0), 4, "4567"))
	tc.wantOpen("it was sent before the reset")
	tc.events = nil
	tc.write(streamFrame(tc.theirs(Uni, 0), 8, "8"))
	tc.wantClosed("the stream has eight bytes", errFinalSize)
}

// TestResetAtChangesItsMind: a peer promises more and more bytes, or fewer and fewer. The smallest
// number counts, and the application hears of it once.
func TestResetAtChangesItsMind(t *testing.T) {
	tc := newTestConn(t, true)
	for reliable := range uint64(1000) {
		tc.writeResetAt(7, 2000, 1000+reliable)
	}
	for reliable := uint64(1000); reliable > 4; reliable-- {
		tc.writeResetAt(7, 2000, reliable)
	}
	tc.writeResetAt(7, 2000, 1500)
	tc.writeResetAt(7, 2000, 5)
	tc.wantOpen("that may be reordered")
	s := tc.stream(tc.theirs(Uni, 0))
	tc.write(streamFrame(s.ID(), 0, "01234"))
	got, err := tc.readStream(s)
	var se *StreamError
	if got != "01234" || !errors.As(err, &se) || se.Code != 7 {
		t.Errorf("read %q, %v", got, err)
	}
	n := 0
	for tc.collectEvents(); len(tc.events) > 0; tc.events = tc.events[1:] {
		if tc.events[0].Kind == EventStreamReset {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d events of the reset", n)
	}
	if used := tc.e.chunks.Used(); used != 0 {
		t.Errorf("%d bytes are held for a stream that is over", used)
	}
}

// TestResetAtNotOffered: the frame has an unknown type for a side that has not offered it. Such a
// side may still send the frame.
func TestResetAtNotOffered(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, func(s *testSetup) { s.conn.DisableResetStreamAt = true })
		if !tc.c.ResetAtSupported() {
			t.Error("what the peer offers is not known")
		}
		tc.writeResetAt(1, 8, 4)
		tc.wantClosed("it was not negotiated", errFrameEncoding)
	})
}

// TestFinalSize: the size of a stream is known once the peer has reset or ended it.
func TestFinalSize(t *testing.T) {
	tc := newTestConn(t, true)
	for n, end := range []func(id StreamID){
		func(id StreamID) { tc.write(resetStreamFrame(id, 1, 8)) },
		func(id StreamID) { tc.send(testPacket{space: spaceApp, payload: tc.resetAt(id, 1, 8, 4)}) },
		func(id StreamID) { tc.write(finFrame(id, 4, "4567")) },
	} {
		id := tc.theirs(Uni, uint64(n))
		tc.write(streamFrame(id, 0, "0123"))
		s := tc.stream(id)
		if size, known := s.FinalSize(); known {
			t.Errorf("the size is %d before the end", size)
		}
		end(id)
		if size, known := s.FinalSize(); size != 8 || !known {
			t.Errorf("the size is %d, %t", size, known)
		}
	}
}
