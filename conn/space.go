package conn

import (
	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/rangeset"
	"github.com/lazoquic/lazo/internal/stream"
)

// A spaceID names a packet number space (RFC 9000, Section 12.3).
type spaceID uint8

const (
	spaceInitial spaceID = iota
	spaceHandshake
	spaceApp
	numSpaces
)

// maxCryptoBuffer is how far beyond the read offset CRYPTO data is taken, in bytes (RFC 9000,
// Section 7.5).
const maxCryptoBuffer = 64 << 10 // RFC 9000, Section 7.5 [1]

// maxCryptoGaps bounds the bookkeeping of CRYPTO data that comes out of order.
const maxCryptoGaps = 64

// A space is the state of one packet number space.
type space struct {
	lane    *lane
	id      spaceID
	hurries uint8 // of hurry
	rx, tx  *keys.Keys
	sent    sentPackets
	recv    recvState
	probes  int // packets to send whatever the congestion window says (RFC 9002, Section 6.2.4)

	cryptoIn  stream.RecvBuffer
	cryptoOut stream.SendBuffer
	ecnAcked  [3]uint64 // ECT0, ECT1, CE that the peer reported last
	ecnSent   uint64    // packets sent with ECT0

	phase    numbersOfPhase // of 1-RTT packets
	lastData uint64         // number of the last packet with data of streams
}

func newSpace(id spaceID, l *lane) *space {
	sp := &space{lane: l, id: id, sent: sentPackets{ledger: &l.ledger, largestAcked: -1}}
	sp.recv.largest = -1
	return sp
}

// crypto returns the space whose CRYPTO data the packets of sp carry: all lanes share that of the
// lane 0.
func (sp *space) crypto() *space {
	if sp.lane.id != 0 {
		return sp.lane.conn.app
	}
	return sp
}

// maxAckRanges bounds how many ranges of received packets are remembered and sent (RFC 9000,
// Section 13.2.3).
const maxAckRanges = 64

// A recvState remembers the packets received in a space, and when to acknowledge them (RFC 9000,
// Section 13.2).
type recvState struct {
	seen      rangeset.Set
	floor     uint64  // packets below count as received
	largest   int64   // -1 if none
	largestAt instant // when it came
	unacked   int     // ack-eliciting packets since the last ACK frame
	ackAt     instant // when an ACK frame must be sent; 0 if none is due
	ackNow    bool
	heldUntil instant   // how long an ACK frame alone waits for TLS; 0 if none does
	ecn       [3]uint64 // ECT0, ECT1, CE
	anyECN    bool
}

// duplicate reports whether the packet was received before, or may have been.
// RFC 9000, Section 12.3 [4].
func (r *recvState) duplicate(pn uint64) bool {
	return pn < r.floor || int64(pn) <= r.largest && r.seen.Contains(pn)
}

// add notes a packet, and reports whether it came out of order.
// RFC 9000, Section 13.2.3 [3, 4].
func (r *recvState) add(now instant, pn uint64, ecn ECN) (reordered bool) {
	r.seen.Add(pn, pn+1)
	if n := r.seen.Len(); n > maxAckRanges {
		r.floor = r.seen.At(n - maxAckRanges).Start
		r.seen.RemoveFirst(n - maxAckRanges)
	}
	// RFC 9000, Section 13.2.1: a packet that leaves or fills a gap.
	reordered = int64(pn) != r.largest+1
	if int64(pn) > r.largest {
		r.largest, r.largestAt = int64(pn), now
	}
	if ecn != NotECT {
		r.anyECN = true // RFC 9000, Section 13.4.1 [1]
		switch ecn {
		case ECT0:
			r.ecn[0]++
		case ECT1:
			r.ecn[1]++
		case ECNCE:
			r.ecn[2]++
		}
	}
	return reordered
}

// forget drops packets up to pn: the peer knows that they were received (RFC 9000, Section 13.2.4).
func (r *recvState) forget(pn uint64) {
	// The newest range stays, so that there is always something to acknowledge.
	n := r.seen.Len()
	if n == 0 {
		return
	}
	last := r.seen.At(n - 1)
	limit := min(pn+1, last.Start)
	if limit > r.floor {
		r.floor = limit
		r.seen.Remove(0, limit)
	}
}

// rangeAt returns the ith range, for wire.AppendAck.
func (r *recvState) rangeAt(i int) (start, end uint64) {
	x := r.seen.At(i)
	return x.Start, x.End
}
