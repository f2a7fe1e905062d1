package conn_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A schema says what an object holds: names of members, those that must be there with a "!" behind
// them, and what each is: one of the kinds below, a list of strings separated by "|", or "@NAME"
// for another schema, with "[]" in front for arrays. Nothing else may be in the object.
type schema map[string]string

// Values that several schemas share.
const (
	connectionStates = "attempted|handshake_started|handshake_complete|closed|peer_validated|early_write|handshake_confirmed|closing|draining"
	migrationStates  = "probing_started|probing_abandoned|probing_successful|migration_started|migration_abandoned|migration_complete"
	packetSpaces     = "initial|handshake|application_data"
	keyTypes         = "server_initial_secret|client_initial_secret|server_handshake_secret|client_handshake_secret|" +
		"server_0rtt_secret|client_0rtt_secret|server_1rtt_secret|client_1rtt_secret"
	streamStates = "idle|open|closed|half_closed_local|half_closed_remote|ready|send|data_sent|reset_sent|reset_received|receive|" +
		"size_known|data_read|reset_read|data_received|destroyed"
	blockedReasons = "scheduling|pacing|amplification_protection|congestion_control|connection_flow_control|stream_flow_control|" +
		"stream_id|application"
	dataLocations = "application|transport|network"
	ecnCodepoints = "Not-ECT|ECT(1)|ECT(0)|CE"
)

// qlogSchemas are the parts of draft-ietf-quic-qlog-main-schema and
// draft-ietf-quic-qlog-quic-events (their state of July 2026) that we write.
var qlogSchemas = map[string]schema{
	"file": {"file_schema!": "urn:ietf:params:qlog:file:sequential", "serialization_format!": "application/qlog+json-seq",
		"title": "text", "description": "text", "trace!": "@trace"},
	"trace": {"title": "text", "description": "text", "common_fields": "@common_fields", "vantage_point": "@vantage_point",
		"event_schemas!": "[]urn:ietf:params:qlog:events:quic-13|urn:ietf:params:qlog:events:http3-13|urn:ietf:params:qlog:events:loglevel-14"},
	"vantage_point":  {"name": "text", "type!": "client|server|network|unknown", "flow": "client|server|unknown"},
	"common_fields":  {"tuple": "text", "time_format": "text", "reference_time": "@reference_time", "group_id": "text"},
	"reference_time": {"clock_type!": "text", "epoch!": "text", "wall_clock_time": "text"},

	"quic:connection_started": {"local!": "@tuple", "remote!": "@tuple"},
	"quic:connection_closed": {"initiator": "local|remote", "connection_error": "transport error", "application_error": "unknown",
		"error_code": "uint", "internal_code": "uint", "reason": "text",
		"trigger": "idle_timeout|application|error|version_mismatch|stateless_reset|aborted|unspecified"},
	"quic:version_information": {"server_versions": "[]hex", "client_versions": "[]hex", "chosen_version": "hex"},
	"quic:alpn_information":    {"server_alpns": "[]@alpn", "client_alpns": "[]@alpn", "chosen_alpn": "@alpn"},
	"quic:parameters_set": {"initiator": "local|remote", "resumption_allowed": "bool", "early_data_enabled": "bool", "tls_cipher": "text",
		"original_destination_connection_id": "hex", "initial_source_connection_id": "hex", "retry_source_connection_id": "hex",
		"stateless_reset_token": "hex", "disable_active_migration": "bool", "max_idle_timeout": "uint", "max_udp_payload_size": "uint",
		"ack_delay_exponent": "uint", "max_ack_delay": "uint", "active_connection_id_limit": "uint", "initial_max_data": "uint",
		"initial_max_stream_data_bidi_local": "uint", "initial_max_stream_data_bidi_remote": "uint",
		"initial_max_stream_data_uni": "uint", "initial_max_streams_bidi": "uint", "initial_max_streams_uni": "uint",
		"preferred_address": "@preferred_address", "unknown_parameters": "[]@unknown_parameter", "max_datagram_frame_size": "uint",
		"grease_quic_bit": "bool", "reset_stream_at": "bool"},
	"quic:packet_sent": {"header!": "@header", "frames": "[]@frame", "stateless_reset_token": "hex", "supported_versions": "[]hex",
		"raw": "@raw", "is_mtu_probe_packet": "bool"},
	"quic:packet_received": {"header!": "@header", "frames": "[]@frame", "stateless_reset_token": "hex", "supported_versions": "[]hex",
		"raw": "@raw"},
	"quic:packet_dropped": {"header": "@header", "raw": "@raw", "details": "any", "trigger": "internal_error|rejected|unsupported|" +
		"invalid|duplicate|connection_unknown|decryption_failure|key_unavailable|general"},
	"quic:packet_lost": {"header": "@header", "frames": "[]@frame", "is_mtu_probe_packet": "bool",
		"trigger": "reordering_threshold|time_threshold|pto_expired"},
	"quic:key_updated": {"key_type!": keyTypes, "old": "hex", "new": "hex", "key_phase": "uint",
		"trigger": "tls|remote_update|local_update"},
	"quic:recovery_metrics_updated": {"min_rtt": "number", "smoothed_rtt": "number", "latest_rtt": "number", "rtt_variance": "number",
		"pto_count": "uint", "congestion_window": "uint", "bytes_in_flight": "uint", "ssthresh": "uint", "packets_in_flight": "uint",
		"pacing_rate": "uint"},
	"quic:congestion_state_updated": {"old": "text", "new!": "text", "trigger": "text"},
	"quic:ecn_state_updated":        {"old": "testing|unknown|failed|capable", "new!": "testing|unknown|failed|capable"},
	"quic:mtu_updated":              {"old": "uint", "new!": "uint", "done": "bool"},

	"quic:connection_state_updated": {"old": connectionStates, "new!": connectionStates},
	"quic:connection_id_updated":    {"initiator!": "local|remote", "old": "hex", "new": "hex"},
	"quic:tuple_assigned":           {"tuple_id!": "text", "tuple_remote": "@tuple", "tuple_local": "@tuple"},
	"quic:migration_state_updated": {"old": migrationStates, "new!": migrationStates, "tuple_id": "text", "tuple_remote": "@tuple",
		"tuple_local": "@tuple"},
	"quic:timer_updated": {"timer_type": "ack|pto|loss_timeout|path_validation|handshake_timeout|idle_timeout", "timer_id": "uint",
		"packet_number_space": packetSpaces, "event_type!": "set|expired|cancelled", "delta": "number"},
	"quic:key_discarded": {"key_type!": keyTypes, "key": "hex", "key_phase": "uint", "trigger": "tls|remote_update|local_update"},
	"quic:recovery_parameters_set": {"reordering_threshold": "uint", "time_threshold": "number", "timer_granularity!": "uint",
		"initial_rtt": "number", "max_datagram_size": "uint", "initial_congestion_window": "uint", "minimum_congestion_window": "uint",
		"loss_reduction_factor": "number", "persistent_congestion_threshold": "uint"},
	"quic:packets_acked":   {"packet_number_space": packetSpaces, "packet_numbers": "[]uint"},
	"quic:packet_buffered": {"header": "@header", "raw": "@raw", "trigger": "backpressure|keys_unavailable"},
	"quic:stream_state_updated": {"stream_id!": "uint", "stream_type": "unidirectional|bidirectional", "old": streamStates,
		"new!": streamStates, "stream_side!": "sending|receiving", "trigger": "local|remote"},
	"quic:connection_data_blocked_updated": {"old": "blocked|unblocked", "new!": "blocked|unblocked", "reason": blockedReasons},
	"quic:stream_data_blocked_updated": {"old": "blocked|unblocked", "new!": "blocked|unblocked", "stream_id!": "uint",
		"reason": blockedReasons},
	"quic:datagram_data_blocked_updated": {"old": "blocked|unblocked", "new!": "blocked|unblocked", "reason": blockedReasons},
	"quic:stream_data_moved": {"stream_id": "uint", "offset": "uint", "from": dataLocations, "to": dataLocations,
		"additional_info": "fin_set|stream_reset", "raw": "@raw"},
	"quic:datagram_data_moved": {"from": dataLocations, "to": dataLocations, "raw": "@raw"},
	"quic:parameters_restored": {"disable_active_migration": "bool", "max_idle_timeout": "uint", "max_udp_payload_size": "uint",
		"active_connection_id_limit": "uint", "initial_max_data": "uint", "initial_max_stream_data_bidi_local": "uint",
		"initial_max_stream_data_bidi_remote": "uint", "initial_max_stream_data_uni": "uint", "initial_max_streams_bidi": "uint",
		"initial_max_streams_uni": "uint", "max_datagram_frame_size": "uint", "grease_quic_bit": "bool"},
	"quic:udp_datagrams_sent":     {"count": "uint", "raw": "[]@raw", "ecn": "[]" + ecnCodepoints, "datagram_ids": "[]uint"},
	"quic:udp_datagrams_received": {"count": "uint", "raw": "[]@raw", "ecn": "[]" + ecnCodepoints, "datagram_ids": "[]uint"},
	"quic:marked_for_retransmit":  {"frames!": "[]@frame"},

	"http3:parameters_set": {"initiator": "local|remote", "max_field_section_size": "uint", "max_table_capacity": "uint",
		"blocked_streams_count": "uint", "extended_connect": "uint", "h3_datagram": "uint", "waits_for_settings": "bool"},
	"http3:parameters_restored": {"max_field_section_size": "uint", "max_table_capacity": "uint", "blocked_streams_count": "uint",
		"extended_connect": "uint", "h3_datagram": "uint"},
	"http3:stream_type_set": {"initiator": "local|remote", "stream_id!": "uint", "stream_type_bytes": "uint", "associated_push_id": "uint",
		"stream_type!": "request|control|push|reserved|unknown|qpack_encode|qpack_decode"},
	"http3:priority_updated": {"stream_id": "uint", "push_id": "uint", "old": "text", "new!": "text",
		"trigger": "client_signal_received|local|other",
		"reason":  "client_signal_only|client_server_merged|local_policy|other"},
	"http3:frame_created":    {"stream_id!": "uint", "frame!": "@h3frame"},
	"http3:frame_parsed":     {"stream_id!": "uint", "frame!": "@h3frame"},
	"http3:datagram_created": {"quarter_stream_id!": "uint", "raw": "@raw"},
	"http3:datagram_parsed":  {"quarter_stream_id!": "uint", "raw": "@raw"},

	"h3 data":            {},
	"h3 headers":         {"headers!": "[]@h3field"},
	"h3 settings":        {"settings!": "[]@h3setting"},
	"h3 goaway":          {"id!": "uint"},
	"h3 max_push_id":     {"push_id!": "uint"},
	"h3 reserved":        {"frame_type_bytes!": "uint"},
	"h3 unknown":         {"frame_type_bytes!": "uint"},
	"h3 priority_update": {"stream_id": "uint", "push_id": "uint", "priority_field_value!": "text"},
	"h3field":            {"name": "text", "name_bytes": "hex", "value": "text", "value_bytes": "hex"},
	"h3setting": {"name": "settings_qpack_max_table_capacity|settings_max_field_section_size|settings_qpack_blocked_streams|" +
		"settings_enable_connect_protocol|settings_h3_datagram|reserved|unknown", "name_bytes": "uint", "value!": "uint"},

	"tuple": {"ip_v4": "text", "port_v4": "uint", "ip_v6": "text", "port_v6": "uint", "connection_ids": "[]hex"},
	"alpn":  {"byte_value": "hex", "string_value": "text"},
	"preferred_address": {"ip_v4": "text", "port_v4": "uint", "ip_v6": "text", "port_v6": "uint", "connection_id!": "hex",
		"stateless_reset_token!": "hex"},
	"unknown_parameter": {"id!": "uint", "value": "hex"},
	"raw":               {"length": "uint", "payload_length": "uint", "data": "hex"},
	"token":             {"type": "retry|resumption", "details": "any", "raw": "@raw"},
	"header": {"packet_type!": "initial|handshake|0RTT|1RTT|retry|version_negotiation|stateless_reset|unknown", "packet_type_bytes": "uint",
		"spin_bit": "bool", "key_phase": "uint", "key_phase_bit": "bool", "packet_number_length": "uint", "packet_number": "uint",
		"token": "@token", "length": "uint", "version": "hex", "scil": "uint", "dcil": "uint", "scid": "hex", "dcid": "hex"},

	"padding":        {},
	"ping":           {},
	"handshake_done": {},
	"datagram":       {},
	"ack": {"ack_delay": "number", "acked_ranges": "ranges", "ect1": "uint", "ect0": "uint",
		"ce": "uint"},
	"reset_stream": {"stream_id!": "uint", "error!": "unknown", "error_code": "uint", "final_size!": "uint"},
	"reset_stream_at": {"stream_id!": "uint", "error!": "unknown", "error_code": "uint", "final_size!": "uint",
		"reliable_size!": "uint"},
	"stop_sending":        {"stream_id!": "uint", "error!": "unknown", "error_code": "uint"},
	"crypto":              {"offset!": "uint", "raw!": "@raw"},
	"new_token":           {"token!": "@token"},
	"stream":              {"stream_id!": "uint", "offset": "uint", "fin": "bool"},
	"max_data":            {"maximum!": "uint"},
	"max_stream_data":     {"stream_id!": "uint", "maximum!": "uint"},
	"max_streams":         {"stream_type!": "unidirectional|bidirectional", "maximum!": "uint"},
	"data_blocked":        {"limit!": "uint"},
	"stream_data_blocked": {"stream_id!": "uint", "limit!": "uint"},
	"streams_blocked":     {"stream_type!": "unidirectional|bidirectional", "limit!": "uint"},
	"new_connection_id": {"sequence_number!": "uint", "retire_prior_to!": "uint", "connection_id_length": "uint", "connection_id!": "hex",
		"stateless_reset_token": "hex"},
	"retire_connection_id": {"sequence_number!": "uint"},
	"path_challenge":       {"data": "hex"},
	"path_response":        {"data": "hex"},
	"connection_close": {"error_space": "transport|application", "error": "transport error", "error_code": "uint", "reason": "text",
		"reason_bytes": "hex", "trigger_frame_type": "uint"},
	"unknown": {"frame_type_bytes!": "uint"},
}

var (
	hexString      = regexp.MustCompile(`^([0-9a-f]{2})*$`)
	transportError = regexp.MustCompile(`^(no_error|internal_error|connection_refused|flow_control_error|stream_limit_error|` +
		`stream_state_error|final_size_error|frame_encoding_error|transport_parameter_error|connection_id_limit_error|` +
		`protocol_violation|invalid_token|application_error|crypto_buffer_exceeded|key_update_error|aead_limit_reached|` +
		`no_viable_path|unknown|crypto_error_0x1[0-9a-f][0-9a-f])$`)
)

// check returns what is wrong with a value.
func (s schema) check(v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%v is no object", v)
	}
	for name := range s {
		if name, must := strings.CutSuffix(name, "!"); must && m[name] == nil {
			return fmt.Errorf("there is no %q", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		kind, ok := s[name]
		if !ok {
			kind, ok = s[name+"!"]
		}
		if !ok {
			return fmt.Errorf("%q has no place here", name)
		}
		if err := checkKind(kind, m[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func checkKind(kind string, v any) error {
	if of, ok := strings.CutPrefix(kind, "[]"); ok {
		list, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%v is no list", v)
		}
		for _, e := range list {
			if err := checkKind(of, e); err != nil {
				return err
			}
		}
		return nil
	}
	switch kind {
	case "@frame":
		return checkFrame("", v)
	case "@h3frame":
		return checkFrame("h3 ", v)
	}
	if of, ok := strings.CutPrefix(kind, "@"); ok {
		return qlogSchemas[of].check(v)
	}
	s, isText := v.(string)
	n, isNumber := v.(float64)
	ok := false
	switch kind {
	case "any":
		ok = true
	case "text":
		ok = isText
	case "hex":
		ok = isText && hexString.MatchString(s)
	case "transport error":
		ok = isText && transportError.MatchString(s)
	case "uint":
		ok = isNumber && n >= 0 && n == float64(uint64(n))
	case "number":
		ok = isNumber
	case "bool":
		_, ok = v.(bool)
	case "ranges":
		ok = isRanges(v)
	default:
		ok = isText && slices.Contains(strings.Split(kind, "|"), s)
	}
	if !ok {
		return fmt.Errorf("%v is not %s", v, kind)
	}
	return nil
}

func isRanges(v any) bool {
	list, ok := v.([]any)
	for _, r := range list {
		r, isList := r.([]any)
		ok = ok && isList && (len(r) == 1 || len(r) == 2)
	}
	return ok && len(list) > 0
}

// checkFrame checks a frame. Its schema has the name of its type behind a prefix.
func checkFrame(prefix string, v any) error {
	m, _ := v.(map[string]any)
	typ, _ := m["frame_type"].(string)
	s, ok := qlogSchemas[prefix+typ]
	if !ok {
		return fmt.Errorf("frame type %q", typ)
	}
	s = maps.Clone(s)
	s["frame_type!"] = "text"
	if _, ok := s["raw!"]; !ok {
		s["raw"] = "@raw"
	}
	if err := s.check(v); err != nil {
		return fmt.Errorf("%s: %w", typ, err)
	}
	return nil
}

// check fails the test where the log is not as the drafts say. It returns how often each event and
// each type of frame stands in it.
func (f *logFile) check(t *testing.T) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for i, rec := range bytes.Split(f.Bytes(), []byte{0x1e})[1:] {
		var v map[string]any
		if err := json.Unmarshal(rec, &v); err != nil {
			t.Fatalf("record %d: %v: %s", i, err, rec)
		}
		if i == 0 {
			if err := qlogSchemas["file"].check(v); err != nil {
				t.Errorf("the header: %v: %s", err, rec)
			}
			continue
		}
		name, _ := v["name"].(string)
		s, ok := qlogSchemas[name]
		if _, isTime := v["time"].(float64); !ok || !isTime {
			t.Errorf("record %d: name or time: %s", i, rec)
			continue
		}
		if err := s.check(v["data"]); err != nil {
			t.Errorf("record %d: %v: %s", i, err, rec)
		}
		seen[name]++
		data := v["data"].(map[string]any)
		if data["done"] == true {
			seen[name+" done"]++
		}
		frames, _ := data["frames"].([]any)
		for _, f := range frames {
			seen[f.(map[string]any)["frame_type"].(string)]++
		}
	}
	return seen
}

// TestQLogSchema: every record is what the drafts say, on both sides of connections on which much
// happens.
func TestQLogSchema(t *testing.T) {
	seen := map[string]int{}
	for _, f := range append(loggedSessions(t, conn.QLogDraft), loggedStalls(t, conn.QLogDraft)...) {
		for name, n := range f.check(t) {
			seen[name] += n
		}
	}
	for _, want := range []string{
		"quic:connection_started", "quic:connection_closed", "quic:version_information", "quic:alpn_information", "quic:parameters_set",
		"quic:packet_sent", "quic:packet_received", "quic:packet_dropped", "quic:packet_lost", "quic:key_updated",
		"quic:recovery_metrics_updated", "quic:ecn_state_updated", "quic:mtu_updated", "quic:mtu_updated done",
		"quic:connection_state_updated", "quic:connection_id_updated", "quic:tuple_assigned", "quic:migration_state_updated",
		"quic:timer_updated", "quic:key_discarded", "quic:recovery_parameters_set", "quic:packets_acked", "quic:packet_buffered",
		"quic:stream_state_updated", "quic:connection_data_blocked_updated", "quic:stream_data_blocked_updated",
		"quic:congestion_state_updated", "quic:stream_data_moved", "quic:datagram_data_moved", "quic:udp_datagrams_sent",
		"quic:udp_datagrams_received", "quic:marked_for_retransmit",
		"padding", "ping", "handshake_done", "datagram", "ack", "reset_stream", "stop_sending", "crypto", "new_token", "stream", "max_data",
		"max_stream_data", "new_connection_id", "retire_connection_id", "path_challenge", "path_response", "connection_close",
	} {
		if seen[want] == 0 {
			t.Errorf("no log has %s: %v", want, seen)
		}
	}
	if seen["quic:alpn_information"] != 4 {
		t.Errorf("%d of 4 sides tell of ALPN", seen["quic:alpn_information"])
	}
}

// TestQLog03: the other format has the names that qvis knows.
func TestQLog03(t *testing.T) {
	seen := map[string]int{}
	for _, f := range loggedSessions(t, conn.QLog03) {
		for name, n := range f.events(t) {
			seen[name] += n
		}
		for _, want := range []string{`"qlog_version":"0.3"`, `"qlog_format":"JSON-SEQ"`, `"flags":`, `"owner":"remote"`} {
			if !bytes.Contains(f.Bytes(), []byte(want)) {
				t.Errorf("there is no %s", want)
			}
		}
	}
	for _, want := range []string{"transport:packet_sent", "recovery:metrics_updated", "recovery:packet_lost", "security:key_updated",
		"recovery:loss_timer_updated", "recovery:congestion_state_updated", "transport:stream_state_updated",
		"connectivity:connection_state_updated", "transport:packets_acked"} {
		if seen[want] == 0 {
			t.Errorf("no log has %s: %v", want, seen)
		}
	}
	for name := range seen {
		category, event, _ := strings.Cut(name, ":")
		if !strings.Contains("connectivity transport security recovery", category) || category == "" || event == "" {
			if name != "" { // the header has none
				t.Errorf("%q is no name of version 0.3", name)
			}
		}
	}
}

// loggedSessions returns the logs of the connections of a client that loses packets, sends
// datagrams, resets and stops streams, changes keys and its address, and closes.
func loggedSessions(t *testing.T, format conn.QLogFormat) []*logFile {
	t.Helper()
	rnd := conntest.Seed(t, 5)
	n := conntest.New(t, 5)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond, Loss: 0.03, Duplicate: 0.02}
	var logs []*logFile
	sc, cc := conntest.ServerConfig(), conntest.ClientConfig()
	for _, cfg := range []*conn.Config{sc, cc} {
		cfg.QLogFormat, cfg.MaxDatagramFrameSize = format, 1200
		cfg.InitialMaxStreamData, cfg.InitialMaxData = 50_000, 100_000
		cfg.QLog = func(conn.ConnID, bool) io.WriteCloser {
			logs = append(logs, new(logFile))
			return logs[len(logs)-1]
		}
	}
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind == conn.EventStreamReadable {
			for b, _ := ev.Stream.Peek(1); len(b) > 0; b, _ = ev.Stream.Peek(1) {
				ev.Stream.Discard(len(b))
			}
			if ev.Stream.ID() == 0x6 {
				ev.Stream.StopSending(3)
			}
		}
	}
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
	if err != nil {
		t.Fatal(err)
	}
	n.RunUntil(time.Second, c.HandshakeComplete)
	for i := range 3 {
		s, err := c.OpenStream(conn.Uni)
		if err != nil {
			t.Fatal(err)
		}
		s.Write(make([]byte, 300_000))
		c.SendDatagram(make([]byte, 100), conn.DatagramOptions{})
		n.RunFor(200 * time.Millisecond)
		if i == 2 {
			s.Reset(7)
		}
	}
	c.UpdateKeys()
	n.RunFor(time.Second)
	n.Rebind(client, "10.0.0.2:5001")
	s, err := c.OpenStream(conn.Uni)
	if err != nil {
		t.Fatal(err)
	}
	s.Write(make([]byte, 20_000))
	n.RunFor(4 * time.Second) // the address before is given up
	c.Close(0, "done")
	n.RunFor(time.Second)
	return logs
}

// loggedStalls returns the logs of a connection whose 1-RTT packets overtake the handshake, and
// whose server does not read for a while.
func loggedStalls(t *testing.T, format conn.QLogFormat) []*logFile {
	t.Helper()
	rnd := conntest.Seed(t, 6)
	n := conntest.New(t, 6)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond, Filter: func(p *conntest.Packet) bool {
		// Half of the server's first flight is lost. The packets behind it wait for their keys.
		return p.Src.Port() != 443 || p.N != 1
	}}
	var logs []*logFile
	sc, cc := conntest.ServerConfig(), conntest.ClientConfig()
	sc.InitialMaxStreamData, sc.MaxStreamData = 10_000, 10_000
	for _, cfg := range []*conn.Config{sc, cc} {
		cfg.QLogFormat = format
		cfg.QLog = func(conn.ConnID, bool) io.WriteCloser {
			logs = append(logs, new(logFile))
			return logs[len(logs)-1]
		}
	}
	var unread *conn.Stream
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		switch ev.Kind {
		case conn.EventAccepted:
			s, err := ev.Conn.OpenStream(conn.Uni)
			if err != nil {
				t.Fatal(err)
			}
			s.Write(make([]byte, 5000)) // 0.5-RTT
		case conn.EventStreamOpened:
			unread = ev.Stream
		}
	}
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
	if err != nil {
		t.Fatal(err)
	}
	n.RunUntil(time.Second, c.HandshakeComplete)
	s, err := c.OpenStream(conn.Uni)
	if err != nil {
		t.Fatal(err)
	}
	s.Write(make([]byte, 30_000))
	s.CloseWrite()
	n.RunFor(time.Second)
	for range 100 {
		if b, err := unread.Peek(1); err == nil {
			unread.Discard(len(b))
		}
		n.RunFor(20 * time.Millisecond)
	}
	c.Close(0, "done")
	n.RunFor(time.Second)
	return logs
}
