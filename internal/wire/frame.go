package wire

// Frame types (RFC 9000, Section 19; RFC 9221; draft-ietf-quic-ack-frequency; draft-ietf-quic-reliable-stream-reset).
const (
	FramePadding            = 0x00
	FramePing               = 0x01
	FrameAck                = 0x02
	FrameAckECN             = 0x03
	FrameResetStream        = 0x04
	FrameStopSending        = 0x05
	FrameCrypto             = 0x06
	FrameNewToken           = 0x07
	FrameStream             = 0x08 // to 0x0f: OFF 0x04, LEN 0x02, FIN 0x01
	FrameMaxData            = 0x10
	FrameMaxStreamData      = 0x11
	FrameMaxStreamsBidi     = 0x12
	FrameMaxStreamsUni      = 0x13
	FrameDataBlocked        = 0x14
	FrameStreamDataBlocked  = 0x15
	FrameStreamsBlockedBidi = 0x16
	FrameStreamsBlockedUni  = 0x17
	FrameNewConnectionID    = 0x18
	FrameRetireConnectionID = 0x19
	FramePathChallenge      = 0x1a
	FramePathResponse       = 0x1b
	FrameConnectionClose    = 0x1c
	FrameApplicationClose   = 0x1d
	FrameHandshakeDone      = 0x1e
	FrameImmediateAck       = 0x1f
	FrameResetStreamAt      = 0x24
	FrameDatagram           = 0x30
	FrameDatagramLen        = 0x31
	FrameAckFrequency       = 0xaf
)

// An AckRange is the packet numbers from Smallest to Largest, both included.
type AckRange struct{ Smallest, Largest uint64 }

// An Ack is an ACK frame (RFC 9000, Section 19.3).
type Ack struct {
	Largest        uint64
	Delay          uint64 // as on the wire, to be shifted by ack_delay_exponent
	ECN            bool
	ECT0, ECT1, CE uint64
	first          uint64
	count          uint64
	rest           []byte
}

// ParseAck parses the frame, from its type on. n < 0: malformed, also where ranges underflow.
func ParseAck(b []byte) (f Ack, n int) { panic("sketch") }

// AckRanges iterates over the ranges of an Ack, from the largest down.
type AckRanges struct{}

// Ranges returns an iterator.
func (f *Ack) Ranges() AckRanges { panic("sketch") }

// Next returns the next range; ok is false behind the last.
func (r *AckRanges) Next() (rg AckRange, ok bool) { panic("sketch") }

// AppendAck appends an ACK frame of as many of the ranges as fit into limit bytes; ranges are ascending half-open
// [start, end) pairs, at returns the ith of n; the last is the largest and always fits if limit is at least 32 (64 with ECN). ecn is nil or counts ECT0, ECT1, CE.
// It returns how many ranges were left out.
func AppendAck(b []byte, limit int, n int, at func(i int) (start, end uint64), delay uint64, ecn *[3]uint64) (out []byte, omitted int) {
	panic("sketch")
}

// A Stream is a STREAM frame. Data aliases the packet.
type Stream struct {
	ID, Offset uint64
	Fin        bool
	Data       []byte
}

// ParseStream parses the frame, from its type on. n < 0: malformed, also where offset + length exceeds MaxVarint.
func ParseStream(b []byte) (f Stream, n int) { panic("sketch") }

// AppendStreamHeader appends the header of a STREAM frame, up to its data. With withLen, a Length field of 2 bytes (PutVarint2-able at the returned
// offset) is there; without, the frame extends to the end of the packet.
func AppendStreamHeader(b []byte, id, offset uint64, withLen, fin bool, length int) (out []byte, lenOff int) {
	panic("sketch")
}

// StreamHeaderLen returns the length of that header.
func StreamHeaderLen(id, offset uint64, withLen bool) int { panic("sketch") }

// The rest follow one pattern: a Parse function which takes the frame from its type on and returns its fields and n,
// and an Append function with the same fields.

func ParseCrypto(b []byte) (offset uint64, data []byte, n int)                      { panic("sketch") }
func AppendCryptoHeader(b []byte, offset uint64, length int) []byte                 { panic("sketch") } // data follows
func CryptoHeaderLen(offset uint64, length int) int                                 { panic("sketch") }
func ParseResetStream(b []byte) (id, code, finalSize uint64, n int)                 { panic("sketch") }
func AppendResetStream(b []byte, id, code, finalSize uint64) []byte                 { panic("sketch") }
func ParseResetStreamAt(b []byte) (id, code, finalSize, reliableSize uint64, n int) { panic("sketch") }
func AppendResetStreamAt(b []byte, id, code, finalSize, reliableSize uint64) []byte { panic("sketch") }
func ParseStopSending(b []byte) (id, code uint64, n int)                            { panic("sketch") }
func AppendStopSending(b []byte, id, code uint64) []byte                            { panic("sketch") }
func ParseNewToken(b []byte) (token []byte, n int)                                  { panic("sketch") } // an empty token is malformed
func AppendNewToken(b []byte, token []byte) []byte                                  { panic("sketch") }

// ParseOne and AppendOne are for the frames with one integer: MAX_DATA, MAX_STREAMS, DATA_BLOCKED, STREAMS_BLOCKED, RETIRE_CONNECTION_ID.
// The limits of stream counts (1<<60) are for the caller.
func ParseOne(b []byte) (v uint64, n int)           { panic("sketch") }
func AppendOne(b []byte, typ byte, v uint64) []byte { panic("sketch") }

// ParseTwo and AppendTwo are for MAX_STREAM_DATA and STREAM_DATA_BLOCKED.
func ParseTwo(b []byte) (id, v uint64, n int)           { panic("sketch") }
func AppendTwo(b []byte, typ byte, id, v uint64) []byte { panic("sketch") }

// ParseNewConnectionID: malformed if the ID is not 1 to 20 bytes long or retirePriorTo > seq (RFC 9000, Section 19.15).
func ParseNewConnectionID(b []byte) (seq, retirePriorTo uint64, id []byte, resetToken [16]byte, n int) {
	panic("sketch")
}
func AppendNewConnectionID(b []byte, seq, retirePriorTo uint64, id []byte, resetToken [16]byte) []byte {
	panic("sketch")
}
func ParsePath(b []byte) (data [8]byte, n int)           { panic("sketch") } // PATH_CHALLENGE, PATH_RESPONSE
func AppendPath(b []byte, typ byte, data [8]byte) []byte { panic("sketch") }

// ParseConnectionClose parses both kinds; frame is the type at fault, 0 for an application close.
func ParseConnectionClose(b []byte) (app bool, code, frame uint64, reason []byte, n int) {
	panic("sketch")
}

// AppendConnectionClose truncates reason so that at most limit bytes are appended.
func AppendConnectionClose(b []byte, limit int, app bool, code, frame uint64, reason string) []byte {
	panic("sketch")
}
func ParseDatagram(b []byte) (data []byte, n int)      { panic("sketch") }
func AppendDatagramHeader(b []byte, length int) []byte { panic("sketch") } // with Length; data follows
func DatagramHeaderLen(length int) int                 { panic("sketch") }

// ParseAckFrequency and AppendAckFrequency are of draft-ietf-quic-ack-frequency (type 0xaf); maxAckDelay in microseconds.
func ParseAckFrequency(b []byte) (seq, threshold, maxAckDelay, reordering uint64, n int) {
	panic("sketch")
}
func AppendAckFrequency(b []byte, seq, threshold, maxAckDelay, reordering uint64) []byte {
	panic("sketch")
}
