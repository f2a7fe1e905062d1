package webtransport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/dgram"
)

// Types of capsules (draft-ietf-webtrans-http3-15, Section 9.6; draft-ietf-webtrans-http2).
const (
	capsuleClose = 0x2843
	capsuleDrain = 0x78ae

	// flow control (draft-ietf-webtrans-http3-16, Section 5.6)
	capsuleMaxData            = 0x190b4d3d
	capsuleMaxStreamsBidi     = 0x190b4d3f
	capsuleMaxStreamsUni      = 0x190b4d40
	capsuleDataBlocked        = 0x190b4d41
	capsuleStreamsBlockedBidi = 0x190b4d43
	capsuleStreamsBlockedUni  = 0x190b4d44

	// of WebTransport over HTTP/2, forbidden here
	capsuleMaxStreamData     = 0x190b4d3e
	capsuleStreamDataBlocked = 0x190b4d42
)

// errMalformed is wrapped by the errors of capsules that no peer may send.
var errMalformed = errors.New("webtransport: malformed capsule")

func malformed(what string) error { return fmt.Errorf("%w: %s", errMalformed, what) }

// contentFields are those that no message with capsules may have (RFC 9297, Section 3.2).
var contentFields = [...]string{"Content-Length", "Content-Type", "Transfer-Encoding"}

// describesContent reports whether h has one of contentFields.
func describesContent(h http.Header) bool {
	return slices.ContainsFunc(contentFields[:], func(name string) bool { return h[name] != nil })
}

// hasCapsules reports whether a successful response may be followed by capsules (RFC 9297, Section
// 3.2).
// RFC 9297, Section 3.2 [5, 6].
func hasCapsules(r *http.Response) bool {
	switch r.StatusCode {
	case http.StatusNoContent, http.StatusResetContent, http.StatusPartialContent:
		return false
	}
	return !describesContent(r.Header)
}

// A capsule is a capsule of a type that matters here.
type capsule struct {
	typ    uint64
	code   uint32 // the code in capsuleClose
	reason string
	limit  uint64 // the value of a capsule of flow control
}

// A capsuleReader reads capsules. It skips those that do not matter, whatever their length. Among
// them are the capsules of flow control if that is not in use (draft-ietf-webtrans-http3-16,
// Section 5.1).
type capsuleReader struct {
	r    *bufio.Reader
	flow bool // flow control is in use
}

func newCapsuleReader(r io.Reader) capsuleReader {
	return capsuleReader{r: bufio.NewReaderSize(r, 512)}
}

// next returns the next capsule that matters. The error is io.EOF after the last capsule, an error
// that wraps errMalformed, or the error of reading.
func (c capsuleReader) next() (capsule, error) {
	for {
		typ, length, err := c.header()
		if err != nil {
			return capsule{}, err
		}
		switch typ {
		case capsuleClose:
			return c.readClose(length)
		case capsuleDrain:
			if length > 0 {
				return capsule{}, malformed("WT_DRAIN_SESSION with a value")
			}
			return capsule{typ: typ}, nil
		case capsuleMaxStreamData, capsuleStreamDataBlocked:
			// draft-ietf-webtrans-http3-15, Section 5.4: QUIC itself limits the data of streams.
			return capsule{}, malformed("flow control of streams")
		default:
			if c.flow && isLimit(typ) {
				return c.readLimit(typ, length)
			}
		}
		for length > 0 {
			n, err := c.r.Discard(int(min(length, 1<<20)))
			length -= uint64(n)
			if err != nil {
				return capsule{}, cut(err)
			}
		}
	}
}

// isLimit reports whether capsules of the type are those of flow control.
func isLimit(typ uint64) bool {
	switch typ {
	case capsuleMaxData, capsuleMaxStreamsBidi, capsuleMaxStreamsUni,
		capsuleDataBlocked, capsuleStreamsBlockedBidi, capsuleStreamsBlockedUni:
		return true
	}
	return false
}

const (
	// maxLimits is how many capsules of flow control the loop handles at once.
	maxLimits = 16
	// maxLimit is the length of the longest one: three integers.
	maxLimit = 24
)

// limits appends the well-formed capsules of flow control that follow and have come whole, up to
// maxLimits in all. It does not wait. A peer may send many in a packet, and to pass them to the
// loop one by one would cost as many turns.
func (c capsuleReader) limits(list []capsule) []capsule {
	for len(list) < maxLimits {
		b, _ := c.r.Peek(min(c.r.Buffered(), maxLimit))
		typ, length, n := dgram.ParseCapsule(b)
		if n == 0 || !isLimit(typ) || length > uint64(len(b)-n) {
			break
		}
		limit, k := varint.Parse(b[n:][:length])
		if k == 0 || k != int(length) {
			break // next knows what is wrong
		}
		c.r.Discard(n + k)
		list = append(list, capsule{typ: typ, limit: limit})
	}
	return list
}

// header reads the header of a capsule.
func (c capsuleReader) header() (typ, length uint64, err error) {
	for want := 1; ; want++ {
		b, err := c.r.Peek(want)
		typ, length, n := dgram.ParseCapsule(b)
		switch {
		case n > 0:
			c.r.Discard(n)
			return typ, length, nil
		case err == io.EOF && len(b) == 0:
			return 0, 0, io.EOF
		case err != nil:
			return 0, 0, cut(err)
		}
	}
}

// readClose reads the value of WT_CLOSE_SESSION (draft-ietf-webtrans-http3-15, Section 6).
// RFC 9297, Section 3.3 [3].
func (c capsuleReader) readClose(length uint64) (capsule, error) {
	if length < 4 || length > 4+maxReason {
		return capsule{}, malformed("WT_CLOSE_SESSION of a wrong length")
	}
	b := make([]byte, length)
	if _, err := io.ReadFull(c.r, b); err != nil {
		return capsule{}, cut(err)
	}
	if !utf8.Valid(b[4:]) {
		return capsule{}, malformed("WT_CLOSE_SESSION with a reason that is not UTF-8")
	}
	return capsule{typ: capsuleClose, code: binary.BigEndian.Uint32(b), reason: string(b[4:])}, nil
}

// readLimit reads the value of a capsule of flow control, which is one integer
// (draft-ietf-webtrans-http3-16, Section 5.6).
// RFC 9297, Section 3.3 [3, 4].
func (c capsuleReader) readLimit(typ, length uint64) (capsule, error) {
	if length < 1 || length > 8 {
		return capsule{}, malformed("flow control with a value of a wrong length")
	}
	b, err := c.r.Peek(int(length))
	if err != nil {
		return capsule{}, cut(err)
	}
	limit, n := varint.Parse(b)
	if n != int(length) {
		return capsule{}, malformed("flow control with a value of a wrong length")
	}
	c.r.Discard(n)
	return capsule{typ: typ, limit: limit}, nil
}

// cut returns the error for a capsule that did not come whole (RFC 9297, Section 3.3).
func cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return malformed("cut short")
	}
	return err
}

// appendClose appends WT_CLOSE_SESSION.
// RFC 9297, Section 3.3 [2].
func appendClose(b []byte, code uint32, reason string) []byte {
	value := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(reason)), code)
	return dgram.AppendCapsule(b, capsuleClose, append(value, reason...))
}
