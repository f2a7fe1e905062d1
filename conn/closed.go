package conn

import (
	"net/netip"

	"github.com/lazoquic/lazo/internal/timerheap"
)

// A closedConn is what remains of a connection in the closing or draining state (RFC 9000, Section 10.2): its IDs, so that late packets
// do not cause stateless resets, and a datagram to answer them with.
type closedConn struct {
	e             *Endpoint
	ids           []ConnID
	remote, local netip.AddrPort
	packet        []byte // sealed CONNECTION_CLOSE; nil while draining
	until         instant
	timer         timerheap.Item[timed]
	received      int // datagrams
	answerAt      int // how many of them are answered next
}

// receive answers a late datagram, ever more rarely (RFC 9000, Section 10.2.1).
func (cc *closedConn) receive(_ instant, a *arrival) {
	if len(cc.packet) == 0 || a.remote != cc.remote {
		return
	}
	if cc.received++; cc.received >= cc.answerAt {
		cc.answerAt = 2 * cc.received
		cc.send()
	}
}

func (cc *closedConn) send() {
	if out := cc.e.answers.next(); out != nil {
		out.remote, out.local = cc.remote, cc.local
		out.data = append(out.data, cc.packet...)
	}
}

// onTimeout forgets the connection.
func (cc *closedConn) onTimeout(instant) {
	for _, id := range cc.ids {
		cc.e.removeRoute(id, cc.remote, route{closed: cc})
	}
}
