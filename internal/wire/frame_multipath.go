package wire

// MaxPathID is the largest path ID: a nonce has 32 bits for it (draft-ietf-quic-multipath-21,
// Section 2.4).
const MaxPathID = 1<<32 - 1

// ParsePathAck parses a PATH_ACK frame of both kinds (draft-ietf-quic-multipath-21, Section 4.1).
// It is malformed where an ACK frame would be.
func ParsePathAck(b []byte) (path uint64, f Ack, n int) {
	c := frameAt(b)
	path = c.varint()
	f, n = c.ack(len(b) > 0 && b[0] == FramePathAckECN)
	return path, f, n
}

// AppendPathAck is AppendAck for a PATH_ACK frame. The largest range always fits if limit is at
// least 40, or 72 with ECN.
func AppendPathAck(
	b []byte, limit int, path uint32, n int, at func(i int) (start, end uint64), delay uint64, ecn *[3]uint64,
) (out []byte, omitted int) {
	limit += len(b)
	typ := byte(FramePathAck)
	if ecn != nil {
		typ = FramePathAckECN
	}
	b = AppendVarint(append(b, typ), uint64(path))
	return appendAck(b, limit, n, at, delay, ecn)
}

// ParsePathLimit parses a MAX_PATH_ID or PATHS_BLOCKED frame (draft-ietf-quic-multipath-21,
// Sections 4.6 and 4.7). Whether maximum is a path ID is for the caller.
func ParsePathLimit(b []byte) (maximum uint64, n int) {
	c := wideFrameAt(b)
	maximum = c.varint()
	return maximum, c.n()
}

// AppendPathLimit appends a frame of type typ with a path ID.
func AppendPathLimit(b []byte, typ uint64, maximum uint32) []byte {
	return AppendPair(b, typ, uint64(maximum))
}

// ParsePathValue parses a frame with a path ID and one more integer: PATH_ABANDON with its error
// code; PATH_STATUS_BACKUP, PATH_STATUS_AVAILABLE, PATH_RETIRE_CONNECTION_ID and PATH_CIDS_BLOCKED
// with a sequence number (draft-ietf-quic-multipath-21, Sections 4.2, 4.3, 4.5 and 4.7).
func ParsePathValue(b []byte) (path, v uint64, n int) {
	c := wideFrameAt(b)
	path = c.varint()
	v = c.varint()
	return path, v, c.n()
}

// AppendPathValue appends a frame of type typ with a path ID and one more integer.
func AppendPathValue(b []byte, typ uint64, path uint32, v uint64) []byte {
	return AppendVarint(AppendPair(b, typ, uint64(path)), v)
}

// ParsePathNewConnectionID parses a PATH_NEW_CONNECTION_ID frame (draft-ietf-quic-multipath-21,
// Section 4.4). It is malformed where a NEW_CONNECTION_ID frame would be; id aliases the packet.
func ParsePathNewConnectionID(b []byte) (path, seq, retirePriorTo uint64, id []byte, resetToken [16]byte, n int) {
	c := wideFrameAt(b)
	path = c.varint()
	seq, retirePriorTo, id, resetToken, n = c.newConnectionID()
	return path, seq, retirePriorTo, id, resetToken, n
}

// AppendPathNewConnectionID appends a PATH_NEW_CONNECTION_ID frame.
func AppendPathNewConnectionID(b []byte, path uint32, seq, retirePriorTo uint64, id []byte, resetToken [16]byte) []byte {
	b = AppendPair(b, FramePathNewConnectionID, uint64(path))
	return appendNewConnectionID(b, seq, retirePriorTo, id, resetToken)
}
