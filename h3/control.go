package h3

import (
	"errors"
	"io"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/wire"
)

// A controlReader parses the peer's control stream (RFC 9114, Section 6.2.1) piece by piece. It
// holds at most one frame of a type that matters, and nothing of other frames.
type controlReader struct {
	server   bool // this side is the server
	settings bool // SETTINGS has come
	typ      uint64
	left     uint64 // bytes of the payload that are still to come
	inFrame  bool
	skip     bool
	buf      []byte // the payload so far
}

// next parses the start of b, and returns the number of bytes that it has consumed. The next call
// must go on behind them. If done is set, a frame is complete: its type is r.typ and its payload
// r.buf. If n is 0 and done is not set, next needs more bytes. B has to hold a whole frame header,
// unless the stream has no more yet.
func (r *controlReader) next(b []byte) (n int, done bool, err *Error) {
	if !r.inFrame {
		typ, length, n := parseFrameHeader(b)
		if n == 0 {
			return 0, false, nil
		}
		if r.skip, err = r.accept(typ, length); err != nil {
			return n, false, err
		}
		r.typ, r.left, r.inFrame, r.buf = typ, length, true, r.buf[:0]
		if length > 0 {
			return n, false, nil
		}
		r.inFrame = false
		return n, !r.skip, nil
	}
	n = int(min(uint64(len(b)), r.left))
	r.left -= uint64(n)
	r.inFrame = r.left > 0
	if r.skip {
		return n, false, nil
	}
	// accept has checked the length of other frames.
	keep := n
	if r.typ == framePriorityUpdateRequest || r.typ == framePriorityUpdatePush {
		keep = min(n, maxPriorityUpdate-len(r.buf))
	}
	r.buf = append(r.buf, b[:keep]...)
	return n, !r.inFrame, nil
}

// maxPriorityUpdate is how many bytes of a PRIORITY_UPDATE frame are kept. They show whether its
// field is longer than maxPriorityField.
const maxPriorityUpdate = 8 + maxPriorityField + 1

// accept checks a frame by its header. Skip says that its payload does not matter.
func (r *controlReader) accept(typ, length uint64) (skip bool, err *Error) {
	if !r.settings && typ != frameSettings {
		// RFC 9114, Section 6.2.1 [2]; RFC 9114, Section 9 [3].
		return false, &Error{MissingSettings, "SETTINGS is not the first frame"}
	}
	switch typ {
	case frameSettings:
		if r.settings {
			return false, &Error{FrameUnexpected, "SETTINGS twice"} // RFC 9114, Section 7.2.4 [2]
		}
		r.settings = true
		if length > maxSettingsFrame {
			return false, &Error{ExcessiveLoad, "SETTINGS too long"}
		}
		return false, nil
	case frameData, frameHeaders, framePushPromise:
		// RFC 9114, Section 7.2.1 [2]; RFC 9114, Section 7.2.2 [1]; RFC 9114, Section 7.2.5 [8].
		return false, &Error{FrameUnexpected, "frame of a request on the control stream"}
	case frameGoAway, frameCancelPush, frameMaxPushID:
		if typ == frameMaxPushID && !r.server {
			// RFC 9114, Section 7.2.7 [3].
			return false, &Error{FrameUnexpected, "MAX_PUSH_ID from a server"}
		}
		if length == 0 || length > 8 {
			return false, frameError("control frame of the wrong length")
		}
		return false, nil
	case framePriorityUpdateRequest, framePriorityUpdatePush:
		if !r.server {
			// RFC 9218, Section 7.2 [10].
			return false, &Error{FrameUnexpected, "PRIORITY_UPDATE from a server"}
		}
		if length == 0 {
			return false, frameError("control frame of the wrong length")
		}
		return false, nil
	}
	if isHTTP2Frame(typ) {
		return false, &Error{FrameUnexpected, "frame of HTTP/2"}
	}
	return true, nil
}

// parseID parses a payload that consists of one integer (RFC 9114, Sections 7.2.3, 7.2.6 and
// 7.2.7).
// RFC 9114, Section 7.1 [2, 3]; RFC 9114, Section 10.8 [1].
func parseID(b []byte) (uint64, *Error) {
	id, n := wire.ParseVarint(b)
	if n == 0 || n != len(b) {
		return 0, frameError("control frame of the wrong length")
	}
	return id, nil
}

// readControl processes the bytes on the peer's control stream.
// RFC 9114, Section 6.2.1 [6].
func (c *Conn) readControl(qs *conn.Stream) {
	for c.err == nil {
		b, err := qs.Peek(maxFrameHeader)
		n, done, herr := c.control.next(b)
		if n > 0 && c.control.skip && c.takes(c.control.typ) {
			herr = errMisplaced()
		}
		if herr != nil {
			c.fail(herr)
			return
		}
		if n > 0 {
			qs.Discard(n)
			if done {
				if c.log != nil {
					c.logControl(qs.ID())
				}
				c.controlFrame()
			}
			continue
		}
		if !errors.Is(err, conn.ErrWouldBlock) {
			c.streamClosed(err)
		}
		return
	}
}

// streamClosed handles the end of a stream that must not end (RFC 9114, Section 6.2.1; RFC 9204,
// Section 4.2 [4]).
// RFC 9114, Section 6.2.1 [5].
func (c *Conn) streamClosed(err error) {
	var reset *conn.StreamError
	if err == io.EOF || errors.As(err, &reset) {
		c.fail(&Error{ClosedCriticalStream, "a critical stream was closed"})
	}
}

// controlFrame processes the frame that c.control has read.
func (c *Conn) controlFrame() {
	var err *Error
	switch p := c.control.buf; c.control.typ {
	case frameSettings:
		err = c.handleSettings(p)
	case frameGoAway:
		err = c.handleGoAway(p)
	case frameCancelPush:
		err = handleCancelPush(p)
	case frameMaxPushID:
		err = c.handleMaxPushID(p)
	case framePriorityUpdateRequest:
		err = c.handlePriorityUpdate(p)
	case framePriorityUpdatePush:
		err = handlePriorityUpdatePush(p)
	}
	if err != nil {
		c.fail(err)
	}
}

// handleCancelPush refuses CANCEL_PUSH. There is no push that it could cancel (RFC 9114, Section
// 7.2.3).
// RFC 9114, Section 7.2.3 [7, 8].
func handleCancelPush(p []byte) *Error {
	if _, err := parseID(p); err != nil {
		return err
	}
	return &Error{IDError, "CANCEL_PUSH for no push"}
}

// handleMaxPushID checks MAX_PUSH_ID (RFC 9114, Section 7.2.7). This package never pushes.
func (c *Conn) handleMaxPushID(p []byte) *Error {
	id, err := parseID(p)
	if err != nil {
		return err
	}
	if id < c.maxPushID {
		return &Error{IDError, "MAX_PUSH_ID reduced"} // RFC 9114, Section 7.2.7 [4]
	}
	c.maxPushID = id
	return nil
}

// handleSettings takes in the peer's settings.
func (c *Conn) handleSettings(p []byte) *Error {
	m, err := parseSettings(p)
	if err != nil {
		return err
	}
	if c.remembered != nil {
		if err := compatible(c.remembered, m); err != nil {
			return err
		}
	}
	if !c.server {
		c.q.SetTicketData(appendRemembered(nil, m)) // RFC 9114, Section 7.2.4.2 [5]
	}
	c.peerSettings, c.peer = m, limits(m)
	// if it is not open, instructions would come too late for their use
	if c.out[outEncoder].qs != nil {
		c.enc.SetLimits(m[SettingQPACKTableCapacity], m[SettingQPACKBlockedStreams])
		c.flushEncoder()
	}
	if c.mux != nil {
		// RFC 9297, Section 2.1.1: both sides must have sent the setting. The RFC names no error
		// for one without the transport parameter max_datagram_frame_size: package conn sends
		// nothing.
		c.mux.Hold(!c.peer.datagrams) // RFC 9297, Section 2.1.1 [3]
	}
	c.push(entry{kind: EventSettings})
	return nil
}
