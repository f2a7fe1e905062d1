package conn

import "github.com/lazoquic/lazo/internal/list"

// A StreamGroup limits what some streams of a connection send and receive together, beside the
// limits of QUIC. A protocol whose sessions share a connection has a group for each session. Call
// the methods of a group on the goroutine of the connection, as those of its streams.
//
// The data behind the header of a stream counts, each byte once. If the stream is reset, all bytes
// up to its final size count (RFC 9000, Section 4.5). So both sides count the same.
type StreamGroup struct {
	notify  func()
	sendMax uint64 // what the peer allows
	sent    uint64
	blocked bool // a stream has waited for sendMax
	waiting list.List[*Stream]

	serial uint64    // see recorder
	rec    *recorder // of the Endpoint whose streams have joined

	recvMax   uint64 // what we allow
	received  uint64
	discarded uint64
}

// NewStreamGroup makes a group whose streams may send sendMax bytes and receive recvMax bytes for
// now. The group calls notify when a result of Blocked, Exceeded or Discarded has changed. That
// happens within methods of the connection, so notify must not call any of them.
func NewStreamGroup(sendMax, recvMax uint64, notify func()) *StreamGroup {
	return &StreamGroup{notify: notify, sendMax: sendMax, recvMax: recvMax}
}

// A membership is the place of a stream in a group.
type membership struct {
	group   *StreamGroup
	header  uint64 // how many bytes at the start of what is sent do not count
	waits   bool   // is in the list of those that wait
	waiting list.Item[*Stream]
}

// Join makes s count in g from now on. The first header bytes that the side that opened s sends do
// not count. Call it once, before anything is written, and before anything but the header has been
// read. Offset tells how much has been read.
func (s *Stream) Join(g *StreamGroup, header uint64) {
	s.c.e.rec.join(s, g, header)
	s.member.group = g
	if s.id.ByServer() == s.c.Server() {
		s.member.header = header
		return
	}
	body := s.highest - header
	g.receive(body)
	if s.flags&flagRecvReset != 0 && body > 0 {
		g.discard(body)
	}
}

// SetSendMax raises the limit of what the group sends. Streams that wait for it go on. A lower
// limit has no effect.
func (g *StreamGroup) SetSendMax(limit uint64) {
	g.rec.call(callSetSendMax, g.serial, limit)
	if limit <= g.sendMax {
		return
	}
	g.sendMax, g.blocked = limit, false
	for s := g.waiting.First(); s != nil; s = g.waiting.First() {
		s.leaveWaiting()
		s.schedule()
	}
}

// SetReceiveMax raises the limit of what the group may receive. Tell the peer afterwards.
func (g *StreamGroup) SetReceiveMax(limit uint64) {
	g.rec.call(callSetReceiveMax, g.serial, limit)
	g.recvMax = max(g.recvMax, limit)
}

// Blocked reports whether a stream has data that waits for the limit, and returns the limit.
func (g *StreamGroup) Blocked() (limit uint64, blocked bool) { return g.sendMax, g.blocked }

// Exceeded reports whether the peer has sent more than the limit.
func (g *StreamGroup) Exceeded() bool { return g.received > g.recvMax }

// Discarded returns how many bytes were received, or skipped by a reset, and will never be returned
// by a call of Read.
func (g *StreamGroup) Discarded() uint64 { return g.discarded }

// receive counts n bytes that the peer has sent.
func (g *StreamGroup) receive(n uint64) {
	before := g.Exceeded()
	g.received += n
	if g.Exceeded() != before {
		g.notify()
	}
}

// discard counts n bytes that nobody will read.
func (g *StreamGroup) discard(n uint64) {
	g.discarded += n
	g.notify()
}

// groupRoom returns how many bytes from off on the group of the stream allows to send.
func (s *Stream) groupRoom(off uint64) uint64 {
	g := s.member.group
	return s.member.header - min(off, s.member.header) + g.sendMax - min(g.sent, g.sendMax)
}

// groupSent counts n bytes from off on that are sent for the first time.
func (s *Stream) groupSent(off uint64, n int) {
	end := off + uint64(n)
	s.member.group.sent += end - min(max(off, s.member.header), end)
}

// waitForGroup puts s among those that wait for the limit of the group, if that limit holds s up.
func (s *Stream) waitForGroup() {
	m, sent := &s.member, s.out.Sent()
	if m.waits || s.flags&(flagReset|flagSendDone) != 0 || sent >= s.end() || s.groupRoom(sent) > 0 {
		return
	}
	m.waits = true
	m.group.waiting.PushBack(&m.waiting, s)
	if !m.group.blocked {
		m.group.blocked = true
		m.group.notify()
	}
}

// leaveWaiting takes s out of those that wait for the limit of the group.
func (s *Stream) leaveWaiting() {
	if m := &s.member; m.waits {
		m.waits = false
		m.group.waiting.Remove(&m.waiting)
	}
}
