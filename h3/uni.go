package h3

import (
	"errors"
	"io"
	"slices"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/wire"
)

// Types of unidirectional streams (RFC 9114, Section 6.2; RFC 9204, Section 4.2).
const (
	streamControl      = 0x00
	streamPush         = 0x01
	streamQPACKEncoder = 0x02
	streamQPACKDecoder = 0x03
)

// The streams that each side must open, in the order in which this side opens them.
const (
	outControl = iota
	outEncoder
	outDecoder
	outStreams
)

// maxUnsent bounds the bytes that wait for the peer to read one of the outStreams. A peer that lets
// so many pile up does not want them.
const maxUnsent = 64 << 10

// An outStream is one of this side's critical streams. There is one of each kind, and nothing
// closes it, nor stops those of the peer (RFC 9204, Section 4.2 [1, 3]).
// RFC 9114, Section 6.2.1 [4].
type outStream struct {
	qs  *conn.Stream // nil until it may be opened
	buf []byte       // bytes that qs has not taken

	account *conn.Conn
	counted int // bytes of memory that count in account
}

// write sends b. It keeps the bytes that the stream does not take now.
func (o *outStream) write(b []byte) error {
	if len(o.buf)+len(b) > maxUnsent {
		return conn.ErrWouldBlock
	}
	o.buf = append(o.buf, b...)
	err := o.flush()
	o.count()
	return err
}

// flush writes the bytes that were kept.
func (o *outStream) flush() error {
	if o.qs == nil || len(o.buf) == 0 {
		return nil
	}
	n, err := o.qs.Write(o.buf)
	if o.buf = o.buf[:copy(o.buf, o.buf[n:])]; len(o.buf) == 0 {
		o.buf = kept(o.buf)
	}
	o.count()
	if err != nil && !errors.Is(err, conn.ErrWouldBlock) {
		return err
	}
	return nil
}

// openCritical opens the outStreams that are not open, as far as the peer lets it. Nothing else
// that this side sends is more urgent.
// RFC 9114, Section 6.2 [3].
func (c *Conn) openCritical() {
	for i := range c.out {
		o := &c.out[i]
		if o.qs != nil {
			continue
		}
		qs, err := c.q.OpenStream(conn.Uni)
		if err != nil {
			return
		}
		o.qs = qs
		qs.UserData = o
		if c.log != nil {
			c.logCritical(i)
		}
		qs.SetPriority(conn.Priority{Urgency: -defaultUrgency})
		o.flush()
	}
}

// A peerStream is a stream that the peer opened and that is not a request: a unidirectional stream,
// or a bidirectional stream of a server.
type peerStream struct {
	qs    *conn.Stream
	typ   uint64
	typed bool // typ has been read
}

// accept takes a stream that the peer opened.
func (c *Conn) accept(qs *conn.Stream) {
	switch {
	case qs.ID().Dir() == conn.Uni:
	case !qs.ID().ByServer():
		c.acceptRequest(qs)
		return
	case len(c.cfg.StreamTypes) == 0:
		// RFC 9114, Section 6.1.
		// RFC 9114, Section 6.1 [3].
		c.fail(&Error{StreamCreationError, "bidirectional stream from a server"})
		return
	}
	qs.UserData = &peerStream{qs: qs}
}

// read processes the bytes on a peerStream.
func (c *Conn) read(u *peerStream) {
	if !u.typed && !c.readType(u) {
		return
	}
	switch u.typ {
	case streamControl:
		c.readControl(u.qs)
	case streamQPACKEncoder:
		c.readQPACK(u.qs, c.dec.EncoderStream)
		c.unblock()
		c.flushDecoder()
	case streamQPACKDecoder:
		c.readQPACK(u.qs, c.enc.DecoderStream)
	}
}

// readType reads the type of a stream. It reports whether this package reads streams of that type.
// It announces those of the caller, and stops others.
// RFC 9114, Section 6.2 [7, 9]; RFC 9114, Section 6.2.3 [1].
func (c *Conn) readType(u *peerStream) bool {
	b, err := u.qs.Peek(8)
	typ, n := wire.ParseVarint(b)
	if n == 0 {
		if !errors.Is(err, conn.ErrWouldBlock) {
			u.stop(StreamCreationError) // the stream ended before its type came
		}
		return false
	}
	u.typ, u.typed = typ, true
	if c.log != nil && u.qs.ID().Dir() == conn.Uni {
		c.log.streamType(true, u.qs.ID(), typ)
	}
	switch {
	case u.qs.ID().Dir() == conn.Bidi:
		if !c.takes(typ) {
			c.fail(&Error{StreamCreationError, "bidirectional stream from a server"})
			return false
		}
	case typ == streamControl || typ == streamQPACKEncoder || typ == streamQPACKDecoder:
		if c.seen[typ] { // RFC 9204, Section 4.2 [2]
			// RFC 9114, Section 6.2.1 [3].
			c.fail(&Error{StreamCreationError, "a critical stream was opened twice"})
			return false
		}
		c.seen[typ] = true
		u.qs.Discard(n)
		return true
	case typ == streamPush && c.server:
		// RFC 9114, Section 6.2.2.
		// RFC 9114, Section 6.2.2 [1].
		c.fail(&Error{StreamCreationError, "push stream from a client"})
		return false
	case typ == streamPush:
		c.fail(&Error{IDError, "push stream above the maximum"}) // RFC 9114, Section 4.6 [2]
		return false
	case !c.takes(typ):
		u.stop(StreamCreationError) // RFC 9114, Section 6.2 [4, 5, 6]; RFC 9114, Section 9 [2]
		return false
	}
	u.qs.Discard(n)
	c.push(entry{kind: EventStream, peer: u})
	return false
}

// takes reports whether streams of the type belong to the caller.
func (c *Conn) takes(typ uint64) bool { return slices.Contains(c.cfg.StreamTypes, typ) }

// errMisplaced is the error for a type of Config.StreamTypes where a frame is expected
// (draft-ietf-webtrans-http3, Section 4.3).
func errMisplaced() *Error { return frameError("stream type in the place of a frame") }

// stop ends a stream that nobody reads.
func (u *peerStream) stop(code ErrorCode) {
	u.qs.UserData = nil
	u.qs.StopSending(uint64(code))
	if u.qs.ID().Dir() == conn.Bidi {
		u.qs.Reset(uint64(code))
	}
	u.qs.Release()
}

// isCritical reports whether the connection cannot do without the stream.
func (u *peerStream) isCritical() bool {
	return u.typed && u.qs.ID().Dir() == conn.Uni && u.typ <= streamQPACKDecoder
}

// readQPACK passes the bytes on a stream of instructions to feed.
func (c *Conn) readQPACK(qs *conn.Stream, feed func([]byte) error) {
	for c.err == nil {
		b, err := qs.Peek(1)
		if len(b) == 0 {
			if !errors.Is(err, conn.ErrWouldBlock) {
				c.streamClosed(err)
			}
			return
		}
		if err := feed(b); err != nil {
			c.fail(qpackError(err))
			return
		}
		qs.Discard(len(b))
	}
}

// unblock continues with the requests whose fields waited for the dynamic table.
func (c *Conn) unblock() {
	for id, ok := c.dec.Unblocked(); ok; id, ok = c.dec.Unblocked() {
		if s := c.streams[conn.StreamID(id)]; s != nil {
			s.push(eventWork)
		}
	}
}

// flushDecoder and flushEncoder send the instructions that QPACK has for the peer.
func (c *Conn) flushDecoder() { c.sendInstructions(outDecoder, c.dec.Instructions()) }
func (c *Conn) flushEncoder() { c.sendInstructions(outEncoder, c.enc.Instructions()) }

func (c *Conn) sendInstructions(i int, b []byte) {
	if len(b) > 0 && errors.Is(c.out[i].write(b), conn.ErrWouldBlock) {
		c.fail(&Error{ExcessiveLoad, "QPACK instructions are not read"})
	}
}

// handlePeerEvent processes an event of a stream that the peer opened. It reports
// false if the stream is the caller's by now.
func (c *Conn) handlePeerEvent(u *peerStream, ev conn.Event) {
	switch ev.Kind {
	case conn.EventStreamReadable:
		c.read(u)
	case conn.EventStreamReset:
		switch {
		case u.isCritical():
			c.streamClosed(io.EOF)
		case !u.typed:
			u.stop(StreamCreationError)
		}
	}
}
