package loop

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/udpio"
)

const (
	maxOthers    = maxMessages / 2 // how many datagrams of WriteDatagram one turn takes
	maxOtherSize = 65507           // in bytes
)

// WriteDatagram sends a copy of b, which is not of QUIC, from the socket of the loop to remote: for
// STUN or hole punching. What comes back is for [conn.EndpointConfig].NonQUIC. local is as in
// [udpio.Message]: zero to let the socket choose. It may be called from any goroutine and from
// Handlers, and does not wait. A turn of the loop takes 32 datagrams; more are dropped, as by a
// network. The error matches net.ErrClosed if the Loop has stopped.
func (l *Loop) WriteDatagram(b []byte, remote, local netip.AddrPort) error {
	if len(b) == 0 || len(b) > maxOtherSize || !remote.IsValid() {
		return fmt.Errorf("loop: a datagram of %d bytes to %v cannot be sent", len(b), remote)
	}
	return l.Send(udpio.Message{Buf: b, Remote: remote, Local: local})
}

// Send sends a copy of m from the socket of the loop. It is for a Backend of another loop, whose
// connections have paths from here: see [conn.EndpointConfig].Elsewhere. It may be called from any
// goroutine and from Handlers, and does not wait. A turn of the loop takes 32 messages, together
// with those of WriteDatagram; more are dropped, as by a network. The error matches net.ErrClosed
// if the Loop has stopped.
func (l *Loop) Send(m udpio.Message) error {
	m.Buf = bytes.Clone(m.Buf)
	if !l.Post(func(time.Time) { l.out.add(m) }) {
		return errStopped
	}
	return nil
}

// add queues m for this turn.
func (o *outbox) add(m udpio.Message) {
	if len(o.others) < maxOthers {
		o.others = append(o.others, m)
	}
}

// WriteDatagram is [Loop.WriteDatagram] of the first Loop, which has the socket of
// LocalAddr.
func (g *Group) WriteDatagram(b []byte, remote netip.AddrPort) error {
	return g.loops[0].WriteDatagram(b, remote, netip.AddrPort{})
}
