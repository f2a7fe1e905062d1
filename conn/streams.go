package conn

import (
	"slices"

	"github.com/lazoquic/lazo/internal/wire"
)

// A streamSet is the streams of a connection.
type streamSet struct {
	all    map[StreamID]*Stream
	last   *Stream // looked up last
	server bool

	next      [2]uint64 // how many we opened, by Dir
	peerLimit [2]uint64 // how many the peer allows
	blockedAt [2]uint64 // the limit that STREAMS_BLOCKED was sent for
	opened    [2]uint64 // how many the peer opened
	closed    [2]uint64 // how many of these have ended
	limit     [2]uint64 // how many we allow
	window    [2]uint64 // how many at a time

	awaited int // client: streams whose answer has not ended

	send    sendQueue
	control controlList
}

func (t *streamSet) init(cfg *Config, server bool) {
	t.server = server
	t.window = [2]uint64{uint64(cfg.InitialMaxStreamsBidi), uint64(cfg.InitialMaxStreamsUni)}
	t.limit = [2]uint64{min(t.window[Bidi], maxStreamsAhead), min(t.window[Uni], maxStreamsAhead)}
}

// maxStreamsAhead is how many more streams than it has opened a peer may open. One frame opens all
// up to an ID, and must not cost work and memory for a million of them.
const maxStreamsAhead = 4096

// nextLimit returns how many streams of a directionality the peer may be allowed to open now.
func (t *streamSet) nextLimit(dir Dir) uint64 {
	n := min(t.closed[dir]+t.window[dir], t.opened[dir]+maxStreamsAhead, maxStreamCount)
	return max(n, t.limit[dir])
}

// PeerStreamLimit returns how many streams of a directionality the peer may open in all, by the
// limits that it has been sent. The number grows as streams end. A protocol above needs it to
// refuse frames for a stream that cannot exist.
func (c *Conn) PeerStreamLimit(dir Dir) uint64 {
	if dir > Uni {
		return 0
	}
	return c.streams.limit[dir]
}

// StreamLimit returns how many streams of a directionality this side may open in all, by the limits
// that it has received. With early data these are the remembered ones. A protocol above needs it to
// refuse frames of the peer for a stream that cannot exist.
func (c *Conn) StreamLimit(dir Dir) uint64 {
	if dir > Uni {
		return 0
	}
	return c.streams.peerLimit[dir]
}

// giveStreams lets the peer open more streams. Credit goes out in batches, and before the peer runs
// out of it.
// RFC 9000, Section 4.6 [6].
func (t *streamSet) giveStreams(c *Conn, dir Dir) {
	left := t.limit[dir] - t.opened[dir]
	if left <= min(t.window[dir], maxStreamsAhead)/2 && t.nextLimit(dir) > t.limit[dir] {
		c.control.maxStreams[dir], c.control.any = true, true
		c.wake()
	}
}

// GrowStreams lets the peer have at least n streams of a directionality open at a time, from now
// on. No more than 4,096 more than it has opened are allowed at once.
func (c *Conn) GrowStreams(dir Dir, n int64) {
	c.e.rec.call(callGrowStreams, c.serial, uint64(dir), uint64(n))
	if t := &c.streams; dir <= Uni && n > 0 && uint64(n) > t.window[dir] && !c.closed {
		t.window[dir] = uint64(n)
		t.giveStreams(c, dir)
	}
}

// A streamPool is a free list of streams. A free stream still leads to the connection that it had,
// because a program may have the handle. So those of a connection leave the list when it ends.
type streamPool struct {
	free []freeStream
}

// A freeStream is a stream, and its connection.
type freeStream struct {
	s *Stream
	c *Conn
}

// maxFreeStreams bounds a streamPool.
const maxFreeStreams = 1024

// put adds s, if there is room.
func (p *streamPool) put(s *Stream) {
	if len(p.free) < maxFreeStreams {
		p.free = append(p.free, freeStream{s, s.c})
	}
}

// get returns a free stream or a new one.
func (p *streamPool) get() *Stream {
	last := len(p.free) - 1
	if last < 0 {
		return new(Stream)
	}
	s := p.free[last].s
	p.free[last] = freeStream{}
	p.free = p.free[:last]
	return s
}

// forget drops the streams of c.
func (p *streamPool) forget(c *Conn) {
	p.free = slices.DeleteFunc(p.free, func(f freeStream) bool { return f.c == c })
}

// newStream makes a stream. In the limits of the peer, local and remote are from the peer's point
// of view.
func (t *streamSet) newStream(c *Conn, id StreamID) *Stream {
	s := c.e.streams.get()
	gen := s.gen
	c.e.serials.stream++
	*s = Stream{c: c, id: id, gen: gen, serial: c.e.serials.stream, turn: turn{ahead: aheadBytes, since: c.flow.sent}}
	c.e.play.opened(s)
	ours := id.ByServer() == t.server
	if id.Dir() == Bidi || !ours {
		s.flags |= flagRecv | flagArmed
		s.window = recvWindow{size: c.cfg.InitialMaxStreamData, most: c.cfg.MaxStreamData}
		s.recvMax = uint64(s.window.size)
	} else {
		s.flags |= flagRecvDone
	}
	if id.Dir() == Bidi || ours {
		s.flags |= flagSend
		switch {
		case id.Dir() == Uni:
			s.sendMax = c.peer.MaxStreamDataUni
		case ours:
			s.sendMax = c.peer.MaxStreamDataBidiRemote
		default:
			s.sendMax = c.peer.MaxStreamDataBidiLocal
		}
	} else {
		s.flags |= flagSendDone
	}
	if t.all == nil {
		t.all = make(map[StreamID]*Stream)
	}
	t.all[id] = s
	t.last = s
	c.memory.Charge(streamCost)
	if c.traced {
		s.traceState()
	}
	return s
}

// remove forgets a stream that has ended, and lets the peer open another.
func (t *streamSet) remove(s *Stream) {
	c := s.c
	delete(t.all, s.id)
	s.answered()
	if t.last == s {
		t.last = nil
	}
	t.send.remove(s)
	if s.id.ByServer() != t.server {
		dir := s.id.Dir()
		t.closed[dir]++
		t.giveStreams(c, dir)
	}
	s.recycle()
}

// recycle gives the memory of a stream back.
func (s *Stream) recycle() {
	s.in.Reset(&s.c.chunks)
	s.out.Reset(&s.c.chunks)
	s.leaveWaiting()
	s.member = membership{}
	s.c.memory.Release(streamCost)
	s.gen++
	s.flags = flagReleased
	s.UserData, s.turn, s.nextControl, s.low = nil, turn{}, nil, 0
	s.c.e.streams.put(s)
}

// StreamCredit returns how many streams OpenStream opens before it returns [ErrStreamLimit] (RFC
// 9000, Section 4.6). It is 0 after Close.
func (c *Conn) StreamCredit(dir Dir) uint64 {
	if dir > Uni || c.closed || !c.maySend() {
		return 0
	}
	return c.streams.peerLimit[dir] - c.streams.next[dir]
}

// OpenStream opens a stream. It returns [ErrStreamLimit] until the peer
// raises the limit, which [EventStreamsAvailable] reports.
// RFC 9000, Section 4.6 [2, 5]; RFC 9000, Section 19.11 [3]; RFC 9000, Section 19.14 [1].
func (c *Conn) OpenStream(dir Dir) (*Stream, error) {
	c.e.rec.call(callOpenStream, c.serial, uint64(dir))
	s, err := c.openStream(dir)
	c.e.rec.failure(err, s.tapeSerial())
	return s, err
}

func (c *Conn) openStream(dir Dir) (*Stream, error) {
	if dir > Uni {
		return nil, errDir
	}
	if c.closed {
		return nil, c.closedErr()
	}
	t := &c.streams
	if !c.maySend() || t.next[dir] >= t.peerLimit[dir] {
		if c.hasPeer && t.blockedAt[dir] != t.peerLimit[dir]+1 {
			c.control.streamsBlocked[dir], c.control.any = true, true
			c.wake()
		}
		return nil, ErrStreamLimit
	}
	id := StreamID(t.next[dir]<<2 | uint64(dir)<<1)
	if t.server {
		id |= 1
	}
	t.next[dir]++ // RFC 9000, Section 2.1 [1]
	c.stats.StreamsOpened++
	return t.newStream(c, id), nil
}

// raiseLimits gives streams that were opened with remembered limits what the server allows now.
func (t *streamSet) raiseLimits(c *Conn) {
	for dir := range uint64(2) {
		limit := c.peer.MaxStreamDataBidiRemote
		if Dir(dir) == Uni {
			limit = c.peer.MaxStreamDataUni
		}
		for n := range t.next[dir] {
			if s := t.all[StreamID(n<<2|dir<<1)]; s != nil && limit > s.sendMax {
				s.sendMax = limit
				s.schedule()
			}
		}
	}
	t.send.unblock()
}

// maySend reports whether there are keys for application data.
func (c *Conn) maySend() bool {
	return !c.closed && (c.early.tx != nil || c.hasPeer && c.spaces[spaceApp].tx != nil)
}

// find returns the stream of an ID in a frame, nil if it has ended. recv tells which direction the
// frame concerns. The set keeps nothing of a stream that has ended. So find does not notice data
// beyond its final size, or another final size. RFC 9000, Section 4.5, does not ask for that,
// because it would take memory for each stream that there ever was.
// RFC 9000, Section 19.11 [4].
func (t *streamSet) find(c *Conn, id StreamID, recv bool, frame uint64) (*Stream, error) {
	if s := t.last; s != nil && s.id == id {
		if recv && s.flags&flagRecv == 0 || !recv && s.flags&flagSend == 0 {
			return nil, violation(errStreamState, frame, "stream %d has no such direction", id)
		}
		return s, nil
	}
	dir, n := id.Dir(), uint64(id>>2)
	if id.ByServer() == t.server { // ours
		if dir == Uni && recv || n >= t.next[dir] {
			return nil, violation(errStreamState, frame, "stream %d was not opened", id)
		}
	} else {
		if dir == Uni && !recv {
			return nil, violation(errStreamState, frame, "stream %d is not for sending", id)
		}
		if n >= t.limit[dir] {
			// RFC 9000, Section 4.6 [3].
			return nil, violation(errStreamLimit, frame, "stream %d", id)
		}
		if n >= t.opened[dir] {
			if !c.mayHoldStreams(n + 1 - t.opened[dir]) {
				return nil, errNoRoom
			}
			t.open(c, id)
		}
	}
	s := t.all[id]
	if s != nil {
		t.last = s
	}
	return s, nil
}

// open opens the streams of the peer up to id (RFC 9000, Section 2.1: and all lower ones of its
// type).
// RFC 9000, Section 3.2 [1].
func (t *streamSet) open(c *Conn, id StreamID) {
	dir := id.Dir()
	for ; t.opened[dir] <= uint64(id>>2); t.opened[dir]++ {
		s := t.newStream(c, StreamID(t.opened[dir]<<2)|id&3)
		c.stats.StreamsAccepted++
		s.event(EventStreamOpened, 0)
	}
	if t.window[dir] > maxStreamsAhead {
		t.giveStreams(c, dir)
	}
}

// receiving returns the stream of a frame that concerns what the peer sends.
// RFC 9000, Section 19.4 [1]; RFC 9000, Section 19.8 [1]; RFC 9000, Section 19.13 [2].
func (t *streamSet) receiving(c *Conn, id StreamID, frame uint64) (*Stream, error) {
	return t.find(c, id, true, frame)
}

// sending returns the stream of a frame that concerns what we send.
// RFC 9000, Section 19.5 [1, 2]; RFC 9000, Section 19.10 [1, 2].
func (t *streamSet) sending(c *Conn, id StreamID, frame uint64) (*Stream, error) {
	return t.find(c, id, false, frame)
}

// handleStream handles a STREAM frame.
func (c *Conn) handleStream(p *received, b []byte) (int, error) {
	id, off, data, fin, n := wire.StreamFields(b)
	if n <= 0 {
		return n, nil
	}
	s, err := c.streams.receiving(c, StreamID(id), wire.FrameStream)
	if s == nil || err != nil {
		return n, err
	}
	if p.early {
		s.flags |= flagEarly
	}
	return n, s.receive(off, data, fin)
}

// A controlList is the streams that have control frames to send.
type controlList struct{ head, tail *Stream }

func (l *controlList) push(s *Stream) {
	s.nextControl = nil
	if l.tail == nil {
		l.head = s
	} else {
		l.tail.nextControl = s
	}
	l.tail = s
}

func (l *controlList) pop() {
	s := l.head
	if l.head = s.nextControl; l.head == nil {
		l.tail = nil
	}
	s.nextControl = nil
}

// letGo gives back what a closed connection holds for its streams, and drops its keys and its
// records of packets. Somebody may hold the Conn for long.
func (c *Conn) letGo() {
	*c.app = space{lane: &c.lane, id: spaceApp}
	for _, s := range c.streams.all {
		s.in.Reset(&c.chunks)
		s.out.Reset(&c.chunks)
		s.gen++
		c.memory.Release(streamCost)
	}
	c.streams = streamSet{server: c.server}
	c.e.streams.forget(c)
	c.datagrams = nil
	c.settle()
	c.releaseAbove()
	c.memory.Release(connCost)
	c.e.leaving -= c.lastHeld
}
