package h3

import (
	"errors"
	"fmt"

	"github.com/lazoquic/lazo/internal/qpack"
)

// An ErrorCode is an HTTP/3 error code (RFC 9114, Section 8.1): what streams are
// reset, and connections closed with.
// RFC 9114, Section 8 [1].
type ErrorCode uint64

// Error codes: of HTTP Datagrams (RFC 9297, Section 5.2), HTTP/3 (RFC 9114, Section
// 8.1) and QPACK (RFC 9204, Section 6).
const (
	DatagramError        ErrorCode = 0x33
	NoError              ErrorCode = 0x100
	GeneralProtocolError ErrorCode = 0x101
	InternalError        ErrorCode = 0x102
	StreamCreationError  ErrorCode = 0x103
	ClosedCriticalStream ErrorCode = 0x104
	FrameUnexpected      ErrorCode = 0x105
	FrameError           ErrorCode = 0x106
	ExcessiveLoad        ErrorCode = 0x107
	IDError              ErrorCode = 0x108
	SettingsError        ErrorCode = 0x109
	MissingSettings      ErrorCode = 0x10a
	RequestRejected      ErrorCode = 0x10b // not processed: safe to send again
	RequestCancelled     ErrorCode = 0x10c
	RequestIncomplete    ErrorCode = 0x10d
	MessageError         ErrorCode = 0x10e
	ConnectError         ErrorCode = 0x10f
	VersionFallback      ErrorCode = 0x110

	QPACKDecompressionFailed ErrorCode = qpack.DecompressionFailed
	QPACKEncoderStreamError  ErrorCode = qpack.EncoderStreamError
	QPACKDecoderStreamError  ErrorCode = qpack.DecoderStreamError
)

// String returns the name of the code as the RFCs have it, such as H3_NO_ERROR,
// and an unknown code in hexadecimal.
func (c ErrorCode) String() string {
	switch c {
	case DatagramError:
		return "H3_DATAGRAM_ERROR"
	case NoError:
		return "H3_NO_ERROR"
	case GeneralProtocolError:
		return "H3_GENERAL_PROTOCOL_ERROR"
	case InternalError:
		return "H3_INTERNAL_ERROR"
	case StreamCreationError:
		return "H3_STREAM_CREATION_ERROR"
	case ClosedCriticalStream:
		return "H3_CLOSED_CRITICAL_STREAM"
	case FrameUnexpected:
		return "H3_FRAME_UNEXPECTED"
	case FrameError:
		return "H3_FRAME_ERROR"
	case ExcessiveLoad:
		return "H3_EXCESSIVE_LOAD"
	case IDError:
		return "H3_ID_ERROR"
	case SettingsError:
		return "H3_SETTINGS_ERROR"
	case MissingSettings:
		return "H3_MISSING_SETTINGS"
	case RequestRejected:
		return "H3_REQUEST_REJECTED"
	case RequestCancelled:
		return "H3_REQUEST_CANCELLED"
	case RequestIncomplete:
		return "H3_REQUEST_INCOMPLETE"
	case MessageError:
		return "H3_MESSAGE_ERROR"
	case ConnectError:
		return "H3_CONNECT_ERROR"
	case VersionFallback:
		return "H3_VERSION_FALLBACK"
	case QPACKDecompressionFailed:
		return "QPACK_DECOMPRESSION_FAILED"
	case QPACKEncoderStreamError:
		return "QPACK_ENCODER_STREAM_ERROR"
	case QPACKDecoderStreamError:
		return "QPACK_DECODER_STREAM_ERROR"
	}
	return fmt.Sprintf("%#x", uint64(c))
}

// An Error says which rule of HTTP/3 was broken. It is the Err of an
// [EventCanceled] that the peer's message caused, and what SendFields and
// OpenRequest return for fields that no message may have.
type Error struct {
	Code   ErrorCode
	Reason string
}

// Error returns the reason and the code.
func (e *Error) Error() string { return fmt.Sprintf("h3: %s (%v)", e.Reason, e.Code) }

var (
	// ErrGoAway is returned by OpenRequest once the peer goes away. The request
	// was not sent.
	ErrGoAway = errors.New("h3: the peer takes no more requests")

	// ErrFieldsTooLarge is returned for fields that are larger than the peer
	// accepts (SETTINGS_MAX_FIELD_SECTION_SIZE). Nothing of them was sent.
	ErrFieldsTooLarge = errors.New("h3: fields larger than the peer accepts")

	// ErrNoExtendedConnect is returned by OpenRequest for a request with
	// :protocol while the peer's settings do not allow it (RFC 9220). They may
	// not have come yet: see [EventSettings].
	ErrNoExtendedConnect = errors.New("h3: the peer takes no extended CONNECT")

	// ErrMessageEnded is returned for fields and data behind the end of a message.
	ErrMessageEnded = errors.New("h3: the message has ended")
)

func frameError(reason string) *Error   { return &Error{FrameError, reason} }
func messageError(reason string) *Error { return &Error{MessageError, reason} }
