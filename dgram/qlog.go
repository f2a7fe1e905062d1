package dgram

import "strconv"

// log writes into the qlog of the connection that an HTTP Datagram with n bytes behind its quarter
// stream ID was sent or came (draft-ietf-quic-qlog-h3-events). It is called only if there is a
// qlog.
func (m *Mux) log(name string, quarter uint64, n int) {
	b := append(m.record[:0], `{"quarter_stream_id":`...)
	b = strconv.AppendUint(b, quarter, 10)
	b = append(b, `,"raw":{"payload_length":`...)
	b = strconv.AppendInt(b, int64(n), 10)
	m.record = append(b, "}}"...)
	m.c.QLogEvent(name, m.record)
}
