package loop

import (
	"errors"
	"net"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/udpio"
)

// Bounds of what a turn sends. ACKs that steer the sender wait in the receive queue meanwhile. Two
// full bursts cost no more per byte than four, and keep the RTT low.
const (
	maxBurst    = 65507 // the largest payload of UDP, and so of GSO, over IPv4
	turnBytes   = 2 * maxBurst
	maxMessages = 64
)

// Sizes of the memory for bursts. A few requests need no more than the first one. A burst gets at
// least leastBurst of it, which any datagram of a connection fits into.
const (
	firstArena = 24 << 10
	leastBurst = 16 << 10
	fullArena  = turnBytes + maxBurst
)

// An outbox holds the bursts of a turn. They lie one behind another, so that one WriteBatch takes
// many small ones.
type outbox struct {
	arena    []byte // of firstArena or fullArena bytes
	ms       []udpio.Message
	bursts   []conn.Burst    // the bursts in ms
	waiting  []udpio.Message // the end of ms, for which the Backend had no room
	others   []udpio.Message // from WriteDatagram, in memory of their own
	segments int
}

func (o *outbox) init(segments int) {
	o.arena = make([]byte, firstArena)
	o.segments = max(segments, 1)
}

// transmit writes the messages that waited. If all of them went, it writes what the endpoint has to
// send, up to the bounds of a turn. It returns how many messages were sent or dropped. An error
// means that the Backend has failed.
func (l *Loop) transmit() (sent int, err error) {
	o := &l.out
	if len(o.waiting) > 0 {
		sent, err = l.write()
		if err != nil || len(o.waiting) > 0 {
			return sent, err
		}
	}
	o.clear()
	o.addOthers()
	for n := 0; n < turnBytes && len(o.ms) < maxMessages; {
		buf := o.room(n)
		b, ok := l.ep.Transmit(l.now, buf, o.segments)
		if !ok {
			break
		}
		m := udpio.Message{Buf: buf[:b.N:b.N], Remote: b.Remote, Local: b.Local, ECN: uint8(b.ECN)}
		if b.SegmentSize < b.N {
			m.SegmentSize = b.SegmentSize
		}
		o.ms = append(o.ms, m)
		o.bursts = append(o.bursts, b)
		n += b.N
	}
	o.waiting = o.ms
	more, err := l.write()
	if len(o.waiting) == 0 {
		o.clear()
	}
	return sent + more, err
}

// room returns the memory for a burst behind n bytes of others.
func (o *outbox) room(n int) []byte {
	if len(o.arena)-n < leastBurst {
		o.arena = make([]byte, fullArena) // messages keep the memory that they are in
	}
	return o.arena[n:min(n+maxBurst, len(o.arena))]
}

// clear drops the messages, and the pointers to their connections.
func (o *outbox) clear() {
	clear(o.bursts)
	o.ms, o.bursts = o.ms[:0], o.bursts[:0]
}

// addOthers adds the datagrams of WriteDatagram.
func (o *outbox) addOthers() {
	for _, m := range o.others {
		o.ms = append(o.ms, m)
		o.bursts = append(o.bursts, conn.Burst{N: len(m.Buf), Remote: m.Remote, Local: m.Local})
	}
	clear(o.others)
	o.others = o.others[:0]
}

// first returns the burst of the first message that waits.
func (o *outbox) first() conn.Burst { return o.bursts[len(o.ms)-len(o.waiting)] }

// write writes o.waiting until the Backend is full. An error about one message drops that message,
// such as EPERM, ENETUNREACH, or EMSGSIZE for a probe of the path MTU.
func (l *Loop) write() (sent int, err error) {
	o := &l.out
	for len(o.waiting) > 0 {
		n, err := l.backend.WriteBatch(o.waiting)
		sent += n
		o.waiting = o.waiting[n:]
		switch {
		case err == nil && len(o.waiting) > 0:
			return sent, nil
		case errors.Is(err, net.ErrClosed):
			return sent, err
		case err != nil && len(o.waiting) > 0:
			l.writeErrors++
			l.ep.SendFailed(l.now, o.first(), err)
			sent++
			o.waiting = o.waiting[1:]
		}
	}
	return sent, nil
}
