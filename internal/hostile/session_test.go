package hostile

import (
	"bytes"
	"strings"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/internal/wire"
)

const paramDatagrams = 0x20 // RFC 9221, Section 3

// Types of capsules (RFC 9297, Section 3.5; draft-ietf-webtrans-http3-16, Section 9.6), and those
// of streams of a session.
const (
	capsuleDatagram       = 0x00
	capsuleUnknown        = 0x17 // reserved
	capsuleClose          = 0x2843
	capsuleDrain          = 0x78ae
	capsuleMaxData        = 0x190b4d3d
	capsuleMaxStreamsBidi = 0x190b4d3f
	capsuleMaxStreamsUni  = 0x190b4d40
	capsuleDataBlocked    = 0x190b4d41
	capsuleBlockedBidi    = 0x190b4d43

	streamSessionBidi = 0x41
	streamSessionUni  = 0x54
)

// siteSettings is a control stream that offers WebTransport, with flow control of sessions.
func siteSettings() []byte {
	return concat(varint(streamControl), h3Frame(frameSettings, varints(
		0x33, 1, // HTTP Datagrams
		0x2c7cf000, 1, // WebTransport
		0x2b61, 1<<20, 0x2b64, 100, 0x2b65, 100, // data, unidirectional and bidirectional streams
	)...))
}

// connectRequest asks for something other than a page.
func connectRequest(protocol, path string, more ...field) []byte {
	return section(append([]field{
		{Name: ":method", Value: "CONNECT"}, {Name: ":protocol", Value: protocol}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "lazo.test"}, {Name: ":path", Value: path},
	}, more...)...)
}

func sessionRequest(path string) []byte { return connectRequest("webtransport-h3", path) }

// join gets the page, and then a session or a tunnel.
func (p *peer) join(request []byte) {
	p.t.Helper()
	p.stream(uni, siteSettings(), false)
	p.get()
	p.request = p.stream(bidi, request, false)
	answer := p.of(p.request)
	p.wait("an answer", func() bool { return len(answer.text()) > 0 })
	if got := statusOf(p.t, answer.text()); got != "200" {
		p.t.Fatalf("status %s", got)
	}
	p.forget()
}

// capsule is a capsule with its length.
func capsule(typ uint64, value ...byte) []byte {
	return concat(varint(typ), varint(uint64(len(value))), value)
}

// limitCapsule is a capsule with one integer.
func limitCapsule(typ, limit uint64) []byte { return capsule(typ, varint(limit)...) }

// tells makes a client send bytes on its CONNECT stream, in one DATA frame.
func tells(b ...[]byte) func(*peer) {
	return func(p *peer) { p.extend(p.request, h3Frame(frameData, concat(b...)...), false) }
}

// repeats makes it send so many capsules, each in turn with its number.
func repeats(n int, capsule func(i uint64) []byte) func(*peer) { return tells(times(n, capsule)...) }

// credit returns how many unidirectional streams the session may have had, as its capsules say.
func (p *peer) credit() (most uint64) {
	most = 100 // the server's setting
	for b := p.of(p.request).text(); len(b) > 0; {
		typ, n := wire.ParseVarint(b)
		size, m := wire.ParseVarint(b[n:])
		if n == 0 || m == 0 || uint64(len(b)-n-m) < size {
			break
		}
		content := b[n+m:][:size]
		b = b[n+m+int(size):]
		if typ == frameData {
			most = max(most, lastLimit(content, capsuleMaxStreamsUni))
		}
	}
	return most
}

// lastLimit returns the limit in the last capsule of a type, or 0.
func lastLimit(b []byte, want uint64) (limit uint64) {
	for len(b) > 0 {
		typ, n := wire.ParseVarint(b)
		size, m := wire.ParseVarint(b[n:])
		if n == 0 || m == 0 || uint64(len(b)-n-m) < size {
			break
		}
		if typ == want {
			limit, _ = wire.ParseVarint(b[n+m:])
		}
		b = b[n+m+int(size):]
	}
	return limit
}

// header is how a stream of the session begins.
func (p *peer) header(typ uint64) []byte { return varints(typ, p.request) }

// streamRounds makes a client open stream after stream in its session, as many at once as it has
// credit for, so many times.
func streamRounds(rounds int, frames func(p *peer, id uint64) []byte) func(*peer) {
	return func(p *peer) {
		opened := uint64(0)
		for range rounds {
			p.wait("credit for 50 streams", func() bool { return opened+50 <= p.credit() })
			var all [][]byte
			for ; opened < p.credit(); opened++ {
				all = append(all, frames(p, p.nextID[uni]))
				p.nextID[uni] += 4
			}
			p.send(all...)
		}
	}
}

// datagram is a DATAGRAM frame for the session or tunnel.
func (p *peer) datagram(payload ...byte) []byte {
	b := append(varint(p.request/4), payload...)
	return append(wire.AppendDatagramHeader(nil, len(b)), b...)
}

// sessionAttacks are those of WebTransport.
func sessionAttacks() []attack {
	all := append(capsuleAttacks(), sessionStreamAttacks()...)
	for i := range all {
		all[i].rule = "draft-ietf-webtrans-http3-16, " + all[i].rule
		if all[i].at == "" {
			all[i].at = session
		}
	}
	return append(all, attack{
		name: "100,000 PINGs beside a session", rule: "RFC 9000, Section 13.2.1", at: session, want: served, answers: 100 * minDatagram,
		send: repeated(100_000, func(uint64) []byte { return []byte{wire.FramePing} }),
	})
}

// capsuleAttacks are those of capsules of a session.
func capsuleAttacks() []attack {
	flow := cancels(webtransport.FlowControlError)
	flow.name = "WT_FLOW_CONTROL_ERROR"
	malformed := cancels(h3.MessageError)
	return []attack{
		{name: "WT_CLOSE_SESSION with a reason of 1,025 bytes", rule: "Section 6", want: malformed,
			send: tells(capsule(capsuleClose, []byte("code"+strings.Repeat("x", 1025))...))},
		{name: "WT_CLOSE_SESSION of 1 GiB", rule: "Section 6", want: malformed,
			send: tells(varints(capsuleClose, 1<<30))},
		{name: "data behind WT_CLOSE_SESSION", rule: "Section 6", want: malformed,
			send: tells(capsule(capsuleClose, 0, 0, 0, 1), []byte("x"))},
		{name: "a reason that is not UTF-8", rule: "Section 6", want: malformed,
			send: tells(capsule(capsuleClose, 0, 0, 0, 1, 0xff))},
		{name: "WT_DRAIN_SESSION with a value", rule: "Section 4.7", want: malformed,
			send: tells(capsule(capsuleDrain, 1))},
		{name: "a limit of data that goes down", rule: "Section 5.6.4", want: flow,
			send: tells(limitCapsule(capsuleMaxData, 1))},
		{name: "a limit of streams above 2^60", rule: "Section 5.6.2", want: flow,
			send: tells(limitCapsule(capsuleMaxStreamsBidi, 1<<60+1))},
		{name: "a limit in more bytes than its value has", rule: "Section 5.6", want: malformed,
			send: tells(capsule(capsuleMaxData, append(varint(1<<21), 0)...))},
		{name: "an unknown capsule of 2^60 bytes", rule: "Section 9.6", want: served,
			send: tells(varints(capsuleUnknown, 1<<60), make([]byte, 50_000)), answers: 12 * minDatagram},
		{name: "50,000 unknown capsules without a value", rule: "Section 9.6", want: served,
			send: repeats(50_000, func(uint64) []byte { return capsule(capsuleUnknown) }), answers: 60 * minDatagram},
		{name: "50,000 DATAGRAM capsules without a value", rule: "Section 4.5", want: served,
			send: repeats(50_000, func(uint64) []byte { return capsule(capsuleDatagram) }), answers: 60 * minDatagram},
		{name: "20,000 WT_DRAIN_SESSIONs", rule: "Section 4.7", want: served,
			send: repeats(20_000, func(uint64) []byte { return capsule(capsuleDrain) }), answers: 60 * minDatagram},
		{name: "10,000 WT_MAX_DATAs of a byte more each", rule: "Section 5.6.4", want: served,
			send: repeats(10_000, func(i uint64) []byte { return limitCapsule(capsuleMaxData, 1<<20+1+i) }), answers: 60 * minDatagram},
		{name: "10,000 WT_MAX_STREAMS of a stream more each", rule: "Section 5.6.2", want: served,
			send: repeats(10_000, func(i uint64) []byte { return limitCapsule(capsuleMaxStreamsBidi, 101+i) }), answers: 60 * minDatagram},
		{name: "10,000 WT_DATA_BLOCKEDs", rule: "Section 5.6.5", want: served,
			send: repeats(10_000, func(i uint64) []byte { return limitCapsule(capsuleDataBlocked, 1<<20+i) }), answers: 60 * minDatagram},
		{name: "10,000 WT_STREAMS_BLOCKEDs", rule: "Section 5.6.3", want: served,
			send: repeats(10_000, func(uint64) []byte { return limitCapsule(capsuleBlockedBidi, 1) }), answers: 60 * minDatagram},
		{name: "capsules in DATA frames of a byte each", rule: "Section 9.6", want: served, answers: 90 * minDatagram,
			send: func(p *peer) {
				all := bytes.Repeat(capsule(capsuleUnknown), 12_000)
				var b []byte
				for i := range all {
					b = append(b, h3Frame(frameData, all[i])...)
				}
				p.extend(p.request, b, false)
			}},
	}
}

// sessionStreamAttacks are those of streams and datagrams of a session.
func sessionStreamAttacks() []attack {
	return []attack{
		{name: "a stream of a session that cannot be", rule: "Section 4", want: closes(h3.IDError),
			send: func(p *peer) { p.stream(uni, varints(streamSessionUni, 1), false) }},
		{name: "40 streams of a session to come", rule: "Section 4.6", want: served, held: 160 << 10, answers: 12 * minDatagram,
			send: func(p *peer) {
				for range 40 {
					p.stream(uni, append(varints(streamSessionUni, 400), "data"...), false)
				}
			}},
		{name: "90 streams that nobody accepts", rule: "Section 5.2", at: idle, want: served, held: 900 << 10, answers: 30 * minDatagram,
			send: func(p *peer) {
				for range 90 {
					p.stream(uni, append(p.header(streamSessionUni), "data"...), false)
				}
			}},
		{name: "streams of a session that end at once", rule: "Section 5.2", want: served, held: 64 << 10, answers: 300 * minDatagram,
			send: streamRounds(20, func(p *peer, id uint64) []byte {
				return streamFrame(id, 0, p.header(streamSessionUni), true)
			})},
		{name: "streams of a session that are reset at once", rule: "Section 4.4", want: served, held: 64 << 10, answers: 300 * minDatagram,
			send: streamRounds(20, func(p *peer, id uint64) []byte {
				header := p.header(streamSessionUni)
				size := uint64(len(header))
				return append(streamFrame(id, 0, header, false), wire.AppendResetStreamAt(nil, id, 0, size, size)...)
			})},
		{name: "headers of streams that come byte by byte", rule: "Section 4.2", want: served, held: 64 << 10, answers: 300 * minDatagram,
			send: streamRounds(20, func(p *peer, id uint64) (b []byte) {
				header := concat(varint(streamSessionUni), wire.AppendVarint2(nil, p.request))
				for i := range header {
					b = append(b, streamFrame(id, uint64(i), header[i:i+1], i == len(header)-1)...)
				}
				return b
			})},
		{name: "25,000 datagrams of a byte for a session", rule: "Section 4.5", want: served, held: 64 << 10, answers: 120 * minDatagram,
			send: func(p *peer) { p.send(times(25_000, func(uint64) []byte { return p.datagram('x') })...) }},
		{name: "25,000 datagrams of a byte that nobody reads", rule: "Section 4.5", at: idle, want: served, held: 768 << 10,
			answers: 120 * minDatagram,
			send:    func(p *peer) { p.send(times(25_000, func(uint64) []byte { return p.datagram('x') })...) }},
	}
}
