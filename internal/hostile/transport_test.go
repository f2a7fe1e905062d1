package hostile

import (
	"bytes"

	"github.com/lazoquic/lazo/internal/wire"
)

// frameAttacks are those of frames in 1-RTT packets.
func frameAttacks() []attack {
	return []attack{
		{
			name: "1,000 PATH_CHALLENGEs", refs: []string{"CVE-2023-49295", "CVE-2023-6193", "CVE-2026-34183"},
			rule: "RFC 9000, Section 8.2.2",
			send: func(p *peer) {
				p.send(times(1000, func(i uint64) []byte {
					return wire.AppendPath(nil, wire.FramePathChallenge, [8]byte{byte(i), byte(i >> 8)})
				})...)
			}, want: served, answers: 40 * minDatagram,
		},
		{
			name: "NEW_CONNECTION_IDs that retire each other", refs: []string{"CVE-2024-22189", "CVE-2024-1410", "CVE-2026-107494"},
			rule: "RFC 9000, Section 5.1.2",
			send: func(p *peer) {
				p.mute = true
				p.send(times(1000, func(i uint64) []byte {
					return wire.AppendNewConnectionID(nil, i+1, i+1, []byte{1, 2, 3, 4, 5, 6, byte(i), byte(i >> 8)}, [16]byte{byte(i), byte(i >> 8)})
				})...)
			}, want: connectionIDLimitError, answers: 40 * minDatagram,
		},
		{
			name: "more connection IDs than the limit", rule: "RFC 9000, Section 5.1.1",
			send: func(p *peer) {
				p.send(times(10, func(i uint64) []byte {
					return wire.AppendNewConnectionID(nil, i+1, 0, []byte{1, 2, 3, 4, 5, 6, 7, byte(i)}, [16]byte{byte(i)})
				})...)
			}, want: connectionIDLimitError,
		},
		{
			name: "ACK of a packet that was never sent", refs: []string{"CVE-2025-4820", "CVE-2025-4821"}, rule: "RFC 9000, Section 13.1",
			send: func(p *peer) { p.send(varints(wire.FrameAck, 1<<40, 0, 0, 0)) }, want: protocolViolation,
		},
		{
			name: "HANDSHAKE_DONE of a client", refs: []string{"CVE-2025-59530"}, rule: "RFC 9000, Section 19.20",
			send: func(p *peer) { p.send([]byte{wire.FrameHandshakeDone}) }, want: protocolViolation,
		},
		{
			name: "a frame of an unknown type", rule: "RFC 9000, Section 12.4",
			send: func(p *peer) { p.send(varint(0x3fff)) }, want: frameEncodingError,
		},
		{
			name: "the type of PADDING in two bytes", refs: []string{"HAProxy: frame types"}, rule: "RFC 9000, Section 12.4",
			send: func(p *peer) { p.send([]byte{0x40, 0x00}) }, want: protocolViolation,
		},
		{
			name: "data beyond the limit of a stream", rule: "RFC 9000, Section 4.1",
			send: func(p *peer) { p.send(streamFrame(40, 1<<20, []byte{0}, false)) }, want: flowControlError,
		},
		{
			name: "a stream beyond the limit", refs: []string{"GHSA-475v"}, rule: "RFC 9000, Section 4.6",
			send: func(p *peer) { p.send(streamFrame(4*4096, 0, []byte{0}, false)) }, want: streamLimitError,
		},
		{
			name: "data for a stream that only the server sends on", rule: "RFC 9000, Section 19.8",
			send: func(p *peer) { p.send(streamFrame(3, 0, []byte{0}, false)) }, want: streamStateError,
		},
		{
			name: "data beyond the end of a stream", rule: "RFC 9000, Section 4.5",
			send: func(p *peer) { p.send(streamFrame(40, 0, []byte{0}, true), streamFrame(40, 1, []byte{0}, false)) },
			want: finalSizeError,
		},
		{
			name: "a byte of a stream at every second offset", refs: []string{"CVE-2026-25800", "GHSA-qfwj", "GHSA-hvhj"},
			rule: "RFC 9000, Section 2.2",
			send: func(p *peer) {
				p.send(times(2000, func(i uint64) []byte { return streamFrame(40, 2*i+1, []byte{0}, false) })...)
			}, want: broken(0x01, "INTERNAL_ERROR"), held: 100 << 10,
		},
		{
			name: "CRYPTO data after the handshake", refs: []string{"CVE-2024-1765"}, rule: "RFC 8446, Section 4.6",
			send: func(p *peer) {
				p.send(times(100, func(i uint64) []byte { return cryptoFrame(1000*i+1, bytes.Repeat([]byte{0}, 1000)) })...)
			}, want: broken(0x10a, "CRYPTO_ERROR unexpected_message"),
		},
	}
}
