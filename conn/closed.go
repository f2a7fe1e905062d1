package conn

import (
	"net/netip"

	"github.com/lazoquic/lazo/internal/timerheap"
)

// A closedConn is what remains of a connection in the closing or draining state (RFC 9000, Section
// 10.2): its routes, so that late packets do not cause stateless resets, and a datagram that tells
// the peer of the end, and answers such packets.
type closedConn struct {
	e             *Endpoint
	claims        claims
	remote, local netip.AddrPort
	packet        []byte // sealed CONNECTION_CLOSE; nil while draining
	timer         timerheap.Item[timed]
	received      int // datagrams
	answerAt      int // how many of them are answered next

	queued bool // in the farewellQueue
	next   *closedConn
}

// receive answers a late datagram, ever more rarely (RFC 9000, Section 10.2.1).
func (cc *closedConn) receive(_ instant, a *arrival) {
	if len(cc.packet) == 0 || a.remote != cc.remote {
		return
	}
	if cc.received++; cc.received >= cc.answerAt {
		cc.answerAt = 2 * cc.received
		cc.e.farewells.push(cc)
	}
}

// onTimeout forgets the connection. Its datagram still goes out if it waits.
func (cc *closedConn) onTimeout(instant) { cc.claims.release() }

// A farewellQueue is the closed connections whose datagram is to be sent. Each is there once, so
// that all that close at once can tell their peers. That is what a queue of answers to strangers,
// which has to be short, must not hold up.
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

// pop copies the datagram of the oldest one to b.
func (q *farewellQueue) pop(b []byte) (Burst, bool) {
	cc := q.head
	if cc == nil {
		return Burst{}, false
	}
	if q.head = cc.next; q.head == nil {
		q.tail = nil
	}
	cc.queued, cc.next = false, nil
	n := copy(b, cc.packet)
	return Burst{N: n, SegmentSize: n, Remote: cc.remote, Local: cc.local}, true
}
