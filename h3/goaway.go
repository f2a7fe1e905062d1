package h3

import (
	"slices"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/wire"
)

// noID is above all stream and push IDs.
const noID = 1 << 62

// GoAway announces that requests from the next one on are not processed: a server rejects those, so
// that the client knows that it may send them elsewhere, and goes on to serve those that it has. A
// client announces that it takes no pushes, which it never does; it should then open no more
// requests. To lose nothing, close the connection after the last response was acknowledged: see
// [EventAcked]. It may be called again. See RFC 9114, Section 5.2.
// RFC 9114, Section 3.3 [7]; RFC 9114, Section 5.2 [4, 5].
func (c *Conn) GoAway() error {
	var id uint64 // as a client: the ID of a push
	if c.server {
		id = uint64(c.nextRequest)
	}
	if id >= c.sentGoAway {
		return nil
	}
	c.sentGoAway = id
	if o := &c.out[outControl]; c.log != nil && o.qs != nil {
		c.log.controlID(true, o.qs.ID(), frameGoAway, id)
	}
	var buf [2 * 9]byte
	b := appendFrameHeader(buf[:0], frameGoAway, uint64(wire.VarintLen(id)))
	return c.out[outControl].write(wire.AppendVarint(b, id))
}

// handleGoAway handles the peer's GOAWAY (RFC 9114, Sections 5.2 and 7.2.6).
func (c *Conn) handleGoAway(p []byte) *Error {
	id, err := parseID(p)
	if err != nil {
		return err
	}
	if !c.server && id%4 != 0 {
		return &Error{IDError, "GOAWAY with the ID of no request"} // RFC 9114, Section 7.2.6 [1]
	}
	if id > c.goAway {
		return &Error{IDError, "GOAWAY increased"} // RFC 9114, Section 5.2 [6]
	}
	lower := id < c.goAway
	c.goAway = id
	c.push(entry{kind: EventGoAway})
	if !c.server && lower && id < uint64(c.nextRequest) {
		c.cancelFrom(conn.StreamID(id))
	}
	return nil
}

// cancelFrom cancels the requests from an ID on, which the server does not process. They may be
// sent again. A server may send as many GOAWAYs as it likes, so those that concern no request cost
// little.
func (c *Conn) cancelFrom(first conn.StreamID) {
	var ids []conn.StreamID
	for id, s := range c.streams {
		if id >= first && s.cancelErr == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		s := c.streams[id]
		s.endBoth(RequestCancelled)
		s.report(RequestRejected, &Error{RequestRejected, "not processed by the server"})
	}
}
