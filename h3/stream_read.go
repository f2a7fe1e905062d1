package h3

import (
	"errors"
	"io"
	"strings"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/qpack"
	"github.com/lazoquic/lazo/internal/wire"
)

// A place is the kind of bytes that the reader of a stream is at.
type place uint8

const (
	atHeader  place = iota // the header of a frame
	inData                 // the payload of DATA
	inFields               // the payload of HEADERS
	inSkipped              // the payload of a frame that is skipped
	inPush                 // the payload of PUSH_PROMISE
)

const (
	// maxPeek is the largest number of bytes that conn.Stream.Peek joins. Peek joins as many.
	maxPeek = 1024

	// maxPartial limits the bytes of incomplete field sections, of all requests together. One
	// section of the largest size may come on top.
	maxPartial = 1 << 20

	// maxInterims is how many interim responses may come for a request.
	maxInterims = 64
)

// seek goes on to the next frame that matters. It skips others. Without an error the reader stands
// in DATA with bytes left, or in HEADERS. After a connection error of the peer, what it had sent of
// bodies before can still be read. Field sections cannot: the dynamic table may be wrong by then.
func (s *Stream) seek() error {
	for {
		switch {
		case s.recvErr != nil:
			return s.recvErr
		case s.c.err != nil && (s.phase == phaseHeader || s.place == inFields):
			return conn.ErrClosed
		}
		switch s.place {
		case inFields:
			return nil
		case inData:
			if s.left > 0 {
				return nil
			}
			s.place = atHeader
		case inSkipped:
			if err := s.skip(); err != nil {
				return err
			}
		case inPush:
			return s.refusePush()
		case atHeader:
			if err := s.nextFrame(); err != nil {
				return err
			}
		}
	}
}

// skip skips the bytes that have come of a frame that does not matter.
func (s *Stream) skip() error {
	for s.left > 0 {
		b, err := s.qs.Peek(1)
		if len(b) == 0 {
			return s.cut(err)
		}
		n := min(uint64(len(b)), s.left)
		s.qs.Discard(int(n))
		s.left -= n
	}
	s.place = atHeader
	return nil
}

// refusePush ends the connection because of PUSH_PROMISE. It waits for the push ID, because one
// that is cut short is another error (RFC 9114, Section 7.1).
func (s *Stream) refusePush() error {
	b, err := s.qs.Peek(int(min(s.left, 8)))
	b = b[:min(uint64(len(b)), s.left)]
	_, n := wire.ParseVarint(b)
	switch {
	case n > 0:
		// RFC 9114, Section 7.2.5: no push ID was ever allowed.
		s.c.fail(&Error{IDError, "PUSH_PROMISE above the maximum"}) // RFC 9114, Section 7.2.5 [2]
	case uint64(len(b)) == s.left:
		s.c.fail(frameError("PUSH_PROMISE without a push ID"))
	default:
		return s.cut(err)
	}
	return conn.ErrClosed
}

// nextFrame reads the header of a frame.
func (s *Stream) nextFrame() error {
	b, err := s.qs.Peek(maxFrameHeader)
	if typ, n := wire.ParseVarint(b); !s.first && n > 0 && s.c.server && s.c.takes(typ) {
		s.handOver(typ, n)
		return conn.ErrWouldBlock
	}
	typ, length, n := parseFrameHeader(b)
	if n == 0 {
		if err == io.EOF && len(b) == 0 {
			return s.endOfStream()
		}
		return s.cut(err)
	}
	action, herr := s.phase.next(typ, s.c.server)
	if herr != nil {
		s.c.fail(herr)
		return conn.ErrClosed
	}
	s.qs.Discard(n)
	s.first, s.left = true, length
	if s.c.log != nil && action != actFields {
		s.c.log.frame(false, s.id, typ, length)
	}
	switch action {
	case actData:
		s.place = inData
		return s.count(length)
	case actFields:
		s.place = inFields
		if limit := s.c.cfg.MaxFieldSectionSize; limit >= 0 && length > uint64(limit) {
			// The encoded section is never longer than what the limit counts for it.
			s.tooLarge()
			return s.recvErr
		}
	case actPush:
		s.place = inPush
	default:
		if s.c.takes(typ) {
			s.c.fail(errMisplaced())
			return conn.ErrClosed
		}
		s.place = inSkipped
	}
	return nil
}

// handOver gives the stream to the caller, because its first varint is one of Config.StreamTypes.
func (s *Stream) handOver(typ uint64, n int) {
	qs, c := s.qs, s.c
	qs.Discard(n)
	s.detach()
	s.recvErr = conn.ErrWouldBlock // the result for a caller that is reading it now
	u := &peerStream{qs: qs, typ: typ, typed: true}
	qs.UserData = u
	c.push(entry{kind: EventStream, peer: u})
}

// count counts a DATA frame against content-length (RFC 9114, Section 4.1.2).
func (s *Stream) count(length uint64) error {
	if s.contentLeft < 0 {
		return nil
	}
	if length > uint64(s.contentLeft) {
		return s.malformed(messageError("body longer than content-length"))
	}
	s.contentLeft -= int64(length)
	return nil
}

// endOfStream handles the end of the stream behind a whole frame.
func (s *Stream) endOfStream() error {
	switch {
	case s.phase == phaseHeader && s.c.server:
		// RFC 9114, Section 4.1.
		s.wasted()
		// RFC 9114, Section 4.1 [10].
		s.abort(RequestIncomplete, &Error{RequestIncomplete, "no header section"})
	case s.phase == phaseHeader:
		return s.malformed(messageError("no header section"))
	case s.contentLeft > 0:
		return s.malformed(messageError("body shorter than content-length"))
	default:
		s.recvErr = io.EOF
		s.c.endReceive(s)
		s.qs.Read(s.c.scratch[:]) // so that the end counts as read, not as abandoned
	}
	return s.recvErr
}

// cut returns the error to report when Peek or Read has returned err within a frame.
// RFC 9114, Section 7.1 [4].
func (s *Stream) cut(err error) error {
	switch err {
	case nil:
		return conn.ErrWouldBlock
	case io.EOF:
		// RFC 9114, Section 7.1.
		s.c.fail(frameError("frame cut short by the end of the stream"))
		return conn.ErrClosed
	}
	return err // a reset: EventStreamReset reports it
}

// malformed ends the stream because of a malformed message (RFC 9114, Section 4.1.2).
// RFC 9114, Section 4.1.2 [1, 2, 3].
func (s *Stream) malformed(err *Error) error {
	s.c.stats.Malformed++
	s.wasted()
	s.abort(err.Code, err)
	return s.recvErr
}

// tooLarge ends the stream because of a field section above the limit. A server answers a request
// with status 431 (RFC 6585, Section 5; RFC 9114, Section 4.2.2).
// RFC 9114, Section 4.1.1 [1].
func (s *Stream) tooLarge() {
	s.c.stats.TooLarge++
	s.wasted()
	if s.visible {
		s.abort(ExcessiveLoad, &Error{ExcessiveLoad, "field section too large"})
		return
	}
	if err := s.sendSection([]Field{{Name: ":status", Value: "431"}}); err == nil {
		s.sending = sendBody
		s.CloseWrite()
	}
	s.Release()
}

// advance reads on. It returns an event if reading leads to one.
// RFC 9114, Section 4.1 [9].
func (s *Stream) advance() (Event, bool) {
	err := s.seek()
	switch {
	case err == nil && s.place == inFields:
		return s.readFields()
	case err == nil:
		if b, _ := s.qs.Peek(1); len(b) == 0 {
			return Event{}, false
		}
	case err != io.EOF:
		return Event{}, false
	}
	if !s.armed {
		return Event{}, false
	}
	s.armed = false
	return Event{Kind: EventReadable, Stream: s}, true
}

// readFields reads a field section.
func (s *Stream) readFields() (Event, bool) {
	section, err := s.collect()
	if err != nil {
		return Event{}, false
	}
	fields, err := s.c.decodeFields(s.id, section)
	switch {
	case err == nil && len(fields)-pseudoFields(fields) > s.c.cfg.MaxFields:
		s.tooLarge()
		return Event{}, false
	case err == nil:
	case errors.Is(err, qpack.ErrBlocked):
		return Event{}, false // Conn.unblock continues here
	case errors.Is(err, qpack.ErrTooLarge):
		s.tooLarge()
		return Event{}, false
	default:
		s.c.fail(qpackError(err))
		return Event{}, false
	}
	if s.left > 0 { // the section lay in the stream below
		s.qs.Discard(int(s.left))
		s.left = 0
	}
	s.c.partial -= len(s.section)
	s.section = kept(s.section)
	s.account()
	s.place = atHeader
	return s.takeFields(fields)
}

// pseudoFields counts the pseudo-header fields, which come first (RFC 9114, Section 4.3).
func pseudoFields(fields []Field) int {
	n := 0
	for n < len(fields) && strings.HasPrefix(fields[n].Name, ":") {
		n++
	}
	return n
}

// shortSection returns how long a section may be to stay in its stream until it has come whole. It
// must not use up the window of the stream, nor those of many streams that of the connection: the
// rest would never come.
func shortSection(cfg *conn.Config) uint64 {
	const streams = 256
	return uint64(min(maxPeek, cfg.InitialMaxStreamData/2, cfg.InitialMaxData/streams))
}

// collect returns the field section if it has come whole. A short section stays in the stream below
// until then, and s.left keeps its length. A long section is copied as it comes.
func (s *Stream) collect() ([]byte, error) {
	if s.left > 0 && len(s.section) == 0 {
		b, err := s.qs.Peek(int(min(s.left, maxPeek)))
		if uint64(len(b)) >= s.left {
			return b[:s.left], nil
		}
		if s.left <= s.c.short {
			return nil, s.cut(err)
		}
	}
	for s.left > 0 {
		b, err := s.qs.Peek(1)
		if len(b) == 0 {
			return nil, s.cut(err)
		}
		b = b[:min(uint64(len(b)), s.left)]
		if limit := s.c.cfg.MaxFieldSectionSize; limit >= 0 && int64(s.c.partial+len(b)) > maxPartial+limit {
			s.c.stats.TooLarge++
			s.wasted()
			s.abort(ExcessiveLoad, &Error{ExcessiveLoad, "too many field sections at once"})
			return nil, s.recvErr
		}
		s.section = append(s.section, b...)
		s.account()
		s.c.partial += len(b)
		s.left -= uint64(len(b))
		s.qs.Discard(len(b))
	}
	return s.section, nil
}

// takeFields checks a field section, and makes the event for it.
func (s *Stream) takeFields(fields []Field) (Event, bool) {
	var herr *Error
	switch {
	case s.phase != phaseHeader:
		_, herr = checkFields(sectionTrailer, fields)
		s.phase = phaseTrailer
	case s.c.server:
		herr = s.takeRequest(fields)
	default:
		herr = s.takeResponse(fields)
	}
	if herr == nil && s.atEnd() {
		if s.phase == phaseHeader {
			herr = messageError("no final response")
		} else if s.endOfStream() != io.EOF {
			return Event{}, false
		}
	}
	if herr != nil {
		s.malformed(herr)
		return Event{}, false
	}
	if s.c.server && !s.visible {
		s.announce()
	}
	if s.recvErr == nil || s.phase == phaseTrailer {
		s.push(eventWork) // it leads to the body, or to the end that somebody waits for
	}
	return Event{Kind: EventFields, Stream: s, Fields: fields, End: s.recvErr == io.EOF}, true
}

// atEnd reports whether nothing more follows on the stream.
func (s *Stream) atEnd() bool {
	b, err := s.qs.Peek(1)
	return len(b) == 0 && err == io.EOF
}

// takeRequest checks and keeps the header section of a request.
func (s *Stream) takeRequest(fields []Field) *Error {
	m, err := checkFields(sectionRequest, fields)
	if err != nil {
		return err
	}
	if m.protocol && !s.c.cfg.ExtendedConnect {
		return messageError("extended CONNECT was not offered")
	}
	s.phase, s.contentLeft = phaseBody, m.contentLength
	s.head, s.connect = m.head, m.connect
	if m.connect {
		s.phase, s.contentLeft = phaseTunnel, -1
	}
	if m.hasPriority && !s.updated {
		s.prioritize(m.priority)
	}
	if m.protocol {
		s.Datagrams()
	}
	return nil
}

// announce makes a request known to the caller. Events about it follow its fields.
func (s *Stream) announce() {
	s.visible = true
	s.c.stats.Requests++
	s.c.waiting.Remove(&s.waiting)
	if s.prioritized {
		s.push(EventPriority)
	}
}

// takeResponse checks and keeps the header section of a response, which may be an interim one.
func (s *Stream) takeResponse(fields []Field) *Error {
	m, err := checkFields(sectionResponse, fields)
	if err != nil {
		return err
	}
	if m.interim() {
		if s.interims++; s.interims > maxInterims {
			return &Error{ExcessiveLoad, "too many interim responses"}
		}
		return nil
	}
	s.phase, s.contentLeft = phaseBody, m.contentLength
	switch {
	case s.connect && m.status/100 == 2:
		s.phase, s.contentLeft = phaseTunnel, -1
	case s.head || m.status == 304 || m.status == 204:
		// The response has no content (RFC 9110, Sections 9.3.2 and 15). Its content-length says
		// how long the content would have been (Section 8.6).
		s.contentLeft = 0
	}
	return nil
}
