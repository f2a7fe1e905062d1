package wire

// Bits of a STREAM frame's type (RFC 9000, Section 19.8).
const (
	streamFin = 0x01
	streamLen = 0x02
	streamOff = 0x04
)

// A Stream is a STREAM frame. Data aliases the packet.
type Stream struct {
	ID, Offset uint64
	Fin        bool
	Data       []byte
}

// ParseStream parses the frame, from its type on. n < 0: malformed, also where offset + length
// exceeds MaxVarint.
// RFC 9000, Section 19.8 [2].
func ParseStream(b []byte) (f Stream, n int) {
	id, offset, data, fin, n := StreamFields(b)
	return Stream{ID: id, Offset: offset, Fin: fin, Data: data}, n
}

// StreamFields is ParseStream without the struct. On the way of every packet with data, writing one
// and reading it again would take as long as parsing.
func StreamFields(b []byte) (id, offset uint64, data []byte, fin bool, n int) {
	if len(b) == 0 {
		return 0, 0, nil, false, -1
	}
	typ := b[0]
	id, k := ParseVarint(b[1:])
	if k == 0 {
		return 0, 0, nil, false, -1
	}
	at := 1 + k
	if typ&streamOff != 0 {
		if offset, k = ParseVarint(b[at:]); k == 0 {
			return 0, 0, nil, false, -1
		}
		at += k
	}
	end := len(b)
	if typ&streamLen != 0 {
		size, k := ParseVarint(b[at:])
		if k == 0 || size > uint64(end-at-k) {
			return 0, 0, nil, false, -1
		}
		at += k
		end = at + int(size)
	}
	if offset+uint64(end-at) > MaxVarint {
		return 0, 0, nil, false, -1
	}
	return id, offset, b[at:end:end], typ&streamFin != 0, end
}

// AppendStreamHeader appends the header of a STREAM frame, up to its data. With withLen, a Length
// field of two bytes lies at lenOff in out, which PutVarint2 may change; without, the frame extends
// to the end of the packet, and lenOff is -1.
func AppendStreamHeader(b []byte, id, offset uint64, withLen, fin bool, length int) (out []byte, lenOff int) {
	typ := byte(FrameStream)
	if offset > 0 {
		typ |= streamOff
	}
	if withLen {
		typ |= streamLen
	}
	if fin {
		typ |= streamFin
	}
	b = append(b, typ)
	b = AppendVarint(b, id)
	if offset > 0 {
		b = AppendVarint(b, offset)
	}
	if !withLen {
		return b, -1
	}
	return AppendVarint2(b, uint64(length)), len(b)
}

// StreamHeaderLen returns the length of that header.
func StreamHeaderLen(id, offset uint64, withLen bool) int {
	n := 1 + VarintLen(id)
	if offset > 0 {
		n += VarintLen(offset)
	}
	if withLen {
		n += 2
	}
	return n
}

// ParseCrypto parses a CRYPTO frame (RFC 9000, Section 19.6). data aliases the packet.
// It is malformed also where offset + length exceeds MaxVarint.
func ParseCrypto(b []byte) (offset uint64, data []byte, n int) {
	c := frameAt(b)
	offset = c.varint()
	data = c.bytes(c.varint())
	if offset+uint64(len(data)) > MaxVarint {
		return 0, nil, -1
	}
	return offset, data, c.n()
}

// AppendCryptoHeader appends the header of a CRYPTO frame; length bytes of data follow.
func AppendCryptoHeader(b []byte, offset uint64, length int) []byte {
	b = append(b, FrameCrypto)
	b = AppendVarint(b, offset)
	return AppendVarint(b, uint64(length))
}

// CryptoHeaderLen returns the length of that header.
func CryptoHeaderLen(offset uint64, length int) int {
	return 1 + VarintLen(offset) + VarintLen(uint64(length))
}

// ParseResetStream parses a RESET_STREAM frame (RFC 9000, Section 19.4).
func ParseResetStream(b []byte) (id, code, finalSize uint64, n int) {
	c := frameAt(b)
	id = c.varint()
	code = c.varint()
	finalSize = c.varint()
	return id, code, finalSize, c.n()
}

// AppendResetStream appends a RESET_STREAM frame.
func AppendResetStream(b []byte, id, code, finalSize uint64) []byte {
	b = append(b, FrameResetStream)
	b = AppendVarint(b, id)
	b = AppendVarint(b, code)
	return AppendVarint(b, finalSize)
}

// ParseResetStreamAt parses a RESET_STREAM_AT frame (draft-ietf-quic-reliable-stream-reset,
// Section 3). It is malformed also where reliableSize exceeds finalSize.
func ParseResetStreamAt(b []byte) (id, code, finalSize, reliableSize uint64, n int) {
	c := frameAt(b)
	id = c.varint()
	code = c.varint()
	finalSize = c.varint()
	reliableSize = c.varint()
	if reliableSize > finalSize {
		return 0, 0, 0, 0, -1
	}
	return id, code, finalSize, reliableSize, c.n()
}

// AppendResetStreamAt appends a RESET_STREAM_AT frame.
func AppendResetStreamAt(b []byte, id, code, finalSize, reliableSize uint64) []byte {
	b = append(b, FrameResetStreamAt)
	b = AppendVarint(b, id)
	b = AppendVarint(b, code)
	b = AppendVarint(b, finalSize)
	return AppendVarint(b, reliableSize)
}

// ParseStopSending parses a STOP_SENDING frame (RFC 9000, Section 19.5).
func ParseStopSending(b []byte) (id, code uint64, n int) { return ParseTwo(b) }

// AppendStopSending appends a STOP_SENDING frame.
func AppendStopSending(b []byte, id, code uint64) []byte {
	return AppendTwo(b, FrameStopSending, id, code)
}
