package conn

import (
	"time"

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

// maxCryptoBuffer is how far behind the read offset CRYPTO data is taken, in bytes (RFC 9000, Section 7.5).
const maxCryptoBuffer = 64 << 10

// maxCryptoGaps bounds the bookkeeping of CRYPTO data that comes out of order.
const maxCryptoGaps = 64

// A space is the state of one packet number space.
type space struct {
	id            spaceID
	hurries       uint8 // of hurry
	rx, tx        *keys.Keys
	sent          sentRing
	recs          recordRing
	recv          recvState
	acked         rangeset.Set // numbers in ACK frames, from sent.front on
	scan          uint64       // no packet below is outstanding
	largestAcked  int64        // -1 if none
	lossTime      instant      // when the next packet counts as lost; 0 if none
	lastEliciting instant      // when the last ack-eliciting packet was sent
	eliciting     int          // ack-eliciting packets in flight
	probes        int          // packets to send whatever the congestion window says (RFC 9002, Section 6.2.4)

	cryptoIn  stream.RecvBuffer
	cryptoOut stream.SendBuffer
	ecnAcked  [3]uint64 // ECT0, ECT1, CE that the peer reported last
	ecnSent   uint64    // packets sent with ECT0
	skipped   [4]uint64 // numbers that were left out, see skipNumber
	nskipped  int
}

func newSpace(id spaceID) *space {
	sp := &space{id: id, largestAcked: -1}
	sp.recv.largest = -1
	return sp
}

// trim forgets the oldest packets that need no more attention. Lost ones are remembered for a while, to notice
// when they were not.
func (sp *space) trim(now instant, memory time.Duration) {
	r := &sp.sent
	for r.front < r.next {
		p := r.at(r.front)
		switch {
		case p.flags&sentAcked != 0, p.flags&(sentEliciting|sentInFlight) == 0:
		case p.flags&sentLost != 0 && now.sub(p.time) > memory:
		default:
			sp.acked.Remove(0, r.front)
			return
		}
		sp.recs.head = p.recStart + uint32(p.recCount)
		r.front++
	}
	sp.acked.Remove(0, r.front)
}

// lowestSkipped returns the lowest packet number that acknowledgements are checked for: what is still of interest, or was left out.
func (sp *space) lowestSkipped() uint64 {
	low := sp.sent.front
	for _, pn := range sp.skipped {
		if pn != 0 {
			low = min(low, pn)
		}
	}
	return low
}

// unacked returns the first number from pn on that no ACK frame had yet: most frames repeat what earlier ones said.
func (sp *space) unacked(pn uint64) uint64 {
	if i := sp.acked.Search(pn); i < sp.acked.Len() {
		if r := sp.acked.At(i); r.Start <= pn {
			return r.End
		}
	}
	return pn
}

// maxAckRanges bounds how many ranges of received packets are remembered and sent (RFC 9000, Section 13.2.3).
const maxAckRanges = 64

// A recvState remembers the packets received in a space, and when to acknowledge them (RFC 9000, Section 13.2).
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
func (r *recvState) duplicate(pn uint64) bool {
	return pn < r.floor || int64(pn) <= r.largest && r.seen.Contains(pn)
}

// add notes a packet, and reports whether it came out of order.
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
		r.anyECN = true
		switch ecn {
		case ECT0:
			r.ecn[0]++
		case ECT1:
			r.ecn[1]++
		case CE:
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
