package conn

import "fmt"

// Transport error codes (RFC 9000, Section 20.1).
const (
	errNo                   = 0x00
	errInternal             = 0x01
	errConnectionRefused    = 0x02
	errFlowControl          = 0x03
	errStreamLimit          = 0x04
	errStreamState          = 0x05
	errFinalSize            = 0x06
	errFrameEncoding        = 0x07
	errTransportParameter   = 0x08
	errConnectionIDLimit    = 0x09
	errProtocolViolation    = 0x0a
	errInvalidToken         = 0x0b
	errApplication          = 0x0c
	errCryptoBufferExceeded = 0x0d
	errKeyUpdate            = 0x0e
	errAEADLimit            = 0x0f
	errNoViablePath         = 0x10
	errCrypto               = 0x100 // to 0x1ff: plus the TLS alert (RFC 9001, Section 4.8)
)

// codeNames are the names of the transport error codes.
var codeNames = [...]string{
	errNo: "NO_ERROR", errInternal: "INTERNAL_ERROR", errConnectionRefused: "CONNECTION_REFUSED",
	errFlowControl: "FLOW_CONTROL_ERROR", errStreamLimit: "STREAM_LIMIT_ERROR", errStreamState: "STREAM_STATE_ERROR",
	errFinalSize: "FINAL_SIZE_ERROR", errFrameEncoding: "FRAME_ENCODING_ERROR",
	errTransportParameter: "TRANSPORT_PARAMETER_ERROR", errConnectionIDLimit: "CONNECTION_ID_LIMIT_ERROR",
	errProtocolViolation: "PROTOCOL_VIOLATION", errInvalidToken: "INVALID_TOKEN", errApplication: "APPLICATION_ERROR",
	errCryptoBufferExceeded: "CRYPTO_BUFFER_EXCEEDED", errKeyUpdate: "KEY_UPDATE_ERROR",
	errAEADLimit: "AEAD_LIMIT_REACHED", errNoViablePath: "NO_VIABLE_PATH",
}

func codeName(code uint64) string {
	switch {
	case code < uint64(len(codeNames)):
		return codeNames[code]
	case code >= errCrypto && code < errCrypto+0x100:
		return fmt.Sprintf("CRYPTO_ERROR (TLS alert %d)", code-errCrypto)
	}
	return fmt.Sprintf("error %#x", code)
}

// violation is the error of a peer that breaks the protocol.
func violation(code, frame uint64, format string, args ...any) *TransportError {
	return &TransportError{Code: code, Frame: frame, Reason: fmt.Sprintf(format, args...)}
}
