package h3

import (
	"errors"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/wire"
)

// A sendState is how far the sending side of a message has got.
type sendState uint8

const (
	sendHeader  sendState = iota // the header section is next, or that of an interim response
	sendBody                     // data or trailers are next
	sendTrailer                  // trailers were sent
	sendEnded                    // CloseWrite was called
)

// maxQueued is how many bytes of fields may wait in a stream. With more waiting, SendFields
// returns ErrWouldBlock. A section is taken whatever its length if none waits.
const maxQueued = 64 << 10

// SendFields sends a header or trailer section, whole or not at all, and ends the message with it
// if end. A server may send interim responses (status 1xx) first. A client sends the fields of a
// request on a stream of [Conn.OpenStream].
//
// It returns an *[Error] for fields that no such section may have, [ErrFieldsTooLarge],
// [ErrMessageEnded], or the error that Write would return. What the stream below does not take
// now is queued; with 64 KiB in the queue the error is [conn.ErrWouldBlock].
func (s *Stream) SendFields(fields []Field, end bool) error {
	if err := s.sendable(); err != nil {
		return err
	}
	kind := sectionTrailer
	if s.sending == sendHeader {
		kind = sectionResponse
		if !s.c.server {
			return s.sendFirst(fields, end)
		}
	}
	m, herr := checkFields(kind, fields)
	interim := kind == sectionResponse && m.interim()
	switch {
	case herr != nil:
		return herr
	case interim && end:
		return messageError("an interim response is not the end")
	case fieldsSize(fields) > s.c.peer.maxFieldSectionSize:
		return ErrFieldsTooLarge
	case len(s.out) >= maxQueued:
		return s.block()
	}
	if err := s.sendSection(fields); err != nil {
		return err
	}
	switch {
	case kind == sectionTrailer:
		s.sending = sendTrailer
	case !interim:
		s.sending = sendBody
	}
	if end {
		return s.CloseWrite()
	}
	return nil
}

// sendFirst sends the fields of a request on a stream that has none yet.
func (s *Stream) sendFirst(fields []Field, end bool) error {
	m, err := s.c.checkRequest(fields)
	if err != nil {
		return err
	}
	if err := s.sendRequest(m, fields); err != nil {
		return err
	}
	if end {
		return s.CloseWrite()
	}
	return nil
}

// sendRequest sends the fields of a request, which were checked.
func (s *Stream) sendRequest(m message, fields []Field) error {
	s.head, s.connect = m.head, m.connect
	if m.protocol {
		s.Datagrams()
	}
	if err := s.sendSection(fields); err != nil {
		return err
	}
	s.sending = sendBody
	s.c.stats.Requests++
	return nil
}

// sendable returns an error if nothing can be sent.
// RFC 9114, Section 7.2.1 [1].
func (s *Stream) sendable() error {
	switch {
	case s.sendErr != nil:
		return s.sendErr
	case s.sending >= sendTrailer:
		return ErrMessageEnded
	}
	return nil
}

// sendSection sends a HEADERS frame.
func (s *Stream) sendSection(fields []Field) error {
	return s.send(s.c.encodeFields(s.id, fields))
}

// send sends b. It queues the bytes that the stream below does not take.
func (s *Stream) send(b []byte) error {
	if len(s.out) == 0 {
		n, err := s.qs.Write(b)
		if err != nil && !errors.Is(err, conn.ErrWouldBlock) {
			s.sendErr = err
			return err
		}
		b = b[n:]
	}
	s.out = append(s.out, b...)
	s.account()
	return nil
}

// flush writes the bytes in the queue. It reports whether none are left.
func (s *Stream) flush() bool {
	if len(s.out) == 0 {
		return true
	}
	n, err := s.qs.Write(s.out)
	s.out = s.out[:copy(s.out, s.out[n:])]
	if err != nil && !errors.Is(err, conn.ErrWouldBlock) {
		s.sendErr = err
		s.out = s.out[:0]
	}
	return len(s.out) == 0
}

// writable handles an event of the stream below, which takes more now.
func (s *Stream) writable() {
	if !s.flush() {
		return
	}
	if s.closing {
		s.closing = false
		s.qs.CloseWrite()
	}
	if s.breaking {
		s.qs.ResetBehind(uint64(s.breakCode))
	}
	switch {
	case s.released:
		s.free()
	case s.wantWrite:
		s.wantWrite = false
		s.push(EventWritable)
	}
}

// Write sends a prefix of p in a DATA frame and returns its length. If it is
// shorter than p, the error is [conn.ErrWouldBlock], and [EventWritable] follows.
// After Cancel, or when the peer asked to stop, the error is a [conn.StreamError].
func (s *Stream) Write(p []byte) (int, error) {
	n, err := s.beginData(len(p))
	if n == 0 {
		return 0, err
	}
	if err := s.send(p[:n]); err != nil {
		return 0, err
	}
	return n, s.endData(n, len(p))
}

// WriteLent is Write for memory that is the stream's alone while l counts a use: see
// [conn.Stream.WriteLent]. Most of it is not copied before it goes into packets.
func (s *Stream) WriteLent(p []byte, l conn.Lender) (int, error) { return s.lend(p, l) }

// WriteShared is Write for data that does not change: see [conn.Stream.WriteShared]. Most of it is
// not copied before it goes into packets.
func (s *Stream) WriteShared(p []byte) (int, error) { return s.lend(p, nil) }

// lend is WriteLent, or WriteShared if l is nil.
func (s *Stream) lend(p []byte, l conn.Lender) (int, error) {
	n, err := s.beginData(len(p))
	if n == 0 {
		return 0, err
	}
	k := 0
	if len(s.out) == 0 {
		if l != nil {
			k, err = s.qs.WriteLent(p[:n], l)
		} else {
			k, err = s.qs.WriteShared(p[:n])
		}
		if err != nil && !errors.Is(err, conn.ErrWouldBlock) {
			s.sendErr = err
			return 0, err
		}
	}
	if err := s.send(p[k:n]); err != nil {
		return 0, err
	}
	return n, s.endData(n, len(p))
}

// beginData sends the header of a DATA frame for some of length bytes, and returns for how many. If
// that is 0, err is what Write returns.
func (s *Stream) beginData(length int) (n int, err error) {
	if err := s.sendable(); err != nil {
		return 0, err
	}
	if s.sending == sendHeader {
		return 0, messageError("data before the header section")
	}
	if length == 0 {
		return 0, nil
	}
	if !s.flush() {
		return 0, s.block()
	}
	n, size := dataRoom(s.qs.Available())
	if n == 0 {
		return 0, s.block()
	}
	if length <= n {
		n = length
		size = wire.VarintLen(uint64(n))
	}
	s.c.frame = appendDataHeader(s.c.frame[:0], n, size)
	if s.c.log != nil {
		s.c.log.frame(true, s.id, frameData, uint64(n))
	}
	if err := s.send(s.c.frame); err != nil {
		return 0, err
	}
	return n, nil
}

// endData returns the error of Write after n of length bytes were sent.
func (s *Stream) endData(n, length int) error {
	if n < length {
		return s.block()
	}
	return nil
}

// block makes sure that an event says when the stream takes more. The stream below raises one
// only after it has refused bytes. If it is full, it refuses an empty DATA frame. If it has room
// for one or two bytes, which are too few to use, it takes the frame first.
func (s *Stream) block() error {
	s.wantWrite = true
	for len(s.out) == 0 {
		n, err := s.qs.Write(s.c.empty[:])
		if err != nil && !errors.Is(err, conn.ErrWouldBlock) {
			s.sendErr = err
			return err
		}
		if n == 0 {
			break
		}
		s.out = append(s.out, s.c.empty[n:]...)
		s.account()
	}
	return conn.ErrWouldBlock // the stream below has refused the bytes in out
}

// Available returns how many bytes Write takes now.
func (s *Stream) Available() int {
	if s.sendErr != nil || s.sending != sendBody || len(s.out) > 0 {
		return 0
	}
	n, _ := dataRoom(s.qs.Available())
	return n
}

// Unsent returns how many bytes of the message, frames included, were never sent. After Release it
// is 0.
func (s *Stream) Unsent() int {
	if s.qs == nil {
		return 0
	}
	return len(s.out) + s.qs.Unsent()
}

// CloseWrite ends the message. The end follows what was sent before.
// RFC 9114, Section 4.1 [8].
func (s *Stream) CloseWrite() error {
	switch {
	case s.sendErr != nil:
		return s.sendErr
	case s.sending == sendEnded:
		return nil
	case s.sending == sendHeader:
		return messageError("the message has no header section")
	}
	s.sending = sendEnded
	s.endSend()
	if len(s.out) > 0 {
		s.closing = true
		return nil
	}
	return s.qs.CloseWrite()
}
