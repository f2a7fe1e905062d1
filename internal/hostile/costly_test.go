package hostile

import (
	"bytes"

	"github.com/lazoquic/lazo/internal/wire"
)

// capacity4096 is an encoder stream that begins with a table of 4,096 bytes.
func capacity4096(more ...[]byte) []byte {
	return concat(append([][]byte{{streamEncoder, 0x3f, 0xe1, 0x1f}}, more...)...)
}

// costlyAttacks break no rule. Each is the most expensive of its kind, as often as a client can
// send it in a moment.
func costlyAttacks() []attack {
	return append(costlyFrames(), costlyQPACK()...)
}

// costlyFrames are those of HTTP/3.
func costlyFrames() []attack {
	control := func(n int, frame func(i uint64) []byte) func(*peer) {
		return func(p *peer) { p.stream(uni, settings(times(n, frame)...), false) }
	}
	body := func(b []byte) func(*peer) { return asks(request("POST"), b) }
	return []attack{
		{name: "50,000 DATA frames without a byte", rule: "RFC 9114, Section 7.2.1", want: served, answers: 60 * minDatagram,
			send: body(bytes.Repeat(h3Frame(frameData), 50_000))},
		{name: "30,000 DATA frames of a byte", rule: "RFC 9114, Section 7.2.1", want: served, answers: 60 * minDatagram,
			send: body(bytes.Repeat(h3Frame(frameData, 'x'), 30_000))},
		{name: "50,000 unknown frames in a request", rule: "RFC 9114, Section 9", want: served, answers: 60 * minDatagram,
			send: body(bytes.Repeat(h3Frame(0x21), 50_000))},
		{name: "50,000 unknown frames on the control stream", rule: "RFC 9114, Section 9", at: connected, want: served,
			answers: 60 * minDatagram, send: control(50_000, func(uint64) []byte { return h3Frame(0x21) })},
		{name: "20,000 MAX_PUSH_IDs of one more each", rule: "RFC 9114, Section 7.2.7", at: connected, want: served,
			answers: 60 * minDatagram, send: control(20_000, func(i uint64) []byte { return h3Frame(frameMaxPushID, varint(i)...) })},
		{name: "20,000 GOAWAYs of one less each", rule: "RFC 9114, Section 5.2", at: connected, want: served,
			answers: 60 * minDatagram, send: control(20_000, func(i uint64) []byte { return h3Frame(frameGoAway, varint(20_000-i)...) })},
		{name: "25,000 datagrams of a byte for a request", rule: "RFC 9297, Section 2.1", want: served, held: 64 << 10, answers: 120 * minDatagram,
			send: func(p *peer) {
				p.request = p.stream(bidi, request("POST"), false)
				p.send(times(25_000, func(uint64) []byte { return p.datagram('x') })...)
			}},
		{name: "80 header sections that come byte by byte", rule: "RFC 9114, Section 4.1", want: served, held: 640 << 10,
			answers: 300 * minDatagram, send: byteByByte},
		{name: "80 requests of 900 fields", rule: "RFC 9114, Section 4.2.2", want: served, held: 256 << 10, answers: 300 * minDatagram,
			send: func(p *peer) {
				// each is a byte: age: 0, of the static table
				b := h3Frame(frameHeaders, concat(plain(request("GET")), bytes.Repeat([]byte{0xc2}, 900))...)
				for range 80 {
					p.stream(bidi, b, true)
					p.settle()
				}
			}},
		{name: "80 requests with 1,000 bytes in Huffman's code", rule: "RFC 9204, Section 4.1.2", want: served, held: 256 << 10,
			answers: 300 * minDatagram,
			send: func(p *peer) {
				// 1,600 zeros, whose codes have 5 bits each
				value := concat([]byte{0x23, 'a', 'b', 'c', 0xff, 0xe9, 0x06}, make([]byte, 1000))
				b := h3Frame(frameHeaders, concat(plain(request("GET")), value)...)
				for range 80 {
					p.stream(bidi, b, true)
					p.settle()
				}
			}},
	}
}

// plain returns the field section of a HEADERS frame.
func plain(headers []byte) []byte {
	_, n := wire.ParseVarint(headers)
	_, m := wire.ParseVarint(headers[n:])
	return headers[n+m:]
}

// byteByByte makes a client send requests in STREAM frames of a byte, one of each request in turn.
func byteByByte(p *peer) {
	b := request("GET")
	first := p.nextID[bidi]
	const n = 80
	for off := range b {
		p.send(times(n, func(i uint64) []byte {
			return streamFrame(first+4*i, uint64(off), b[off:off+1], off == len(b)-1)
		})...)
		p.settle()
	}
	p.nextID[bidi] += 4 * n
}

// costlyQPACK are instructions and field sections for a table.
func costlyQPACK() []attack {
	insert := []byte{0x41, 'a', 1, 'b'}
	all := []attack{
		{name: "100,000 duplicates", rule: "RFC 9204, Section 4.3.4",
			send: opens(capacity4096(insert, bytes.Repeat([]byte{0}, 100_000)))},
		{name: "50,000 insertions with names of the static table", rule: "RFC 9204, Section 4.3.2",
			send: opens(capacity4096(bytes.Repeat([]byte{0xc0, 0}, 50_000)))},
		{name: "50,000 insertions with names of their own", rule: "RFC 9204, Section 4.3.3",
			send: opens(capacity4096(bytes.Repeat([]byte{0x40, 0}, 50_000)))},
		{name: "a capacity that goes up and down 12,000 times", rule: "RFC 9204, Section 4.3.1",
			send: opens(capacity4096(bytes.Repeat(concat([]byte{0x20, 0x3f, 0xe1, 0x1f}, insert), 12_000)))},
		{name: "100,000 cancellations of streams that are not there", rule: "RFC 9204, Section 4.4.2",
			send: opens([]byte{streamDecoder}, bytes.Repeat([]byte{0x44}, 100_000))},
		{name: "80 requests that wait for an insertion", rule: "RFC 9204, Section 2.1.2", held: 1 << 20,
			send: func(p *peer) {
				// Required Insert Count 1, Base 1; 900 times the entry that is to come
				b := h3Frame(frameHeaders, concat([]byte{2, 0}, plain(request("GET"))[2:], bytes.Repeat([]byte{0x80}, 900))...)
				for range 80 {
					p.stream(bidi, b, true)
				}
				p.stream(uni, capacity4096(insert), false)
			}},
		{name: "fields of the longest entry there can be", rule: "RFC 9204, Section 7.1", want: status(431), held: 128 << 10,
			send: func(p *peer) {
				entry := concat([]byte{0x41, 'a', 0x7f, 0x81, 0x1e}, bytes.Repeat([]byte{'b'}, 3968))
				p.stream(uni, capacity4096(entry), false)
				p.settle()
				p.stream(bidi, h3Frame(frameHeaders, concat([]byte{2, 0}, plain(request("GET"))[2:], bytes.Repeat([]byte{0x80}, 900))...), true)
			}},
	}
	for i := range all {
		all[i].table = 4096
		if all[i].want.name == "" {
			all[i].want = served
		}
		if all[i].answers == 0 {
			all[i].answers = 300 * minDatagram
		}
		if all[i].held == 0 {
			all[i].held = 64 << 10
		}
	}
	return all
}
