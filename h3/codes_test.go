package h3

import (
	"slices"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// allCodes are the error codes of RFC 9114, Section 8.1, RFC 9204, Section 6 and RFC 9297,
// Section 5.2.
var allCodes = []ErrorCode{
	NoError, GeneralProtocolError, InternalError, StreamCreationError, ClosedCriticalStream, FrameUnexpected, FrameError,
	ExcessiveLoad, IDError, SettingsError, MissingSettings, RequestRejected, RequestCancelled, RequestIncomplete,
	MessageError, ConnectError, VersionFallback,
	QPACKDecompressionFailed, QPACKEncoderStreamError, QPACKDecoderStreamError,
	DatagramError,
}

// TestErrorCodes is the table of all cases in which a code is sent, by code and by who makes
// this package send it:
//
//	go test -v -run TestErrorCodes ./h3
//
// Each is received, too, for a stream and for the connection.
func TestErrorCodes(t *testing.T) {
	for _, code := range allCodes {
		t.Run(code.String(), func(t *testing.T) {
			cases := 0
			run := func(from string, rules []rule, breakIt func(rule, *testing.T)) {
				t.Run(from, func(t *testing.T) {
					for _, r := range rules {
						if r.conn == code || r.stream == code {
							cases++
							t.Run(r.name, func(t *testing.T) { breakIt(r, t) })
						}
					}
				})
			}
			run("from a client", serverRules(), rule.breakServer)
			run("from a server", clientRules(), rule.breakClient)
			for _, c := range otherCases() {
				if c.code == code {
					cases++
					t.Run(c.name, c.test)
				}
			}
			require.NotZero(t, cases)
			t.Run("received for a stream", func(t *testing.T) { receiveReset(t, code) })
			t.Run("received for the connection", func(t *testing.T) { receiveClose(t, code) })
		})
	}
}

// TestRulesHaveCodes: the table has every rule.
func TestRulesHaveCodes(t *testing.T) {
	for _, r := range slices.Concat(serverRules(), clientRules()) {
		require.True(t, slices.Contains(allCodes, r.conn) != slices.Contains(allCodes, r.stream), r.name)
	}
}

// otherCases are the cases that take more than a scripted peer with its bytes. Some codes are sent
// only by applications.
func otherCases() []struct {
	code ErrorCode
	name string
	test func(*testing.T)
} {
	sent := func(code ErrorCode) func(*testing.T) { return func(t *testing.T) { sendCancel(t, code) } }
	return []struct {
		code ErrorCode
		name string
		test func(*testing.T)
	}{
		{NoError, "a request that is answered before its end", TestEarlyResponse},
		{GeneralProtocolError, "sent by an application", sent(GeneralProtocolError)},
		{InternalError, "sent by an application", sent(InternalError)},
		{StreamCreationError, "a bidirectional stream of a server", TestServerBidiStream},
		{StreamCreationError, "a unidirectional stream that nobody knows", TestUnknownIsIgnored},
		{ClosedCriticalStream, "a critical stream is reset", TestCriticalStreamReset},
		{ClosedCriticalStream, "a critical stream is stopped", TestCriticalStreamStopped},
		{ExcessiveLoad, "requests that come to nothing", TestCancelFlood},
		{ExcessiveLoad, "field sections that do not end", TestPartialFieldsAreBounded},
		{ExcessiveLoad, "instructions that are not read", TestUnreadInstructions},
		{SettingsError, "settings less than early data relied on", TestEarlySettingsTakenBack},
		{RequestRejected, "a request after GOAWAY", TestServerGoAway},
		{RequestCancelled, "a stream is given up", TestReleaseCancels},
		{RequestIncomplete, "a header section that does not come in time", TestExpireRequests},
		{RequestIncomplete, "a request that the client resets before its header section", TestAnswerToCanceledRequest},
		{ConnectError, "sent by an application", sent(ConnectError)},
		{VersionFallback, "sent by an application", sent(VersionFallback)},
		{QPACKDecompressionFailed, "more blocked requests than allowed", TestBlockedStreamLimit},
		{DatagramError, "malformed datagrams", TestDatagramRules},
		{DatagramError, "a datagram for a request that has no use for any", TestDatagramsWithoutUse},
	}
}

// sendCancel cancels a request with code, at a server.
func sendCancel(t *testing.T, code ErrorCode) {
	srv, cli := connect(t, &Config{}, nil)
	s := cli.request(headers(post...), false)
	srv.accepted().Cancel(code)
	cli.run()
	require.Equal(t, code, s.reset)
	require.Equal(t, code, s.stopped)
	require.NoError(t, cli.closed)
}

// receiveReset makes a scripted server reset a response with code.
func receiveReset(t *testing.T, code ErrorCode) {
	srv, cli := connect(t, nil, &Config{})
	s, err := cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
	cli.run()
	srv.open(conn.Uni, settings(), false)
	srv.streams[0].Reset(uint64(code))
	srv.run()
	ev := cli.want(EventCanceled)
	require.Equal(t, code, ev.Code)
	require.NoError(t, ev.Err, "it is not this side that finds fault")
	_, err = s.Read(make([]byte, 1))
	require.Equal(t, &conn.StreamError{ID: s.ID(), Code: uint64(code), Remote: true}, err)
	s.Release()
	require.NoError(t, srv.closed, "the connection lives")
	require.Zero(t, cli.h.Stats().Open)
}

// receiveClose makes a scripted server close the connection with code.
func receiveClose(t *testing.T, code ErrorCode) {
	srv, cli := connect(t, nil, &Config{})
	srv.q.Close(uint64(code), "why")
	srv.run()
	ev := cli.want(EventClosed)
	require.Equal(t, &conn.ApplicationError{Code: uint64(code), Reason: "why", Remote: true}, ev.Err)
	_, err := cli.h.OpenRequest(getFields, true)
	require.Error(t, err)
}

// TestUnknownErrorCodes: unknown codes end streams and connections as known ones do (RFC 9114,
// Section 9).
// RFC 9114, Section 8 [1].
func TestUnknownErrorCodes(t *testing.T) {
	for _, code := range []ErrorCode{0, 0x21, 0x1f*7 + 0x21, 0x111, 0x203, 1<<62 - 1} {
		receiveReset(t, code)
		receiveClose(t, code)
	}
}

// TestH3Spec runs what the test suite h3spec checks of an HTTP/3 server, by the sections that
// it names. Its cases of QUIC are in package conn.
func TestH3Spec(t *testing.T) {
	rules := make(map[string]rule)
	for _, r := range serverRules() {
		require.NotContains(t, rules, r.name)
		rules[r.name] = r
	}
	for _, c := range []struct {
		section, rule string
		code          ErrorCode
	}{
		{"HTTP/3 4.1", "DATA before HEADERS", FrameUnexpected},
		{"HTTP/3 4.1.1", ":path twice", MessageError},
		{"HTTP/3 4.1.2", "no body but a content-length", MessageError},
		{"HTTP/3 4.1.3", "no authority", MessageError},
		{"HTTP/3 4.1.3", "unknown pseudo-header", MessageError},
		{"HTTP/3 4.1.3", ":method after a field", MessageError},
		{"HTTP/3 4.2", "connection-specific field connection", MessageError},
		{"HTTP/3 4.2", "connection-specific field keep-alive", MessageError},
		{"HTTP/3 4.2", "connection-specific field proxy-connection", MessageError},
		{"HTTP/3 4.2", "connection-specific field transfer-encoding", MessageError},
		{"HTTP/3 4.2", "connection-specific field upgrade", MessageError},
		{"HTTP/3 4.2", "te other than trailers", MessageError},
		{"HTTP/3 4.2", "connection-specific field in trailers", MessageError},
		{"HTTP/3 6.2.1", "no SETTINGS first", MissingSettings},
		{"HTTP/3 6.2.1", "two control streams", StreamCreationError},
		{"HTTP/3 6.2.2", "push stream", StreamCreationError},
		{"HTTP/3 7.1", "setting without a value", FrameError},
		// h3spec wants H3_EXCESSIVE_LOAD for a GOAWAY frame of 2^30 bytes. By this section, a frame
		// that is longer than its field is an H3_FRAME_ERROR. Its header already shows that.
		{"HTTP/3 7.1", "GOAWAY too long", FrameError},
		{"HTTP/3 7.2.1", "DATA on the control stream", FrameUnexpected},
		{"HTTP/3 7.2.2", "HEADERS on the control stream", FrameUnexpected},
		{"HTTP/3 7.2.4", "SETTINGS twice", FrameUnexpected},
		{"HTTP/3 7.2.4.1", "setting 0x2 of HTTP/2", SettingsError},
		{"HTTP/3 7.2.4.1", "reserved setting and one of HTTP/2", SettingsError},
		{"HTTP/3 7.2.4.1", "setting of two bytes twice", SettingsError},
		{"HTTP/3 7.2.5", "frame 0x3 on the request stream", FrameUnexpected},
		{"QPACK 2.1.2", "dynamic index without a required insert count", QPACKDecompressionFailed},
		{"QPACK 3.1", "static index 99", QPACKDecompressionFailed},
		{"QPACK 4.1.3", "capacity above the limit", QPACKEncoderStreamError},
		{"QPACK 4.2", "control stream ends", ClosedCriticalStream},
		{"QPACK 4.2", "QPACK encoder stream ends", ClosedCriticalStream},
		{"QPACK 4.2", "QPACK encoder stream ends within an instruction", ClosedCriticalStream},
		{"QPACK 4.2", "QPACK decoder stream ends", ClosedCriticalStream},
		{"QPACK 4.2", "two QPACK encoder streams", StreamCreationError},
		{"QPACK 4.2", "two QPACK decoder streams", StreamCreationError},
		{"QPACK 4.4.3", "increment of 0", QPACKDecoderStreamError},
	} {
		t.Run(c.section+" "+c.rule, func(t *testing.T) {
			r := rules[c.rule]
			require.Contains(t, []ErrorCode{r.conn, r.stream}, c.code)
			r.breakServer(t)
		})
	}
	t.Run("HTTP/3 4.2 te with trailers", TestUnknownIsIgnored)
}
