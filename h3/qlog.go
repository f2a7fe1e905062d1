package h3

import (
	"maps"
	"slices"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/qlog"
	"github.com/lazoquic/lazo/internal/wire"
)

// An eventLog writes the events of HTTP/3 into the qlog of the connection
// (draft-ietf-quic-qlog-h3-events). A connection without a qlog has none.
type eventLog struct {
	q    *conn.Conn
	data qlog.HTTP3
}

// newEventLog returns nil if q has no qlog.
func newEventLog(q *conn.Conn) *eventLog {
	if !q.QLogs() {
		return nil
	}
	return &eventLog{q: q}
}

// frameEvent returns the name of the event for a frame.
func frameEvent(created bool) string {
	if created {
		return qlog.HTTP3FrameCreated
	}
	return qlog.HTTP3FrameParsed
}

// settings writes the settings of a side: their meaning, and the frame.
func (l *eventLog) settings(remote bool, id conn.StreamID, m map[uint64]uint64) {
	l.q.QLogEvent(qlog.HTTP3ParametersSet, l.data.Parameters(remote, namedSettings(m)))
	l.data.Settings(uint64(id))
	for _, id := range slices.Sorted(maps.Keys(m)) {
		l.data.Setting(settingName(id), id, m[id])
	}
	l.q.QLogEvent(frameEvent(!remote), l.data.SettingsEnd())
}

// restored writes the settings that a client remembers for early data.
func (l *eventLog) restored(m map[uint64]uint64) {
	l.q.QLogEvent(qlog.HTTP3ParametersRestored, l.data.Restored(namedSettings(m)))
}

// namedSettings returns the settings for which the schema has members.
func namedSettings(m map[uint64]uint64) qlog.HTTP3Settings {
	of := func(id uint64) *uint64 {
		if v, ok := m[id]; ok {
			return &v
		}
		return nil
	}
	return qlog.HTTP3Settings{
		MaxFieldSectionSize: of(SettingMaxFieldSectionSize), MaxTableCapacity: of(SettingQPACKTableCapacity),
		BlockedStreams: of(SettingQPACKBlockedStreams), ExtendedConnect: of(SettingExtendedConnect), Datagrams: of(SettingDatagrams),
	}
}

// settingName returns the name that the schema has for a setting.
func settingName(id uint64) string {
	switch id {
	case SettingQPACKTableCapacity:
		return "settings_qpack_max_table_capacity"
	case SettingMaxFieldSectionSize:
		return "settings_max_field_section_size"
	case SettingQPACKBlockedStreams:
		return "settings_qpack_blocked_streams"
	case SettingExtendedConnect:
		return "settings_enable_connect_protocol"
	case SettingDatagrams:
		return "settings_h3_datagram"
	}
	if isReserved(id) {
		return "reserved"
	}
	return "unknown"
}

// isReserved reports whether a type or identifier is reserved for greasing.
func isReserved(id uint64) bool { return id >= 0x21 && (id-0x21)%0x1f == 0 }

// streamType writes the type of a unidirectional stream.
func (l *eventLog) streamType(remote bool, id conn.StreamID, typ uint64) {
	name := "unknown"
	switch {
	case typ == streamControl:
		name = "control"
	case typ == streamPush:
		name = "push"
	case typ == streamQPACKEncoder:
		name = "qpack_encode"
	case typ == streamQPACKDecoder:
		name = "qpack_decode"
	case isReserved(typ):
		name = "reserved"
	}
	l.q.QLogEvent(qlog.HTTP3StreamTypeSet, l.data.StreamType(remote, uint64(id), name, typ))
}

// request writes that a stream is a request.
func (l *eventLog) request(id conn.StreamID) {
	l.q.QLogEvent(qlog.HTTP3StreamTypeSet, l.data.StreamType(id.ByServer() != l.q.Server(), uint64(id), "request", 0))
}

// headers writes a HEADERS frame.
func (l *eventLog) headers(created bool, id conn.StreamID, fields []Field, size uint64) {
	l.data.Headers(uint64(id))
	for i := range fields {
		l.data.Header(fields[i].Name, fields[i].Value, fields[i].Sensitive)
	}
	l.q.QLogEvent(frameEvent(created), l.data.HeadersEnd(size))
}

// frame writes a frame of a request. Only the length of its payload is written.
func (l *eventLog) frame(created bool, id conn.StreamID, typ, length uint64) {
	data := l.data.Data
	if typ != frameData {
		data = func(id, n uint64) []byte { return l.data.Other(id, typ, n, isReserved(typ)) }
	}
	l.q.QLogEvent(frameEvent(created), data(uint64(id), length))
}

// controlID writes a frame of the control stream that consists of an ID.
func (l *eventLog) controlID(created bool, id conn.StreamID, typ, value uint64) {
	name, member := "goaway", "id"
	if typ == frameMaxPushID {
		name, member = "max_push_id", "push_id"
	}
	l.q.QLogEvent(frameEvent(created), l.data.ID(uint64(id), name, member, value))
}

// priorityUpdate writes a PRIORITY_UPDATE frame.
func (l *eventLog) priorityUpdate(created bool, id conn.StreamID, request uint64, field []byte) {
	l.q.QLogEvent(frameEvent(created), l.data.PriorityUpdate(uint64(id), request, field))
}

// prioritized writes the priority that the client asks for. Before its first signal there is no old
// priority.
func (l *eventLog) prioritized(s *Stream, p conn.Priority) {
	var old, now [16]byte
	before := old[:0]
	if s.prioritized {
		before = appendPriority(before, s.priority)
	}
	l.q.QLogEvent(qlog.HTTP3PriorityUpdated, l.data.Priority(uint64(s.id), before, appendPriority(now[:0], p)))
}

// logCritical writes that one of this side's critical streams is open, and the settings on it.
func (c *Conn) logCritical(i int) {
	id := c.out[i].qs.ID()
	c.log.streamType(false, id, [outStreams]uint64{
		outControl: streamControl, outEncoder: streamQPACKEncoder, outDecoder: streamQPACKDecoder,
	}[i])
	if i == outControl {
		if b, err := firstSettings(c.out[i].buf[1:]); err == nil {
			c.log.settings(false, id, b)
		}
	}
}

// firstSettings parses the SETTINGS frame at the start of b.
func firstSettings(b []byte) (map[uint64]uint64, *Error) {
	_, length, n := parseFrameHeader(b)
	return parseSettings(b[n:][:length])
}

// logControl writes the frame that c.control has read. It leaves out a malformed frame, because the
// error that ends the connection describes it.
func (c *Conn) logControl(id conn.StreamID) {
	switch p := c.control.buf; c.control.typ {
	case frameSettings:
		if m, err := parseSettings(p); err == nil {
			c.log.settings(true, id, m)
		}
	case frameGoAway, frameMaxPushID:
		if v, err := parseID(p); err == nil {
			c.log.controlID(false, id, c.control.typ, v)
		}
	case framePriorityUpdateRequest:
		if request, n := wire.ParseVarint(p); n > 0 {
			c.log.priorityUpdate(false, id, request, p[n:])
		}
	}
}
