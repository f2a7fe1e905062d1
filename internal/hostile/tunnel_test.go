package hostile

import (
	"bytes"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/wire"
)

// tunnelRequest asks for a tunnel to an address where everything comes back.
func tunnelRequest() []byte {
	return connectRequest("connect-udp", "/.well-known/masque/udp/192.0.2.1/9/", field{Name: "capsule-protocol", Value: "?1"})
}

// tunnelAttacks are those of CONNECT-UDP.
func tunnelAttacks() []attack {
	all := []attack{
		{name: "a UDP payload of 65,528 bytes in a capsule", rule: "RFC 9298, Section 5", want: cancels(h3.DatagramError),
			send: tells(varints(capsuleDatagram, 65_529, 0))},
		{name: "a capsule that the stream cuts short", rule: "RFC 9297, Section 3.3", want: cancels(h3.MessageError),
			send: func(p *peer) { p.extend(p.request, h3Frame(frameData, capsuleDatagram, 10, 0), true) }},
		{name: "an unknown capsule of 2^60 bytes in a tunnel", rule: "RFC 9297, Section 3.2", want: served, answers: 12 * minDatagram,
			send: tells(varints(capsuleUnknown, 1<<60), make([]byte, 50_000))},
		{name: "50,000 unknown capsules in a tunnel", rule: "RFC 9297, Section 3.2", want: served, answers: 60 * minDatagram,
			send: repeats(50_000, func(uint64) []byte { return capsule(capsuleUnknown) })},
		{name: "50,000 DATAGRAM capsules without a context", rule: "RFC 9298, Section 5", want: served, answers: 60 * minDatagram,
			send: repeats(50_000, func(uint64) []byte { return capsule(capsuleDatagram) })},
		{name: "30,000 capsules of an unknown context", rule: "RFC 9298, Section 4", want: served, answers: 60 * minDatagram,
			send: repeats(30_000, func(uint64) []byte { return capsule(capsuleDatagram, 2) })},
		{name: "10,000 empty UDP payloads in capsules", rule: "RFC 9298, Section 5", want: served, held: 512 << 10, answers: 400 * minDatagram,
			send: repeats(10_000, func(uint64) []byte { return capsule(capsuleDatagram, 0) })},
		{name: "a capsule of the longest payload, and no more of it", rule: "RFC 9298, Section 5", want: served, held: 160 << 10,
			send: tells(varints(capsuleDatagram, 65_528, 0, 1, 2))},
		{name: "capsules in DATA frames of a byte each, in a tunnel", rule: "RFC 9297, Section 3.2", want: served, answers: 90 * minDatagram,
			send: func(p *peer) {
				p.extend(p.request, bytes.Repeat(concat(h3Frame(frameData, capsuleUnknown), h3Frame(frameData, 0)), 12_000), false)
			}},
		{name: "25,000 datagrams of an unknown context", rule: "RFC 9298, Section 4", want: served, held: 640 << 10, answers: 120 * minDatagram,
			send: func(p *peer) { p.send(times(25_000, func(uint64) []byte { return p.datagram(2) })...) }},
		{name: "10,000 empty UDP payloads in datagrams", rule: "RFC 9298, Section 5", want: served, held: 640 << 10,
			answers: 400 * minDatagram,
			send:    func(p *peer) { p.send(times(10_000, func(uint64) []byte { return p.datagram(0) })...) }},
		{name: "tunnels that are left at once", rule: "RFC 9298, Section 3.1", want: served, held: 256 << 10, answers: 400 * minDatagram,
			send: func(p *peer) {
				for range 200 {
					id := p.nextID[bidi]
					p.wait("credit for a stream", func() bool { return id/4 < p.seen.maxStreams })
					p.stream(bidi, tunnelRequest(), true)
					p.settle()
				}
			}},
		{name: "100,000 PINGs beside a tunnel", rule: "RFC 9000, Section 13.2.1", want: served, answers: 100 * minDatagram,
			send: repeated(100_000, func(uint64) []byte { return []byte{wire.FramePing} })},
	}
	for i := range all {
		all[i].at = tunnel
	}
	return all
}
