package h3

import (
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/internal/list"
)

// A Stream is a request stream. No method blocks; see [conn.Stream], whose
// contracts these have for the bodies. Release it in the end.
type Stream struct {
	UserData any // for the caller

	c   *Conn
	qs  *conn.Stream
	id  conn.StreamID
	gen uint32 // how often the struct has been used; see entry

	pending  uint32 // which kinds of events are in the queue
	visible  bool   // the caller knows the stream
	released bool   // the caller is done with it, but out is still to be sent
	head     bool   // the request was HEAD
	connect  bool   // the request was CONNECT
	counted  bool   // wasted has counted the request

	// Receiving: stream_read.go uses these.
	phase       phase
	place       place
	first       bool   // a frame has come
	armed       bool   // the caller waits for EventReadable
	left        uint64 // bytes of the frame that were not read
	contentLeft int64  // how many bytes content-length lets follow; negative for any number
	interims    int    // how many interim responses have come
	section     []byte // the part of a field section that has come
	joined      []byte // body bytes of several frames, joined for Peek
	recvErr     error  // io.EOF, or why there is no more

	// Sending: stream_write.go uses these.
	sending   sendState
	closing   bool   // the end follows after out
	wantWrite bool   // the caller waits for EventWritable
	out       []byte // bytes that qs has not taken
	sendErr   error
	breaking  bool // ResetBehind was called, with breakCode
	breakCode ErrorCode

	memory int // bytes of section, joined and out that count in the account

	cancelCode ErrorCode
	cancelErr  error
	flow       *dgram.Flow

	priority    conn.Priority
	prioritized bool // the client has stated a priority
	updated     bool // it came with PRIORITY_UPDATE: a header field that comes later does not count

	// For Conn.waiting.
	silent  bool // no byte has come, so it is not in the list yet
	opened  time.Time
	waiting list.Item[*Stream]
}

// maxFree is how many streams that ended are kept for reuse. maxKeptBytes is how long a buffer may
// be that such a stream keeps.
const (
	maxFree      = 64
	maxKeptBytes = 4 << 10
)

// newStream returns a Stream over qs.
func (c *Conn) newStream(qs *conn.Stream) *Stream {
	var s *Stream
	if n := len(c.free); n > 0 {
		s = c.free[n-1]
		c.free = c.free[:n-1]
	} else {
		s = new(Stream)
	}
	*s = Stream{
		c: c, qs: qs, id: qs.ID(), gen: s.gen,
		armed: true, contentLeft: -1,
		section: s.section, joined: s.joined, out: s.out, memory: s.memory,
	}
	c.q.Hold(streamCost)
	qs.UserData = s
	c.streams[s.id] = s
	if c.log != nil {
		c.log.request(s.id)
	}
	return s
}

// free releases the stream below, and keeps the Stream for reuse.
func (s *Stream) free() {
	c := s.c
	s.detach()
	s.qs.UserData = nil
	s.qs.Release()
	s.qs = nil
	c.q.Hold(-streamCost)
	if len(c.free) < maxFree {
		s.section, s.joined, s.out = kept(s.section), kept(s.joined), kept(s.out)
		c.free = append(c.free, s)
	} else {
		s.section, s.joined, s.out = nil, nil, nil
	}
	s.account()
}

// detach makes the connection forget the stream and its events.
func (s *Stream) detach() {
	if s.c.streams[s.id] == s { // after a restart another stream may have the ID
		delete(s.c.streams, s.id)
	}
	s.c.waiting.Remove(&s.waiting)
	s.speak()
	s.c.partial -= len(s.section)
	s.section = s.section[:0]
	if s.flow != nil {
		s.flow.Close()
		s.flow = nil
	}
	s.gen++
	s.pending = 0
}

// kept returns b emptied, or nil if it is too long to keep.
func kept(b []byte) []byte {
	if cap(b) > maxKeptBytes {
		return nil
	}
	return b[:0]
}

// acceptRequest takes a request stream that the client opened.
// RFC 9114, Section 4.1.1 [3, 4]; RFC 9114, Section 5.2 [1, 2].
func (c *Conn) acceptRequest(qs *conn.Stream) {
	id := qs.ID()
	if uint64(id) >= c.sentGoAway {
		// RFC 9114, Section 5.2: the client may send the request elsewhere.
		c.stats.Rejected++
		qs.StopSending(uint64(RequestRejected))
		qs.Reset(uint64(RequestRejected))
		qs.Release()
		c.dec.Cancel(uint64(id))
		c.flushDecoder()
		return
	}
	c.nextRequest = max(c.nextRequest, id+4)
	s := c.newStream(qs)
	// The stream may be open only because a later one is. Its first byte may come much later.
	s.silent = true
	c.silent++
	if p, ok := c.takeEarlyPriority(id); ok {
		s.updated = true
		s.prioritize(p)
	}
}

// speak notes that the first byte has come, or that none will.
func (s *Stream) speak() {
	if s.silent {
		s.silent = false
		s.c.silent--
	}
}

// ExpireRequests cancels the requests whose first byte came at t or before and whose
// header section has not come whole yet, so that slow clients do not hold streams
// for nothing. It returns when the oldest of the others began, the zero Time
// if there is none. A server calls it with the help of [conn.Conn.SetTimer].
func (c *Conn) ExpireRequests(t time.Time) (oldest time.Time) {
	for s := c.waiting.First(); s != nil; s = c.waiting.First() {
		if s.opened.After(t) {
			return s.opened
		}
		c.stats.HeaderTimeouts++
		s.abort(RequestIncomplete, &Error{RequestIncomplete, "the request did not come in time"})
	}
	return time.Time{}
}

// ID returns the ID of the stream.
func (s *Stream) ID() conn.StreamID { return s.id }

// Early reports whether data of the stream may be a replay: see [conn.Stream.Early].
func (s *Stream) Early() bool { return s.qs.Early() }

// SetPriority sets the order in which this side sends: see [conn.Stream.SetPriority].
// A server's streams have what the client asked for.
func (s *Stream) SetPriority(p conn.Priority) { s.qs.SetPriority(p) }

// handleEvent processes an event of the stream below.
func (s *Stream) handleEvent(ev conn.Event) {
	switch ev.Kind {
	case conn.EventStreamReadable:
		if s.silent {
			s.speak()
			s.opened = s.c.now
			s.c.waiting.PushBack(&s.waiting, s)
		}
		if !s.released {
			s.push(eventWork)
		}
	case conn.EventStreamWritable:
		s.writable()
	case conn.EventStreamReset:
		s.reset(ErrorCode(ev.Code))
	case conn.EventStreamStopped:
		s.stopped(ErrorCode(ev.Code))
	case conn.EventStreamAcked:
		if !s.released {
			s.push(EventAcked)
		}
	}
}

// reset handles a reset by the peer, which has abandoned sending.
// RFC 9114, Section 4.1.1 [8].
func (s *Stream) reset(code ErrorCode) {
	if s.released || s.recvErr != nil {
		return
	}
	s.recvErr = &conn.StreamError{ID: s.id, Code: uint64(code), Remote: true}
	s.c.endReceive(s)
	s.c.cancelSections(s)
	s.canceled(code, RequestIncomplete) // RFC 9114, Section 4.1 [10]
}

// stopped handles a peer that does not want to receive. The stream below has sent the reset
// already.
func (s *Stream) stopped(code ErrorCode) {
	s.out = s.out[:0]
	s.endSend()
	known := s.sendErr != nil
	if !known {
		s.sendErr = &conn.StreamError{ID: s.id, Code: uint64(code), Remote: true}
	}
	switch {
	case s.released:
		s.free()
	case known:
	case code == NoError && !s.c.server: // RFC 9114, Section 4.1 [12]
		// RFC 9114, Section 4.1: the response is valid nevertheless. A caller that waits for room,
		// or for the acknowledgment of a message that has ended, has nothing to wait for any more.
		if s.wantWrite || s.sending >= sendTrailer {
			s.wantWrite = false
			s.push(EventWritable)
		}
	default:
		s.canceled(code, RequestCancelled)
	}
}

// canceled reports that the peer canceled with code. A request that the caller does not know is not
// reported, and ends with answer.
func (s *Stream) canceled(code, answer ErrorCode) {
	s.c.stats.Canceled++
	s.wasted()
	if !s.visible {
		s.endBoth(answer)
	}
	s.report(code, nil)
}

// abort ends both directions with code, and reports err.
func (s *Stream) abort(code ErrorCode, err *Error) {
	s.endBoth(code)
	s.report(err.Code, err)
}

// report reports that the stream was canceled.
func (s *Stream) report(code ErrorCode, err error) {
	if !s.visible {
		s.free()
		return
	}
	s.cancelCode, s.cancelErr = code, err
	s.push(EventCanceled)
}

// Cancel resets sending and stops receiving, unless the direction has ended. Read and Write return
// a [conn.StreamError] afterwards.
func (s *Stream) Cancel(code ErrorCode) { s.endBoth(code) }

// Abandon is Cancel, and it also gives up what has not been acknowledged of a message that was sent
// to its end.
func (s *Stream) Abandon(code ErrorCode) {
	s.endBoth(code)
	if s.sendErr == nil || s.breaking {
		s.qs.Reset(uint64(code))
		s.sendErr = &conn.StreamError{ID: s.id, Code: uint64(code)}
		s.endSend()
	}
}

// ResetBehind resets sending behind what was written, which still arrives: see
// [conn.Stream.ResetBehind]. [EventAcked] follows when that and the reset have arrived. A message
// that was sent to its end stays as it is. Do not Release the stream before EventAcked, and Abandon
// it if that takes too long.
func (s *Stream) ResetBehind(code ErrorCode) {
	if s.sendErr != nil || s.sending == sendEnded {
		return
	}
	s.sendErr = &conn.StreamError{ID: s.id, Code: uint64(code)}
	s.endSend()
	s.breaking, s.breakCode = true, code
	if len(s.out) == 0 {
		s.qs.ResetBehind(uint64(code))
	}
}

// StopSending stops receiving, as Cancel does, and leaves sending as it is: see
// [conn.Stream.StopSending].
func (s *Stream) StopSending(code ErrorCode) { s.stopReceiving(code) }

// Reset resets sending, as Cancel does, and leaves receiving as it is: see
// [conn.Stream.Reset].
func (s *Stream) Reset(code ErrorCode) { s.resetSending(code) }

// CancelRead is StopSending.
//
// Deprecated: use [Stream.StopSending].
func (s *Stream) CancelRead(code ErrorCode) { s.StopSending(code) }

// CancelWrite is Reset.
//
// Deprecated: use [Stream.Reset].
func (s *Stream) CancelWrite(code ErrorCode) { s.Reset(code) }

// endBoth ends the directions that have not ended.
// RFC 9114, Section 4.1.1 [2].
func (s *Stream) endBoth(code ErrorCode) {
	s.stopReceiving(code)
	s.resetSending(code)
}

// resetSending abandons sending, unless it is over.
func (s *Stream) resetSending(code ErrorCode) {
	if s.sendErr == nil && (s.sending != sendEnded || len(s.out) > 0) {
		s.qs.Reset(uint64(code))
		s.sendErr = &conn.StreamError{ID: s.id, Code: uint64(code)}
		s.endSend()
	}
	s.out = s.out[:0]
}

// stopReceiving abandons receiving, unless it is over.
func (s *Stream) stopReceiving(code ErrorCode) {
	if s.recvErr == nil {
		s.qs.StopSending(uint64(code))
		s.recvErr = &conn.StreamError{ID: s.id, Code: uint64(code)}
		s.c.cancelSections(s)
	}
}

// cancelSections tells QPACK that no more sections of the stream will be read
// (RFC 9204, Section 2.2.2.2).
func (c *Conn) cancelSections(s *Stream) {
	c.dec.Cancel(uint64(s.id))
	c.flushDecoder()
}

// Release gives the stream back, with its Flow, and cancels what is open with
// RequestCancelled; a server that has sent all of its response stops a request
// with NoError (RFC 9114, Section 4.1). What was sent before CloseWrite still
// arrives. No event follows, and s must not be used any more. See [conn.Stream.Release].
// RFC 9114, Section 4.1.1 [5, 6, 7].
func (s *Stream) Release() {
	if s.released || s.qs == nil {
		return
	}
	ended := s.sending == sendEnded && s.sendErr == nil
	if ended {
		s.served()
	}
	if ended && s.c.server {
		s.stopReceiving(NoError) // RFC 9114, Section 4.1 [11]
	} else {
		s.stopReceiving(RequestCancelled)
	}
	if !ended {
		s.endBoth(RequestCancelled)
	}
	if len(s.out) == 0 {
		s.free()
		return
	}
	s.detach()
	s.released = true
}
