package hostile

import "github.com/lazoquic/lazo/h3"

// An outcome is what the peer must get.
type outcome struct {
	kind kind
	code uint64
	name string
}

type kind uint8

const (
	kindServed    kind = iota // the connection goes on, and the peer gets its page
	kindSilence               // no answer
	kindNegotiate             // Version Negotiation
	kindLess                  // less bytes in answer than were sent
	kindThrice                // at most three times as many
	kindClose                 // CONNECTION_CLOSE of QUIC
	kindAppClose              // CONNECTION_CLOSE of HTTP/3
	kindReset                 // RESET_STREAM or STOP_SENDING, and the connection goes on
	kindStatus                // a status, and the connection goes on
)

// The outcomes without a code.
var (
	served      = outcome{kind: kindServed, name: "the connection goes on"}
	silence     = outcome{kind: kindSilence, name: "no answer"}
	negotiates  = outcome{kind: kindNegotiate, name: "Version Negotiation"}
	answersLess = outcome{kind: kindLess, name: "fewer bytes than were sent"}
	unvalidated = outcome{kind: kindThrice, name: "at most 3 times as many bytes as were sent"}
)

// broken is the outcome of a rule of QUIC that is broken.
func broken(code uint64, name string) outcome {
	return outcome{kind: kindClose, code: code, name: name}
}

// The error codes of RFC 9000, Section 20.1, that a client can provoke.
var (
	internalError           = broken(0x01, "INTERNAL_ERROR")
	connectionRefused       = broken(0x02, "CONNECTION_REFUSED")
	flowControlError        = broken(0x03, "FLOW_CONTROL_ERROR")
	streamLimitError        = broken(0x04, "STREAM_LIMIT_ERROR")
	streamStateError        = broken(0x05, "STREAM_STATE_ERROR")
	finalSizeError          = broken(0x06, "FINAL_SIZE_ERROR")
	frameEncodingError      = broken(0x07, "FRAME_ENCODING_ERROR")
	transportParameterError = broken(0x08, "TRANSPORT_PARAMETER_ERROR")
	connectionIDLimitError  = broken(0x09, "CONNECTION_ID_LIMIT_ERROR")
	protocolViolation       = broken(0x0a, "PROTOCOL_VIOLATION")
	invalidToken            = broken(0x0b, "INVALID_TOKEN")
	cryptoBufferExceeded    = broken(0x0d, "CRYPTO_BUFFER_EXCEEDED")
	keyUpdateError          = broken(0x0e, "KEY_UPDATE_ERROR")
	unexpectedMessage       = broken(0x10a, "CRYPTO_ERROR (unexpected_message)")
	noApplicationProtocol   = broken(0x178, "CRYPTO_ERROR (no_application_protocol)")
)

// closes and cancels are the outcomes of a rule of HTTP/3 that is broken.
func closes(code h3.ErrorCode) outcome {
	return outcome{kind: kindAppClose, code: uint64(code), name: code.String()}
}

func cancels(code h3.ErrorCode) outcome {
	return outcome{kind: kindReset, code: uint64(code), name: code.String()}
}

// status is that of a response.
func status(code uint64) outcome {
	return outcome{kind: kindStatus, code: code, name: "status"}
}
