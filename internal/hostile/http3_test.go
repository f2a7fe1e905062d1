package hostile

import (
	"bytes"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/wire"
)

// asks makes a client send bytes on a stream for a request.
func asks(b ...[]byte) func(*peer) {
	return func(p *peer) { p.stream(bidi, concat(b...), false) }
}

// opens makes it send bytes on a unidirectional stream.
func opens(b ...[]byte) func(*peer) {
	return func(p *peer) { p.stream(uni, concat(b...), false) }
}

// http3Attacks are those of frames and streams of HTTP/3.
func http3Attacks() []attack {
	endless := append(varint(1<<10+1), 0)
	all := []attack{
		{
			name: "DATA before HEADERS", rule: "RFC 9114, Section 4.1", send: asks(h3Frame(frameData, 1)),
			want: closes(h3.FrameUnexpected),
		},
		{
			name: "HEADERS after trailers", rule: "RFC 9114, Section 4.1", want: closes(h3.FrameUnexpected),
			send: asks(request("POST"), section(field{Name: "a", Value: "b"}), section(field{Name: "a", Value: "b"})),
		},
		{
			name: "a control frame on a request stream", refs: []string{"quiche 2cccba05"}, rule: "RFC 9114, Section 7.2.4",
			send: asks(h3Frame(frameSettings)), want: closes(h3.FrameUnexpected),
		},
		{
			name: "a frame of HTTP/2", rule: "RFC 9114, Section 7.2.8", send: asks(h3Frame(0x08)), want: closes(h3.FrameUnexpected),
		},
		{
			name: "PUSH_PROMISE of a client", rule: "RFC 9114, Section 7.2.5", send: asks(h3Frame(framePushPromise, 0)),
			want: closes(h3.FrameUnexpected),
		},
		{
			name: "a frame longer than its stream", rule: "RFC 9114, Section 7.1", want: closes(h3.FrameError),
			send: func(p *peer) { p.stream(bidi, []byte{frameHeaders, 5, 0}, true) },
		},
		{
			name: "an unknown frame of 2^60 bytes", refs: []string{"quiche 0.29.3"}, rule: "RFC 9114, Section 9", want: served,
			send: asks(varint(0x21), varint(1<<60), make([]byte, 50_000)), answers: 8 * minDatagram,
		},
		{
			name: "a header section of 1 GiB", refs: []string{"quiche 0.29.3"}, rule: "RFC 9114, Section 4.2.2", want: status(431),
			send: asks(varint(frameHeaders), varint(1<<30)),
		},
		{
			name: "2,000 fields of 2 bytes", refs: []string{"CVE-2025-64702"}, rule: "RFC 9114, Section 4.2.2", want: status(431),
			send: func(p *peer) {
				fields := make([]field, 2000)
				for i := range fields {
					fields[i] = field{Name: "a", Value: "b"}
				}
				p.stream(bidi, request("GET", fields...), true)
			}, held: 80 << 10,
		},
		{
			name: "a request without a frame", rule: "RFC 9114, Section 4.1", want: cancels(h3.RequestIncomplete),
			send: func(p *peer) { p.stream(bidi, nil, true) },
		},
		{
			name: "a second control stream", rule: "RFC 9114, Section 6.2.1", send: opens(settings()),
			want: closes(h3.StreamCreationError),
		},
		{
			name: "a push stream of a client", rule: "RFC 9114, Section 6.2.2", send: opens([]byte{streamPush, 0}),
			want: closes(h3.StreamCreationError),
		},
		{
			name: "50 streams of an unknown type", rule: "RFC 9114, Section 6.2", want: served,
			send: func(p *peer) {
				for range 50 {
					p.stream(uni, endless, false)
				}
			}, held: 90 << 10, answers: 12 * minDatagram,
		},
		{
			name: "no SETTINGS first", rule: "RFC 9114, Section 6.2.1", at: connected,
			send: opens(varint(streamControl), h3Frame(frameGoAway, 0)), want: closes(h3.MissingSettings),
		},
		{
			name: "the control stream ends", rule: "RFC 9114, Section 6.2.1", at: connected,
			send: func(p *peer) { p.stream(uni, settings(), true) }, want: closes(h3.ClosedCriticalStream),
		},
		{
			name: "a malformed datagram", rule: "RFC 9297, Section 2.1", want: closes(h3.DatagramError),
			send: once(append(wire.AppendDatagramHeader(nil, 1), 0xc0)),
		},
	}
	for _, c := range []struct {
		name, section string
		control       []byte
		want          h3.ErrorCode
	}{
		{"SETTINGS twice", "7.2.4", settings(h3Frame(frameSettings)), h3.FrameUnexpected},
		{"a setting of HTTP/2", "7.2.4.1", concat(varint(streamControl), h3Frame(frameSettings, 2, 0)), h3.SettingsError},
		{"a setting twice", "7.2.4", concat(varint(streamControl), h3Frame(frameSettings, 6, 1, 6, 1)), h3.SettingsError},
		{"SETTINGS of 10,000 bytes", "7.2.4", concat(varint(streamControl), h3Frame(frameSettings, make([]byte, 10_000)...)), h3.ExcessiveLoad},
		{"MAX_PUSH_ID that goes down", "7.2.7", settings(h3Frame(frameMaxPushID, 5), h3Frame(frameMaxPushID, 4)), h3.IDError},
		{"GOAWAY that goes up", "5.2", settings(h3Frame(frameGoAway, 4), h3Frame(frameGoAway, 8)), h3.IDError},
		{"GOAWAY that is too long", "7.2.6", settings(h3Frame(frameGoAway, 4, 0)), h3.FrameError},
	} {
		all = append(all, attack{
			name: c.name, rule: "RFC 9114, Section " + c.section, at: connected, send: opens(c.control), want: closes(c.want),
		})
	}
	return append(all,
		attack{
			name: "PRIORITY_UPDATE with nonsense", rule: "RFC 9218, Section 7", at: connected, want: closes(h3.GeneralProtocolError),
			send: opens(settings(h3Frame(framePriorityUpdate, []byte("\x00u=3,")...))),
		},
		attack{
			name: "2,000 PRIORITY_UPDATEs for requests to come", rule: "RFC 9218, Section 7.2", at: connected, want: served,
			send: func(p *peer) {
				p.stream(uni, settings(times(2000, func(i uint64) []byte {
					return h3Frame(framePriorityUpdate, append(wire.AppendVarint2(nil, 4*(i%90)), "u=1"...)...)
				})...), false)
			}, held: 40 << 10, answers: 10 * minDatagram,
		},
	)
}

// messageAttacks are malformed requests, and floods of them.
func messageAttacks() (all []attack) {
	for _, m := range []struct {
		name    string
		section string
		request []byte
	}{
		{"a field name in upper case", "4.2", request("GET", field{Name: "A", Value: "b"})},
		{"a value with a line feed", "4.2", request("GET", field{Name: "a", Value: "b\nc: d"})},
		{"a value with a NUL", "10.3", request("GET", field{Name: "a", Value: "b\x00"})},
		{"transfer-encoding", "4.2", request("POST", field{Name: "transfer-encoding", Value: "chunked"})},
		{"two lengths", "4.1.2", request("POST", field{Name: "content-length", Value: "1"}, field{Name: "content-length", Value: "2"})},
		{"DATA longer than content-length", "4.1.2", concat(request("POST", field{Name: "content-length", Value: "1"}), h3Frame(frameData, 1, 2))},
		{"a host other than :authority", "4.3.1", request("GET", field{Name: "host", Value: "evil.test"})},
		{":path twice", "4.3.1", request("GET", field{Name: ":path", Value: "/b"})},
		{"a pseudo-header field behind others", "4.3", request("GET", field{Name: "a", Value: "b"}, field{Name: ":path", Value: "/"})},
		{"CONNECT with a :path", "4.4", request("CONNECT")},
		{"a :method with a space", "4.3.1", request("GET / HTTP/1.1")},
	} {
		var refs []string
		if m.name == "two lengths" || m.name == "DATA longer than content-length" || m.name == "transfer-encoding" {
			refs = []string{"CVE-2026-90678"}
		}
		all = append(all, attack{
			name: m.name, refs: refs, rule: "RFC 9114, Section " + m.section, send: asks(m.request), want: cancels(h3.MessageError),
		})
	}
	return append(all,
		attack{
			name: "requests that are reset at once", refs: []string{"CVE-2023-44487"}, rule: "RFC 9114, Section 10.5",
			send: flood(func(p *peer, id uint64) [][]byte {
				return [][]byte{streamFrame(id, 0, request("GET"), false), wire.AppendResetStream(nil, id, uint64(h3.RequestCancelled), uint64(len(request("GET"))))}
			}), want: closes(h3.ExcessiveLoad), held: 300 << 10, answers: 400 * minDatagram,
		},
		attack{
			name: "requests whose responses are not wanted", refs: []string{"CVE-2023-44487"}, rule: "RFC 9114, Section 10.5",
			send: flood(func(p *peer, id uint64) [][]byte {
				return [][]byte{streamFrame(id, 0, request("POST"), false), wire.AppendStopSending(nil, id, uint64(h3.RequestCancelled)), wire.AppendResetStream(nil, id, uint64(h3.RequestCancelled), uint64(len(request("POST"))))}
			}), want: closes(h3.ExcessiveLoad), held: 300 << 10, answers: 400 * minDatagram,
		},
		attack{
			name: "malformed requests, so that the server resets them", refs: []string{"CVE-2025-8671"}, rule: "RFC 9114, Section 10.5",
			send: flood(func(p *peer, id uint64) [][]byte {
				return [][]byte{streamFrame(id, 0, request("GET", field{Name: "A", Value: "b"}), true)}
			}), want: closes(h3.ExcessiveLoad), held: 300 << 10, answers: 400 * minDatagram,
		},
	)
}

// flood makes a client spend stream after stream on frames, as fast as it gets credit, until the
// connection ends.
func flood(frames func(p *peer, id uint64) [][]byte) func(*peer) {
	return func(p *peer) {
		for range 3000 {
			id := p.nextID[bidi]
			p.nextID[bidi] += 4
			p.wait("credit for a stream", func() bool { return p.seen.closed || id/4 < p.seen.maxStreams })
			if p.seen.closed {
				return
			}
			p.send(frames(p, id)...)
		}
	}
}

// qpackAttacks are those of QPACK.
func qpackAttacks() (all []attack) {
	endless := bytes.Repeat([]byte{0xff}, 12)
	for _, c := range []struct {
		name, section string
		content       []byte
		refs          []string
	}{
		{"a literal of 2 GiB", "7.4", []byte{0, 0, 0x27, 0xff, 0xff, 0xff, 0xff, 0x07, 'a'}, []string{"CVE-2026-100662"}},
		{"an integer beyond all integers", "4.1.1", append([]byte{0, 0, 0xff}, endless...), []string{"x/net 5a3baee3"}},
		{"a reference to a table without capacity", "3.2.3", []byte{2, 0, 0x80}, nil},
		{"static index 99", "3.1", []byte{0, 0, 0xff, 0x24}, nil},
		{"a field section without a prefix", "4.5.1", nil, nil},
		{"a Huffman code that ends in zeros", "4.1.2", []byte{0, 0, 0x29, 0, 0}, nil},
	} {
		all = append(all, attack{
			name: c.name, refs: c.refs, rule: "RFC 9204, Section " + c.section, send: asks(h3Frame(frameHeaders, c.content...)),
			want: closes(h3.QPACKDecompressionFailed),
		})
	}
	all = append(all, attack{
		name: "a literal of 2 GiB in trailers", refs: []string{"CVE-2026-40898"}, rule: "RFC 9204, Section 7.4",
		send: asks(request("POST"), h3Frame(frameHeaders, 0, 0, 0x27, 0xff, 0xff, 0xff, 0xff, 0x07, 'a')),
		want: closes(h3.QPACKDecompressionFailed),
	})
	for _, c := range []struct {
		name, section string
		stream        []byte
		want          h3.ErrorCode
		refs          []string
	}{
		{"an insertion into a table without capacity", "3.2.3", []byte{streamEncoder, 0xc0, 1, 'a'}, h3.QPACKEncoderStreamError, nil},
		{"a capacity above the limit", "4.3.1", []byte{streamEncoder, 0x21}, h3.QPACKEncoderStreamError, nil},
		{"an instruction of 2 GiB", "7.4", []byte{streamEncoder, 0x5f, 0xff, 0xff, 0xff, 0xff, 0x07}, h3.QPACKEncoderStreamError, []string{"CVE-2026-100662"}},
		{"an increment of 0", "4.4.3", []byte{streamDecoder, 0}, h3.QPACKDecoderStreamError, nil},
		{"an acknowledgment of no section", "4.4.1", []byte{streamDecoder, 0x80}, h3.QPACKDecoderStreamError, nil},
	} {
		all = append(all, attack{
			name: c.name, refs: c.refs, rule: "RFC 9204, Section " + c.section, send: opens(c.stream), want: closes(c.want),
		})
	}
	return append(all,
		attack{
			name: "a second encoder stream", refs: []string{"CVE-2026-42530"}, rule: "RFC 9204, Section 4.2", want: closes(h3.StreamCreationError),
			send: func(p *peer) {
				p.stream(uni, []byte{streamEncoder}, false)
				p.stream(uni, []byte{streamEncoder}, false)
			},
		},
		attack{
			name: "the decoder stream ends", rule: "RFC 9204, Section 4.2", want: closes(h3.ClosedCriticalStream),
			send: func(p *peer) { p.stream(uni, []byte{streamDecoder}, true) },
		},
	)
}
