package conn

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// What happens to each type of frame when its packet is lost (RFC 9000, Section 13.3).

// A lostCase makes the Conn send one frame, and says what must follow the loss of that frame.
type lostCase struct {
	name  string
	side  string // "client" or "server" if only that sends the frame
	edit  func(*testSetup)
	cause func(tc *testConn) // makes the Conn send the frame
	// the frame; with fill, v and data are those of the frame that was sent
	sent   frame
	fill   bool
	change func(tc *testConn) // happens between sending and loss
	again  []frame            // frames that are sent after the loss; if nil, the same frame
	never  bool               // nothing is sent after the loss
}

// RFC 9000, Section 13.3 [1, 2, 3].
func TestLostFrames(t *testing.T) {
	for _, l := range lostCases() {
		t.Run(l.name, func(t *testing.T) {
			sides(t, func(t *testing.T, server bool) {
				if l.side == "client" && server || l.side == "server" && !server {
					return
				}
				losses(t, func(t *testing.T, lost func(*testConn, *seenPacket)) { l.run(t, server, lost) })
			})
		})
	}
}

func (l lostCase) run(t *testing.T, server bool, lost func(*testConn, *seenPacket)) {
	tc := newTestConn(t, server, func(s *testSetup) {
		if l.edit != nil {
			l.edit(s)
		}
	})
	tc.ignore(wire.FrameAck, wire.FrameAckECN)
	l.cause(tc)
	got, p := tc.wantType("the frame is sent", l.sent.typ)
	if l.fill {
		l.sent = got
	} else if got != l.sent {
		t.Fatalf("want %v, got %v", l.sent, got)
	}
	tc.wantIdle("it is sent once")
	if l.change != nil {
		l.change(tc)
	}
	lost(tc, p)
	tc.ignore(wire.FramePing)
	if l.again == nil && !l.never {
		l.again = []frame{l.sent}
	}
	for _, f := range l.again {
		tc.wantFrame("after the loss", f)
	}
	tc.wantIdle("nothing else follows the loss")
	tc.ackAll()
	tc.wantIdle("once all is acknowledged, all is quiet")
	if n := tc.c.path.inFlight; n != 0 {
		t.Fatalf("%d bytes are in flight still", n)
	}
	tc.advance(2 * time.Second)
	tc.wantIdle("and it stays quiet")
}

func lostCases() []lostCase {
	var s *Stream // the stream of the case that runs
	return []lostCase{
		{
			name:  "PING",
			cause: func(tc *testConn) { tc.ping() },
			sent:  pingFrame(),
			never: true,
		},
		{
			name: "RESET_STREAM",
			cause: func(tc *testConn) {
				s = tc.open(Uni)
				tc.writeStream(s, "never mind")
				tc.flush()
				tc.ackAll()
				s.Reset(77)
			},
			sent: frame{typ: wire.FrameResetStream}, fill: true,
		},
		{
			name: "STOP_SENDING",
			cause: func(tc *testConn) {
				tc.write(streamFrame(tc.theirs(Uni, 0), 0, "unwanted"))
				tc.flush()
				tc.stream(tc.theirs(Uni, 0)).StopSending(78)
			},
			sent: frame{typ: wire.FrameStopSending}, fill: true,
		},
		{
			name: "STOP_SENDING of what has ended meanwhile",
			cause: func(tc *testConn) {
				tc.write(streamFrame(tc.theirs(Uni, 0), 0, "unwanted"))
				tc.flush()
				tc.stream(tc.theirs(Uni, 0)).StopSending(78)
			},
			sent: frame{typ: wire.FrameStopSending}, fill: true,
			change: func(tc *testConn) { tc.write(resetStreamFrame(tc.theirs(Uni, 0), 78, 8)) },
			never:  true,
		},
		{
			name: "MAX_DATA",
			edit: func(s *testSetup) { s.conn.InitialMaxData = 100 },
			cause: func(tc *testConn) {
				tc.write(streamFrame(tc.theirs(Uni, 0), 0, string(make([]byte, 60))))
				tc.readStream(tc.stream(tc.theirs(Uni, 0)))
			},
			sent: maxDataFrame(160),
			change: func(tc *testConn) {
				tc.write(streamFrame(tc.theirs(Uni, 0), 60, string(make([]byte, 20))))
				tc.readStream(tc.stream(tc.theirs(Uni, 0)))
			},
			again: []frame{maxDataFrame(180)}, // RFC 9000, Section 13.3: the newest value
		},
		{
			name: "MAX_STREAM_DATA",
			edit: func(s *testSetup) { s.conn.InitialMaxStreamData = 100 },
			cause: func(tc *testConn) {
				tc.write(streamFrame(tc.ours(Bidi, 0)^1, 0, string(make([]byte, 60))))
				tc.readStream(tc.stream(tc.theirs(Bidi, 0)))
			},
			sent: frame{typ: wire.FrameMaxStreamData}, fill: true,
		},
		{
			name: "MAX_STREAM_DATA of a stream whose end came",
			edit: func(s *testSetup) { s.conn.InitialMaxStreamData = 100 },
			cause: func(tc *testConn) {
				tc.write(streamFrame(tc.theirs(Uni, 0), 0, string(make([]byte, 60))))
				tc.readStream(tc.stream(tc.theirs(Uni, 0)))
			},
			sent: frame{typ: wire.FrameMaxStreamData}, fill: true,
			change: func(tc *testConn) { tc.write(finFrame(tc.theirs(Uni, 0), 60, "")) },
			never:  true,
		},
		{
			name: "MAX_STREAMS (uni)",
			edit: func(s *testSetup) { s.conn.InitialMaxStreamsUni = 2 },
			cause: func(tc *testConn) {
				tc.write(finFrame(tc.theirs(Uni, 0), 0, "x"))
				tc.flush()
				s := tc.stream(tc.theirs(Uni, 0))
				tc.readStream(s)
				s.Release()
			},
			sent: maxStreamsFrame(Uni, 3),
		},
		{
			name: "MAX_STREAMS (bidi)",
			edit: func(s *testSetup) { s.conn.InitialMaxStreamsBidi = 2 },
			cause: func(tc *testConn) {
				tc.write(finFrame(tc.theirs(Bidi, 0), 0, "x"))
				s := tc.stream(tc.theirs(Bidi, 0))
				tc.readStream(s)
				tc.must(s.CloseWrite())
				tc.flush()
				tc.ackAll()
				s.Release()
			},
			sent: maxStreamsFrame(Bidi, 3),
		},
		{
			name: "DATA_BLOCKED",
			edit: func(s *testSetup) { s.peer.InitialMaxData = -1 },
			cause: func(tc *testConn) {
				s = tc.open(Uni)
				tc.writeStream(s, "hello")
			},
			sent: dataBlockedFrame(0),
		},
		{
			name: "DATA_BLOCKED of a limit that has risen",
			edit: func(s *testSetup) { s.peer.InitialMaxData = -1 },
			cause: func(tc *testConn) {
				s = tc.open(Uni)
				tc.writeStream(s, "hello")
			},
			sent: dataBlockedFrame(0),
			change: func(tc *testConn) {
				tc.write(maxDataFrame(100))
				tc.wantFrame("the data leaves", streamFrame(s.ID(), 0, "hello"))
				tc.lose(tc.current) // either packet may be missing here
			},
			again: []frame{streamFrame(2, 0, "hello")},
			side:  "client",
		},
		{
			name: "STREAM_DATA_BLOCKED",
			edit: func(s *testSetup) { s.peer.InitialMaxStreamData = -1 },
			cause: func(tc *testConn) {
				s = tc.open(Uni)
				tc.writeStream(s, "hello")
			},
			sent: frame{typ: wire.FrameStreamDataBlocked}, fill: true,
		},
		{
			name: "STREAMS_BLOCKED (bidi)",
			edit: func(s *testSetup) { s.peer.InitialMaxStreamsBidi = -1 },
			cause: func(tc *testConn) {
				if _, err := tc.c.OpenStream(Bidi); err != ErrStreamLimit {
					tc.t.Fatal(err)
				}
			},
			sent: streamsBlockedFrame(Bidi, 0),
		},
		{
			name: "STREAMS_BLOCKED (uni)",
			edit: func(s *testSetup) { s.peer.InitialMaxStreamsUni = -1 },
			cause: func(tc *testConn) {
				if _, err := tc.c.OpenStream(Uni); err != ErrStreamLimit {
					tc.t.Fatal(err)
				}
			},
			sent: streamsBlockedFrame(Uni, 0),
		},
		{
			name: "STREAMS_BLOCKED of a limit that has risen",
			edit: func(s *testSetup) { s.peer.InitialMaxStreamsUni = -1 },
			cause: func(tc *testConn) {
				if _, err := tc.c.OpenStream(Uni); err != ErrStreamLimit {
					tc.t.Fatal(err)
				}
			},
			sent:   streamsBlockedFrame(Uni, 0),
			change: func(tc *testConn) { tc.write(maxStreamsFrame(Uni, 1)) },
			never:  true,
		},
		{
			name:  "NEW_CONNECTION_ID",
			cause: func(tc *testConn) { tc.write(retireIDFrame(1)) },
			sent:  frame{typ: wire.FrameNewConnectionID}, fill: true,
		},
		{
			name:  "RETIRE_CONNECTION_ID",
			cause: func(tc *testConn) { tc.write(newIDFrame(4, 1, "a new connection ID")) },
			sent:  retireIDFrame(0),
		},
		{
			name: "ACK_FREQUENCY",
			edit: func(s *testSetup) { s.conn.DisableAckFrequency, s.peer.DisableAckFrequency = false, false },
			cause: func(tc *testConn) {
				f := &tc.c.ackFreq
				f.asked, f.delay, f.due, f.decideAt = 10, 5*time.Millisecond, true, never
				tc.c.control.any = true
				tc.c.wake()
			},
			sent:  ackFrequencyFrame(0, 9, 5000, 1),
			again: []frame{ackFrequencyFrame(1, 9, 5000, 1)}, // only newer numbers count
		},
		{
			name:  "PATH_RESPONSE",
			cause: func(tc *testConn) { tc.write(challengeFrame("chal#001")) },
			sent:  responseFrame("chal#001"),
			never: true, // RFC 9000, Section 13.3: just once
		},
	}
}

// RFC 9000, Section 2.2 [2].
func TestLostStream(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		losses(t, func(t *testing.T, lost func(*testConn, *seenPacket)) {
			tc := newTestConn(t, server)
			tc.ignore(wire.FramePing)
			s := tc.open(Bidi)
			tc.writeStream(s, "hello")
			p := tc.wantFrame("data is sent", streamFrame(s.ID(), 0, "hello"))
			lost(tc, p)
			tc.wantFrame("lost data is sent again", streamFrame(s.ID(), 0, "hello"))
			tc.ackAll()
			tc.writeStream(s, "more")
			tc.wantFrame("what was written later has its own place", streamFrame(s.ID(), 5, "more"))
			tc.ackAll()
			tc.wantIdle("once it is acknowledged, all is quiet")
			if n := tc.c.stats.StreamBytesRetransmitted; n != 5 {
				t.Errorf("%d bytes count as sent again", n)
			}
		})
	})
}

func TestLostStreamWithFIN(t *testing.T) {
	losses(t, func(t *testing.T, lost func(*testConn, *seenPacket)) {
		tc := newTestConn(t, false)
		tc.ignore(wire.FramePing)
		s := tc.open(Uni)
		tc.writeStream(s, "all")
		tc.must(s.CloseWrite())
		p := tc.wantFrame("data and FIN are sent", finFrame(s.ID(), 0, "all"))
		lost(tc, p)
		tc.wantFrame("both are sent again", finFrame(s.ID(), 0, "all"))
		tc.wantNoEvent("nothing is acknowledged yet")
		tc.ackAll()
		tc.wantEvent("all has arrived", EventStreamAcked)
		tc.wantIdle("all is quiet")
	})
}

func TestLostFINAlone(t *testing.T) {
	losses(t, func(t *testing.T, lost func(*testConn, *seenPacket)) {
		tc := newTestConn(t, true)
		tc.ignore(wire.FramePing)
		s := tc.open(Uni)
		tc.writeStream(s, "all")
		tc.wantFrame("data is sent", streamFrame(s.ID(), 0, "all"))
		tc.ackAll()
		tc.must(s.CloseWrite())
		p := tc.wantFrame("FIN follows alone", finFrame(s.ID(), 3, ""))
		lost(tc, p)
		tc.wantFrame("FIN is sent again, without what has arrived", finFrame(s.ID(), 3, ""))
		tc.ackAll()
		tc.wantEvent("all has arrived", EventStreamAcked)
	})
}

func TestLostMiddleOfStream(t *testing.T) {
	tc := newTestConn(t, false)
	tc.ignore(wire.FramePing)
	s := tc.open(Uni)
	var packets []*seenPacket
	for i, part := range []string{"one", "two", "three", "four", "five"} {
		tc.writeStream(s, part)
		if i == 4 {
			tc.must(s.CloseWrite())
		}
		_, p := tc.wantType("each part is sent", wire.FrameStream)
		packets = append(packets, p)
	}
	tc.lose(packets[1])
	tc.ackAll()
	tc.wantFrame("the part that was lost is sent again, and it alone", streamFrame(s.ID(), 3, "two"))
	tc.wantIdle("nothing else is")
	tc.wantNoEvent("FIN alone does not end a stream")
	tc.ackAll()
	tc.wantEvent("now all has arrived", EventStreamAcked)
}

// RFC 9000, Section 3.3 [1, 2]; RFC 9000, Section 3.5 [3].
func TestLostStreamThatWasReset(t *testing.T) {
	losses(t, func(t *testing.T, lost func(*testConn, *seenPacket)) {
		tc := newTestConn(t, true)
		tc.ignore(wire.FramePing)
		s := tc.open(Uni)
		tc.writeStream(s, "hello")
		p := tc.wantFrame("data is sent", streamFrame(s.ID(), 0, "hello"))
		s.Reset(9)
		tc.wantFrame("the reset is sent", resetStreamFrame(s.ID(), 9, 5))
		tc.ackAll() // both
		tc.lose(p)
		tc.wantIdle("all is quiet")

		s = tc.open(Uni)
		tc.writeStream(s, "hello")
		p = tc.wantFrame("data is sent", streamFrame(s.ID(), 0, "hello"))
		s.Reset(9)
		tc.wantFrame("the reset is sent", resetStreamFrame(s.ID(), 9, 5))
		lost(tc, p)
		for tc.collect(); ; {
			f, ok := tc.nextFrame()
			if !ok {
				break
			}
			if f.typ == wire.FrameStream {
				t.Fatal("data of a stream that was reset is sent again") // RFC 9000, Section 13.3
			}
		}
	})
}

// TestProbeAfterARepairedLoss: data was lost, sent again and acknowledged. A later probe does not
// have it.
func TestProbeAfterARepairedLoss(t *testing.T) {
	tc := newTestConn(t, true, func(s *testSetup) { s.conn.InitialMaxData = 100 })
	tc.ignore(wire.FrameAck, wire.FramePing)
	tc.write(streamFrame(tc.theirs(Uni, 0), 0, string(make([]byte, 60))))
	tc.readStream(tc.stream(tc.theirs(Uni, 0)))
	p := tc.wantFrame("credit", maxDataFrame(160))
	tc.lostByGap(p)
	tc.wantFrame("is lost and repaired", maxDataFrame(160))
	tc.ackAll()
	s := tc.open(Uni)
	tc.writeStream(s, "x")
	tc.wantFrame("data", streamFrame(s.ID(), 0, "x"))
	tc.advanceToTimer()
	if tc.c.stats.PTOs != 1 {
		t.Fatal("no probe timeout")
	}
	tc.wantFrame("the probe has the data", streamFrame(s.ID(), 0, "x"))
	tc.wantIdle("and nothing old")
}

// beforeConfirmation returns a server that has just confirmed the handshake and has not sent
// HANDSHAKE_DONE.
func beforeConfirmation(t *testing.T) *testConn {
	tc := startTestConn(t, true)
	tc.exchange(func() bool { return tc.c != nil && tc.c.state == stateConfirmed })
	tc.takeOver()
	return tc
}

func TestLostAfterHandshake(t *testing.T) {
	losses(t, func(t *testing.T, lost func(*testConn, *seenPacket)) {
		tc := beforeConfirmation(t)
		tc.collect()
		want := make(map[uint64]int)
		var packets []*seenPacket
		for _, p := range tc.queue {
			packets = append(packets, p)
			for _, f := range p.frames {
				if f.typ != wire.FrameAck {
					want[f.typ]++
				}
			}
		}
		for _, typ := range []uint64{wire.FrameHandshakeDone, wire.FrameNewToken, wire.FrameCrypto, wire.FrameNewConnectionID} {
			if want[typ] == 0 {
				// RFC 9001, Section 4.1.2 [1]
				t.Errorf("%s is missing at the end of the handshake", frameName(typ))
			}
		}
		for _, p := range packets {
			tc.lose(p)
		}
		lost(tc, packets[0])
		tc.collect()
		for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
			want[f.typ]--
		}
		for typ, n := range want {
			if n > 0 && typ != wire.FramePadding {
				t.Errorf("%s is not sent again", frameName(typ))
			}
		}
	})
}

func TestLostCryptoOfHandshake(t *testing.T) {
	for _, space := range []spaceID{spaceInitial, spaceHandshake} {
		losses(t, func(t *testing.T, lost func(*testConn, *seenPacket)) {
			tc := startTestConn(t, true)
			tc.exchange(func() bool { return tc.c != nil })
			tc.c.path.validated = true // keeps anti-amplification out of this test
			tc.collect()
			tc.ignore(wire.FrameAck)
			var first *seenPacket
			var f frame
			for _, p := range tc.queue {
				if p.space == space && first == nil {
					first = p
				}
			}
			for _, f = range first.frames {
				if f.typ == wire.FrameCrypto {
					break
				}
			}
			tc.keepKeys()
			tc.dcid = *tc.peer.remote.current()
			tc.dcid = tc.c.local.ids[0].id
			tc.next[space] = 10
			tc.lose(first)
			tc.flush()
			if t.Name()[len(t.Name())-3:] == "PTO" {
				tc.advanceToTimer()
			} else {
				for range packetThreshold {
					tc.c.spaces[space].probes = 1
					tc.c.wake()
					tc.collect()
				}
				tc.flush()
				tc.writeIn(space, tc.ackOf(space))
			}
			tc.collect()
			for _, p := range tc.queue {
				for _, again := range p.frames {
					if p.space == space && again == f {
						return
					}
				}
			}
			t.Fatalf("the CRYPTO frame is not sent again: %v", tc.queue)
		})
	}
}

func TestLostDatagram(t *testing.T) {
	losses(t, func(t *testing.T, lost func(*testConn, *seenPacket)) {
		tc := newTestConn(t, false, func(s *testSetup) { s.peer.MaxDatagramFrameSize = 1000 })
		id, err := tc.c.SendDatagram([]byte("ephemeral"), DatagramOptions{Notify: true})
		tc.must(err)
		p := tc.wantFrame("the datagram is sent", datagramFrame("ephemeral"))
		lost(tc, p)
		tc.ignore(wire.FramePing)
		tc.wantIdle("a datagram is not sent again") // RFC 9221, Section 5.2
		tc.ackAll()
		if ev := tc.wantEvent("the application learns of the loss", EventDatagramLost); ev.ID != id {
			t.Errorf("the event is of datagram %d", ev.ID)
		}
		if st := tc.c.Stats(); st.DatagramsLost != 1 || st.DatagramsAcked != 0 {
			t.Errorf("counted: %+v", st)
		}
	})
}

func TestLostPathChallenge(t *testing.T) {
	tc := newTestConn(t, true)
	tc.left = tc.peerAddr
	tc.ignore(wire.FrameAck, wire.FramePing, wire.FrameRetireConnectionID)
	tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, from: elsewhere(1), size: 1000})
	first, _ := tc.wantType("a client that has moved is challenged", wire.FramePathChallenge)
	tc.wantIdle("once")
	tc.advance(5 * time.Second / 2)
	second, _ := tc.wantType("without an answer, it is challenged again", wire.FramePathChallenge)
	if second.data == first.data {
		t.Error("the second challenge has the data of the first") // RFC 9000, Section 13.3
	}
	tc.send(testPacket{space: spaceApp, frames: []frame{responseFrame(first.data)}, from: elsewhere(1)})
	tc.wantEvent("a late answer to the first counts", EventPathChanged)
}

// RFC 9000, Section 11.1 [2].
func TestLostConnectionClose(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.c.Close(5, "bye")
		tc.wantFrame("the peer is told", appCloseFrame(5, "bye"))
		tc.advance(10 * time.Millisecond)
		tc.wantIdle("no timer makes it told again") // RFC 9000, Section 10.2.1
		tc.write(pingFrame())
		tc.wantFrame("a peer that missed it is told again", appCloseFrame(5, "bye"))
	})
}

func TestLostAck(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		first := tc.next[spaceApp]
		tc.write(pingFrame())
		tc.write(pingFrame())
		lost, _ := tc.wantType("the pings are acknowledged", wire.FrameAck)
		tc.lose(tc.current)
		tc.write(pingFrame())
		tc.write(pingFrame())
		next, _ := tc.wantType("the later ones are too", wire.FrameAck)
		want := frame{typ: wire.FrameAck, data: next.data}
		if got := next.data; got[:len(got)-1] != lost.data[:len(lost.data)-1] || next != want {
			t.Fatalf("the second acknowledgement, %v, does not include the first, %v, of packets from %d", next, lost, first)
		}
	})
}
