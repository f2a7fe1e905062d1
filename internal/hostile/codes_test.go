package hostile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/internal/require"
)

// An errorCode is one of RFC 9000, Section 20, RFC 9114, Section 8.1, RFC 9204, Section 6 or RFC
// 9297, Section 5.2.
type errorCode struct {
	code uint64
	app  bool
	name string

	// what gets it, where a client of an h3http.Server cannot provoke it
	tests []string
	note  string
}

func errorCodes() []errorCode {
	all := []errorCode{
		{code: 0x00, name: "NO_ERROR", note: "never sent: HTTP/3 ends connections with H3_NO_ERROR"},
		{code: 0x01, name: "INTERNAL_ERROR"},
		{code: 0x02, name: "CONNECTION_REFUSED"},
		{code: 0x03, name: "FLOW_CONTROL_ERROR"},
		{code: 0x04, name: "STREAM_LIMIT_ERROR"},
		{code: 0x05, name: "STREAM_STATE_ERROR"},
		{code: 0x06, name: "FINAL_SIZE_ERROR"},
		{code: 0x07, name: "FRAME_ENCODING_ERROR"},
		{code: 0x08, name: "TRANSPORT_PARAMETER_ERROR"},
		{code: 0x09, name: "CONNECTION_ID_LIMIT_ERROR"},
		{code: 0x0a, name: "PROTOCOL_VIOLATION"},
		{code: 0x0b, name: "INVALID_TOKEN"},
		{code: 0x0c, name: "APPLICATION_ERROR", tests: []string{"conn.TestCloseBeforeTheHandshakeEnds"}, note: "this side closes before the handshake ends"},
		{code: 0x0d, name: "CRYPTO_BUFFER_EXCEEDED"},
		{code: 0x0e, name: "KEY_UPDATE_ERROR"},
		{code: 0x0f, name: "AEAD_LIMIT_REACHED", tests: []string{"conn.TestTooManyForgeries", "conn.TestKeysWearOut"}, note: "after 2^36 forged packets or more"},
		{code: 0x10, name: "NO_VIABLE_PATH", tests: []string{"conn.TestMultipathLastPathFails"}, note: "the last of several paths fails; a lost path ends with the idle timeout"},
		{code: 0x100, name: "CRYPTO_ERROR", tests: []string{"conn.TestHandshakeAlerts"}},
	}
	const applications = "sent by applications only"
	for _, c := range []errorCode{
		{code: uint64(h3.NoError), tests: []string{"h3.TestEarlyResponse"}, note: "a response that ends before its request"},
		{code: uint64(h3.GeneralProtocolError)},
		{code: uint64(h3.InternalError), tests: []string{"h3.TestErrorCodes"}, note: applications},
		{code: uint64(h3.StreamCreationError)},
		{code: uint64(h3.ClosedCriticalStream)},
		{code: uint64(h3.FrameUnexpected)},
		{code: uint64(h3.FrameError)},
		{code: uint64(h3.ExcessiveLoad)},
		{code: uint64(h3.IDError)},
		{code: uint64(h3.SettingsError)},
		{code: uint64(h3.MissingSettings)},
		{code: uint64(h3.RequestRejected), tests: []string{"h3.TestServerGoAway"}, note: "a request after GOAWAY"},
		{code: uint64(h3.RequestCancelled), tests: []string{"h3.TestReleaseCancels"}, note: "a response that is given up"},
		{code: uint64(h3.RequestIncomplete)},
		{code: uint64(h3.MessageError)},
		{code: uint64(h3.ConnectError), tests: []string{"h3.TestErrorCodes"}, note: applications},
		{code: uint64(h3.VersionFallback), tests: []string{"h3.TestErrorCodes"}, note: applications},
		{code: uint64(h3.QPACKDecompressionFailed)},
		{code: uint64(h3.QPACKEncoderStreamError)},
		{code: uint64(h3.QPACKDecoderStreamError)},
		{code: uint64(h3.DatagramError)},
	} {
		c.app, c.name = true, h3.ErrorCode(c.code).String()
		all = append(all, c)
	}
	return append(all, errorCode{code: uint64(webtransport.FlowControlError), app: true, name: "WT_FLOW_CONTROL_ERROR"})
}

// attacks returns the names of those in all that get the code.
func (c errorCode) attacks(all []attack) (names []string) {
	for _, a := range all {
		app := a.want.kind == kindAppClose || a.want.kind == kindReset
		if !app && a.want.kind != kindClose || app != c.app {
			continue
		}
		if code := a.want.code; code == c.code || !app && c.code == 0x100 && code&^0xff == 0x100 {
			names = append(names, a.name)
		}
	}
	return names
}

// TestCodes: each error code has an attack that gets it, or tests that exist, or a reason.
func TestCodes(t *testing.T) {
	all := attacks()
	for _, c := range errorCodes() {
		require.True(t, len(c.attacks(all)) > 0 || len(c.tests) > 0 || c.note != "", c.name)
		for _, name := range c.tests {
			requireTest(t, name)
		}
	}
	for _, a := range all {
		if a.want.kind == kindClose || a.want.kind == kindAppClose || a.want.kind == kindReset {
			require.True(t, slices.ContainsFunc(errorCodes(), func(c errorCode) bool { return slices.Contains(c.attacks(all), a.name) }), a.name)
		}
	}
}

// codeTable is the table of all error codes.
func codeTable() string {
	var b strings.Builder
	b.WriteString("\n| code | name | got by | otherwise |\n|---|---|---|---|\n")
	all := attacks()
	for _, c := range errorCodes() {
		names := c.attacks(all)
		got := ""
		switch {
		case len(names) > 1:
			got = fmt.Sprintf("%s, and %d more", names[0], len(names)-1)
		case len(names) == 1:
			got = names[0]
		}
		other := c.note
		for _, name := range c.tests {
			other += " `" + name + "`"
		}
		fmt.Fprintf(&b, "| %#x | %s | %s | %s |\n", c.code, c.name, got, strings.TrimSpace(other))
	}
	b.WriteString("\n")
	return b.String()
}
