package conn

import (
	"github.com/lazoquic/lazo/internal/qlog"
	"github.com/lazoquic/lazo/internal/wire"
)

// Flags of a Stream.
const (
	// Receiving (RFC 9000, Section 3.2).
	flagRecv      = 1 << iota // there is a receiving direction
	flagSizeKnown             // finalSize is known
	flagRecvReset             // the peer reset it
	flagStopped               // StopSending was called
	flagRecvDone              // the end was read, or will not be
	flagArmed                 // the next data raises EventStreamReadable
	flagReadableQueued

	// Sending (RFC 9000, Section 3.1).
	flagSend        // there is a sending direction
	flagFin         // CloseWrite was called
	flagFinSent     // the FIN is in flight, or arrived
	flagFinAcked    // the FIN arrived
	flagReset       // Reset was called, or the peer asked to stop
	flagResetAt     // ResetAt was called
	flagResetLast   // ResetBehind was called, and the peer knows no RESET_STREAM_AT
	flagResetAcked  // its frame arrived
	flagRecvResetAt // the peer reset it behind some bytes
	flagPeerStop    // the peer asked to stop
	flagSendDone    // everything that was to arrive has arrived
	flagWantWrite   // Write came up short: EventStreamWritable is due
	flagWritableQueued

	flagReleased
	flagInSend    // in the send queue
	flagAhead     // there, among those that go ahead of the others of their urgency
	flagBlocked   // there, in the list of streams that wait for MAX_DATA
	flagPriority  // SetPriority was called
	flagInControl // in the list of streams with control frames
	flagEarly
	flagVoid // it was early data that the server rejected

	// Control frames that are due.
	dueMaxData
	dueReset
	dueStop
	dueBlocked
	dueAny = dueMaxData | dueReset | dueStop | dueBlocked
)

// receive takes in a STREAM frame (RFC 9000, Section 19.8).
func (s *Stream) receive(off uint64, data []byte, fin bool) error {
	c := s.c
	end := off + uint64(len(data))
	known := s.flags&flagSizeKnown != 0
	// RFC 9000, Section 4.5 [3, 4].
	if known && (end > s.finalSize || fin && end != s.finalSize) || fin && end < s.highest {
		return violation(errFinalSize, wire.FrameStream, "stream %d", s.id)
	}
	if end > s.highest {
		if err := s.advance(end, wire.FrameStream); err != nil {
			return err
		}
	}
	if fin && !known {
		s.flags |= flagSizeKnown
		s.finalSize = end
	}
	if s.flags&(flagStopped|flagRecvReset) != 0 {
		s.discardRest()
		return nil
	}
	before := s.in.Ready()
	if len(data) > 0 && end > s.in.Offset() {
		if !c.mayHold(len(data)) {
			return errNoRoom
		}
		s.in.Write(&c.chunks, off, data) // RFC 9000, Section 2.2 [1]
		// RFC 9000, Section 21.7 [1].
		if g := s.in.Gaps(); g > maxGaps && g > int(s.window.size>>10)+maxGaps {
			return violation(errInternal, wire.FrameStream, "stream %d has too many gaps", s.id)
		}
	}
	if s.in.Ready() > before || s.atEnd() {
		s.readable()
	}
	if s.atEnd() {
		s.answered()
	}
	if fin && c.traced {
		s.traceState()
	}
	return nil
}

// maxGaps bounds the bookkeeping of data that comes out of order; large windows may have more.
const maxGaps = 1000

// advance raises the highest offset received, within flow control (RFC 9000, Section 4.1).
// RFC 9000, Section 4.1 [2]; RFC 9000, Section 4.5 [1]; RFC 9000, Section 19.9 [2]; RFC 9000,
// Section 19.10 [4].
func (s *Stream) advance(end, frame uint64) error {
	f := &s.c.flow
	n := end - s.highest
	if end > s.recvMax || n > f.recvMax-f.received {
		return violation(errFlowControl, frame, "stream %d at %d", s.id, end)
	}
	f.received += n
	s.highest = end
	if s.c.cfg.GrowFirstWindows {
		s.window.begin(s.c.e.now)
		f.begin(s.c.e.now)
	}
	if s.member.group != nil {
		s.member.group.receive(n)
	}
	if f.received == f.recvMax && n > 0 {
		s.c.peerWaits()
	}
	return nil
}

// atEnd reports whether everything was read or lies ready, to the end.
func (s *Stream) atEnd() bool {
	return s.flags&(flagSizeKnown|flagRecvResetAt) == flagSizeKnown && s.in.Offset()+uint64(s.in.Ready()) == s.finalSize
}

// readable raises EventStreamReadable if the stream is armed.
func (s *Stream) readable() {
	if s.flags&(flagArmed|flagReadableQueued|flagReleased) != flagArmed {
		return
	}
	s.flags = s.flags&^flagArmed | flagReadableQueued
	s.event(EventStreamReadable, 0)
}

func (s *Stream) event(kind EventKind, code uint64) {
	s.c.e.events.push(queuedEvent{kind: kind, gen: s.gen, conn: s.c, stream: s, value: code})
}

// consumed gives credit for n bytes that were read.
func (s *Stream) consumed(n int) {
	if n == 0 || s.c.closed {
		return
	}
	if s.c.traced {
		s.traceMoved(s.in.Offset(), n, true, "")
	}
	s.c.consume(uint64(n), s.in.Ready() == 0)
	if s.flags&flagRecvResetAt != 0 && s.in.Offset() >= s.recvUpTo {
		// all that was promised is read
		s.handleReset(wire.FrameResetStreamAt, s.recvCode, s.finalSize)
		return
	}
	if s.flags&(flagSizeKnown|dueMaxData) == 0 && s.recvMax-s.in.Offset() <= uint64(s.window.size)/2 {
		s.growWindow()
		s.controlDue(dueMaxData)
	}
}

// discardRest throws away what came and will not be read, and ends the receiving direction if its
// size is known.
func (s *Stream) discardRest() {
	unread := s.highest - s.discarded
	s.discarded = s.highest
	s.in.Reset(&s.c.chunks)
	s.shrinkWindow()
	s.c.consume(unread, true)
	if s.member.group != nil && unread > 0 {
		s.member.group.discard(unread)
	}
	if s.flags&flagSizeKnown != 0 {
		s.recvDone()
	}
}

// recvDone ends the receiving direction.
func (s *Stream) recvDone() {
	s.flags |= flagRecvDone
	s.answered()
	s.finish()
}

// checkReset checks the fields of a RESET_STREAM or RESET_STREAM_AT frame, and counts its final
// size (RFC 9000, Section 4.5). Neither the size nor the error code may change (RFC 9000, Section
// 13.3; draft-ietf-quic-reliable-stream-reset, Section 5.2).
// RFC 9000, Section 4.5 [3].
func (s *Stream) checkReset(frame, code, size uint64) error {
	switch {
	case s.flags&flagSizeKnown != 0 && size != s.finalSize, size < s.highest:
		return violation(errFinalSize, frame, "stream %d", s.id)
	case s.flags&(flagRecvReset|flagRecvResetAt) != 0 && code != s.recvCode:
		return violation(errStreamState, frame, "stream %d is reset with another error code", s.id)
	case size > s.highest:
		return s.advance(size, frame)
	}
	return nil
}

// handleReset handles RESET_STREAM (RFC 9000, Section 19.4).
func (s *Stream) handleReset(frame, code, size uint64) error {
	if err := s.checkReset(frame, code, size); err != nil {
		return err
	}
	if s.flags&(flagRecvDone|flagRecvReset) != 0 {
		return nil
	}
	if s.atEnd() {
		return nil // RFC 9000, Section 3.2: all data came before; it may still be read
	}
	s.flags |= flagSizeKnown | flagRecvReset
	s.answered()
	s.finalSize, s.recvCode = size, code
	if s.c.traced {
		s.traceState()
	}
	if s.flags&flagStopped == 0 {
		s.discarded = s.in.Offset()
		if s.c.traced {
			s.traceMoved(s.in.Offset(), 0, true, qlog.StreamReset)
		}
		s.event(EventStreamReset, code)
	}
	s.discardRest()
	return nil
}

// handleResetAt handles RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset): what comes before
// size is still read.
func (s *Stream) handleResetAt(code, size, upTo uint64) error {
	if s.flags&(flagStopped|flagRecvReset|flagRecvDone) != 0 || upTo <= s.in.Offset() {
		return s.handleReset(wire.FrameResetStreamAt, code, size)
	}
	if err := s.checkReset(wire.FrameResetStreamAt, code, size); err != nil {
		return err
	}
	if s.atEnd() {
		return nil
	}
	if s.flags&flagRecvResetAt != 0 {
		upTo = min(upTo, s.recvUpTo)
	}
	s.flags |= flagRecvResetAt | flagSizeKnown
	s.finalSize, s.recvCode, s.recvUpTo = size, code, upTo
	if s.c.traced {
		s.traceState()
	}
	return nil
}

// handleStopSending handles STOP_SENDING (RFC 9000, Section 19.5). The reset goes out without
// asking the application.
// RFC 9000, Section 3.5 [2, 4].
func (s *Stream) handleStopSending(code uint64) {
	if s.flags&(flagResetAt|flagSendDone) == flagResetAt && (s.out.Sent() < s.reliable || s.flags&flagResetLast != 0) {
		// Nobody waits for the rest or gives credit for it.
		s.flags &^= flagResetAt
		s.abandon(s.resetCode)
		return
	}
	if s.flags&(flagPeerStop|flagReset|flagResetAt|flagSendDone) != 0 {
		return
	}
	s.flags |= flagPeerStop
	s.abandon(code)
	s.event(EventStreamStopped, code)
}

// abandon resets the sending direction.
// RFC 9000, Section 3.3 [2]; RFC 9000, Section 3.5 [3]; RFC 9000, Section 4.5 [2]; RFC 9000,
// Section 13.3 [1].
func (s *Stream) abandon(code uint64) {
	s.flags |= flagReset
	s.flags &^= flagWantWrite
	if s.c.traced {
		s.traceState()
	}
	s.resetCode, s.resetSize = code, s.out.Sent()
	s.out.Reset(&s.c.chunks)
	s.c.streams.send.remove(s)
	s.controlDue(dueReset)
}

// abandonAt resets the sending direction behind the first size bytes.
func (s *Stream) abandonAt(code, size uint64) {
	sent := s.out.Sent()
	s.flags |= flagResetAt
	s.flags &^= flagWantWrite
	if s.c.traced {
		s.traceState()
	}
	s.resetCode, s.reliable, s.resetSize = code, size, max(size, sent)
	if sent > size {
		s.out.Ack(&s.c.chunks, size, int(sent-size)) // nobody waits for that
	}
	s.c.streams.send.remove(s)
	s.schedule()
	s.resetAtSent()
}

// resetAtSent queues RESET_STREAM_AT once what it promises was sent. Earlier, its final size could
// be beyond what the peer allows.
func (s *Stream) resetAtSent() {
	if s.flags&(flagResetAt|flagResetLast) == flagResetAt && s.out.Sent() >= s.reliable {
		s.controlDue(dueReset)
	}
}

// resetLast queues RESET_STREAM once what was written has arrived. An earlier one would abandon
// that, too.
func (s *Stream) resetLast() {
	if s.flags&(flagResetAt|flagResetLast) == flagResetAt|flagResetLast && s.out.Acked(s.reliable) {
		s.flags &^= flagResetAt
		s.abandon(s.resetCode)
	}
}

// end returns the offset up to which data is sent.
func (s *Stream) end() uint64 {
	if s.flags&flagResetAt != 0 {
		return s.reliable
	}
	return s.out.End()
}

// acked notes that data of the stream arrived.
func (s *Stream) acked(off uint64, n int, fin bool) {
	if s.flags&(flagReset|flagSendDone) != 0 {
		return
	}
	if n > 0 {
		s.out.Ack(&s.c.chunks, off, n)
		s.c.flow.acked += uint64(n)
	}
	if fin {
		s.flags |= flagFinAcked
	}
	if s.flags&flagResetAt != 0 {
		s.resetLast()
		s.resetAtDone()
	} else if s.flags&flagFinAcked != 0 && s.out.Acked(s.out.End()) {
		s.flags |= flagSendDone
		s.c.streams.send.remove(s)
		s.event(EventStreamAcked, 0)
		s.finish()
	}
}

// lost notes that data of the stream was lost.
func (s *Stream) lost(off uint64, n int, fin bool) {
	if s.flags&(flagReset|flagSendDone) != 0 {
		return
	}
	if s.flags&flagResetAt != 0 {
		n, fin = int(min(uint64(n), s.reliable-min(off, s.reliable))), false
	}
	if n > 0 {
		s.out.Lose(&s.c.chunks, off, n) // RFC 9000, Section 2.2 [2]
	}
	if fin && s.flags&flagFinAcked == 0 {
		s.flags &^= flagFinSent
	}
	if s.c.traced {
		s.traceLost(off, n, fin)
	}
	s.scheduleLost(n)
}

// resetAtDone ends the sending direction if the reset and all that it promised have arrived.
func (s *Stream) resetAtDone() {
	if s.flags&flagResetAcked != 0 && s.out.Acked(s.reliable) {
		s.flags |= flagSendDone
		s.c.streams.send.remove(s)
		s.out.Reset(&s.c.chunks)
		s.event(EventStreamAcked, 0)
		s.finish()
	}
}

// resetAcked notes that RESET_STREAM or RESET_STREAM_AT arrived.
func (s *Stream) resetAcked() {
	if s.flags&(flagResetAt|flagReset|flagSendDone) == flagResetAt {
		s.flags |= flagResetAcked
		s.resetAtDone()
		return
	}
	if s.flags&flagReset != 0 && s.flags&flagSendDone == 0 {
		s.flags |= flagSendDone
		if s.flags&flagResetLast != 0 {
			s.event(EventStreamAcked, 0)
		}
		s.finish()
	}
}

// controlLost sends a control frame again if it still matters (RFC 9000, Section 13.3).
// RFC 9000, Section 3.3 [1]; RFC 9000, Section 13.3 [2].
func (s *Stream) controlLost(kind recordKind) {
	switch {
	case kind == recMaxStreamData && s.flags&(flagSizeKnown|flagStopped) == 0:
		s.controlDue(dueMaxData)
	case kind == recResetStream && s.flags&flagSendDone == 0:
		s.controlDue(dueReset)
	case kind == recStopSending && s.flags&(flagSizeKnown|flagRecvDone) == 0:
		s.controlDue(dueStop)
	case kind == recStreamDataBlocked:
		if s.waitsForLimit() {
			s.controlDue(dueBlocked)
		}
	}
}

// controlDue queues control frames of the stream.
func (s *Stream) controlDue(due uint32) {
	s.flags |= due
	if s.flags&flagInControl == 0 {
		s.flags |= flagInControl
		s.c.streams.control.push(s)
	}
	s.c.wake()
}

// finish ends the stream once both directions are done and the application has released it.
// RFC 9000, Section 4.4 [1].
func (s *Stream) finish() {
	if s.c.traced {
		s.traceState()
	}
	const done = flagReleased | flagRecvDone | flagSendDone
	if s.flags&done == done && s.flags&flagInControl == 0 {
		s.c.streams.remove(s)
	}
}
