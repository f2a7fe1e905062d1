package conn

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// An h3specCase is one rule that the test suite h3spec checks on a QUIC server, and the way in
// which this package checks it.
type h3specCase struct {
	section, name string // in RFC 9000, or in RFC 9001 if it starts with "TLS"
	hostile       string // the name and the code of the hostileCase that checks the rule
	code          uint64
	// the name of the hostileParams that check the rule, with TRANSPORT_PARAMETER_ERROR
	param string
	test  func(*testing.T)
}

func h3specCases() []h3specCase {
	return []h3specCase{
		{section: "4.1", name: "STREAM with a large offset", hostile: "a byte at the largest offset", code: errFlowControl},
		{section: "4.6", name: "stream ID above the limit", hostile: "frame 0x8 on a stream above the limit", code: errStreamLimit},
		{section: "7.3", name: "no initial_source_connection_id", param: "without initial_source_connection_id"},
		{section: "18.2", name: "original_destination_connection_id", param: "original_destination_connection_id"},
		{section: "18.2", name: "preferred_address", param: "preferred_address"},
		{section: "18.2", name: "retry_source_connection_id", param: "retry_source_connection_id"},
		{section: "18.2", name: "stateless_reset_token", param: "stateless_reset_token"},
		{section: "7.4", name: "max_udp_payload_size below 1200", param: "max_udp_payload_size below 1200"},
		{section: "7.4", name: "ack_delay_exponent above 20", param: "ack_delay_exponent above 20"},
		{section: "7.4", name: "max_ack_delay of 2^14 or more", param: "max_ack_delay of 2^14"},
		{section: "12.4", name: "frame of an unknown type", hostile: "unknown frame", code: errFrameEncoding},
		{section: "12.4", name: "no frames", hostile: "no frames", code: errProtocolViolation},
		{section: "17.2", name: "reserved bits in Handshake and 1-RTT packets", test: TestReservedBits},
		{section: "17.2.4", name: "PATH_CHALLENGE in a Handshake packet", test: TestFramesInWrongPackets},
		{section: "19.4", name: "RESET_STREAM for a send-only stream", hostile: "RESET_STREAM on a stream that only we send on", code: errStreamState},
		{section: "19.5", name: "STOP_SENDING for a stream that does not exist", hostile: "STOP_SENDING on a stream of ours that was not opened", code: errStreamState},
		{section: "19.7", name: "NEW_TOKEN", hostile: "NEW_TOKEN from a client", code: errProtocolViolation},
		{section: "19.8", name: "STREAM for a stream of ours that does not exist", hostile: "STREAM on a stream of ours that was not opened", code: errStreamState},
		{section: "19.8", name: "STREAM for a send-only stream", hostile: "STREAM on a stream that only we send on", code: errStreamState},
		{section: "19.10", name: "MAX_STREAM_DATA for a stream that does not exist", hostile: "MAX_STREAM_DATA on a stream of ours that was not opened", code: errStreamState},
		{section: "19.10", name: "MAX_STREAM_DATA for a receive-only stream", hostile: "MAX_STREAM_DATA on a stream that only the peer sends on", code: errStreamState},
		{section: "19.11", name: "invalid MAX_STREAMS", hostile: "MAX_STREAMS above 2^60", code: errFrameEncoding},
		{section: "19.14", name: "invalid STREAMS_BLOCKED", hostile: "STREAMS_BLOCKED above 2^60", code: errFrameEncoding},
		{section: "19.15", name: "NEW_CONNECTION_ID with an invalid Retire Prior To", hostile: "NEW_CONNECTION_ID that retires itself", code: errFrameEncoding},
		{section: "19.15", name: "NEW_CONNECTION_ID of 0 bytes", hostile: "NEW_CONNECTION_ID without ID", code: errFrameEncoding},
		{section: "19.20", name: "HANDSHAKE_DONE", hostile: "HANDSHAKE_DONE from a client", code: errProtocolViolation},
		{section: "TLS 6", name: "KeyUpdate in a Handshake packet", test: wantUnexpectedMessage("\x18\x00\x00\x01\x01")},
		{section: "TLS 6", name: "KeyUpdate in a 1-RTT packet", hostile: "CRYPTO data for a server after the handshake", code: errCrypto + 10},
		{section: "TLS 8.1", name: "no common application protocol", test: TestHandshakeAlerts},
		{section: "TLS 8.2", name: "no quic_transport_parameters", test: wantMissingExtension},
		{section: "TLS 8.3", name: "EndOfEarlyData", test: wantUnexpectedMessage("\x05\x00\x00\x00")},
		{section: "TLS 8.3", name: "CRYPTO in a 0-RTT packet", test: TestHostileFramesInEarlyPackets},
	}
}

// TestH3Spec checks all these rules. The suite h3spec itself needs a toolchain of Haskell. Its
// rules of HTTP/3 are in package h3.
func TestH3Spec(t *testing.T) {
	hostile := make(map[string]hostileCase)
	for _, h := range slices.Concat(hostileEncodings(), hostileStreams(), hostileSizes(), hostileIDs(), hostileRest()) {
		hostile[h.name] = h
	}
	for _, c := range h3specCases() {
		t.Run(strings.ReplaceAll(c.section+" "+c.name, " ", "-"), func(t *testing.T) {
			switch {
			case c.test != nil:
				c.test(t)
			case c.param != "":
				wantParameterError(t, c.param)
			default:
				h, ok := hostile[c.hostile]
				if !ok || h.code != c.code || h.side == "client" {
					t.Fatalf("no case %q of a server with code %#x", c.hostile, c.code)
				}
				h.run(t, true)
			}
		})
	}
}

// wantParameterError sends the hostile transport parameters of a name.
func wantParameterError(t *testing.T, name string) {
	for _, h := range hostileParams() {
		if h.name == name && h.by != "server" {
			l, clientTLS := newLoneServer(t, nil)
			r := newRawTLS(t, false, clientTLS, appendRawParams(h.edit([]rawParam{{0x0f, rawClientID}})))
			l.feed(clientInitial(rawServerID, rawClientID, nil, cryptoFrame(0, string(r.out[spaceInitial]))), elsewhere(1))
			if errorCode(l.err) != errTransportParameter {
				t.Errorf("the connection ended with %v", l.err)
			}
			return
		}
	}
	t.Fatalf("no parameters %q of a client", name)
}

// wantUnexpectedMessage sends a TLS message in the place of a client's Finished.
func wantUnexpectedMessage(message string) func(t *testing.T) {
	return func(t *testing.T) {
		tc := handshakeConn(t, true)
		tc.writeIn(spaceHandshake, cryptoFrame(0, message))
		if err := tc.wantEnd("a message that QUIC has no use for"); errorCode(err) != errCrypto+10 {
			t.Errorf("the connection ended with %v", err)
		}
	}
}

// wantMissingExtension sends a ClientHello whose transport parameters are in the extension of a
// draft, which has another number.
func wantMissingExtension(t *testing.T) {
	l, clientTLS := newLoneServer(t, nil)
	r := newRawTLS(t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}}))
	hello := r.out[spaceInitial]
	number := []byte{0, 57} // RFC 9001, Section 8.2 [1, 2]
	body := appendRawParams([]rawParam{{0x0f, rawClientID}})
	extension := append(append(bytes.Clone(number), 0, byte(len(body))), body...)
	if bytes.Count(hello, extension) != 1 {
		t.Fatal("no extension to change")
	}
	hello = bytes.Replace(hello, extension, append([]byte{0xff, 0xa5}, extension[2:]...), 1)
	l.feed(clientInitial(rawServerID, rawClientID, nil, cryptoFrame(0, string(hello))), elsewhere(1))
	if errorCode(l.err) != errCrypto+109 {
		t.Errorf("the connection ended with %v", l.err)
	}
}
