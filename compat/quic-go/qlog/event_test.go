package qlog_test

import (
	"bytes"
	"context"
	"net/netip"
	"testing"
	"time"

	h3qlog "github.com/quic-go/quic-go/http3/qlog"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
	"github.com/quic-go/quic-go/testutils/events"
)

// TestEncode checks how events are written.
func TestEncode(t *testing.T) {
	refused, own, crypto := qlog.TransportErrorCode(2), qlog.TransportErrorCode(0x5000), qlog.TransportErrorCode(0x128)
	hidden := "hidden"
	at := qlog.TupleEndpointInfo{IPv4: netip.MustParseAddrPort("10.0.0.1:443")}
	now := time.Now()
	for _, c := range []struct {
		ev   qlogwriter.Event
		name string
		want string
	}{
		{
			qlog.StartedConnection{Local: at, Remote: at, RedactedRemote: &hidden}, "transport:connection_started",
			`{"local":{"address_v4":{"ip":"10.0.0.1","port":443}},"remote":{"address_v4":"hidden"}}`,
		},
		{
			qlog.PacketSent{
				Header: qlog.PacketHeader{PacketType: qlog.PacketType1RTT, PacketNumber: 9, KeyPhaseBit: qlog.KeyPhaseOne},
				Raw:    qlog.RawInfo{Length: 100, PayloadLength: qlog.OmitLength},
				Frames: []qlog.Frame{{Frame: &qlog.MaxStreamsFrame{MaxStreamNum: 3}}, {Frame: &qlog.AckFrame{AckRanges: []qlog.AckRange{{Smallest: 1, Largest: 2}}}}},
				ECN:    qlog.ECT0,
			}, "transport:packet_sent",
			`{"header":{"packet_type":"1RTT","packet_number":9,"key_phase_bit":true},"raw":{"length":100},"frames":[` +
				`{"frame_type":"max_streams","stream_type":"unidirectional","maximum":3},{"frame_type":"ack","acked_ranges":[[1,2]]}],"ecn":"ECT(0)"}`,
		},
		{
			qlog.PacketDropped{Trigger: qlog.PacketDropPayloadDecryptError}, "transport:packet_dropped",
			`{"header":{"packet_type":"unknown"},"raw":{"length":0,"payload_length":0},"trigger":"decryption_failure","details":{"reason":"payload_decrypt_error"}}`,
		},
		{
			qlog.ConnectionClosed{Initiator: qlog.InitiatorLocal, ConnectionError: &refused, Reason: "full"}, "transport:connection_closed",
			`{"initiator":"local","connection_error":"connection_refused","reason":"full"}`,
		},
		{
			qlog.ConnectionClosed{Initiator: qlog.InitiatorRemote, ConnectionError: &own}, "transport:connection_closed",
			`{"initiator":"remote","connection_error":"unknown","error_code":20480,"reason":""}`,
		},
		{
			qlog.ConnectionClosed{Initiator: qlog.InitiatorRemote, ConnectionError: &crypto}, "transport:connection_closed",
			`{"initiator":"remote","connection_error":"crypto_error_0x128","reason":""}`,
		},
		{qlog.VersionInformation{ChosenVersion: 1}, "transport:version_information", `{"chosen_version":"1"}`},
		{qlog.MTUUpdated{Value: 1400}, "recovery:mtu_updated", `{"new":1400,"done":false}`},
		{
			qlog.TimerUpdated{Type: qlog.TimerEventTypeSet, TimerType: qlog.TimerTypePTO, Time: now.Add(1500 * time.Microsecond)},
			"recovery:loss_timer_updated", `{"event_type":"set","timer_type":"pto","delta":1.5}`,
		},
		{qlog.KeyDiscarded{KeyType: qlog.KeyTypeClientInitial}, "security:key_discarded", `{"trigger":"tls","key_type":"client_initial_secret"}`},
		{qlog.DebugEvent{EventName: "x", Message: "y"}, "transport:x", `{"message":"y"}`},
		{
			h3qlog.StreamTypeSet{Initiator: h3qlog.InitiatorLocal, StreamID: 2, StreamType: h3qlog.StreamTypeUnknown, StreamTypeBytes: 0x21},
			"http3:stream_type_set", `{"initiator":"local","stream_id":2,"stream_type":"reserved","stream_type_bytes":33}`,
		},
		{
			h3qlog.FrameParsed{Raw: h3qlog.RawInfo{Length: 5, PayloadLength: 3}, Frame: h3qlog.Frame{Frame: h3qlog.HeadersFrame{
				HeaderFields: []h3qlog.HeaderField{{Name: "a", Value: "\xff"}, {Name: "B", Value: "c", InvalidName: true}},
			}}},
			"http3:frame_parsed", `{"stream_id":0,"frame":{"raw":{"length":5,"payload_length":3},"frame_type":"headers","headers":[` +
				`{"name":"a","value_bytes":"ff"},{"name_bytes":"42","value":"c"}]}}`,
		},
	} {
		var b bytes.Buffer
		if err := c.ev.Encode(jsontext.NewEncoder(&b), now); err != nil || b.String() != c.want || c.ev.Name() != c.name {
			t.Errorf("%T is %s\n%s, %v\nwant %s\n%s", c.ev, c.ev.Name(), &b, err, c.name, c.want)
		}
	}
}

// A tracer returns one trace.
func tracer(t qlogwriter.Trace) func(context.Context, bool, qlog.ConnectionID) qlogwriter.Trace {
	return func(context.Context, bool, qlog.ConnectionID) qlogwriter.Trace { return t }
}

// TestRedact checks that the wrappers of tracers change what they should, and nothing else.
func TestRedact(t *testing.T) {
	var r events.Recorder
	plain := tracer(&events.Trace{Recorder: &r})
	wrapped := qlog.RedactIPs(h3qlog.RedactHeaders(plain, func(name, value string) string {
		if name == "X-Secret" {
			return "***"
		}
		return value
	}), func(_ netip.AddrPort, isLocal bool) (string, bool) { return "local", isLocal })
	p := wrapped(t.Context(), true, qlog.ConnectionID{}).AddProducer()
	at := qlog.TupleEndpointInfo{IPv6: netip.MustParseAddrPort("[::1]:443")}
	p.RecordEvent(qlog.StartedConnection{Local: at, Remote: at})
	header := []h3qlog.HeaderField{{Name: "x-secret", Value: "a", InvalidValue: true}, {Name: "x-other", Value: "b"}}
	p.RecordEvent(h3qlog.FrameCreated{Frame: h3qlog.Frame{Frame: h3qlog.HeadersFrame{HeaderFields: header}}})
	got := r.Events(qlog.StartedConnection{})[0].(qlog.StartedConnection)
	if got.RedactedLocal == nil || *got.RedactedLocal != "local" || got.RedactedRemote != nil || got.Local != at {
		t.Errorf("the addresses are %+v", got)
	}
	h := r.Events(h3qlog.FrameCreated{})[0].(h3qlog.FrameCreated).Frame.Frame.(h3qlog.HeadersFrame).HeaderFields
	if h[0] != (h3qlog.HeaderField{Name: "x-secret", Value: "***"}) || h[1].Value != "b" || header[0].Value != "a" {
		t.Errorf("the header is %+v, and was %+v", h, header)
	}
	if qlog.RedactIPs(nil, nil) != nil || qlog.RedactIPs(tracer(nil), func(netip.AddrPort, bool) (string, bool) {
		return "", true
	})(t.Context(), true, qlog.ConnectionID{}) != nil {
		t.Error("no trace became one")
	}
}
