package world

import (
	"encoding/binary"
	"time"
)

// Types of datagrams.
const (
	typeMove  = 1 // a position or a snapshot
	typeVoice = 2
)

// Lengths of datagrams.
const (
	positionLen = 17
	headLen     = 16 // of a snapshot, before the players
	seenLen     = 10 // of a player in a snapshot
	voiceLen    = 7  // of voice to a player, before the frame

	MaxSnapshot = headLen + MaxSeen*seenLen
	MaxVoice    = 160 // bytes of a frame, as 20 ms of G.711 have
)

// notHeld says, in a snapshot, that there is nothing to echo.
const notHeld = 0xffff

// tenths returns d in tenths of a millisecond. It wraps.
func tenths(d time.Duration) uint32 { return uint32(d / (100 * time.Microsecond)) }

// duration is the reverse of tenths, for a difference of two times.
func duration(t int32) time.Duration { return time.Duration(t) * 100 * time.Microsecond }

// Datagram takes a datagram of the client in. A malformed one is dropped, and so is one that comes
// before the player.
func (s *Session) Datagram(now time.Time, b []byte) {
	switch {
	case s.player == nil:
	case len(b) == positionLen && b[0] == typeMove:
		s.position(now, b[1:])
	case len(b) > 3 && len(b) <= 3+MaxVoice && b[0] == typeVoice:
		s.voice(now, b[1:])
	default:
		s.w.counters.Malformed++
	}
}

// position takes a position in. The newest wins.
func (s *Session) position(now time.Time, b []byte) {
	w, p := s.w, s.player
	seq, born, sent := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	if p.moved && int32(seq-p.seq) <= 0 {
		w.counters.Late++
		return
	}
	age := time.Duration(0)
	if born != 0 {
		age = max(duration(int32(w.clock(now)-born)), 0) // the client may be a little ahead
	}
	if age > MaxAge {
		w.counters.Stale++
		return
	}
	w.counters.Positions++
	p.moved, p.seq, p.born = true, seq, now.Add(-age)
	p.echo, p.echoAt = sent, now
	p.goalX = min(int(binary.BigEndian.Uint16(b[12:])), Size-1)
	p.goalY = min(int(binary.BigEndian.Uint16(b[14:])), Size-1)
}

// Snapshot appends the snapshot of the last tick for this player to b, MaxSnapshot bytes at most.
// It appends nothing if there is no player.
func (s *Session) Snapshot(now time.Time, b []byte) []byte {
	p := s.player
	if p == nil {
		return b
	}
	start := len(b)
	b = append(b, typeMove)
	b = binary.BigEndian.AppendUint32(b, s.w.tick)
	b = binary.BigEndian.AppendUint32(b, s.w.clock(now))
	b = binary.BigEndian.AppendUint32(b, p.echo)
	held := uint16(notHeld)
	if p.moved {
		held = uint16(min(tenths(now.Sub(p.echoAt)), notHeld-1))
	}
	b = binary.BigEndian.AppendUint16(b, held)
	b = append(b, 1)
	b = p.appendTo(now, b)
	s.w.near(p, func(q *Player) bool {
		b = q.appendTo(now, b)
		b[start+headLen-1]++
		return b[start+headLen-1] < MaxSeen
	})
	return b
}

// appendTo appends p as a snapshot has it.
func (p *Player) appendTo(now time.Time, b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, p.ID)
	b = binary.BigEndian.AppendUint16(b, uint16(p.x))
	b = binary.BigEndian.AppendUint16(b, uint16(p.y))
	return binary.BigEndian.AppendUint16(b, uint16(min(tenths(now.Sub(p.born)), 0xffff)))
}

// Of voice.
const (
	VoiceRate  = 60 // frames a second that a player may send
	maxHearers = 8
	maxFrames  = 16 // that wait for a player
)

// voice passes a frame on to those who see the player, maxHearers of them.
func (s *Session) voice(now time.Time, b []byte) {
	w, p := s.w, s.player
	if !p.voice.take(now) {
		w.counters.Muted++
		return
	}
	w.counters.Voice++
	frame := make([]byte, 0, 1+4+len(b))
	frame = append(frame, typeVoice)
	frame = binary.BigEndian.AppendUint32(frame, p.ID)
	frame = append(frame, b...)
	n := 0
	w.near(p, func(q *Player) bool {
		if !q.s.listens() {
			return true
		}
		q.s.hear(frame)
		n++
		return n < maxHearers
	})
}

// hear queues a frame of voice. The oldest one gives way.
func (s *Session) hear(frame []byte) {
	if len(s.frames) == maxFrames {
		s.frames = append(s.frames[:0], s.frames[1:]...)
	}
	s.frames = append(s.frames, frame)
	s.touch()
}

// Frames returns the datagrams of voice that are to be sent, and forgets them.
func (s *Session) Frames() [][]byte {
	frames := s.frames
	s.frames = nil
	return frames
}

// An allowance is how often something may be done.
type allowance struct {
	rate, burst float64 // a second; at once
	left        float64
	at          time.Time
}

func newAllowance(now time.Time, rate, burst float64) allowance {
	return allowance{rate: rate, burst: burst, left: burst, at: now}
}

// take reports whether it may be done once more.
func (a *allowance) take(now time.Time) bool {
	a.left = min(a.left+a.rate*now.Sub(a.at).Seconds(), a.burst)
	a.at = now
	if a.left < 1 {
		return false
	}
	a.left--
	return true
}
