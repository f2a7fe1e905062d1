package hostile

import (
	"bytes"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
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
			name: "Initial to an ID of 7 bytes", rule: "RFC 9000, Section 7.2", at: stranger,
			send: func(p *peer) {
				p.dcid = "7 bytes"
				p.tx[initial], _ = keys.Initial(wire.Version1, []byte(p.dcid))
				p.greet()
			}, want: silence,
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
			name: "an unknown version in 1,200 bytes", rule: "RFC 9000, Section 6.1", at: stranger,
			send: func(p *peer) { p.write(invariant(0x0a0a0a1a, minDatagram)) }, want: negotiates,
		},
		{
			name: "an unknown version in 1,199 bytes", rule: "RFC 9000, Section 6.1", at: stranger,
			send: func(p *peer) { p.write(invariant(0x0a0a0a1a, minDatagram-1)) }, want: silence,
		},
		{
			name: "Version Negotiation", rule: "RFC 9000, Section 6.1", at: stranger,
			send: func(p *peer) {
				p.write(wire.AppendVersionNegotiation(nil, 0x40, []byte(p.dcid), []byte(p.scid), make([]uint32, 300)))
			}, want: silence,
		},
		{
			name: "Retry", refs: []string{"GHSA-vr26", "x/net 157f4d57"}, rule: "RFC 9000, Section 17.2.5.2", at: stranger,
			send: func(p *peer) {
				p.write(wire.AppendRetry(nil, wire.Version1, []byte(p.dcid), []byte(p.scid), make([]byte, minDatagram)))
			}, want: silence,
		},
		{
			name: "short packets of no connection", rule: "RFC 9000, Section 10.3.3", at: stranger,
			send: func(p *peer) {
				for i := range 100 {
					p.write(append([]byte{0x40, byte(i)}, make([]byte, 40)...))
				}
			}, want: answersLess,
		},
		{
			name: "a client that is not admitted", refs: []string{"quinn d4fc3efd"}, rule: "RFC 9000, Section 5.2.2", at: stranger,
			edit: admit(conn.AdmissionRefuse), send: (*peer).greet, want: connectionRefused,
		},
		{
			name: "a token that was given to another address", refs: []string{"CVE-2026-44894"}, rule: "RFC 9000, Section 8.1.4", at: stranger,
			edit: admit(conn.AdmissionRetry),
			send: func(p *peer) {
				victim := hello(p.t, p.to)
				victim.greet()
				victim.wait("Retry", func() bool { return len(victim.others) > 0 })
				h, ok := wire.ParseLong(victim.others[0])
				require.True(p.t, ok && h.Type == wire.TypeRetry)
				*p = *victim.retried(h)
				p.port = p.to.port()
				p.greet()
			}, want: invalidToken,
		},
		{
			name: "a token that nobody gave", refs: []string{"CVE-2026-44894"}, rule: "RFC 9000, Section 8.1.3", at: stranger,
			send: func(p *peer) {
				p.token = bytes.Repeat([]byte{'t'}, 80)
				p.begin()
			}, want: served, held: 80 << 10,
		},
		{
			name: "ClientHello, and nothing more", refs: []string{"arXiv 2412.08936"}, rule: "RFC 9000, Section 8.1", at: stranger,
			send: (*peer).greet, want: unvalidated, held: 80 << 10,
		},
		{
			name: "ClientHello 50 times", rule: "RFC 9000, Section 8.1", at: stranger,
			send: func(p *peer) {
				for range 50 {
					p.greet()
				}
			}, want: unvalidated, held: 80 << 10, answers: 15 * minDatagram,
		},
		{
			name: "packets for keys that are not there, before ClientHello is complete", refs: []string{"CVE-2025-54939", "CVE-2025-59530"},
			rule: "RFC 9000, Section 5.7", at: stranger,
			send: func(p *peer) {
				p.greet()
				for i := range 200 {
					b, lengthOff, pnOff := wire.AppendLong(nil, wire.TypeHandshake, wire.Version1, []byte(p.dcid), []byte(p.scid), nil, uint64(i), 4)
					// by the wrong keys
					p.write(seal(p.tx[initial], b, true, lengthOff, pnOff, uint64(i), nil))
				}
				p.begin()
			}, want: served, held: 96 << 10, answers: 200 * 3 * minDatagram,
		},
		{
			name: "a Handshake packet after the handshake", refs: []string{"CVE-2023-46239"}, rule: "RFC 9001, Section 4.9.2",
			send: func(p *peer) { p.sendIn(handshake, varints(wire.FrameAck, 0, 0, 0, 0)) }, want: served,
		},
		{
			name: "a packet 1,000 times", rule: "RFC 9000, Section 12.3",
			send: func(p *peer) {
				b := p.packet(app, []byte{wire.FramePing})
				for range 1000 {
					p.write(b)
				}
			}, want: served,
		},
		{
			name: "1,000 packets that are not authentic", rule: "RFC 9001, Section 5.5",
			send: func(p *peer) {
				for range 1000 {
					b := p.packet(app, []byte{wire.FramePing})
					b[len(b)-1] ^= 1
					p.write(b)
				}
			}, want: served,
		},
		{
			name: "packet numbers that jump by 2^30", rule: "RFC 9000, Section 17.1",
			send: func(p *peer) {
				for range 20 {
					p.next[app] += 1 << 30
					p.send([]byte{wire.FramePing})
				}
			}, want: served,
		},
		{
			name: "a packet without frames", rule: "RFC 9000, Section 12.4",
			send: func(p *peer) { p.write(p.sealShort(nil, 0, false)) }, want: protocolViolation,
		},
		{
			name: "reserved bits", rule: "RFC 9000, Section 17.3.1",
			send: func(p *peer) { p.write(p.sealShort([]byte{wire.FramePing, 0, 0, 0}, 0x18, false)) }, want: protocolViolation,
		},
		{
			name: "old keys after a key update", refs: []string{"GHSA-5m9j"}, rule: "RFC 9001, Section 6.4",
			send: func(p *peer) {
				old := p.tx[app]
				p.tx[app], _ = old.Next()
				p.rx[app], _ = p.rx[app].Next() // the server follows
				p.write(p.sealShort([]byte{wire.FramePing, 0, 0, 0}, 0, true))
				p.tx[app] = old
				p.write(p.sealShort([]byte{wire.FramePing, 0, 0, 0}, 0, false))
			}, want: keyUpdateError,
		},
		{
			name: "packets to the ID of a live connection, from elsewhere", refs: []string{"CVE-2026-50009"}, rule: "RFC 9000, Section 21.11",
			send: func(p *peer) {
				other := hello(p.t, p.to)
				for i := range 100 {
					other.write(concat([]byte{0x40}, []byte(p.dcid), []byte{byte(i)}, make([]byte, 60)))
				}
				p.get() // so that answers would have come
				other.settle()
				require.Zero(p.t, other.answered, "a stateless reset would end the connection")
			}, want: served, held: 32 << 10,
		},
		{
			name: "1,000 packets after the end of the connection", rule: "RFC 9000, Section 10.2.1",
			send: func(p *peer) {
				p.send([]byte{wire.FrameHandshakeDone})
				for range 1000 {
					p.send([]byte{wire.FramePing})
				}
			}, want: protocolViolation, answers: 30 * minDatagram,
		},
	}
}

// admit makes a server do something other with the first client than with those that follow.
func admit(a conn.Admission) func(*conn.EndpointConfig) {
	return func(cfg *conn.EndpointConfig) {
		first := true
		cfg.Admit = func(r conn.AdmissionRequest) conn.Admission {
			if first {
				first = false
				return a
			}
			return conn.AdmissionAccept
		}
	}
}

// invariant is a packet of any version that is as long as size.
func invariant(version uint32, size int) []byte {
	b := []byte{0xc0, byte(version >> 24), byte(version >> 16), byte(version >> 8), byte(version), 8}
	b = append(b, "somebody\x08my own 0"...)
	return append(b, make([]byte, size-len(b))...)
}

// retried returns a peer that begins again with the token of a Retry packet.
func (p *peer) retried(h wire.Long) *peer {
	q := *p
	q.dcid, q.first = string(h.SCID), string(h.SCID)
	q.token = append([]byte(nil), h.Token...)
	q.tx[initial], q.rx[initial] = keys.Initial(wire.Version1, h.SCID)
	q.others, q.sent, q.answered = nil, 0, 0
	return &q
}

// sealShort seals a 1-RTT packet with a payload as it is, with more bits in its first byte.
func (p *peer) sealShort(payload []byte, bits byte, phase bool) []byte {
	pn := p.next[app]
	p.next[app]++
	b := wire.AppendShort(nil, []byte(p.dcid), false, phase, pn, 4)
	b[0] |= bits
	n := len(b)
	b = append(b, payload...)
	b = append(b, make([]byte, keys.Overhead)...)[:len(b)]
	return p.tx[app].Seal(b, n-4, 4, pn)
}
