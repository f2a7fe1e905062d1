package conn

import (
	"slices"

	"github.com/lazoquic/lazo/internal/wire"
)

// minStreamData is the least part of longer data for which a STREAM frame is put at the end of a
// packet, in bytes.
const minStreamData = 32

// appendStreams appends STREAM frames, in the order of the send queue.
func (c *Conn) appendStreams(w *packetWriter) {
	q, start := &c.streams.send, len(w.b)
	for s := q.first(); s != nil; s = q.next() {
		if c.appendStream(w, s) {
			break
		}
		if s.flags&flagInSend != 0 && !s.sendable() {
			q.remove(s)
			s.noteBlocked()
		}
	}
	if len(w.b) > start {
		q.packetFilled()
	}
}

// appendStream appends one STREAM frame, and reports whether the packet is full.
func (c *Conn) appendStream(w *packetWriter, s *Stream) (full bool) {
	off, n := s.out.NextLost()
	fresh := n == 0
	if fresh {
		off = s.out.Sent()
		n = int(min(s.end()-min(off, s.end()), s.sendMax-min(off, s.sendMax)))
		if s.member.group != nil {
			n = int(min(uint64(n), s.groupRoom(off)))
		}
		if credit := c.streamCredit(s, uint64(n)); uint64(n) > credit {
			if n = int(credit); n == 0 {
				c.blockStream(w, s)
				return false
			}
		}
	}
	// A frame that reaches the end of the packet needs no Length (RFC 9000, Section 19.8).
	header := wire.StreamHeaderLen(uint64(s.id), off, false)
	room := w.room() - header
	withLen := n < room
	if withLen {
		room -= 2
	}
	if room < 0 || room < n && room < minStreamData {
		return true
	}
	n = min(n, room)
	end := off + uint64(n)
	fin := s.flags&(flagFin|flagResetAt) == flagFin && end == s.out.End() && (fresh || s.flags&flagFinSent == 0)
	if n == 0 && !fin {
		return false
	}
	w.b, _ = wire.AppendStreamHeader(w.b, uint64(s.id), off, withLen, fin, n)
	k := len(w.b)
	w.b = w.b[:k+n]
	if n > 0 {
		s.out.CopyTo(w.b[k:], off)
		s.out.MarkSent(off, n)
	}
	r := w.newRecord()
	r.stream, r.value, r.gen = s, off, s.gen
	r.n, r.kind, r.fin = uint16(n), recStream, fin
	c.streams.send.sent(s, n)
	w.sp.lastData = w.pn
	if fin {
		s.flags |= flagFinSent
		if c.traced {
			s.traceState()
		}
	}
	if !fresh {
		c.stats.StreamBytesRetransmitted += uint64(n)
		return !withLen
	}
	c.flow.sent += uint64(n)
	if s.member.group != nil {
		s.groupSent(off, n)
	}
	s.resetAtSent()
	if s.flags&flagWantWrite != 0 {
		s.noteUnsent()
	}
	return !withLen
}

// streamCredit returns how many of n bytes of new data a stream may send under the peer's limit for
// the connection.
func (c *Conn) streamCredit(s *Stream, n uint64) uint64 {
	f := &c.flow
	credit := f.sendCredit()
	if f.reserve == 0 || n+f.reserve <= credit || s.flags&flagAhead != 0 && s.urgency() <= f.heldFor {
		return credit
	}
	if c.streamsAcked() {
		f.reserve = 0
		return credit
	}
	f.heldFor = min(f.heldFor, s.urgency())
	return credit - min(credit, f.reserve)
}

// streamsAcked reports whether the peer has acknowledged everything that streams sent. A peer that
// gives no credit then may be waiting until more is used, so nothing may be held back.
func (c *Conn) streamsAcked() bool {
	if c.multi != nil {
		return c.multi.streamsAcked()
	}
	return c.app.streamsAcked()
}

// streamsAcked is that of Conn, for one lane.
func (sp *space) streamsAcked() bool { return sp.sent.largestAcked >= int64(sp.lastData) }

func (m *multipath) streamsAcked() bool {
	return !slices.ContainsFunc(m.lanes, func(l *lane) bool { return l.state == laneOpen && !l.app.streamsAcked() })
}

// releaseReserve lets all streams use the reserve, once it may be in vain to wait for credit.
func (c *Conn) releaseReserve() {
	if f := &c.flow; f.reserve > 0 && !c.streams.send.blocked.Empty() && c.streamsAcked() {
		f.reserve = 0
		c.streams.send.unblock()
	}
}

// writable raises EventStreamWritable.
func (s *Stream) writable() {
	s.flags &^= flagWantWrite
	s.low = 0
	if s.flags&(flagWritableQueued|flagReleased) == 0 {
		s.flags |= flagWritableQueued
		s.event(EventStreamWritable, 0)
	}
}

// blockStream puts aside a stream whose new data waits for MAX_DATA, and tells the peer, once for
// each limit.
// RFC 9000, Section 19.12 [1]; RFC 9000, Section 19.13 [1].
func (c *Conn) blockStream(w *packetWriter, s *Stream) {
	if s.out.Unsent() == 0 || s.sendMax <= s.out.Sent() {
		return
	}
	c.streams.send.block(s)
	c.flow.limited = true
	if f := &c.flow; f.blockedAt != f.sendMax+1 && w.fits(9) { // RFC 9000, Section 4.1 [4]
		w.b = wire.AppendOne(w.b, wire.FrameDataBlocked, f.sendMax)
		w.record(record{kind: recDataBlocked})
		f.blockedAt = f.sendMax + 1
		c.stats.ConnBlocks++
	}
}
