package h3

import (
	"errors"
	"io"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/dgram"
)

// HTTP Datagrams live as long as the direction of the stream that they belong to (RFC 9297, Section
// 2.1).

// Datagrams returns the flow of the stream's HTTP Datagrams. It is nil without Config.Datagrams,
// and sends nothing until the peer's settings allow it. EventDatagram follows for streams of
// extended CONNECT, and for others once Datagrams was called. Requests with other methods than
// CONNECT end in an EventCanceled with DatagramError if datagrams come and it was not called: call
// it when the fields come. The UserData of the flow is this package's.
// RFC 9297, Section 2 [1].
func (s *Stream) Datagrams() *dgram.Flow {
	if s.flow == nil && s.c.mux != nil {
		s.flow = s.c.mux.Flow(s.id)
		s.flow.UserData = s
		if s.sendErr != nil || s.sending == sendEnded {
			s.flow.EndSend()
		}
		if s.peerEnded() {
			s.flow.EndReceive()
		}
		if s.flow.Len() > 0 {
			s.push(EventDatagram)
		}
	}
	return s.flow
}

// endSend ends the datagrams that this side sends: its direction of the stream has ended.
// RFC 9297, Section 2.1 [3].
func (s *Stream) endSend() {
	if s.flow != nil {
		s.flow.EndSend()
	}
}

// peerEnded reports whether the peer's direction of the stream has ended.
func (s *Stream) peerEnded() bool {
	reset, ok := errors.AsType[*conn.StreamError](s.recvErr)
	return s.recvErr == io.EOF || ok && reset.Remote
}

// endReceive ends the datagrams of a stream whose peer has ended its direction. Those that have
// come before still belong to it.
// RFC 9297, Section 2.1 [4].
func (c *Conn) endReceive(s *Stream) {
	if s.flow == nil {
		return
	}
	c.handleDatagrams(c.now, conn.Event{Kind: conn.EventDatagramReadable})
	s.flow.EndReceive()
}

// handleDatagrams hands received datagrams to their streams.
func (c *Conn) handleDatagrams(now time.Time, ev conn.Event) bool {
	if c.mux == nil {
		return false
	}
	for _, f := range c.mux.HandleEvent(now, ev) {
		f.UserData.(*Stream).push(EventDatagram)
	}
	for _, id := range c.mux.Strays() {
		c.strayDatagram(id)
	}
	if c.mux.Malformed() > 0 {
		// RFC 9297, Section 2.1 [1, 2].
		c.fail(&Error{DatagramError, "datagram without a quarter stream ID"})
	}
	return true
}

// strayDatagram handles a datagram of a stream without a flow. The request is aborted if it is
// known, and neither its method nor the caller has a use for datagrams (RFC 9297, Section 2).
// Otherwise the datagram may have overtaken its request.
func (c *Conn) strayDatagram(id conn.StreamID) {
	if c.beyondLimit(id) {
		// RFC 9297, Section 2.1. A limit that the server has raised counts once the client knows
		// it: before, there is no request that a datagram of the server could belong to.
		// RFC 9297, Section 2.1 [6].
		c.fail(&Error{IDError, "datagram for a request that cannot be opened"})
		return
	}
	s := c.streams[id]
	if s == nil || !s.visible || s.connect || s.cancelErr != nil {
		return
	}
	if s.peerEnded() {
		c.mux.Flow(id).Close() // RFC 9297, Section 2.1 [4]
		return
	}
	c.mux.Flow(id).Close() // this drops the datagrams that wait
	// RFC 9297, Section 2 [2].
	s.malformed(&Error{DatagramError, "datagram for a request that has no use for any"})
}
