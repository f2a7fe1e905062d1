package wire

// ParseOne parses a frame with one integer: MAX_DATA, MAX_STREAMS, DATA_BLOCKED, STREAMS_BLOCKED or
// RETIRE_CONNECTION_ID (RFC 9000, Sections 19.9 to 19.16). The limit of stream counts, 1<<60, is
// for the caller.
func ParseOne(b []byte) (v uint64, n int) {
	c := frameAt(b)
	v = c.varint()
	return v, c.n()
}

// AppendOne appends a frame of type typ with one integer.
func AppendOne(b []byte, typ byte, v uint64) []byte {
	b = append(b, typ)
	return AppendVarint(b, v)
}

// ParseTwo parses a frame with two integers: MAX_STREAM_DATA or STREAM_DATA_BLOCKED
// (RFC 9000, Sections 19.10 and 19.13).
func ParseTwo(b []byte) (id, v uint64, n int) {
	c := frameAt(b)
	id = c.varint()
	v = c.varint()
	return id, v, c.n()
}

// AppendTwo appends a frame of type typ with two integers.
func AppendTwo(b []byte, typ byte, id, v uint64) []byte {
	b = append(b, typ)
	b = AppendVarint(b, id)
	return AppendVarint(b, v)
}
