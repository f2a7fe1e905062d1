package hostile

import (
	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/wire"
)

// broken is the outcome of a rule of QUIC that is broken.
func broken(code uint64, name string) outcome {
	return outcome{kind: kindClose, code: code, name: name}
}

// The error codes of RFC 9000, Section 20.1.
var (
	connectionRefused       = broken(0x02, "CONNECTION_REFUSED")
	flowControlError        = broken(0x03, "FLOW_CONTROL_ERROR")
	streamLimitError        = broken(0x04, "STREAM_LIMIT_ERROR")
	streamStateError        = broken(0x05, "STREAM_STATE_ERROR")
	finalSizeError          = broken(0x06, "FINAL_SIZE_ERROR")
	frameEncodingError      = broken(0x07, "FRAME_ENCODING_ERROR")
	transportParameterError = broken(0x08, "TRANSPORT_PARAMETER_ERROR")
	connectionIDLimitError  = broken(0x09, "CONNECTION_ID_LIMIT_ERROR")
	protocolViolation       = broken(0x0a, "PROTOCOL_VIOLATION")
	cryptoBufferExceeded    = broken(0x0d, "CRYPTO_BUFFER_EXCEEDED")
)

// packetAttacks are those before a connection, and of packets rather than frames.
func packetAttacks() []attack {
	return []attack{
		{
			name: "datagrams without a byte", refs: []string{"CVE-2026-11352"}, rule: "RFC 8999, Section 5", at: stranger,
			send: func(p *peer) {
				for range 100 {
					p.write(nil)
				}
			}, want: silence,
		},
		{
			name: "Initial in a datagram of 1,199 bytes", rule: "RFC 9000, Section 14.1", at: stranger,
			send: func(p *peer) { p.write(p.packet(initial, p.keep[0].frame)[:minDatagram-1]) }, want: silence,
		},
		{
			name: "Initial that is not authentic", refs: []string{"CVE-2025-54939"}, rule: "RFC 9001, Section 5.5", at: stranger,
			send: func(p *peer) {
				b := p.packet(initial, p.keep[0].frame)
				b[minDatagram-1] ^= 1
				p.write(b)
			}, want: silence,
		},
		{
			name: "a client that is not admitted", rule: "RFC 9000, Section 5.2.2", at: stranger,
			edit: func(cfg *conn.EndpointConfig) {
				refused := false
				cfg.Admit = func(conn.AdmissionRequest) conn.Admission {
					if refused {
						return conn.AdmissionAccept
					}
					refused = true
					return conn.AdmissionRefuse
				}
			},
			send: (*peer).greet, want: connectionRefused,
		},
		{
			name: "a transport parameter that only servers send", refs: []string{"CVE-2026-31812"}, rule: "RFC 9000, Section 18.2",
			at: stranger, params: params(param(0x00, []byte("12345678"))),
			send: (*peer).greet, want: transportParameterError,
		},
		{
			name: "a transport parameter twice", refs: []string{"CVE-2023-36435"}, rule: "RFC 9000, Section 7.4",
			at: stranger, params: params(param(0x0c, nil), param(0x0c, nil)),
			send: (*peer).greet, want: transportParameterError,
		},
		{
			name: "CRYPTO data at the largest offset, in an Initial packet", refs: []string{"GHSA-9q54-f358-3fqf"},
			rule: "RFC 9000, Section 7.5", at: stranger,
			send: func(p *peer) { p.sendIn(initial, cryptoFrame(wire.MaxVarint-1, []byte{0})) }, want: cryptoBufferExceeded,
		},
	}
}
