package events

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	h3qlog "github.com/quic-go/quic-go/http3/qlog"
	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// A recorder keeps events.
type recorder struct {
	events []qlogwriter.Event
	closes int
}

func (r *recorder) RecordEvent(ev qlogwriter.Event) { r.events = append(r.events, ev) }

func (r *recorder) Close() error {
	r.closes++
	return nil
}

// written returns the events for records of Lazo's log.
func written(t *testing.T, records ...string) []qlogwriter.Event {
	t.Helper()
	r := new(recorder)
	l := New(r, netip.MustParseAddrPort("[::ffff:127.0.0.1]:9"))
	for _, s := range records {
		if n, err := l.Write([]byte("\x1e" + s + "\n")); n != len(s)+2 || err != nil {
			t.Fatalf("Write(%s) = %d, %v", s, n, err)
		}
	}
	return r.events
}

// TestTranslate checks the events for records as Lazo writes them.
func TestTranslate(t *testing.T) {
	app := qlog.ApplicationErrorCode(7)
	refused := qlog.TransportErrorCode(2)
	id := protocol.ParseConnectionID
	for _, c := range []struct {
		record string
		want   qlogwriter.Event
	}{
		{
			`{"time":0,"name":"quic:connection_started","data":{"local":{"ip_v4":"10.0.0.1","port_v4":1},"remote":{"ip_v6":"fe80::1","port_v6":2}}}`,
			qlog.StartedConnection{
				Local:  qlog.TupleEndpointInfo{IPv4: netip.MustParseAddrPort("10.0.0.1:1")},
				Remote: qlog.TupleEndpointInfo{IPv6: netip.MustParseAddrPort("[fe80::1]:2")},
			},
		},
		{
			`{"name":"quic:connection_started","data":{"local":{},"remote":{"ip_v4":"127.0.0.1","port_v4":2}}}`,
			qlog.StartedConnection{
				Local:  qlog.TupleEndpointInfo{IPv4: netip.MustParseAddrPort("127.0.0.1:9")},
				Remote: qlog.TupleEndpointInfo{IPv4: netip.MustParseAddrPort("127.0.0.1:2")},
			},
		},
		{
			`{"name":"quic:version_information","data":{"client_versions":["00000001","6b3343cf"],"chosen_version":"00000001"}}`,
			qlog.VersionInformation{ClientVersions: []qlog.Version{1, 0x6b3343cf}, ChosenVersion: 1},
		},
		{`{"name":"quic:alpn_information","data":{"chosen_alpn":{"string_value":"h3"}}}`, qlog.ALPNInformation{ChosenALPN: "h3"}},
		{
			`{"name":"quic:packet_sent","data":{"header":{"packet_type":"1RTT","packet_number":5,"key_phase_bit":true,"dcid":"0102"},` +
				`"raw":{"length":50,"payload_length":20},"frames":[{"frame_type":"padding","raw":{"payload_length":3}},` +
				`{"frame_type":"stream","stream_id":4,"offset":10,"raw":{"payload_length":6},"fin":true}],"is_mtu_probe_packet":true}}`,
			qlog.PacketSent{
				Header: qlog.PacketHeader{
					PacketType: qlog.PacketType1RTT, PacketNumber: 5, KeyPhaseBit: qlog.KeyPhaseOne, DestConnectionID: id([]byte{1, 2}),
				},
				Raw:              qlog.RawInfo{Length: 50, PayloadLength: 20},
				Frames:           []qlog.Frame{{Frame: &qlog.StreamFrame{StreamID: 4, Offset: 10, Length: 6, Fin: true}}},
				IsMTUProbePacket: true,
			},
		},
		{
			`{"name":"quic:packet_received","data":{"header":{"packet_type":"initial","packet_number":0,"version":"00000001","scid":"","dcid":"0a",` +
				`"token":{"raw":{"length":1,"data":"ff"}}},"raw":{"length":1200},"frames":[{"frame_type":"ack","ack_delay":0.5,"acked_ranges":[[7],[1,4]]}]}}`,
			qlog.PacketReceived{
				Header: qlog.PacketHeader{
					PacketType: qlog.PacketTypeInitial, Version: 1, SrcConnectionID: id(nil), DestConnectionID: id([]byte{10}),
					Token: &qlog.Token{Raw: []byte{255}},
				},
				Raw: qlog.RawInfo{Length: 1200, PayloadLength: qlog.OmitLength},
				Frames: []qlog.Frame{{Frame: &qlog.AckFrame{
					DelayTime: 500 * time.Microsecond, AckRanges: []qlog.AckRange{{Smallest: 7, Largest: 7}, {Smallest: 1, Largest: 4}},
				}}},
			},
		},
		{
			`{"name":"quic:packet_received","data":{"header":{"packet_type":"version_negotiation","scid":"01","dcid":"02"},"raw":{"length":30},` +
				`"supported_versions":["6b3343cf"]}}`,
			qlog.VersionNegotiationReceived{
				Header:            qlog.PacketHeaderVersionNegotiation{SrcConnectionID: []byte{1}, DestConnectionID: []byte{2}},
				SupportedVersions: []qlog.Version{0x6b3343cf},
			},
		},
		{
			`{"name":"quic:packet_dropped","data":{"header":{"packet_type":"unknown"},"raw":{"length":20},"trigger":"general","reason":"duplicate"}}`,
			qlog.PacketDropped{
				Header:  qlog.PacketHeader{PacketType: qlog.PacketTypeUnknown, PacketNumber: -1},
				Raw:     qlog.RawInfo{Length: 20, PayloadLength: qlog.OmitLength},
				Trigger: qlog.PacketDropDuplicate,
			},
		},
		{`{"name":"quic:mtu_updated","data":{"old":1200,"new":1452,"done":true}}`, qlog.MTUUpdated{Value: 1452, Done: true}},
		{
			`{"name":"quic:key_updated","data":{"key_type":"client_1rtt_secret","key_phase":3,"trigger":"remote_update"}}`,
			qlog.KeyUpdated{Trigger: qlog.KeyUpdateRemote, KeyType: qlog.KeyTypeClient1RTT, KeyPhase: 3},
		},
		{
			`{"name":"quic:connection_closed","data":{"initiator":"remote","application_error":"unknown","error_code":7,"reason":"bye","trigger":"application"}}`,
			qlog.ConnectionClosed{
				Initiator: qlog.InitiatorRemote, ApplicationError: &app, Reason: "bye", Trigger: qlog.ConnectionCloseTriggerApplication,
			},
		},
		{
			`{"name":"quic:connection_closed","data":{"initiator":"local","connection_error":"connection_refused","error_code":2,"trigger":"error"}}`,
			qlog.ConnectionClosed{Initiator: qlog.InitiatorLocal, ConnectionError: &refused},
		},
		{
			`{"name":"http3:frame_created","data":{"stream_id":0,"frame":{"frame_type":"headers","headers":[{"name":":method","value":"GET"}],"raw":{"payload_length":9}}}}`,
			h3qlog.FrameCreated{
				Raw: h3qlog.RawInfo{Length: h3qlog.OmitLength, PayloadLength: 9},
				Frame: h3qlog.Frame{Frame: h3qlog.HeadersFrame{
					HeaderFields: []h3qlog.HeaderField{{Name: ":method", Value: "GET"}},
				}},
			},
		},
		{
			`{"name":"http3:frame_parsed","data":{"stream_id":3,"frame":{"frame_type":"settings","settings":[{"name":"settings_h3_datagram","value":1},` +
				`{"name":"unknown","name_bytes":99,"value":5}]}}}`,
			h3qlog.FrameParsed{
				StreamID: 3,
				Raw:      h3qlog.RawInfo{Length: h3qlog.OmitLength, PayloadLength: h3qlog.OmitLength},
				Frame: h3qlog.Frame{Frame: h3qlog.SettingsFrame{
					MaxFieldSectionSize: -1, Datagram: 1, ExtendedConnect: -1, Other: map[uint64]uint64{99: 5},
				}},
			},
		},
	} {
		got := written(t, c.record)
		if len(got) != 1 || !reflect.DeepEqual(got[0], c.want) {
			t.Errorf("%s\nis %#v\nwant %#v", c.record, got, c.want)
		}
	}
}

// TestStates checks that the connection is closed once, that states of Lazo alone are left out, and
// that those are told which Lazo does not tell because it passes them within one step.
func TestStates(t *testing.T) {
	var records []string
	for _, s := range []string{"attempted", "peer_validated", "handshake_complete", "closing", "draining", "closed"} {
		records = append(records, `{"name":"quic:connection_state_updated","data":{"new":"`+s+`"}}`)
	}
	want := []qlogwriter.Event{
		qlog.ConnectionStateUpdated{State: qlog.ConnectionStateAttempted},
		qlog.ConnectionStateUpdated{State: qlog.ConnectionStateHandshakeStarted},
		qlog.ConnectionStateUpdated{State: qlog.ConnectionStateHandshakeComplete},
		qlog.ConnectionStateUpdated{State: qlog.ConnectionStateClosed},
	}
	if got := written(t, records...); !reflect.DeepEqual(got, want) {
		t.Errorf("the events are %v", got)
	}
}

// TestMetrics checks that each event has all estimates, though Lazo writes those that changed.
func TestMetrics(t *testing.T) {
	got := written(t,
		`{"name":"quic:recovery_metrics_updated","data":{"min_rtt":1.5,"congestion_window":12000}}`,
		`{"name":"quic:recovery_metrics_updated","data":{"bytes_in_flight":1200}}`,
		`{"name":"quic:recovery_metrics_updated","data":{"pacing_rate":8}}`,
		`{"name":"quic:recovery_metrics_updated","data":{"pto_count":1}}`,
	)
	m := qlog.MetricsUpdated{MinRTT: 1500 * time.Microsecond, CongestionWindow: 12000}
	later := m
	later.BytesInFlight = 1200
	if want := []qlogwriter.Event{m, later, qlog.PTOCountUpdated{PTOCount: 1}}; !reflect.DeepEqual(got, want) {
		t.Errorf("the events are %v", got)
	}
}

// TestOther checks that an event which quic-go does not have keeps its name and its data.
func TestOther(t *testing.T) {
	const data = `{"a":[1,2.5,"x"],"b":{"c":true,"d":null}}`
	got := written(t, `{"name":"quic:packets_acked","data":`+data+`}`)
	if len(got) != 1 || got[0].Name() != "quic:packets_acked" {
		t.Fatalf("the events are %v", got)
	}
	var b bytes.Buffer
	if err := got[0].Encode(jsontext.NewEncoder(&b), time.Now()); err != nil || b.String() != data {
		t.Errorf("the data are %s, %v", &b, err)
	}
}

// TestEncode checks that every event that comes from a record can be written.
func TestEncode(t *testing.T) {
	var records []string
	for name := range translations {
		records = append(records, `{"name":"`+name+`","data":{}}`)
	}
	for _, typ := range []string{
		"ping", "ack", "crypto", "stream", "datagram", "reset_stream", "reset_stream_at", "stop_sending", "connection_close",
		"handshake_done", "new_token", "new_connection_id", "retire_connection_id", "path_challenge", "path_response", "max_data",
		"max_stream_data", "max_streams", "data_blocked", "stream_data_blocked", "streams_blocked",
	} {
		records = append(records, `{"name":"quic:packet_sent","data":{"frames":[{"frame_type":"`+typ+`","reliable_size":1}]}}`)
	}
	for _, ev := range written(t, records...) {
		var b bytes.Buffer
		if err := ev.Encode(jsontext.NewEncoder(&b), time.Now()); err != nil || !json.Valid(b.Bytes()) {
			t.Errorf("%#v is written as %s, %v", ev, &b, err)
		}
	}
	for i, r := range records {
		if evs := written(t, r); strings.Contains(r, "frame_type") && len(evs[0].(qlog.PacketSent).Frames) != 1 {
			t.Errorf("record %d, %s, has no frame", i, r)
		}
	}
}

// TestClose checks that the Recorder is closed once, and that nothing follows.
func TestClose(t *testing.T) {
	r := new(recorder)
	l := New(r, netip.MustParseAddrPort("[::ffff:127.0.0.1]:9"))
	for range 2 {
		if err := l.Close(); err != nil || r.closes != 1 {
			t.Errorf("Close returned %v, and the Recorder was closed %d times", err, r.closes)
		}
	}
	if _, err := l.Write([]byte(`{"name":"quic:alpn_information","data":{}}`)); err == nil || len(r.events) > 0 {
		t.Errorf("Write after Close: %v, and events %v", err, r.events)
	}
}
