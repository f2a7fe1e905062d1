package webtransport

import "github.com/lazoquic/lazo/h3"

// Types of streams (draft-ietf-webtrans-http3-15, Sections 4.2 and 4.3): the type of unidirectional
// streams, and the value at the start of bidirectional ones.
const (
	typeUni  = 0x54
	typeBidi = 0x41
)

// Error codes of streams and connections (draft-ietf-webtrans-http3-15, Section 9.5).
const (
	BufferedStreamRejected h3.ErrorCode = 0x3994bd84 // too many streams came before their session
	SessionGone            h3.ErrorCode = 0x170d7b68 // the session of the stream has ended
	FlowControlError       h3.ErrorCode = 0x045d4487 // the peer broke its flow control
	RequirementsNotMet     h3.ErrorCode = 0x212c0d48 // the peer lacks what WebTransport needs
)

// ALPNError is the code of a session that a client closes because the server did not
// choose one of its protocols.
const ALPNError = 0x0817b3dd

// The range of HTTP/3 error codes for the codes of applications.
const (
	firstCode = 0x52e4a40fa8db
	lastCode  = 0x52e5ac983162
)

// toHTTP maps an error code of the application to one of HTTP/3. It leaves out the codes in the
// range that HTTP/3 reserves (draft-ietf-webtrans-http3-15, Section 4.4).
func toHTTP(code uint32) uint64 {
	n := uint64(code)
	return firstCode + n + n/0x1e
}

// fromHTTP is the reverse of toHTTP. It reports false for codes that no application can have given.
func fromHTTP(code uint64) (uint32, bool) {
	if code < firstCode || code > lastCode || (code-0x21)%0x1f == 0 {
		return 0, false
	}
	n := code - firstCode
	return uint32(n - n/0x1f), true
}
