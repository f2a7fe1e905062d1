package conn

import (
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// A controlState says which frames of the connection are due. A frame gets its value when it is
// sent. So a lost frame is not sent again as it was: it becomes due again (RFC 9000, Section 13.3).
type controlState struct {
	any            bool // one of the others may be set
	handshakeDone  bool
	maxData        bool
	dataBlocked    bool // DATA_BLOCKED was lost
	maxStreams     [2]bool
	streamsBlocked [2]bool
	newIDs         bool
	retireIDs      bool
	newToken       bool
	paths          bool // frames of multipath
	token          []byte
}

// appendControl appends the frames of the connection that are due. What does not fit stays due.
// RFC 9000, Section 13.3 [3].
func (c *Conn) appendControl(w *packetWriter) {
	k := &c.control
	if !k.any {
		return
	}
	k.any = false
	if k.handshakeDone && w.fits(1) {
		w.b = append(w.b, wire.FrameHandshakeDone)
		w.record(record{kind: recHandshakeDone})
		k.handshakeDone = false
	}
	if k.maxData && w.fits(9) {
		w.b = wire.AppendOne(w.b, wire.FrameMaxData, c.flow.newRecvMax())
		w.record(record{kind: recMaxData})
		k.maxData = false
	}
	if k.dataBlocked && w.fits(9) {
		k.dataBlocked = false
		if !c.streams.send.blocked.Empty() {
			w.b = wire.AppendOne(w.b, wire.FrameDataBlocked, c.flow.sendMax)
			w.record(record{kind: recDataBlocked})
		}
	}
	c.appendStreamLimits(w)
	if k.newIDs {
		c.appendNewIDs(w)
	}
	if k.retireIDs {
		c.appendRetireIDs(w)
	}
	if k.newToken && w.fits(len(k.token)+3) {
		w.b = wire.AppendNewToken(w.b, k.token)
		w.record(record{kind: recNewToken})
		k.newToken = false
	}
	if f := &c.ackFreq; f.due && w.fits(2+8+8+8+1) {
		w.b = wire.AppendAckFrequency(w.b, f.nextSeq, uint64(f.asked-1), uint64(f.delay/time.Microsecond), 1)
		w.record(record{kind: recAckFrequency, value: f.nextSeq})
		f.nextSeq++
		f.due, f.sent = false, true
	}
	if k.paths && c.multi != nil {
		c.multi.appendPaths(w)
	}
	k.any = k.handshakeDone || k.maxData || k.dataBlocked || k.maxStreams[0] || k.maxStreams[1] || k.streamsBlocked[0] ||
		k.streamsBlocked[1] || k.newIDs || k.retireIDs || k.newToken || k.paths || c.ackFreq.due
}

// appendStreamLimits appends MAX_STREAMS and STREAMS_BLOCKED.
func (c *Conn) appendStreamLimits(w *packetWriter) {
	k, t := &c.control, &c.streams
	for dir := range uint64(2) {
		if k.maxStreams[dir] && w.fits(9) {
			t.limit[dir] = t.nextLimit(Dir(dir))
			w.b = wire.AppendOne(w.b, byte(wire.FrameMaxStreamsBidi+dir), t.limit[dir])
			w.record(record{kind: recMaxStreams, value: dir})
			k.maxStreams[dir] = false
		}
		if t.next[dir] < t.peerLimit[dir] {
			k.streamsBlocked[dir] = false // not any more
		}
		if k.streamsBlocked[dir] && w.fits(9) {
			w.b = wire.AppendOne(w.b, byte(wire.FrameStreamsBlockedBidi+dir), t.peerLimit[dir])
			w.record(record{kind: recStreamsBlocked, value: dir})
			k.streamsBlocked[dir] = false
			if at := t.peerLimit[dir] + 1; t.blockedAt[dir] != at {
				t.blockedAt[dir] = at
				c.stats.StreamLimitBlocks++
			}
		}
	}
}

func (c *Conn) appendNewIDs(w *packetWriter) {
	k := &c.control
	if c.multi == nil {
		k.newIDs = !c.lane.appendNewIDs(w)
		return
	}
	k.newIDs = false
	for _, l := range c.multi.lanes {
		k.newIDs = !l.appendNewIDs(w) || k.newIDs
	}
}

// appendNewIDs appends the connection IDs of a lane that the peer is to be told, and reports
// whether all fitted.
// draft-ietf-quic-multipath-21, Section 3.2 [1].
func (l *lane) appendNewIDs(w *packetWriter) bool {
	c := l.conn
	for i := range l.local.ids {
		x := &l.local.ids[i]
		if !x.due {
			continue
		}
		if !w.fits(2 + 8 + 8 + 1 + 1 + maxConnIDLen + resetTokenLen) {
			return false
		}
		if c.multi != nil { // draft-ietf-quic-multipath-21, Section 3.2: for the path 0 too
			w.b = wire.AppendPathNewConnectionID(w.b, l.id, x.seq, 0, x.id.bytes(), c.e.resetToken(x.id))
		} else {
			// RFC 9000, Section 19.15 [5].
			w.b = wire.AppendNewConnectionID(w.b, x.seq, 0, x.id.bytes(), c.e.resetToken(x.id))
		}
		w.record(record{kind: recNewConnID, value: x.seq, gen: l.id})
		x.due = false
		l.local.sent = max(l.local.sent, x.seq+1)
	}
	return true
}

func (c *Conn) appendRetireIDs(w *packetWriter) {
	k := &c.control
	if c.multi == nil {
		k.retireIDs = !c.lane.appendRetireIDs(w)
		return
	}
	k.retireIDs = false
	for _, l := range c.multi.lanes {
		k.retireIDs = !l.appendRetireIDs(w) || k.retireIDs
	}
}

// appendRetireIDs appends the connection IDs of a lane that are to be retired, and reports whether
// all fitted.
func (l *lane) appendRetireIDs(w *packetWriter) bool {
	for i := range l.remote.retired {
		x := &l.remote.retired[i]
		if !x.due {
			continue
		}
		if !w.fits(2 + 8 + 8) {
			return false
		}
		if l.conn.multi != nil {
			w.b = wire.AppendPathValue(w.b, wire.FramePathRetireConnectionID, l.id, x.seq)
		} else {
			w.b = wire.AppendOne(w.b, wire.FrameRetireConnectionID, x.seq)
		}
		w.record(record{kind: recRetireConnID, value: x.seq, gen: l.id})
		x.due = false
	}
	return true
}

// appendStreamControl appends the control frames of streams.
func (c *Conn) appendStreamControl(w *packetWriter) {
	l := &c.streams.control
	for s := l.head; s != nil && w.fits(1+8+8+8+8); s = l.head {
		due := s.flags & dueAny
		rec := record{stream: s, gen: s.gen}
		switch {
		case due&dueReset != 0:
			if s.flags&flagResetAt != 0 {
				w.b = wire.AppendResetStreamAt(w.b, uint64(s.id), s.resetCode, s.resetSize, s.reliable)
			} else {
				w.b = wire.AppendResetStream(w.b, uint64(s.id), s.resetCode, s.resetSize)
			}
			rec.kind = recResetStream
			s.flags &^= dueReset
		case due&dueStop != 0:
			s.flags &^= dueStop
			if s.flags&flagRecvDone != 0 {
				continue
			}
			w.b = wire.AppendStopSending(w.b, uint64(s.id), s.stopCode)
			rec.kind = recStopSending
		case due&dueMaxData != 0:
			s.flags &^= dueMaxData
			if s.flags&(flagSizeKnown|flagStopped) != 0 {
				continue
			}
			s.recvMax = max(s.recvMax, min(s.in.Offset()+uint64(s.window.size), maxLimit))
			w.b = wire.AppendTwo(w.b, wire.FrameMaxStreamData, uint64(s.id), s.recvMax)
			rec.kind = recMaxStreamData
		case due&dueBlocked != 0:
			s.flags &^= dueBlocked
			w.b = wire.AppendTwo(w.b, wire.FrameStreamDataBlocked, uint64(s.id), s.sendMax)
			rec.kind = recStreamDataBlocked
		default:
			l.pop()
			s.flags &^= flagInControl
			s.finish()
			continue
		}
		w.record(rec)
	}
}

// adaptAckFrequency asks the peer for fewer acknowledgements while many packets are in flight
// (draft-ietf-quic-ack-frequency). What is asked counts on every path.
func (c *Conn) adaptAckFrequency(now instant) {
	f := &c.ackFreq
	if c.peer.MinAckDelay == 0 || c.cfg.DisableAckFrequency || c.state != stateConfirmed || now < f.decideAt {
		return
	}
	packets, rtt := c.path.inWindow(), c.path.rtt.smoothed
	if c.multi != nil {
		packets, rtt = c.multi.leastInWindow()
	}
	f.decideAt = now.add(rtt)
	want := min(max(packets/ackShare, 2), maxAckThreshold)
	share := ackDelayShare
	if c.path.cc.PacingRate() > 0 {
		share = max(share, min(packets/ratePackets, rateDelayShare, int(rtt/minAckDelay)))
	}
	delay := min(max(rtt/time.Duration(share), c.peer.MinAckDelay), max(c.peer.MaxAckDelay, c.peer.MinAckDelay))
	if !f.sent && want == 2 {
		return
	}
	if f.sent && want >= f.asked/2 && want <= 2*f.asked && delay >= f.delay/2 && delay <= 2*f.delay {
		return // not worth a frame
	}
	f.asked, f.delay, f.due = want, delay, true
	c.control.any = true
	c.wake()
}

// inWindow returns how many packets may be in flight.
func (m *estimates) inWindow() int { return int(m.cc.Window() / uint64(m.mtu.current)) }

const (
	ackShare        = 8   // acknowledgements in a congestion window
	ackDelayShare   = 4   // an acknowledgement may wait for 1/ackDelayShare of a round trip
	maxAckThreshold = 128 // packets for each acknowledgement

	// A controller that sets a rate leaves room in its window for what one acknowledgement stands
	// for. Where that is much, two flows keep the shares that they began with (docs/mobile.md). So
	// the wait is shorter then. There is no more than one for four packets of the window. The
	// window of BBR is twice what the path holds, so that is about two packets in flight.
	rateDelayShare = 64
	ratePackets    = 4
)
