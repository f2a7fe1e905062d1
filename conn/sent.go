package conn

// Flags of a sentPacket.
const (
	sentEliciting  = 1 << iota // asks for an acknowledgement
	sentProbeMTU               // probes a larger MTU: its loss says nothing about congestion
	sentProbePath              // validates a path: likewise
	sentAppLimited             // the congestion window was not the limit
	sentECT0                   // is marked with ECT(0)
	// something arrived that was sent between it and the next packet in flight: of a row the last
	sentGap
	// a probe carries its frames too: they are not sent once more when it counts as lost. Of what
	// is in flight, sentPacket.again says it
	sentAgain
)

// A sentPacket is what is remembered of a packet in flight (RFC 9002, Section A.1.1), or of up to
// maxAlike packets that were sent one behind another: a row. These differ in nothing but their
// numbers and their part of one stream. Each carries as many bytes of that as the one record says,
// which is of the first packet.
type sentPacket struct {
	time        instant
	deliveredAt instant   // of the flight, when the packet was sent
	firstSentAt instant   // likewise
	delivered   uint64    // bytes, likewise
	state       [6]uint64 // of the congestion controller
	acked       uint32    // a bit for each packet of the row, the first's lowest: is acknowledged
	again       uint32    // likewise: a probe carries its frames too
	pn          uint32    // the lower bits of the first one's number: see sentPackets.number
	flight      uint32    // number of the flight that it counts in
	inFlight    uint32    // bytes in flight with the first one
	recStart    uint32    // its records
	recCount    uint16
	size        uint16
	flags       uint16
	count       uint16 // packets
}

// maxAlike is how many packets a row holds at most: as many as sentPacket.acked has bits.
const maxAlike = 32

// A lostPacket is what is remembered of a packet that was declared lost, in case it arrives after
// all.
type lostPacket struct {
	time     instant
	pn       uint64
	flight   uint32
	recStart uint32 // its records, in those of lostPackets
	arrived  uint32 // 0, or how many packets further the next may be that has not arrived
	recCount uint16
	size     uint16
	flags    uint16
}

// A quietPacket is one that is not in flight, because it only acknowledges: it may be the largest
// that an ACK frame acknowledges, which makes an RTT sample of it (RFC 9002, Section 5.1).
type quietPacket struct {
	time   instant
	pn     uint64
	flight uint32
}

// A recordKind says what a record is of.
type recordKind uint8

const (
	recStream recordKind = iota
	recCrypto
	recAck // value: the largest packet number that the ACK frame acknowledged
	recMaxData
	recMaxStreamData
	recMaxStreams // value: Dir
	recDataBlocked
	recStreamDataBlocked
	recStreamsBlocked // value: Dir
	recResetStream
	recStopSending
	recNewConnID    // value: sequence number
	recRetireConnID // value: sequence number
	recHandshakeDone
	recNewToken
	recDatagram     // value: ID, n: whether to notify
	recAckFrequency // value: sequence number
	recMaxPathID    // value: the limit
	recPathsBlocked // value: the limit
	recPathAbandon
	recPathStatus // value: sequence number
	recStreamCopy // of data that another path carries too: its loss does not matter
	recPing
)

// A record is one frame of a sent packet: what to do when the packet is acknowledged or lost.
type record struct {
	stream *Stream
	value  uint64 // of STREAM and CRYPTO frames the offset
	gen    uint32 // of the stream: it may serve another by now; of frames of paths the path ID
	n      uint16 // of STREAM and CRYPTO frames the length
	kind   recordKind
	fin    bool
}
