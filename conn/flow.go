package conn

import "time"

// A recvWindow is a flow control window that grows with the bandwidth-delay product.
type recvWindow struct {
	size      int64   // bytes
	most      int64   // up to where it grows
	updatedAt instant // when credit was last given, or else when the first data came
}

// begin notes when the first data came, so that the window may grow with the first credit.
func (w *recvWindow) begin(now instant) {
	if w.updatedAt == 0 {
		w.updatedAt = now
	}
}

// grow doubles the window if half of it was consumed in less than four of the shortest round trips,
// because it holds the sender up, or soon will. The usual round trip would not do: it includes the
// queues that the window itself fills, so the window would grow only to take more memory and cool
// caches. It returns by how much the window grew, at most room.
func (w *recvWindow) grow(now instant, minRTT time.Duration, room int64) int64 {
	fast := w.updatedAt != 0 && now.sub(w.updatedAt) < 4*minRTT
	w.updatedAt = now
	if !fast || w.size >= w.most {
		return 0
	}
	n := max(min(w.size, w.most-w.size, room), 0)
	w.size += n
	return n
}

// A connFlow is the flow control of a connection (RFC 9000, Section 4.1).
type connFlow struct {
	recvWindow
	recvMax  uint64 // what we allow
	received uint64 // sum of the highest offsets of all streams
	consumed uint64 // what was read or thrown away
	acked    uint64 // bytes of our streams that the peer acknowledged
	extra    int64  // bytes of the window beyond its initial size
	asked    int64  // what GrowWindow has asked for
	streams  int64  // the windows of streams that have grown, in bytes
	usedUp   bool   // the peer has used all of recvMax, or says that it waits for more

	sendMax   uint64 // what the peer allows
	sent      uint64 // bytes of streams sent for the first time
	blockedAt uint64 // the limit that DATA_BLOCKED was sent for
	limited   bool   // a stream waited for the limit
	reserve   uint64 // credit that only streams ahead of others may use
	// the largest urgency that may use it: that of the most urgent stream that it has held up
	heldFor int
}

// maxReserve bounds connFlow.reserve, in bytes.
const maxReserve = 4 * aheadBytes

func (f *connFlow) init(cfg *Config) {
	f.recvWindow = recvWindow{size: cfg.InitialMaxData, most: cfg.MaxData}
	f.recvMax = uint64(cfg.InitialMaxData)
}

// consume notes that n bytes of streams left our memory. It gives credit when half of the window is
// used. A peer that waits gets what there is before that: all of it if the reader has drained its
// stream, and otherwise a sixteenth of the window at a time, or the peer might send many small
// packets. Without it, streams that nobody reads could hold more than half of the window, and a
// reader of another stream would wait for ever.
// RFC 9000, Section 4.2 [1].
func (c *Conn) consume(n uint64, drained bool) {
	f := &c.flow
	f.consumed += n
	switch {
	case c.control.maxData || c.closed:
	case f.recvMax-f.consumed <= uint64(f.size)/2:
		c.growConnWindow()
		c.giveCredit()
	case f.usedUp && (drained || f.limit()-f.recvMax >= uint64(f.size)/16):
		c.giveRest()
	}
}

// peerWaits notes that the peer has used up its limit, or says by DATA_BLOCKED that it waits for a
// higher one. A peer may say so early, because it keeps a part of its credit for some streams.
func (c *Conn) peerWaits() {
	c.flow.usedUp = true
	c.giveRest()
}

// giveRest gives the peer the credit that there is, if there is any.
func (c *Conn) giveRest() {
	if c.flow.limit() > c.flow.recvMax && !c.closed {
		c.giveCredit()
	}
}

// giveCredit makes the next packet have MAX_DATA.
func (c *Conn) giveCredit() {
	c.control.maxData, c.control.any = true, true
	c.wake()
}

// growConnWindow grows the window of the connection under EndpointConfig.MaxBuffered.
func (c *Conn) growConnWindow() {
	e := c.e
	n := c.flow.grow(e.now, c.shortestRTT(), min(e.cfg.MaxBuffered-e.extraCredit, e.memory.Room()))
	if n > 0 && !c.allows(n) {
		c.flow.size -= n
		return
	}
	c.flow.extra += n
	e.extraCredit += n
}

// GrowWindow makes the flow control window of the connection at least n bytes, beside the windows
// of streams that have grown, or [Config.MaxData] if that is less. It remains smaller where
// EndpointConfig.MaxBuffered or Config.AllowWindowIncrease set limits.
func (c *Conn) GrowWindow(n int64) {
	c.e.rec.call(callGrowWindow, c.serial, uint64(n))
	c.flow.asked = max(c.flow.asked, min(n, c.flow.most))
	if c.fitWindow() {
		c.giveCredit()
	}
}

// fitWindow makes the window of the connection as large as those of its streams that have grown,
// and as it was at first or GrowWindow has asked for. Otherwise streams that were read fast one
// after another, and then not at all, could hold all of it, and nothing would come on any other. It
// reports whether the window has grown.
func (c *Conn) fitWindow() bool {
	f, e := &c.flow, c.e
	more := c.windowRoom(min(max(f.asked, c.cfg.InitialMaxData)+f.streams, f.most) - f.size)
	if more <= 0 || c.closed || !c.allows(more) {
		return false
	}
	f.size += more
	f.extra += more
	e.extraCredit += more
	return true
}

// growWindow grows the window of the stream when half of it is used. It leaves a quarter of the
// largest window of the connection for more streams, as far as others have left much unread by
// now. Streams that are read fast together, and then not at all, can still take all of it: credit
// cannot be taken back.
func (s *Stream) growWindow() {
	c, w := s.c, &s.window
	f := &c.flow
	unread := int64(f.received - f.consumed - (s.highest - s.in.Offset())) // of other streams
	n := w.grow(c.e.now, c.shortestRTT(), f.most-unread-min(unread, f.most/4)-w.size)
	switch {
	case n == 0:
	case w.size-n == c.cfg.InitialMaxStreamData:
		f.streams += w.size
	default:
		f.streams += n
	}
	// It may have been refused before, and the peer may wait already.
	if c.fitWindow() && f.usedUp {
		c.giveRest()
	}
}

// shrinkWindow takes the window of a stream that will hold nothing unread out of the sum.
func (s *Stream) shrinkWindow() {
	w, first := &s.window, s.c.cfg.InitialMaxStreamData
	if w.size > first {
		s.c.flow.streams -= w.size
		w.size = first
	}
}

// allows asks Config.AllowWindowIncrease.
func (c *Conn) allows(n int64) bool {
	f := c.cfg.AllowWindowIncrease
	if f == nil {
		return true
	}
	ok := f(c, n)
	c.e.rec.call(tapeWindow, flag(ok))
	return ok
}

// Window returns the flow control window of the connection, in bytes: how much the peer may send
// that this side has not read. most is how large GrowWindow can make it now, unless
// Config.AllowWindowIncrease refuses.
func (c *Conn) Window() (size, most int64) {
	f := &c.flow
	return f.size, f.size + max(c.windowRoom(f.most-f.size), 0)
}

// windowRoom returns how much of n more bytes the endpoint has room for. It may be negative.
func (c *Conn) windowRoom(n int64) int64 {
	return min(n, c.e.cfg.MaxBuffered-c.e.extraCredit, c.e.memory.Room())
}

// limit returns how much the peer may send in all by now, whether it was told or not.
func (f *connFlow) limit() uint64 { return min(f.consumed+uint64(f.size), maxLimit) }

// newRecvMax returns the limit to send in MAX_DATA.
func (f *connFlow) newRecvMax() uint64 {
	if limit := f.limit(); limit > f.recvMax {
		f.recvMax, f.usedUp = limit, false
	}
	return f.recvMax
}

// raise takes a new limit of the peer, if it is higher. While the limit holds streams up, they use
// each piece of credit as soon as it comes. A short answer that is ready a moment later would then
// wait for the next piece, which may be a round trip away. So a small part of the credit is kept
// for such answers.
// RFC 9000, Section 4.1 [3]; RFC 9000, Section 13.3 [5].
func (f *connFlow) raise(limit uint64) (higher bool) {
	if limit <= f.sendMax {
		return false
	}
	f.reserve, f.heldFor = 0, 7
	if f.limited {
		f.reserve = min((limit-f.sendMax)/8, maxReserve)
	}
	f.limited, f.sendMax = false, limit
	return true
}

// sendCredit returns how many more bytes the peer allows.
// RFC 9000, Section 2.2 [3]; RFC 9000, Section 4.1 [1]; RFC 9000, Section 19.9 [1]; RFC 9000,
// Section 19.10 [3].
func (f *connFlow) sendCredit() uint64 { return f.sendMax - min(f.sent, f.sendMax) }
