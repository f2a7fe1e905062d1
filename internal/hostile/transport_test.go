package hostile

import (
	"bytes"

	"github.com/lazoquic/lazo/internal/wire"
)

// newID is a NEW_CONNECTION_ID frame whose ID and token depend on n.
func newID(seq, retire, n uint64) []byte {
	return wire.AppendNewConnectionID(nil, seq, retire, []byte{1, 2, 3, 4, 5, 6, byte(n), byte(n >> 8)}, [16]byte{byte(n), byte(n >> 8)})
}

// repeated makes a client send a frame n times, each in turn with its number.
func repeated(n int, frame func(i uint64) []byte) func(*peer) {
	return func(p *peer) { p.send(times(n, frame)...) }
}

// once makes it send frames once.
func once(frames ...[]byte) func(*peer) { return func(p *peer) { p.send(frames...) } }

// pathAttacks are those of ACKs, paths and connection IDs.
func pathAttacks() []attack {
	return []attack{
		{
			name: "1,000 PATH_CHALLENGEs", refs: []string{"CVE-2023-49295", "CVE-2023-6193", "CVE-2026-34183"},
			rule: "RFC 9000, Section 8.2.2", want: served, answers: 40 * minDatagram,
			send: repeated(1000, func(i uint64) []byte {
				return wire.AppendPath(nil, wire.FramePathChallenge, [8]byte{byte(i), byte(i >> 8)})
			}),
		},
		{
			name: "10,000 PATH_CHALLENGEs", refs: []string{"CVE-2023-49295"}, rule: "RFC 9000, Section 21.9", want: internalError,
			answers: 40 * minDatagram,
			send: repeated(10_000, func(i uint64) []byte {
				return wire.AppendPath(nil, wire.FramePathChallenge, [8]byte{byte(i), byte(i >> 8)})
			}),
		},
		{
			name: "packets from 50 addresses", refs: []string{"quiche 0.29.2", "CVE-2025-29785"}, rule: "RFC 9000, Section 9.3",
			send: func(p *peer) {
				own := p.port
				for range 50 {
					p.port = p.to.port()
					p.send(wire.AppendPath(nil, wire.FramePathChallenge, [8]byte{}))
				}
				p.port = own
			}, want: served, held: 32 << 10, answers: 20 * minDatagram,
		},
		{
			name: "a PATH_RESPONSE to nothing", rule: "RFC 9000, Section 19.18", want: protocolViolation,
			send: once(wire.AppendPath(nil, wire.FramePathResponse, [8]byte{})),
		},
		{
			name: "NEW_CONNECTION_IDs that retire each other", refs: []string{"CVE-2024-22189", "CVE-2024-1410", "GHSA-9h2v", "CVE-2025-7054"},
			rule: "RFC 9000, Section 5.1.2", want: connectionIDLimitError,
			send: func(p *peer) {
				p.mute = true
				p.send(times(1000, func(i uint64) []byte { return newID(i+1, i+1, i) })...)
			},
		},
		{
			name: "a NEW_CONNECTION_ID 1,000 times", refs: []string{"CVE-2026-107494", "GHSA-rfhg"}, rule: "RFC 9000, Section 19.15",
			want: served, send: repeated(1000, func(uint64) []byte { return newID(1, 0, 1) }), answers: 30 * minDatagram,
		},
		{
			name: "more connection IDs than the limit", rule: "RFC 9000, Section 5.1.1",
			want: connectionIDLimitError, send: repeated(10, func(i uint64) []byte { return newID(i+1, 0, i) }),
		},
		{
			name: "a connection ID that retires itself", rule: "RFC 9000, Section 19.15", want: frameEncodingError,
			send: once(newID(1, 2, 1)),
		},
		{
			name: "one number with two connection IDs", rule: "RFC 9000, Section 19.15", want: protocolViolation,
			send: once(newID(1, 0, 1), newID(1, 0, 2)),
		},
		{
			name: "RETIRE_CONNECTION_ID of an ID that was not issued", rule: "RFC 9000, Section 19.16", want: protocolViolation,
			send: once(varints(wire.FrameRetireConnectionID, 1000)),
		},
		{
			name: "ACK of a packet that was never sent", refs: []string{"CVE-2025-4820", "CVE-2025-4821"}, rule: "RFC 9000, Section 13.1",
			want: protocolViolation, send: once(varints(wire.FrameAck, 1<<40, 0, 0, 0)),
		},
		{
			name: "ACK of packets below zero", rule: "RFC 9000, Section 19.3.1", want: frameEncodingError,
			send: once(varints(wire.FrameAck, 1, 0, 0, 2)),
		},
		{
			name: "ACK of more ranges than there are", rule: "RFC 9000, Section 19.3", want: frameEncodingError,
			send: once(varints(wire.FrameAck, 1<<20, 0, 1<<40, 0)),
		},
		{
			name: "1,000 ACKs with more marks than packets", rule: "RFC 9000, Section 13.4.2.1", want: served,
			send: repeated(1000, func(i uint64) []byte { return varints(wire.FrameAckECN, 0, 0, 0, 0, 1<<40, 1<<40-i, i) }),
		},
	}
}

// frameAttacks are those of all other frames in 1-RTT packets.
func frameAttacks() []attack {
	return []attack{
		{
			name: "HANDSHAKE_DONE of a client", refs: []string{"CVE-2025-59530"}, rule: "RFC 9000, Section 19.20",
			want: protocolViolation, send: once([]byte{wire.FrameHandshakeDone}),
		},
		{
			name: "NEW_TOKEN of a client", rule: "RFC 9000, Section 19.7", want: protocolViolation,
			send: once(wire.AppendNewToken(nil, []byte("token"))),
		},
		{
			name: "a frame of an unknown type", rule: "RFC 9000, Section 12.4", want: frameEncodingError, send: once(varint(0x3fff)),
		},
		{
			name: "the type of PADDING in two bytes", refs: []string{"HAProxy (frame types)"}, rule: "RFC 9000, Section 12.4",
			want: protocolViolation, send: once([]byte{0x40, 0x00}),
		},
		{
			name: "a frame that is cut short", rule: "RFC 9000, Section 12.4", want: frameEncodingError,
			send: func(p *peer) { p.write(p.sealShort([]byte{wire.FrameMaxData, 0xc0, 0, 0}, 0, false)) },
		},
		{
			name: "1,000 packets of PADDING", rule: "RFC 9000, Section 13.2.1", want: served,
			send: func(p *peer) {
				for range 1000 {
					p.send(make([]byte, room))
				}
			},
		},
		{
			name: "100,000 PINGs", rule: "RFC 9000, Section 13.2.1", want: served, answers: 50 * minDatagram,
			send: repeated(100_000, func(uint64) []byte { return []byte{wire.FramePing} }),
		},
		{
			name: "1,000 MAX_DATAs that change nothing", rule: "RFC 9000, Section 19.9", want: served,
			send: repeated(1000, func(uint64) []byte { return varints(wire.FrameMaxData, 0) }),
		},
		{
			name: "1,000 MAX_STREAMS above 2^60", rule: "RFC 9000, Section 19.11", want: frameEncodingError,
			send: repeated(1000, func(uint64) []byte { return varints(wire.FrameMaxStreamsBidi, 1<<60+1) }),
		},
		{
			name: "DATA_BLOCKED and STREAMS_BLOCKED without end", rule: "RFC 9000, Section 4.1", want: served,
			send: repeated(1000, func(i uint64) []byte {
				return concat(varints(wire.FrameDataBlocked, i), varints(wire.FrameStreamsBlockedBidi, i), varints(wire.FrameStreamsBlockedUni, i))
			}), answers: 8 * minDatagram,
		},
		{
			name: "data beyond the limit of a stream", rule: "RFC 9000, Section 4.1", want: flowControlError,
			send: once(streamFrame(40, 1<<20, []byte{0}, false)),
		},
		{
			name: "data beyond the limit of the connection", rule: "RFC 9000, Section 4.1", want: flowControlError,
			send: repeated(10, func(i uint64) []byte { return streamFrame(40+4*i, 255<<10, []byte{0}, false) }), held: 80 << 10,
		},
		{
			name: "data beyond the largest offset", rule: "RFC 9000, Section 19.8", want: frameEncodingError,
			send: once(streamFrame(40, wire.MaxVarint, []byte{0}, false)),
		},
		{
			name: "a stream beyond the limit", refs: []string{"GHSA-475v"}, rule: "RFC 9000, Section 4.6", want: streamLimitError,
			send: once(streamFrame(4*4096, 0, []byte{0}, false)),
		},
		{
			name: "data for a stream that only the server sends on", rule: "RFC 9000, Section 19.8", want: streamStateError,
			send: once(streamFrame(3, 0, []byte{0}, false)),
		},
		{
			name: "credit for a stream that only the client sends on", rule: "RFC 9000, Section 19.10", want: streamStateError,
			send: once(varints(wire.FrameMaxStreamData, 6, 100)),
		},
		{
			name: "data beyond the end of a stream", rule: "RFC 9000, Section 4.5", want: finalSizeError,
			send: once(streamFrame(40, 0, []byte{0}, true), streamFrame(40, 1, []byte{0}, false)),
		},
		{
			name: "a RESET_STREAM that changes the end", rule: "RFC 9000, Section 4.5", want: finalSizeError,
			send: once(streamFrame(40, 0, []byte{0}, true), wire.AppendResetStream(nil, 40, 0, 2)),
		},
		{
			name: "a byte of a stream at every second offset", refs: []string{"CVE-2026-25800", "RUSTSEC-2026-0341", "GHSA-hvhj"},
			rule: "RFC 9000, Section 2.2", want: internalError, held: 64 << 10,
			send: repeated(2000, func(i uint64) []byte { return streamFrame(40, 2*i+1, []byte{0}, false) }),
		},
		{
			name: "a byte of a stream every 4,096 bytes", refs: []string{"RUSTSEC-2026-0341"}, rule: "RFC 9000, Section 2.2",
			want: served, held: 300 << 10,
			send: repeated(63, func(i uint64) []byte { return streamFrame(40, 4096*i+1, []byte{0}, false) }),
		},
		{
			name: "a byte on each of 90 streams", refs: []string{"lsquic (stream limit)"}, rule: "RFC 9000, Section 4.6",
			want: served, held: 90 * (4096 + 2048 + 256),
			send: repeated(90, func(i uint64) []byte { return streamFrame(40+4*i, 0, []byte{1}, false) }),
		},
		{
			name: "other bytes at the same offset, 1,000 times", rule: "RFC 9000, Section 2.2", want: served,
			send: repeated(1000, func(i uint64) []byte { return streamFrame(40, 1, []byte{byte(i), byte(i >> 8)}, false) }),
			held: 32 << 10,
		},
		{
			name: "1,000 datagrams for no request", refs: []string{"GHSA-2hv7", "GHSA-hmxj"}, rule: "RFC 9221, Section 5", want: served,
			held: 64 << 10, answers: 30 * minDatagram,
			send: repeated(1000, func(i uint64) []byte {
				return append(wire.AppendDatagramHeader(nil, 1000), append(wire.AppendVarint2(nil, i%8+50), bytes.Repeat([]byte{'d'}, 998)...)...)
			}),
		},
	}
}
