package qerr

import (
	"crypto/tls"
	"fmt"
	"strings"
)

// A TransportErrorCode is an error code of QUIC (RFC 9000, Section 20.1).
type TransportErrorCode uint64

// The codes.
const (
	NoError TransportErrorCode = iota
	InternalError
	ConnectionRefused
	FlowControlError
	StreamLimitError
	StreamStateError
	FinalSizeError
	FrameEncodingError
	TransportParameterError
	ConnectionIDLimitError
	ProtocolViolation
	InvalidToken
	ApplicationErrorErrorCode
	CryptoBufferExceeded
	KeyUpdateError
	AEADLimitReached
	NoViablePathError
)

// names are the names of the codes in RFC 9000.
var names = [...]string{
	NoError:                   "NO_ERROR",
	InternalError:             "INTERNAL_ERROR",
	ConnectionRefused:         "CONNECTION_REFUSED",
	FlowControlError:          "FLOW_CONTROL_ERROR",
	StreamLimitError:          "STREAM_LIMIT_ERROR",
	StreamStateError:          "STREAM_STATE_ERROR",
	FinalSizeError:            "FINAL_SIZE_ERROR",
	FrameEncodingError:        "FRAME_ENCODING_ERROR",
	TransportParameterError:   "TRANSPORT_PARAMETER_ERROR",
	ConnectionIDLimitError:    "CONNECTION_ID_LIMIT_ERROR",
	ProtocolViolation:         "PROTOCOL_VIOLATION",
	InvalidToken:              "INVALID_TOKEN",
	ApplicationErrorErrorCode: "APPLICATION_ERROR",
	CryptoBufferExceeded:      "CRYPTO_BUFFER_EXCEEDED",
	KeyUpdateError:            "KEY_UPDATE_ERROR",
	AEADLimitReached:          "AEAD_LIMIT_REACHED",
	NoViablePathError:         "NO_VIABLE_PATH",
}

// IsCryptoError reports whether the code holds an alert of TLS.
func (c TransportErrorCode) IsCryptoError() bool { return c >= 0x100 && c < 0x200 }

// Message describes the alert of a crypto error. It is empty for other codes.
func (c TransportErrorCode) Message() string {
	if !c.IsCryptoError() {
		return ""
	}
	return tls.AlertError(c - 0x100).Error()
}

// String names the code.
func (c TransportErrorCode) String() string {
	switch {
	case c < TransportErrorCode(len(names)):
		return names[c]
	case c.IsCryptoError():
		return fmt.Sprintf("CRYPTO_ERROR %#x", uint64(c))
	}
	return fmt.Sprintf("unknown error code: %#x", uint64(c))
}

// LowerName names the code as qlog does. It returns "" for an unknown one.
func LowerName(c TransportErrorCode) string {
	if c < TransportErrorCode(len(names)) {
		return strings.ToLower(names[c])
	}
	return ""
}
