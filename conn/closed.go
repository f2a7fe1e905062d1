package conn

import (
	"math/bits"
	"net/netip"

	"github.com/lazoquic/lazo/internal/list"
	"github.com/lazoquic/lazo/internal/timerheap"
)

// A closedConn is what remains of a connection in the closing or draining state (RFC 9000, Section
// 10.2). Its routes keep late packets from causing stateless resets. Its datagram tells the peer of
// the end, and answers late packets.
type closedConn struct {
	e      *Endpoint
	claims claims
	// one for each path that was open, the one in use first; none while draining
	farewells []farewell
	due       uint8 // the bits of those that are to be sent
	timer     timerheap.Item[timed]
	received  int // datagrams
	answerAt  int // the number of the next one to answer

	queued  bool // in the farewellQueue
	next    *closedConn
	gone    bool // not in Endpoint.lingering any more
	lingers list.Item[*closedConn]
}

// A farewell is a datagram with CONNECTION_CLOSE, and the path that it takes.
type farewell struct {
	remote, local netip.AddrPort
	packet        []byte // sealed

	// How many more bytes may go to an address that is not validated.
	limited bool
	room    int
}

// farewellOn makes one of a datagram for a path.
func farewellOn(p *path, packet []byte) farewell {
	return farewell{p.remote, p.from, packet, !p.validated, p.allowance() - len(packet)}
}

// affords takes in a datagram from where the farewell goes, and reports whether that may be
// answered (RFC 9000, Section 8.1).
// RFC 9000, Section 10.2.1 [2].
func (f *farewell) affords(size int) bool {
	if !f.limited {
		return true
	}
	f.room = min(f.room+amplification*size, maxBurst)
	return f.room >= len(f.packet)
}

// farewellTo returns the index of the farewell that answers a; -1 if there is none.
func (cc *closedConn) farewellTo(a *arrival) int {
	found := -1
	for i := range cc.farewells {
		if f := &cc.farewells[i]; f.remote == a.remote {
			if found < 0 || f.local == a.local {
				found = i
			}
		}
	}
	return found
}

// receive answers a late datagram, ever more rarely (RFC 9000, Section 10.2.1).
// RFC 9000, Section 10.2.1 [1, 3]; RFC 9000, Section 10.2.2 [1].
func (cc *closedConn) receive(_ instant, a *arrival) {
	i := cc.farewellTo(a)
	if i < 0 {
		return
	}
	f := &cc.farewells[i]
	may := f.affords(len(a.data))
	if cc.received++; cc.received < cc.answerAt || !may {
		return
	}
	cc.answerAt = 2 * cc.received
	if cc.due>>i&1 == 0 {
		f.room -= len(f.packet)
		cc.due |= 1 << i
		cc.e.farewells.push(cc) // RFC 9000, Section 11.1 [2]
	}
}

// onTimeout forgets the connection.
func (cc *closedConn) onTimeout(instant) { cc.forget() }

// forget forgets the connection. If its datagram waits to be sent, it still goes out.
// RFC 9000, Section 10.2 [3].
func (cc *closedConn) forget() {
	cc.e.timers.Remove(&cc.timer)
	cc.claims.release()
	cc.e.lingering.Remove(&cc.lingers)
	cc.gone = true
	cc.free()
}

// free stops counting the memory once nothing needs it.
func (cc *closedConn) free() {
	if cc.gone && !cc.queued {
		cc.e.memory.Release(cc.cost())
	}
}

// cost returns how many bytes count for it.
func (cc *closedConn) cost() int64 {
	n := int64(closedCost)
	for i := range cc.farewells {
		n += int64(cap(cc.farewells[i].packet))
	}
	return n
}

// A farewellQueue holds the closed connections with datagrams to be sent, each of them once. It
// is apart from the queue of answers to strangers, which has to be short: however many connections
// close at once, all of them can tell their peers.
type farewellQueue struct{ head, tail *closedConn }

func (q *farewellQueue) empty() bool { return q.head == nil }

func (q *farewellQueue) push(cc *closedConn) {
	if cc.queued {
		return
	}
	cc.queued = true
	if q.tail == nil {
		q.head = cc
	} else {
		q.tail.next = cc
	}
	q.tail = cc
}

// take removes the oldest one; there must be one.
func (q *farewellQueue) take() *closedConn {
	cc := q.head
	if q.head = cc.next; q.head == nil {
		q.tail = nil
	}
	cc.queued, cc.next = false, nil
	cc.free()
	return cc
}

// pop copies a datagram of the oldest one to b.
func (q *farewellQueue) pop(b []byte) (Burst, bool) {
	if q.head == nil {
		return Burst{}, false
	}
	cc := q.head
	f := &cc.farewells[bits.TrailingZeros8(cc.due)]
	if cc.due &= cc.due - 1; cc.due == 0 {
		q.take()
	}
	n := copy(b, f.packet)
	return Burst{N: n, SegmentSize: n, Remote: f.remote, Local: f.local}, true
}
