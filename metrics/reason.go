package metrics

import (
	"errors"
	"strings"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// Who ended a connection. Nobody did when a timeout passed, for example.
const (
	byLocal = iota
	byPeer
	byNobody
	numBy
)

// enders are the values of the label "by".
var enders = [numBy]string{byLocal: "local", byPeer: "peer", byNobody: "none"}

// reasons are the values of the label "reason" of connections that ended. The first are the names
// of RFC 9000, Section 20.1. The last is for all others.
var reasons = [...]string{
	"no_error", "internal_error", "connection_refused", "flow_control_error", "stream_limit_error", "stream_state_error",
	"final_size_error", "frame_encoding_error", "transport_parameter_error", "connection_id_limit_error",
	"protocol_violation", "invalid_token", "application_error", "crypto_buffer_exceeded", "key_update_error",
	"aead_limit_reached", "no_viable_path", "crypto_error",
	"application_closed", "idle_timeout", "handshake_timeout", "stateless_reset", "unreachable", "version_mismatch",
	"other",
}

// index returns the place of a name in a table, or of the last one if it is not there.
func index(table []string, name string) int {
	for i, s := range table {
		if s == name {
			return i
		}
	}
	return len(table) - 1
}

// whyClosed says who ended a connection with the error of conn.EventClosed, and why. If an
// application ended it, reason says only whether there was an error: code 0 and H3_NO_ERROR of
// HTTP/3 are none.
func whyClosed(err error) (by int, reason string) {
	if e, ok := errors.AsType[*conn.TransportError](err); ok {
		return side(e.Remote), strings.ToLower(e.Name())
	}
	if e, ok := errors.AsType[*conn.ApplicationError](err); ok {
		if e.Code == 0 || e.Code == uint64(h3.NoError) {
			return side(e.Remote), "application_closed"
		}
		return side(e.Remote), "application_error"
	}
	if _, ok := errors.AsType[*conn.UnreachableError](err); ok {
		return byNobody, "unreachable"
	}
	switch {
	case errors.Is(err, conn.ErrIdleTimeout):
		return byNobody, "idle_timeout"
	case errors.Is(err, conn.ErrHandshakeTimeout):
		return byNobody, "handshake_timeout"
	case errors.Is(err, conn.ErrStatelessReset):
		return byPeer, "stateless_reset"
	case errors.Is(err, conn.ErrVersion):
		return byNobody, "version_mismatch"
	}
	return byNobody, "other"
}

func side(remote bool) int {
	if remote {
		return byPeer
	}
	return byLocal
}

// h3Codes are the values of the label "code" of HTTP/3 connections that ended, in lower case. The
// last is for all others.
var h3Codes = [...]string{
	"h3_no_error", "h3_general_protocol_error", "h3_internal_error", "h3_stream_creation_error",
	"h3_closed_critical_stream", "h3_frame_unexpected", "h3_frame_error", "h3_excessive_load", "h3_id_error",
	"h3_settings_error", "h3_missing_settings", "h3_request_rejected", "h3_request_cancelled", "h3_request_incomplete",
	"h3_message_error", "h3_connect_error", "h3_version_fallback", "h3_datagram_error", "qpack_decompression_failed",
	"qpack_encoder_stream_error", "qpack_decoder_stream_error",
	"other",
}

// h3Code returns the name of the code with which an application closed a connection.
func h3Code(e *conn.ApplicationError) string {
	return strings.ToLower(h3.ErrorCode(e.Code).String())
}
