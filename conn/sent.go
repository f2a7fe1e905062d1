package conn

// Flags of a sentPacket.
const (
	sentEliciting  = 1 << iota // asks for an acknowledgement
	sentInFlight               // counts towards bytes in flight
	sentAcked                  // was acknowledged
	sentLost                   // was declared lost
	sentProbeMTU               // probes a larger MTU: its loss says nothing about congestion
	sentProbePath              // validates a path: likewise
	sentAppLimited             // the congestion window was not the limit
	sentAgain                  // a probe carries its frames too: they are not sent once more when it counts as lost
)

// A sentPacket is what is remembered of a packet until it is acknowledged or lost.
type sentPacket struct {
	time        instant
	deliveredAt instant // of the path, when the packet was sent
	firstSentAt instant // likewise
	delivered   uint64  // bytes, likewise
	inFlight    uint64  // bytes in flight with it
	recStart    uint32  // its records
	recCount    uint16
	size        uint16
	flags       uint8
	ecn         ECN
	path        uint32 // number of the path that it was sent on
	state       [6]uint64
}

// outstanding reports whether the packet counts towards bytes in flight still.
func (p *sentPacket) outstanding() bool {
	return p.flags&(sentInFlight|sentAcked|sentLost) == sentInFlight
}

// A sentRing holds the packets of a packet number space from the oldest that is still of interest, by number. They are values in a ring:
// no allocation, no pointers to follow, and packet numbers are its index.
type sentRing struct {
	buf   []sentPacket // its length is a power of two
	front uint64       // number of the oldest packet held
	next  uint64       // number of the next packet
}

func (r *sentRing) at(pn uint64) *sentPacket { return &r.buf[pn&uint64(len(r.buf)-1)] }

// push makes room for the next packet and returns it, zeroed.
func (r *sentRing) push() *sentPacket {
	if int(r.next-r.front) == len(r.buf) {
		r.grow()
	}
	p := r.at(r.next)
	*p = sentPacket{}
	r.next++
	return p
}

func (r *sentRing) grow() {
	old := *r
	r.buf = make([]sentPacket, max(8, 2*len(old.buf)))
	for pn := old.front; pn < old.next; pn++ {
		*r.at(pn) = *old.at(pn)
	}
}

// maxIdleRing is how long a ring may be that an idle connection keeps.
const maxIdleRing = 32

// oversized reports whether the ring is empty, and longer than an idle connection should have.
func (r *sentRing) oversized() bool { return r.front == r.next && len(r.buf) > maxIdleRing }

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
	recPing
)

// A record is one frame of a sent packet: what to do when the packet is acknowledged or lost.
type record struct {
	stream *Stream
	value  uint64 // of STREAM and CRYPTO frames the offset
	gen    uint32 // of the stream: it may serve another by now
	n      uint16 // of STREAM and CRYPTO frames the length
	kind   recordKind
	fin    bool
}

// A recordRing holds the records of the packets in a sentRing, in order.
type recordRing struct {
	buf        []record // its length is a power of two
	head, tail uint32
}

func (r *recordRing) at(i uint32) *record { return &r.buf[i&uint32(len(r.buf)-1)] }

func (r *recordRing) push(rec record) {
	if int(r.tail-r.head) == len(r.buf) {
		old := *r
		r.buf = make([]record, max(8, 2*len(old.buf)))
		for i := old.head; i != old.tail; i++ {
			*r.at(i) = *old.at(i)
		}
	}
	*r.at(r.tail) = rec
	r.tail++
}
