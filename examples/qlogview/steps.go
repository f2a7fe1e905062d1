package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A step is something that happened once on the way to a connection.
type step struct {
	T    int64  `json:"t"`
	Text string `json:"text"`
}

// maxSteps bounds the steps.
const maxSteps = 64

// steps are those of a trace in their order.
type steps struct {
	list []step
	seen map[string]bool
}

func newSteps() steps { return steps{seen: map[string]bool{}} }

// note notes a step, the first time.
func (s *steps) note(t int64, what string) {
	if s.seen[what] || len(s.list) >= maxSteps {
		return
	}
	s.seen[what] = true
	s.list = append(s.list, step{t, what})
}

// packetNames are the types of packets that are steps.
var packetNames = map[string]string{
	"initial": "Initial", "handshake": "Handshake", "0RTT": "0-RTT", "1RTT": "1-RTT", "retry": "Retry",
	"version_negotiation": "Version Negotiation",
}

// handshakeStep notes the first packet of each type.
func (t *trace) handshakeStep(what, kind string) {
	if name := packetNames[kind]; name != "" {
		t.steps.note(t.now, name+" "+what)
	}
}

// marks are events that may happen several times: key updates, migrations, changes of state.
type marks struct {
	list []step
	more int64
}

// maxMarks bounds the marks.
const maxMarks = 1000

func (m *marks) note(t int64, format string, args ...any) {
	if len(m.list) >= maxMarks {
		m.more++
		return
	}
	m.list = append(m.list, step{t, fmt.Sprintf(format, args...)})
}

// state takes events about states.
func (t *trace) state(name string, data json.RawMessage) error {
	var s stateData
	if len(data) > 0 {
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
	}
	at, w := max(t.now, t.from), &t.waiting
	switch name {
	case "connection_data_blocked_updated":
		w.tells = true
		w.reason = causeApplication
		if word(s.New) == "blocked" {
			w.reason = reasons[s.Reason]
		}
	case "stream_data_blocked_updated":
		if s.StreamID != nil {
			w.tells = true
			waits := word(s.New) == "blocked"
			w.stream(s.StreamID.count(), waits)
			if st := t.streams.at(s.StreamID.count(), at); st != nil {
				st.blocked(at, waits)
			}
		}
	case "stream_state_updated":
		t.streamState(&s, at)
	case "connection_state_updated":
		t.steps.note(t.now, "state: "+word(s.New))
	case "key_updated":
		w.ready = w.ready || s.KeyType == t.vantage+"_1rtt_secret"
		if s.Trigger == "tls" {
			t.steps.note(t.now, "keys: "+clip(s.KeyType, 40))
		} else if t.shown() {
			t.marks.note(t.now, "key update: %s", clip(s.KeyType, 40))
		}
	case "connection_closed":
		return t.closed(data)
	case "alpn_information", "version_information":
		return t.negotiated(name, data)
	case "tuple_assigned":
		t.assigned(&s)
	case "migration_state_updated", "mtu_updated", "ecn_state_updated", "congestion_state_updated":
		if t.shown() {
			t.marks.note(t.now, "%s: %s", markNames[name], word(s.New))
		}
	}
	return nil
}

// assigned takes that a path has opened or moved, or has ended: then it has no addresses.
func (t *trace) assigned(s *stateData) {
	if !t.shown() {
		return
	}
	if len(s.TupleLocal) == 0 && len(s.TupleRemote) == 0 {
		t.marks.note(t.now, "path %q ended", clip(s.TupleID, 20))
	} else if strings.HasPrefix(s.TupleID, "path") {
		t.marks.note(t.now, "path %q opened or moved", clip(s.TupleID, 20))
	}
}

// markNames are the names of events that are marks.
var markNames = map[string]string{
	"migration_state_updated": "path", "mtu_updated": "MTU", "ecn_state_updated": "ECN", "congestion_state_updated": "congestion control",
}

func (t *trace) streamState(s *stateData, at int64) {
	if s.StreamID == nil {
		return
	}
	id, sending := s.StreamID.count(), s.Side == "sending"
	st := t.streams.at(id, at)
	if st == nil {
		return
	}
	st.state(at, word(s.New), sending)
	if st.sending.done {
		t.waiting.stream(id, false)
	}
}

// closed takes how the connection ended.
func (t *trace) closed(data json.RawMessage) error {
	var c struct {
		Reason, Trigger string
		Code            *number `json:"error_code"`
		Transport       any     `json:"connection_error"`
		Initiator       string
		Owner           string
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	what := "closed"
	for _, s := range []string{c.Initiator + c.Owner, c.Trigger, word(c.Transport), c.Reason} {
		if s != "" {
			what += ", " + clip(s, 80)
		}
	}
	if c.Code != nil {
		what += fmt.Sprintf(", code %d", c.Code.count())
	}
	t.steps.note(t.now, what)
	t.marks.note(t.now, "%s", what)
	return nil
}

// negotiated takes what the handshake agreed on.
func (t *trace) negotiated(name string, data json.RawMessage) error {
	var d struct {
		Version json.RawMessage `json:"chosen_version"`
		ALPN    json.RawMessage `json:"chosen_alpn"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	var alpn struct {
		Value string `json:"string_value"`
	}
	json.Unmarshal(d.ALPN, &alpn) // it may be a string as well
	if s := text(d.ALPN) + alpn.Value; s != "" {
		t.steps.note(t.now, "ALPN "+clip(s, 40))
	}
	if s := text(d.Version); s != "" {
		t.steps.note(t.now, "version "+clip(s, 20))
	}
	return nil
}
