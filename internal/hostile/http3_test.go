package hostile

import (
	"bytes"

	"github.com/lazoquic/lazo/h3"
)

// closes and cancels are the outcomes of a rule of HTTP/3 that is broken.
func closes(code h3.ErrorCode) outcome {
	return outcome{kind: kindAppClose, code: uint64(code), name: code.String()}
}

func cancels(code h3.ErrorCode) outcome {
	return outcome{kind: kindReset, code: uint64(code), name: code.String()}
}

// asks makes a client send bytes on a stream for a request.
func asks(b ...[]byte) func(*peer) {
	return func(p *peer) { p.stream(bidi, concat(b...), false) }
}

// opens makes it send bytes on a unidirectional stream.
func opens(b ...[]byte) func(*peer) {
	return func(p *peer) { p.stream(uni, concat(b...), false) }
}

// http3Attacks are those of HTTP/3 and QPACK.
func http3Attacks() []attack {
	return []attack{
		{
			name: "a literal of 2 GiB", refs: []string{"CVE-2026-100662"}, rule: "RFC 9204, Section 7.4",
			send: asks(h3Frame(frameHeaders, 0, 0, 0x27, 0xff, 0xff, 0xff, 0xff, 0x07, 'a')), want: closes(h3.QPACKDecompressionFailed),
		},
		{
			name: "an integer beyond all integers", refs: []string{"x/net 5a3baee3"}, rule: "RFC 9204, Section 4.1.1",
			send: asks(h3Frame(frameHeaders, append([]byte{0, 0, 0xff}, bytes.Repeat([]byte{0xff}, 12)...)...)),
			want: closes(h3.QPACKDecompressionFailed),
		},
		{
			name: "DATA before HEADERS", rule: "RFC 9114, Section 4.1",
			send: asks(h3Frame(frameData, 1)), want: closes(h3.FrameUnexpected),
		},
		{
			name: "a control frame on a request stream", refs: []string{"quiche 2cccba05"}, rule: "RFC 9114, Section 7.2.4",
			send: asks(h3Frame(frameSettings)), want: closes(h3.FrameUnexpected),
		},
		{
			name: "a second control stream", rule: "RFC 9114, Section 6.2.1",
			send: opens(settings()), want: closes(h3.StreamCreationError),
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
			name: "a setting of HTTP/2", rule: "RFC 9114, Section 7.2.4.1", at: connected,
			send: opens(varint(streamControl), h3Frame(frameSettings, 2, 0)), want: closes(h3.SettingsError),
		},
		{
			name: "a field name in upper case", rule: "RFC 9114, Section 4.2",
			send: asks(request("GET", field{Name: "A", Value: "b"})), want: cancels(h3.MessageError),
		},
	}
}
