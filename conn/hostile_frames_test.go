package conn

import (
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/wire"
)

// A hostileCase is a 1-RTT packet that no honest peer sends, and the connection error that must
// follow.
type hostileCase struct {
	name    string
	side    string // "client" or "server" if only such a Conn is tested
	edit    func(*testSetup)
	before  func(tc *testConn) // honest behaviour before
	frames  func(tc *testConn) []frame
	payload string // behind frames
	code    uint64
}

// RFC 9000, Section 5.2 [1]; RFC 9000, Section 11 [1, 2]; RFC 9000, Section 11.1 [1].
func TestHostileFrames(t *testing.T) {
	var cases []hostileCase
	cases = append(cases, hostileEncodings()...)
	cases = append(cases, hostileAcks()...)
	cases = append(cases, hostileStreams()...)
	cases = append(cases, hostileSizes()...)
	cases = append(cases, hostileIDs()...)
	cases = append(cases, hostileRest()...)
	cases = append(cases, hostilePaths()...)
	for _, h := range cases {
		t.Run(strings.ReplaceAll(h.name, " ", "-"), func(t *testing.T) {
			sides(t, func(t *testing.T, server bool) {
				if h.side == "client" && server || h.side == "server" && !server {
					return
				}
				h.run(t, server)
			})
		})
	}
}

func (h hostileCase) run(t *testing.T, server bool) {
	var edits []func(*testSetup)
	if h.edit != nil {
		edits = append(edits, h.edit)
	}
	tc := newTestConn(t, server, edits...)
	by := tc.bystand()
	if h.before != nil {
		h.before(tc)
	}
	tc.wantOpen("the peer was honest until now")
	tc.flush()
	tc.events = nil
	p := testPacket{space: spaceApp, payload: []byte(h.payload)}
	if h.frames != nil {
		p.frames = h.frames(tc)
	}
	tc.send(p)
	tc.wantClosed("no honest peer sends this", h.code)
	if n := tc.e.chunks.Used(); n != heldInChunks(by.c) {
		t.Errorf("%d bytes are still held for the connection", n)
	}
	by.check()
}

// only makes the frames of a case whose frames are always the same.
func only(f ...frame) func(*testConn) []frame { return func(*testConn) []frame { return f } }

// RFC 9000, Section 12.4 [2, 4].
func hostileEncodings() []hostileCase {
	return []hostileCase{
		{name: "unknown frame", payload: "\x21", code: errFrameEncoding},
		{name: "unknown frame of a long type", payload: "\x7f\xff", code: errFrameEncoding},
		{name: "unknown frame of the longest type", payload: "\xff\xff\xff\xff\xff\xff\xff\xff", code: errFrameEncoding},
		{name: "PING in two bytes", payload: "\x40\x01", code: errProtocolViolation},
		{name: "PADDING in eight bytes", payload: "\xc0\x00\x00\x00\x00\x00\x00\x00", code: errProtocolViolation},
		{name: "frame type cut short", payload: "\xc0\x01", code: errFrameEncoding},
		{name: "no frames", code: errProtocolViolation},
	}
}

// TestHostileTruncation cuts every frame short at every byte.
func TestHostileTruncation(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		for _, f := range allFrames(server) {
			whole := f.append(nil)
			for n := 1; n < len(whole); n++ {
				tc := newTestConn(t, server, func(s *testSetup) {
					s.conn.MaxDatagramFrameSize = 1000
					s.conn.DisableAckFrequency, s.peer.DisableAckFrequency = false, false
				})
				tc.send(testPacket{space: spaceApp, payload: whole[:n]})
				tc.wantClosed(f.String()+" cut short", errFrameEncoding)
			}
		}
	})
}

// allFrames returns a frame of each type that has fields. Each has a length, also where the length
// may be left out.
func allFrames(server bool) []frame {
	theirs := StreamID(1)
	if server {
		theirs = 0
	}
	all := []frame{
		ackFrame("0"), ackFrame("5 3 0-1"), ackECNFrame("5 0-1", 1, 2, 3),
		resetStreamFrame(theirs, 1, 2), stopSendingFrame(theirs, 1), cryptoFrame(3, "abc"), streamFrame(theirs, 7, "data"),
		finFrame(theirs, 0, "x"), maxDataFrame(1 << 20), maxStreamDataFrame(theirs, 1<<20), maxStreamsFrame(Bidi, 1000),
		maxStreamsFrame(Uni, 1000), dataBlockedFrame(1000), streamBlockedFrame(theirs, 1000), streamsBlockedFrame(Bidi, 1000),
		streamsBlockedFrame(Uni, 1000), newIDFrame(9, 1, "connection ID"), retireIDFrame(1000), challengeFrame("12345678"),
		responseFrame("12345678"), closeFrame(1, 2, "reason"), appCloseFrame(3, "reason"), datagramFrame("datagram"),
		ackFrequencyFrame(1, 2, 30000, 4),
	}
	if !server {
		all = append(all, newTokenFrame("token"))
	}
	return all
}

// RFC 9000, Section 13.1 [2]; RFC 9000, Section 19.3.1 [1].
func hostileAcks() []hostileCase {
	return []hostileCase{
		{
			name: "ACK of a packet that was never sent", code: errProtocolViolation,
			frames: func(tc *testConn) []frame {
				return []frame{ackFrame(rangeString(0, tc.c.spaces[spaceApp].sent.next))}
			},
		},
		{
			name: "ACK of the largest packet number", code: errProtocolViolation,
			frames: only(ackFrame("4611686018427387903")),
		},
		{name: "ACK whose first range goes below zero", payload: "\x02\x01\x00\x00\x02", code: errFrameEncoding},
		{name: "ACK whose gap goes below zero", payload: "\x02\x02\x00\x01\x00\x02\x00", code: errFrameEncoding},
		{name: "ACK whose second range goes below zero", payload: "\x02\x04\x00\x01\x00\x00\x05", code: errFrameEncoding},
		{name: "ACK of more ranges than there are", payload: "\x02\x02\x00\x3f\x00\x00\x00", code: errFrameEncoding},
		{
			name: "ACK of a packet number that was left out", code: errProtocolViolation,
			before: func(tc *testConn) {
				tc.c.skipNext = tc.c.spaces[spaceApp].sent.next + 2
				for range 6 {
					tc.ping()
				}
				if len(tc.queue) != 6 || tc.queue[5].pn-tc.queue[0].pn != 6 {
					tc.t.Fatalf("no packet number was left out: %v", tc.queue)
				}
			},
			frames: func(tc *testConn) []frame {
				n := uint64(tc.largest[spaceApp])
				return []frame{ackFrame(rangeString(n-6, n))}
			},
		},
		{
			name: "ACK of a packet number that was left out, by one who acknowledges each", code: errProtocolViolation,
			before: func(tc *testConn) {
				next := tc.c.spaces[spaceApp].sent.next
				tc.c.skipNext = next + 2
				for pn := next; pn < next+2; pn++ {
					tc.ping()
					tc.write(ackFrame(rangeString(pn, pn)))
				}
				tc.ping()
			},
			frames: func(tc *testConn) []frame {
				// The Conn has left out the number before the last.
				n := uint64(tc.largest[spaceApp])
				return []frame{ackFrame(rangeString(n-1, n-1))}
			},
		},
	}
}

// RFC 9000, Section 4.6 [1, 3]; RFC 9000, Section 19.4 [1]; RFC 9000, Section 19.5 [1, 2]; RFC
// 9000, Section 19.8 [1]; RFC 9000, Section 19.10 [1, 2]; RFC 9000, Section 19.13 [2]; RFC 9000,
// Section 19.14 [2].
// RFC 9000, Section 19.11 [1, 4].
func hostileStreams() []hostileCase {
	all := []hostileCase{
		{
			name: "STREAM on a stream of ours that was not opened", code: errStreamState,
			frames: func(tc *testConn) []frame { return []frame{streamFrame(tc.ours(Bidi, 0), 0, "x")} },
		},
		{
			name: "STREAM on a stream that only we send on", code: errStreamState,
			before: func(tc *testConn) { tc.open(Uni) },
			frames: func(tc *testConn) []frame { return []frame{streamFrame(tc.ours(Uni, 0), 0, "x")} },
		},
		{
			name: "RESET_STREAM on a stream that only we send on", code: errStreamState,
			before: func(tc *testConn) { tc.open(Uni) },
			frames: func(tc *testConn) []frame { return []frame{resetStreamFrame(tc.ours(Uni, 0), 0, 0)} },
		},
		{
			name: "STREAM_DATA_BLOCKED on a stream that only we send on", code: errStreamState,
			before: func(tc *testConn) { tc.open(Uni) },
			frames: func(tc *testConn) []frame { return []frame{streamBlockedFrame(tc.ours(Uni, 0), 0)} },
		},
		{
			name: "RESET_STREAM on a stream of ours that was not opened", code: errStreamState,
			frames: func(tc *testConn) []frame { return []frame{resetStreamFrame(tc.ours(Bidi, 3), 0, 0)} },
		},
		{
			name: "STOP_SENDING on a stream of ours that was not opened", code: errStreamState,
			frames: func(tc *testConn) []frame { return []frame{stopSendingFrame(tc.ours(Uni, 0), 0)} },
		},
		{
			name: "STOP_SENDING on a stream that only the peer sends on", code: errStreamState,
			frames: func(tc *testConn) []frame { return []frame{stopSendingFrame(tc.theirs(Uni, 0), 0)} },
		},
		{
			name: "STOP_SENDING on an open stream that only the peer sends on", code: errStreamState,
			before: func(tc *testConn) { tc.write(streamFrame(tc.theirs(Uni, 0), 0, "x")) },
			frames: func(tc *testConn) []frame { return []frame{stopSendingFrame(tc.theirs(Uni, 0), 0)} },
		},
		{
			name: "MAX_STREAM_DATA on a stream of ours that was not opened", code: errStreamState,
			frames: func(tc *testConn) []frame { return []frame{maxStreamDataFrame(tc.ours(Bidi, 0), 9)} },
		},
		{
			name: "MAX_STREAM_DATA on a stream that only the peer sends on", code: errStreamState,
			frames: func(tc *testConn) []frame { return []frame{maxStreamDataFrame(tc.theirs(Uni, 0), 9)} },
		},
		{name: "MAX_STREAMS above 2^60", frames: only(maxStreamsFrame(Bidi, 1<<60+1)), code: errFrameEncoding},
		{name: "MAX_STREAMS (uni) above 2^60", frames: only(maxStreamsFrame(Uni, 1<<62-1)), code: errFrameEncoding},
		{name: "STREAMS_BLOCKED above 2^60", frames: only(streamsBlockedFrame(Bidi, 1<<60+1)), code: errFrameEncoding},
		{name: "STREAMS_BLOCKED (uni) above 2^60", frames: only(streamsBlockedFrame(Uni, 1<<62-1)), code: errFrameEncoding},
	}
	for dir := range Dir(2) {
		for _, f := range []func(id StreamID) frame{
			func(id StreamID) frame { return streamFrame(id, 0, "x") },
			func(id StreamID) frame { return resetStreamFrame(id, 0, 0) },
			func(id StreamID) frame { return streamBlockedFrame(id, 0) },
			func(id StreamID) frame { return stopSendingFrame(id, 0) },
			func(id StreamID) frame { return maxStreamDataFrame(id, 0) },
		} {
			if typ := f(0).typ; dir == Uni && (typ == wire.FrameStopSending || typ == wire.FrameMaxStreamData) {
				continue
			}
			all = append(all, hostileCase{
				name: frameName(f(0).typ) + " on a stream above the limit", code: errStreamLimit,
				edit:   func(s *testSetup) { s.conn.InitialMaxStreamsBidi, s.conn.InitialMaxStreamsUni = 5, 5 },
				before: func(tc *testConn) { tc.write(f(tc.theirs(dir, 4))) },
				frames: func(tc *testConn) []frame { return []frame{f(tc.theirs(dir, 5))} },
			})
		}
	}
	return all
}

// RFC 9000, Section 4.1 [2]; RFC 9000, Section 4.5 [1, 3, 4]; RFC 9000, Section 19.8 [2]; RFC 9000,
// Section 19.9 [2]; RFC 9000, Section 19.10 [4].
func hostileSizes() []hostileCase {
	small := func(s *testSetup) { s.conn.InitialMaxStreamData, s.conn.InitialMaxData = 10, 25 }
	their := func(tc *testConn) StreamID { return tc.theirs(Uni, 0) }
	write := func(frames ...func(tc *testConn) frame) func(*testConn) {
		return func(tc *testConn) {
			for _, f := range frames {
				tc.write(f(tc))
			}
		}
	}
	data := func(off uint64, s string) func(tc *testConn) frame {
		return func(tc *testConn) frame { return streamFrame(their(tc), off, s) }
	}
	fin := func(off uint64, s string) func(tc *testConn) frame {
		return func(tc *testConn) frame { return finFrame(their(tc), off, s) }
	}
	reset := func(size uint64) func(tc *testConn) frame {
		return func(tc *testConn) frame { return resetStreamFrame(their(tc), 1, size) }
	}
	one := func(f func(tc *testConn) frame) func(*testConn) []frame {
		return func(tc *testConn) []frame { return []frame{f(tc)} }
	}
	full := func(tc *testConn) {
		for i := range uint64(2) {
			tc.write(streamFrame(tc.theirs(Uni, i), 0, "0123456789"))
		}
	}
	stopped := func(tc *testConn) {
		tc.write(streamFrame(their(tc), 0, "0123456789"))
		tc.stream(their(tc)).StopSending(0)
	}
	return []hostileCase{
		{name: "data beyond the limit of the stream", edit: small, frames: one(data(0, "0123456789a")), code: errFlowControl},
		{name: "a byte beyond the limit of the stream", edit: small, frames: one(data(10, "a")), code: errFlowControl},
		{name: "a byte at the largest offset", frames: one(data(1<<62-2, "a")), code: errFlowControl},
		{name: "a byte beyond the largest offset", frames: one(data(1<<62-1, "a")), code: errFrameEncoding},
		{name: "FIN beyond the limit of the stream", edit: small, frames: one(fin(11, "")), code: errFlowControl},
		{name: "RESET_STREAM beyond the limit of the stream", edit: small, frames: one(reset(11)), code: errFlowControl},
		{name: "RESET_STREAM at the largest size", frames: one(reset(1<<62 - 1)), code: errFlowControl},
		{name: "data beyond the limit of the connection", edit: small, before: full, code: errFlowControl,
			frames: func(tc *testConn) []frame { return []frame{streamFrame(tc.theirs(Uni, 2), 0, "012345")} }},
		{name: "FIN beyond the limit of the connection", edit: small, before: full, code: errFlowControl,
			frames: func(tc *testConn) []frame { return []frame{finFrame(tc.theirs(Uni, 2), 6, "")} }},
		{name: "RESET_STREAM beyond the limit of the connection", edit: small, before: full, code: errFlowControl,
			frames: func(tc *testConn) []frame { return []frame{resetStreamFrame(tc.theirs(Uni, 2), 0, 6)} }},
		{name: "data on a stopped stream beyond the limit", edit: small, before: stopped, frames: one(data(10, "a")), code: errFlowControl},

		{name: "data behind FIN", before: write(fin(0, "abc")), frames: one(data(3, "d")), code: errFinalSize},
		{name: "data behind FIN that stands alone", before: write(fin(3, "")), frames: one(data(2, "cd")), code: errFinalSize},
		{name: "FIN before data", before: write(data(0, "abc")), frames: one(fin(2, "")), code: errFinalSize},
		{name: "FIN moves up", before: write(fin(3, "")), frames: one(fin(4, "")), code: errFinalSize},
		{name: "FIN moves down", before: write(fin(3, "")), frames: one(fin(2, "")), code: errFinalSize},
		{name: "RESET_STREAM before data", before: write(data(0, "abc")), frames: one(reset(2)), code: errFinalSize},
		{name: "RESET_STREAM before FIN", before: write(fin(3, "")), frames: one(reset(2)), code: errFinalSize},
		{name: "RESET_STREAM behind FIN", before: write(fin(3, "")), frames: one(reset(4)), code: errFinalSize},
		{name: "RESET_STREAM changes its mind", before: write(reset(3)), frames: one(reset(4)), code: errFinalSize},
		// RFC 9000, Section 13.3
		{name: "RESET_STREAM with another error code", before: write(reset(3)), code: errStreamState,
			frames: func(tc *testConn) []frame { return []frame{resetStreamFrame(their(tc), 2, 3)} }},
		{name: "RESET_STREAM with another error code than RESET_STREAM_AT", frames: one(reset(8)), code: errStreamState,
			before: func(tc *testConn) { tc.writeResetAt(2, 8, 4) }},
		{name: "RESET_STREAM with another error code on a stopped stream", frames: one(reset(10)), code: errStreamState,
			before: func(tc *testConn) { stopped(tc); tc.writeResetAt(2, 10, 10) }},
		{name: "data behind RESET_STREAM", before: write(reset(3)), frames: one(data(3, "x")), code: errFinalSize},
		{name: "FIN other than RESET_STREAM", before: write(reset(3)), frames: one(fin(1, "x")), code: errFinalSize},
		{name: "data behind FIN of a stopped stream", frames: one(data(10, "x")), code: errFinalSize,
			before: func(tc *testConn) { stopped(tc); tc.write(finFrame(their(tc), 10, "")) },
		},
	}
}

// RFC 9000, Section 5.1.1 [5]; RFC 9000, Section 19.15 [1, 3, 6]; RFC 9000, Section 19.16 [1, 3].
func hostileIDs() []hostileCase {
	token := string(resetTokenOf(7))
	return []hostileCase{
		{name: "NEW_CONNECTION_ID that retires itself", frames: only(newIDFrame(4, 5, "an ID")), code: errFrameEncoding},
		{name: "NEW_CONNECTION_ID without ID", payload: "\x18\x04\x04\x00" + token, code: errFrameEncoding},
		{name: "NEW_CONNECTION_ID of 21 bytes", frames: only(newIDFrame(4, 4, strings.Repeat("x", 21))), code: errFrameEncoding},
		{name: "more connection IDs than allowed", frames: only(newIDFrame(4, 0, "an ID")), code: errConnectionIDLimit},
		{
			name: "one number with two connection IDs", frames: only(newIDFrame(4, 1, "another")), code: errProtocolViolation,
			before: func(tc *testConn) { tc.write(newIDFrame(4, 1, "an ID")) },
		},
		{
			name: "one number with two reset tokens", code: errProtocolViolation,
			frames: only(frame{typ: wire.FrameNewConnectionID, v: [5]uint64{4, 1}, data: "an ID" + token}),
			before: func(tc *testConn) { tc.write(newIDFrame(4, 1, "an ID")) },
		},
		{
			name: "number of a retired connection ID with another", code: errProtocolViolation,
			frames: only(newIDFrame(5, 5, "theother"), newIDFrame(4, 1, "another")),
			before: func(tc *testConn) { tc.write(newIDFrame(4, 1, "an ID")) },
		},
		{
			name: "number of a connection ID that was retired before it came, twice", code: errProtocolViolation,
			frames: only(newIDFrame(5, 5, "theother"), newIDFrame(4, 1, "an ID"), newIDFrame(4, 1, "another")),
		},
		{
			name: "retired connection ID with another number", code: errProtocolViolation,
			frames: only(newIDFrame(5, 5, "theother"), newIDFrame(6, 5, "an ID")),
			before: func(tc *testConn) { tc.write(newIDFrame(4, 1, "an ID")) },
		},
		{name: "PATH_RESPONSE to nothing", frames: only(responseFrame("12345678")), code: errProtocolViolation},
		{
			name: "one connection ID with two numbers", frames: only(newIDFrame(5, 2, "an ID")), code: errProtocolViolation,
			before: func(tc *testConn) { tc.write(newIDFrame(4, 1, "an ID")) },
		},
		{
			// RFC 9000, Section 10.3.2
			name: "two connection IDs with one reset token", code: errProtocolViolation,
			frames: only(frame{typ: wire.FrameNewConnectionID, v: [5]uint64{5, 2}, data: "another" + string(resetTokenOf(4))}),
			before: func(tc *testConn) { tc.write(newIDFrame(4, 1, "an ID")) },
		},
		{
			name: "more connection IDs to retire than is sane", code: errConnectionIDLimit,
			frames: func(*testConn) (all []frame) {
				for seq := uint64(4); seq < 40; seq++ {
					all = append(all, newIDFrame(seq, seq, "an ID  "+string(rune('A'+seq))))
				}
				return all
			},
		},
		{name: "RETIRE_CONNECTION_ID of one that was not issued", frames: only(retireIDFrame(4)), code: errProtocolViolation},
		{
			name: "RETIRE_CONNECTION_ID of one that is issued, and was never sent", code: errProtocolViolation,
			frames: only(retireIDFrame(1), retireIDFrame(2), retireIDFrame(activeConnIDs)),
		},
		{name: "RETIRE_CONNECTION_ID of the largest number", frames: only(retireIDFrame(1<<62 - 1)), code: errProtocolViolation},
		{
			name: "RETIRE_CONNECTION_ID of the one in use", code: errProtocolViolation,
			frames: func(tc *testConn) []frame {
				for _, l := range tc.c.local.ids {
					if l.id == tc.dcid {
						return []frame{retireIDFrame(l.seq)}
					}
				}
				return nil
			},
		},
		{
			name: "NEW_CONNECTION_ID from a peer with empty connection IDs", code: errProtocolViolation, side: "server",
			edit:   func(s *testSetup) { s.peerSide.ConnIDs = emptyIDs{} },
			frames: only(newIDFrame(1, 0, "an ID")),
		},
		{
			// RFC 9000, Section 19.16
			name: "RETIRE_CONNECTION_ID to one with empty connection IDs", code: errProtocolViolation, side: "client",
			edit:   func(s *testSetup) { s.endpoint.ConnIDs = emptyIDs{} },
			frames: only(retireIDFrame(0)),
		},
	}
}

// emptyIDs issues empty connection IDs.
type emptyIDs struct{}

func (emptyIDs) Generate(*[20]byte) int { return 0 }
func (emptyIDs) Len([]byte) int         { return 0 }

// RFC 9000, Section 19.6 [1]; RFC 9000, Section 19.7 [2, 4]; RFC 9000, Section 19.20 [2].
func hostileRest() []hostileCase {
	frequent := func(s *testSetup) { s.conn.DisableAckFrequency, s.peer.DisableAckFrequency = false, false }
	return []hostileCase{
		{name: "HANDSHAKE_DONE from a client", side: "server", frames: only(handshakeDoneFrame()), code: errProtocolViolation},
		{name: "NEW_TOKEN from a client", side: "server", frames: only(newTokenFrame("token")), code: errProtocolViolation},
		{name: "NEW_TOKEN that is empty", side: "client", payload: "\x07\x00", code: errFrameEncoding},
		// RFC 9221, Section 3 [3, 4]
		{name: "DATAGRAM that was not negotiated", frames: only(datagramFrame("")), code: errProtocolViolation},
		{
			name: "DATAGRAM larger than negotiated", code: errProtocolViolation,
			edit:   func(s *testSetup) { s.conn.MaxDatagramFrameSize = 10 },
			frames: only(datagramFrame("123456789")), // 11 bytes with type and length
		},
		{name: "ACK_FREQUENCY that was not negotiated", frames: only(ackFrequencyFrame(0, 1, 25000, 1)), code: errFrameEncoding},
		{name: "IMMEDIATE_ACK that was not negotiated", frames: only(immediateAckFrame()), code: errFrameEncoding},
		{name: "ACK_FREQUENCY with a delay below min_ack_delay", edit: frequent, frames: only(ackFrequencyFrame(0, 1, 999, 1)), code: errProtocolViolation},
		// RFC 9000, Section 7.5 [2].
		{name: "CRYPTO data far ahead", side: "client", frames: only(cryptoFrame(1<<20, "x")), code: errCryptoBufferExceeded},
		{name: "CRYPTO data at the largest offset", side: "client", frames: only(cryptoFrame(1<<62-2, "x")), code: errCryptoBufferExceeded},
		{name: "CRYPTO data beyond the largest offset", side: "client", frames: only(cryptoFrame(1<<62-1, "x")), code: errFrameEncoding},
		{
			name: "CRYPTO data with many gaps", side: "client", code: errCryptoBufferExceeded,
			frames: func(tc *testConn) (all []frame) {
				at := tc.c.spaces[spaceApp].cryptoIn.Offset()
				for i := range uint64(maxCryptoGaps + 2) {
					all = append(all, cryptoFrame(at+2*i+1, "x"))
				}
				return all
			},
		},
		{
			// unexpected_message
			name: "a TLS message that nobody knows", side: "client", code: errCrypto + 10,
			frames: func(tc *testConn) []frame {
				return []frame{cryptoFrame(tc.c.spaces[spaceApp].cryptoIn.Offset(), "\x63\x00\x00\x01x")}
			},
		},
		{
			name: "TLS KeyUpdate", side: "client", code: errCrypto + 10, // RFC 9001, Section 6 [2]
			frames: func(tc *testConn) []frame {
				return []frame{cryptoFrame(tc.c.spaces[spaceApp].cryptoIn.Offset(), "\x18\x00\x00\x01\x00")}
			},
		},
		{
			// RFC 9001, Section 4.4 [4]
			name: "TLS CertificateRequest behind the handshake", side: "client", code: errProtocolViolation,
			frames: func(tc *testConn) []frame {
				return []frame{cryptoFrame(tc.c.spaces[spaceApp].cryptoIn.Offset(), "\x0d\x00\x00\x0b\x00\x00\x08\x00\x0d\x00\x04\x00\x02\x08\x07")}
			},
		},
		{
			// RFC 9001, Section 4.6.1 [2]
			name: "a session ticket with a limit of early data", side: "client", code: errProtocolViolation,
			frames: func(tc *testConn) []frame { return ticketFrames(tc, "\x00\x00\x40\x00") },
		},
		{name: "CRYPTO data for a server after the handshake", side: "server", frames: only(cryptoFrame(0, "\x18\x00\x00\x01\x00")), code: errCrypto + 10},
	}
}

// ticketFrames returns NewSessionTicket with a max_early_data_size, in two frames.
func ticketFrames(tc *testConn, size string) []frame {
	body := "\x00\x00\x0e\x10\x01\x02\x03\x04" + "\x01\x00" + "\x00\x06ticket" +
		"\x00\x0d" + "\xfa\xfa\x00\x01x" + "\x00\x2a\x00\x04" + size
	msg := "\x04\x00\x00" + string(rune(len(body))) + body
	at := tc.c.spaces[spaceApp].cryptoIn.Offset()
	return []frame{cryptoFrame(at, msg[:20]), cryptoFrame(at+20, msg[20:])}
}

// TestTicketWithoutLimit makes sure that the ticket of the case above is good but for its limit.
func TestTicketWithoutLimit(t *testing.T) {
	tc := newTestConn(t, false, func(s *testSetup) { s.conn.Enable0RTT = true })
	for range 2 {
		tc.write(ticketFrames(tc, "\xff\xff\xff\xff")...)
	}
	tc.wantOpen("the ticket allows all early data")
	for range 10 * ticketsOfTLS { // a server may send any number of them, over days
		tc.write(ticketFrames(tc, "\xff\xff\xff\xff")...)
		tc.flush()
	}
	tc.wantOpen("many tickets")
	tc.write(ticketFrames(tc, "\x00\x00\x40\x00")...)
	tc.wantClosed("a ticket with a limit, behind many", errProtocolViolation)
}

// TestTokenTooLong: a client does not keep a token that it could not use.
func TestTokenTooLong(t *testing.T) {
	last := new(lastToken)
	tc := newTestConn(t, false, func(s *testSetup) { s.conn.Tokens = last })
	tc.send(testPacket{space: spaceApp, frames: []frame{newTokenFrame(strings.Repeat("a", maxPeerToken))}})
	if len(last.token) != maxPeerToken {
		t.Errorf("a token of %d bytes is kept", len(last.token))
	}
	tc.send(testPacket{space: spaceApp, frames: []frame{newTokenFrame(strings.Repeat("b", maxPeerToken+1))}})
	if len(last.token) != maxPeerToken {
		t.Errorf("a token of %d bytes is kept", len(last.token))
	}
	tc.wantOpen("any token is allowed")
}
