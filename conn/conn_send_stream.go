package conn

import "github.com/lazoquic/lazo/internal/wire"

// minStreamData is how much of a longer rest is worth a STREAM frame at the end of a packet, in bytes.
const minStreamData = 32

// appendStreams appends STREAM frames, in the order of priorities.
func (c *Conn) appendStreams(w *packetWriter) {
	t := &c.streams
	for s := t.first(); s != nil; s = t.first() {
		full := c.appendStream(w, s)
		switch {
		case full:
			if s.priority.Incremental && s.flags&flagInSend != 0 {
				// RFC 9218, Section 10: streams of the same urgency share.
				l := &t.ready[s.urgency()]
				l.remove(s)
				l.push(s)
			}
			return
		case s.flags&flagInSend == 0: // it waits for credit of the connection
		case s.sendable():
			if s.out.Sent() < s.end() || !w.fits(minStreamData) {
				continue
			}
		default:
			t.unschedule(s)
			s.noteBlocked()
		}
	}
}

// appendStream appends one STREAM frame, and reports whether the packet is full.
func (c *Conn) appendStream(w *packetWriter, s *Stream) (full bool) {
	off, n := s.out.NextLost()
	fresh := n == 0
	if fresh {
		off = s.out.Sent()
		n = int(min(s.end()-min(off, s.end()), s.sendMax-min(off, s.sendMax)))
		if credit := c.flow.sendCredit(); uint64(n) > credit {
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
	var lenOff int
	w.b, lenOff = wire.AppendStreamHeader(w.b, uint64(s.id), off, withLen, fin, n)
	_ = lenOff
	k := len(w.b)
	w.b = w.b[:k+n]
	if n > 0 {
		s.out.CopyTo(w.b[k:], off)
		s.out.MarkSent(off, n)
	}
	w.record(record{kind: recStream, stream: s, gen: s.gen, value: off, n: uint16(n), fin: fin})
	if fin {
		s.flags |= flagFinSent
	}
	if !fresh {
		c.stats.StreamBytesRetransmitted += uint64(n)
		return !withLen
	}
	c.flow.sent += uint64(n)
	s.resetAtSent()
	if s.flags&flagWantWrite != 0 && s.out.Unsent() <= c.unsentLimit()/2 {
		s.writable()
	}
	return !withLen
}

// writable raises EventStreamWritable.
func (s *Stream) writable() {
	s.flags &^= flagWantWrite
	if s.flags&(flagWritableQueued|flagReleased) == 0 {
		s.flags |= flagWritableQueued
		s.event(EventStreamWritable, 0)
	}
}

// blockStream puts aside a stream whose new data waits for MAX_DATA, and says so, once for each limit.
func (c *Conn) blockStream(w *packetWriter, s *Stream) {
	if s.out.Unsent() == 0 || s.sendMax <= s.out.Sent() {
		return
	}
	c.streams.block(s)
	if f := &c.flow; f.blockedAt != f.sendMax+1 && w.fits(9) {
		w.b = wire.AppendOne(w.b, wire.FrameDataBlocked, f.sendMax)
		w.record(record{kind: recDataBlocked})
		f.blockedAt = f.sendMax + 1
	}
}
