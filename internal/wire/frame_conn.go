package wire

import "unicode/utf8"

// ParseNewToken parses a NEW_TOKEN frame (RFC 9000, Section 19.7). token aliases the packet; an
// empty one is malformed.
func ParseNewToken(b []byte) (token []byte, n int) {
	c := frameAt(b)
	token = c.bytes(c.varint())
	if len(token) == 0 {
		return nil, -1
	}
	return token, c.n()
}

// AppendNewToken appends a NEW_TOKEN frame.
func AppendNewToken(b []byte, token []byte) []byte {
	b = append(b, FrameNewToken)
	b = AppendVarint(b, uint64(len(token)))
	return append(b, token...)
}

// ParseNewConnectionID parses a NEW_CONNECTION_ID frame (RFC 9000, Section 19.15). id aliases the
// packet. It is malformed also if the ID is not 1 to 20 bytes long or retirePriorTo > seq.
// RFC 9000, Section 19.15 [6].
func ParseNewConnectionID(b []byte) (seq, retirePriorTo uint64, id []byte, resetToken [16]byte, n int) {
	c := frameAt(b)
	return c.newConnectionID()
}

// newConnectionID reads the fields of a NEW_CONNECTION_ID frame from Sequence Number on.
func (c *cursor) newConnectionID() (seq, retirePriorTo uint64, id []byte, resetToken [16]byte, n int) {
	seq = c.varint()
	retirePriorTo = c.varint()
	id = c.idWithLen()
	copy(resetToken[:], c.bytes(uint64(len(resetToken))))
	if len(id) == 0 || len(id) > maxConnIDLen || retirePriorTo > seq {
		return 0, 0, nil, resetToken, -1
	}
	return seq, retirePriorTo, id, resetToken, c.n()
}

// AppendNewConnectionID appends a NEW_CONNECTION_ID frame.
func AppendNewConnectionID(b []byte, seq, retirePriorTo uint64, id []byte, resetToken [16]byte) []byte {
	return appendNewConnectionID(append(b, FrameNewConnectionID), seq, retirePriorTo, id, resetToken)
}

// appendNewConnectionID appends the fields from Sequence Number on.
func appendNewConnectionID(b []byte, seq, retirePriorTo uint64, id []byte, resetToken [16]byte) []byte {
	b = AppendVarint(b, seq)
	b = AppendVarint(b, retirePriorTo)
	b = append(b, byte(len(id)))
	b = append(b, id...)
	return append(b, resetToken[:]...)
}

// ParsePath parses a PATH_CHALLENGE or PATH_RESPONSE frame (RFC 9000, Sections 19.17 and 19.18).
func ParsePath(b []byte) (data [8]byte, n int) {
	c := frameAt(b)
	if c.bad {
		return data, -1
	}
	copy(data[:], c.bytes(uint64(len(data))))
	return data, c.n()
}

// AppendPath appends a PATH_CHALLENGE or PATH_RESPONSE frame, as typ says.
func AppendPath(b []byte, typ byte, data [8]byte) []byte {
	b = append(b, typ)
	return append(b, data[:]...)
}

// ParseConnectionClose parses a CONNECTION_CLOSE frame of both kinds (RFC 9000, Section 19.19).
// frame is the type at fault, 0 for an application close. reason aliases the packet, and may hold
// any bytes.
func ParseConnectionClose(b []byte) (app bool, code, frame uint64, reason []byte, n int) {
	c := frameAt(b)
	if c.bad {
		return false, 0, 0, nil, -1
	}
	app = b[0] == FrameApplicationClose
	code = c.varint()
	if !app {
		frame = c.varint()
	}
	reason = c.bytes(c.varint())
	return app, code, frame, reason, c.n()
}

// AppendConnectionClose appends a CONNECTION_CLOSE frame; frame is not used for an application
// close. It truncates reason, between characters, so that at most limit bytes are appended; limit
// must be at least 18, which the other fields may need.
func AppendConnectionClose(b []byte, limit int, app bool, code, frame uint64, reason string) []byte {
	limit += len(b)
	if app {
		b = append(b, FrameApplicationClose)
		b = AppendVarint(b, code)
	} else {
		b = append(b, FrameConnectionClose)
		b = AppendVarint(b, code)
		b = AppendVarint(b, frame)
	}
	room := max(limit-len(b), 1)
	n := min(len(reason), room-1)
	for n > 0 && (n+VarintLen(uint64(n)) > room || n < len(reason) && !utf8.RuneStart(reason[n])) {
		n--
	}
	b = AppendVarint(b, uint64(n))
	return append(b, reason[:n]...)
}
