package conn

import (
	"crypto/hmac"
	"crypto/sha256"
	"time"
)

// Stateless resets (RFC 9000, Section 10.3).
const (
	resetTokenLen = 16
	// minResetLen is the length of the shortest stateless reset, and of the shortest datagram that
	// may be one.
	minResetLen = 5 + resetTokenLen
	// maxResetLen is long enough to look like a packet with data.
	maxResetLen = 42
	// resetsPerSecond limits how many are sent.
	resetsPerSecond = 100
)

// A resetLimiter limits stateless resets to a rate.
type resetLimiter struct {
	since instant
	n     int
}

func (l *resetLimiter) allow(now instant) bool {
	if now.sub(l.since) > time.Second {
		l.since, l.n = now, 0
	}
	l.n++
	return l.n <= resetsPerSecond
}

// resetToken returns the token of one of our connection IDs (RFC 9000, Section 10.3.2).
// RFC 9000, Section 10.3.2 [1, 5].
func (e *Endpoint) resetToken(id ConnID) (t [16]byte) {
	if e.resetMAC == nil {
		e.resetMAC = hmac.New(sha256.New, e.cfg.ResetKey[:])
	}
	e.resetMAC.Reset()
	// On the stack what goes through the interface would escape.
	n := copy(e.resetRoom[:], id.b[:id.n])
	e.resetMAC.Write(e.resetRoom[:n])
	copy(t[:], e.resetMAC.Sum(e.resetRoom[:0]))
	return t
}

// resetBy returns the connection which the datagram resets, nil if none. All 16 bytes are looked up
// at once, so the time that takes does not show how many of them are right.
func (e *Endpoint) resetBy(b []byte) *Conn {
	if len(b) < minResetLen || len(e.routes.tokens) == 0 {
		return nil
	}
	return e.routes.tokens[[16]byte(b[len(b)-resetTokenLen:])]
}

// answerReset sends a stateless reset for a packet of a connection that this Endpoint does not
// know.
// RFC 9000, Section 10.3 [2, 4, 5, 7]; RFC 9000, Section 10.3.3 [1].
func (e *Endpoint) answerReset(now instant, a *arrival) {
	// RFC 9000, Section 10.3.3: it must be smaller than what it answers, so that two endpoints
	// cannot answer each other for ever.
	n := min(len(a.data)-1, maxResetLen)
	idLen := e.idSource.Len(a.data[1:])
	if n < minResetLen || idLen <= 0 || len(a.data) < 1+idLen || !e.resets.allow(now) {
		return
	}
	id, ok := ConnIDFromSlice(a.data[1 : 1+idLen])
	if !ok {
		return
	}
	out := e.answer(a)
	if out == nil {
		return
	}
	var b [maxResetLen]byte
	e.random(b[:n-resetTokenLen])
	b[0] = b[0]&0x3f | 0x40 // a short header
	t := e.resetToken(id)
	copy(b[n-resetTokenLen:], t[:])
	out.data = append(out.data, b[:n]...)
	e.stats.StatelessResetsSent++
}
