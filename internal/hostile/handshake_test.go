package hostile

import (
	"bytes"

	"github.com/lazoquic/lazo/internal/wire"
)

// handshakeAttacks are those of transport parameters and CRYPTO data.
func handshakeAttacks() (all []attack) {
	for _, p := range []struct {
		name   string
		params []byte
		refs   []string
	}{
		{"no transport parameters", []byte{}, nil},
		{"a transport parameter that only servers send", params(param(0x00, []byte("12345678"))), []string{"CVE-2026-31812"}},
		{"a transport parameter twice", params(param(0x0c, nil), param(0x0c, nil)), []string{"CVE-2023-36435"}},
		{"a transport parameter that is cut short", append(params(), 0x04, 0x08, 0x00), []string{"CVE-2026-31812"}},
		{"max_udp_payload_size of 1,199", paramsWithout(0x03, param(0x03, varint(1199))), nil},
		{"ack_delay_exponent of 21", paramsWithout(0x0a, param(0x0a, varint(21))), nil},
		{"initial_max_streams_bidi above 2^60", paramsWithout(0x08, param(0x08, varint(1<<60+1))), nil},
		{"another initial_source_connection_id", paramsWithout(0x0f, param(0x0f, []byte("somebody"))), nil},
	} {
		all = append(all, attack{
			name: p.name, refs: p.refs, rule: "RFC 9000, Section 7.4", at: stranger, params: p.params, send: (*peer).greet,
			want: transportParameterError,
		})
	}
	return append(all, []attack{
		{
			name: "an unknown transport parameter of 600 bytes", refs: []string{"CVE-2026-40170"}, rule: "RFC 9000, Section 7.4.2",
			at: stranger, params: params(param(0x7777, make([]byte, 600))), send: (*peer).begin, want: served, held: 80 << 10,
		},
		{
			name: "another protocol than h3", rule: "RFC 9001, Section 8.1", at: stranger, alpn: "h2",
			send: (*peer).greet, want: noApplicationProtocol,
		},
		{
			name: "CRYPTO data at the largest offset, in an Initial packet", refs: []string{"GHSA-9q54-f358-3fqf"},
			rule: "RFC 9000, Section 7.5", at: stranger,
			send: func(p *peer) { p.sendIn(initial, cryptoFrame(wire.MaxVarint-1, []byte{0})) }, want: cryptoBufferExceeded,
		},
		{
			name: "CRYPTO data at every second offset, in an Initial packet", refs: []string{"xquic 1.9.4"},
			rule: "RFC 9000, Section 7.5", at: stranger,
			send: func(p *peer) {
				p.sendIn(initial, times(200, func(i uint64) []byte { return cryptoFrame(2*i+1, []byte{0}) })...)
			}, want: cryptoBufferExceeded,
		},
		{
			name: "a TLS message that nobody knows", rule: "RFC 9001, Section 4.8", at: stranger,
			send: func(p *peer) { p.sendIn(initial, cryptoFrame(0, []byte{99, 0, 0, 1, 0})) }, want: unexpectedMessage,
		},
		{
			name: "CRYPTO data after the handshake", refs: []string{"CVE-2024-1765"}, rule: "RFC 8446, Section 4.6",
			send: func(p *peer) {
				p.send(times(100, func(i uint64) []byte { return cryptoFrame(1000*i+1, bytes.Repeat([]byte{0}, 1000)) })...)
			}, want: unexpectedMessage,
		},
		{
			name: "a frame in an Initial packet that may not be there", rule: "RFC 9000, Section 12.5", at: stranger,
			send: func(p *peer) { p.sendIn(initial, streamFrame(0, 0, []byte{0}, false)) }, want: protocolViolation,
		},
	}...)
}

// paramsWithout are those of an honest peer without one, and with others at the end.
func paramsWithout(id uint64, more ...[]byte) (all []byte) {
	for b := params(); len(b) > 0; {
		have, n := wire.ParseVarint(b)
		size, m := wire.ParseVarint(b[n:])
		end := n + m + int(size)
		if have != id {
			all = append(all, b[:end]...)
		}
		b = b[end:]
	}
	return append(all, concat(more...)...)
}
