package conn

import (
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/wire"
)

// TestReaderBesideUnreadStreams: a stream that is read goes on although others, which nobody reads,
// hold more than half of the window of the connection.
func TestReaderBesideUnreadStreams(t *testing.T) {
	const window = 1000
	data := func(n int) string { return strings.Repeat("x", n) }
	for name, story := range map[string]func(tc *testConn, read, unread StreamID){
		"the window is full, and the reader takes what there is": func(tc *testConn, read, unread StreamID) {
			tc.write(streamFrame(unread, 0, data(950)), streamFrame(read, 0, data(50)))
			tc.wantIdle("nothing was read")
			tc.readStream(tc.stream(read))
			tc.wantFrame("all that there is", maxDataFrame(window+50))
		},
		"the window fills behind the reader": func(tc *testConn, read, unread StreamID) {
			tc.write(streamFrame(read, 0, data(50)))
			tc.readStream(tc.stream(read))
			tc.wantIdle("the peer has credit left")
			tc.write(streamFrame(unread, 0, data(950)))
			tc.wantFrame("all that there is", maxDataFrame(window+50))
		},
		"the peer keeps a part of its credit": func(tc *testConn, read, unread StreamID) {
			tc.write(streamFrame(unread, 0, data(900)), streamFrame(read, 0, data(50)))
			tc.readStream(tc.stream(read))
			tc.wantIdle("the peer has credit left")
			tc.write(dataBlockedFrame(window - 1))
			tc.wantIdle("it waited for what it has by now")
			tc.write(dataBlockedFrame(window))
			tc.wantFrame("all that there is", maxDataFrame(window+50))
			tc.write(dataBlockedFrame(window))
			tc.wantIdle("that was about the limit before")
		},
		"the peer resets what nobody reads": func(tc *testConn, read, unread StreamID) {
			tc.write(streamFrame(unread, 0, data(400)), streamFrame(read, 0, data(600)))
			tc.wantIdle("nothing was read")
			tc.write(resetStreamFrame(unread, 7, 400))
			tc.wantFrame("what is free now", maxDataFrame(window+400))
		},
		"a reader that takes little at a time": func(tc *testConn, read, unread StreamID) {
			tc.write(streamFrame(unread, 0, data(800)), streamFrame(read, 0, data(200)))
			b, s := make([]byte, 20), tc.stream(read)
			for range 3 {
				s.Read(b)
			}
			tc.wantIdle("no credit for a packet of 60 bytes")
			s.Read(b)
			tc.wantFrame("a sixteenth of the window", maxDataFrame(window+80))
		},
	} {
		t.Run(name, func(t *testing.T) {
			sides(t, func(t *testing.T, server bool) {
				tc := newTestConn(t, server, func(s *testSetup) {
					s.conn.InitialMaxData, s.conn.MaxData = window, window
				})
				tc.ignore(wire.FrameAck)
				story(tc, tc.theirs(Uni, 1), tc.theirs(Uni, 0))
			})
		})
	}
}
