package conn

import (
	"math/bits"

	"github.com/lazoquic/lazo/internal/list"
	"github.com/lazoquic/lazo/internal/timerheap"
)

const (
	// aheadBytes is how much a new stream sends ahead of those of its urgency that have already
	// sent as much. So a short answer is complete without waiting for a long one.
	aheadBytes = 4096

	// aheadEvery is how much the connection sends until a stream may send aheadBytes ahead again.
	// So a stream that sends little at a time always goes ahead, and no stream can hold up the
	// others by that.
	aheadEvery = 16 * aheadBytes

	// longestEvery is how many packets with data of streams go out for each one that goes to the
	// stream that has waited longest, whatever the order says.
	longestEvery = 16
)

// A turn is the place of a stream in a sendQueue.
type turn struct {
	place   list.Item[*Stream] // in ahead, turns or blocked
	waiting list.Item[*Stream]
	inTurn  timerheap.Item[*Stream]
	ahead   int    // how many bytes it may still send ahead of others
	since   uint64 // how much the connection had sent when it was last given ahead
}

// A sendQueue holds the streams that have something to send, and says which is next. Among the most
// urgent ones, those that go ahead come first, one after another; then the others take turns.
// Streams that are sent in the order of their IDs take turns as well, but each gives its turn to
// the one of them with the lowest ID (RFC 9218, Section 10).
// RFC 9218, Section 10 [1, 2, 4]; RFC 9000, Section 2.3 [1].
type sendQueue struct {
	ahead   [8]list.List[*Stream] // by urgency
	turns   [8]list.List[*Stream] // by urgency
	mask    uint8                 // bit u is set if there are streams of urgency u in these lists
	inOrder timerheap.Heap[*Stream]
	blocked list.List[*Stream] // streams with new data, which wait for MAX_DATA
	waiting list.List[*Stream] // all of them, by when they last sent something, or came
	packets int                // since the stream that had waited longest had one
}

// empty reports whether no stream has anything to send.
func (q *sendQueue) empty() bool { return q.mask == 0 }

// first returns the stream that a new packet begins with, nil if none has anything to send.
// RFC 9218, Section 10 [5]; RFC 9218, Section 10.1 [1].
func (q *sendQueue) first() *Stream {
	// While streams wait for MAX_DATA there is nothing to share but the reserve of connFlow.
	if q.packets >= longestEvery-1 && q.mask != 0 && q.blocked.Empty() {
		return q.waiting.First()
	}
	return q.next()
}

// next returns the stream that is to send next, nil if none is.
func (q *sendQueue) next() *Stream {
	if q.mask == 0 {
		return nil
	}
	u := bits.TrailingZeros8(q.mask)
	if s := q.ahead[u].First(); s != nil {
		return s
	}
	s := q.turns[u].First()
	if s.inOrder() {
		return q.inOrder.Min().Value // RFC 9218, Section 10 [3]
	}
	return s
}

// sent notes that a frame of s with n bytes of data went out.
func (q *sendQueue) sent(s *Stream, n int) {
	if q.waiting.First() == s {
		q.packets = -1 // this packet is its own
	}
	q.waiting.MoveToBack(&s.turn.waiting, s)
	s.turn.ahead -= min(n, s.turn.ahead)
	l := &q.turns[s.urgency()]
	if s.flags&flagAhead != 0 {
		if s.turn.ahead == 0 {
			s.flags &^= flagAhead
			q.ahead[s.urgency()].Remove(&s.turn.place)
			l.PushBack(&s.turn.place, s)
		}
		return
	}
	if l.First().inOrder() && s.inOrder() {
		s = l.First() // the turn was that one's
	}
	l.MoveToBack(&s.turn.place, s)
}

// only returns the stream that has something to send if no other has, nil otherwise.
func (q *sendQueue) only() *Stream {
	s := q.waiting.First()
	if s == nil || s.turn.waiting.Next() != nil || s.flags&flagInSend == 0 {
		return nil
	}
	return s
}

// packetFilled notes that a packet carries data of streams.
func (q *sendQueue) packetFilled() { q.packets++ }

// add puts in a stream that is not there, or waits for MAX_DATA.
func (q *sendQueue) add(s *Stream) {
	if s.flags&flagBlocked != 0 {
		s.flags &^= flagBlocked
		q.blocked.Remove(&s.turn.place)
	} else {
		q.waiting.PushBack(&s.turn.waiting, s)
	}
	s.flags |= flagInSend
	u := s.urgency()
	q.mask |= 1 << u
	if s.inOrder() {
		s.turn.inTurn.Value = s
		q.inOrder.Set(&s.turn.inTurn, int64(u)<<60|int64(s.id))
		q.turns[u].PushBack(&s.turn.place, s)
		return
	}
	if t, sent := &s.turn, s.c.flow.sent; t.ahead < aheadBytes && sent-t.since >= aheadEvery {
		t.ahead, t.since = aheadBytes, sent
	}
	if s.turn.ahead > 0 {
		s.flags |= flagAhead
		q.ahead[u].PushBack(&s.turn.place, s)
	} else {
		q.turns[u].PushBack(&s.turn.place, s)
	}
}

// resend puts a stream ahead of all others of its urgency, because n bytes of it were lost (RFC
// 9000, Section 13.3).
// RFC 9218, Section 12 [1]; RFC 9000, Section 13.3 [4].
func (q *sendQueue) resend(s *Stream, n int) {
	u := s.urgency()
	if s.flags&flagAhead == 0 {
		s.flags |= flagAhead
		q.turns[u].Remove(&s.turn.place)
	} else {
		q.ahead[u].Remove(&s.turn.place)
	}
	s.turn.ahead += max(n, 1)
	q.ahead[u].PushFront(&s.turn.place, s)
}

// leave takes s out of the lists by urgency.
func (q *sendQueue) leave(s *Stream) {
	u := s.urgency()
	if s.flags&flagAhead != 0 {
		q.ahead[u].Remove(&s.turn.place)
	} else {
		q.turns[u].Remove(&s.turn.place)
	}
	q.inOrder.Remove(&s.turn.inTurn)
	s.flags &^= flagInSend | flagAhead
	if q.ahead[u].Empty() && q.turns[u].Empty() {
		q.mask &^= 1 << u
	}
}

// remove takes a stream out, if it is in.
func (q *sendQueue) remove(s *Stream) {
	switch {
	case s.flags&flagInSend != 0:
		q.leave(s)
	case s.flags&flagBlocked != 0:
		s.flags &^= flagBlocked
		q.blocked.Remove(&s.turn.place)
	default:
		return
	}
	q.waiting.Remove(&s.turn.waiting)
}

// block makes a stream wait for credit of the connection.
func (q *sendQueue) block(s *Stream) {
	q.leave(s)
	s.flags |= flagBlocked
	q.blocked.PushBack(&s.turn.place, s)
}

// unblock lets all that wait for it try again.
func (q *sendQueue) unblock() {
	for s := q.blocked.First(); s != nil; s = q.blocked.First() {
		if !s.sendable() {
			q.remove(s)
			s.noteBlocked()
			continue
		}
		q.add(s)
		s.c.wake()
	}
}

// urgency returns the index of the lists for the stream (RFC 9218, Section 4.1).
func (s *Stream) urgency() int { return min(max(3+int(s.priority.Urgency), 0), 7) }

// inOrder reports whether the stream is to be sent after those of its urgency with lower IDs.
func (s *Stream) inOrder() bool {
	return s.flags&flagPriority != 0 && !s.priority.Incremental
}

// sendable reports whether the stream has something to send that its own limits allow.
func (s *Stream) sendable() bool {
	if s.flags&(flagReset|flagSendDone) != 0 {
		return false
	}
	if _, n := s.out.NextLost(); n > 0 {
		return true
	}
	sent := s.out.Sent()
	if sent < s.end() {
		return sent < s.sendMax && (s.member.group == nil || s.groupRoom(sent) > 0)
	}
	return s.flags&(flagFin|flagFinSent|flagResetAt) == flagFin
}

// schedule puts the stream into the send queue if it has something to send.
func (s *Stream) schedule() {
	if s.flags&flagInSend == 0 && !s.c.closed {
		if !s.sendable() {
			s.noteBlocked()
			return
		}
		s.c.streams.send.add(s)
	}
	s.c.wake()
}

// scheduleLost schedules a stream of which n bytes were lost.
func (s *Stream) scheduleLost(n int) {
	if s.schedule(); s.flags&flagInSend != 0 {
		s.c.streams.send.resend(s, n)
	}
}

// waitsForLimit reports whether the stream has data that its limit does not let it send.
func (s *Stream) waitsForLimit() bool {
	return s.out.Sent() < s.end() && s.out.Sent() >= s.sendMax && s.flags&flagReset == 0
}

// noteBlocked sends STREAM_DATA_BLOCKED, once for each limit (RFC 9000, Section 4.1). If the limit
// of its group holds it up, the stream waits for that.
func (s *Stream) noteBlocked() {
	if s.member.group != nil {
		s.waitForGroup()
	}
	if s.waitsForLimit() && s.blockedAt != s.sendMax+1 {
		s.blockedAt = s.sendMax + 1
		s.c.stats.StreamBlocks++
		s.controlDue(dueBlocked)
		if s.c.traced {
			s.traceBlocked(true)
		}
	}
}
