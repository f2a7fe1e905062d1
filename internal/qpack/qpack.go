// Package qpack compresses HTTP field sections (RFC 9204).
//
// A [Decoder] and an [Encoder] do no I/O. They take the bytes of field sections
// and of the peer's instruction streams, and hand out the instructions that are
// to be sent. Nothing is ever allocated because a peer claimed a length.
package qpack

import "errors"

// A Field is one field line.
type Field struct {
	Name, Value string
	Sensitive   bool // a literal that must stay one (RFC 9204, Section 7.1.3)
}

// Size returns the size that limits count, in bytes (RFC 9114, Section 4.2.2; RFC 9204,
// Section 3.2.1).
func (f *Field) Size() int64 { return int64(len(f.Name)) + int64(len(f.Value)) + fieldOverhead }

const fieldOverhead = 32

// MaxFields is how many fields a decoded section may have. A reference of one byte costs its sender
// next to nothing. To decode, check and store it costs more than the 32 bytes that count for it.
const MaxFields = 1000

// Error codes of QPACK (RFC 9204, Section 6).
const (
	DecompressionFailed = 0x200
	EncoderStreamError  = 0x201
	DecoderStreamError  = 0x202
)

// An Error ends the connection with its Code.
type Error struct {
	Code   uint64
	Reason string
}

func (e *Error) Error() string { return "qpack: " + e.Reason }

func sectionError(reason string) error { return &Error{DecompressionFailed, reason} }
func encoderError(reason string) error { return &Error{EncoderStreamError, reason} }
func decoderError(reason string) error { return &Error{DecoderStreamError, reason} }

var (
	// ErrTooLarge reports a field section that is larger than the limit. The connection goes on.
	ErrTooLarge = errors.New("qpack: field section too large")

	// ErrBlocked reports a field section that needs insertions which have not
	// arrived: see [Decoder.Unblocked].
	ErrBlocked = errors.New("qpack: field section is blocked")
)
