package conn

import (
	"net/netip"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// maxAnswers bounds the datagrams that wait to be sent on behalf of no connection. More are not
// made: a peer that gets none tries again.
const maxAnswers = 256

// An answer is a datagram that belongs to no connection.
type answer struct {
	data          []byte
	remote, local netip.AddrPort
}

// An answerQueue is a ring of answers, whose memory is reused.
type answerQueue struct {
	buf        []answer
	head, size int
}

func (q *answerQueue) empty() bool { return q.size == 0 }

// next returns the next free answer, nil if there is none.
func (q *answerQueue) next() *answer {
	if q.size == maxAnswers {
		return nil
	}
	if q.size == len(q.buf) {
		grown := make([]answer, max(4, 2*len(q.buf)))
		for i := range q.size {
			grown[i] = q.buf[(q.head+i)%len(q.buf)]
		}
		q.buf, q.head = grown, 0
	}
	a := &q.buf[(q.head+q.size)%len(q.buf)]
	q.size++
	a.data = a.data[:0]
	return a
}

// pop copies the oldest answer to b.
func (q *answerQueue) pop(b []byte) (Burst, bool) {
	if q.size == 0 {
		return Burst{}, false
	}
	a := &q.buf[q.head]
	q.head = (q.head + 1) % len(q.buf)
	q.size--
	n := copy(b, a.data)
	return Burst{N: n, SegmentSize: n, Remote: a.remote, Local: a.local}, true
}

// answer queues a datagram back to where a came from; nil if too many wait.
func (e *Endpoint) answer(a *arrival) *answer {
	out := e.answers.next()
	if out != nil {
		out.remote, out.local = a.remote, a.local
	}
	return out
}

// answerVersion sends a Version Negotiation packet (RFC 9000, Section 6.1).
// RFC 9000, Section 5.2.2 [1, 2, 3]; RFC 9000, Section 17.2.1 [4, 5, 7].
func (e *Endpoint) answerVersion(a *arrival, version uint32, dcid, scid []byte) {
	// A server must not answer small datagrams, which would make it an amplifier. A client must not
	// answer at all.
	// RFC 9368, Section 2.1 [5].
	if e.cfg.Server == nil || len(a.data) < minMTU || e.cfg.NoVersionNegotiation {
		e.stats.DroppedUnroutable++
		return
	}
	out := e.answer(a)
	if out == nil {
		return
	}
	var unused [1]byte
	e.random(unused[:])
	// RFC 9000, Section 6.3: a reserved version keeps clients from relying on the list.
	grease := uint32(unused[0])<<24&0xf0000000 | 0x0a0a0a0a | uint32(unused[0])<<4&0xf0
	if grease == version {
		grease ^= 0x10000000
	}
	versions := append(e.cfg.Server.Versions[:len(e.cfg.Server.Versions):len(e.cfg.Server.Versions)], grease)
	// RFC 8999, Section 6 [3, 4]: the IDs change places.
	// RFC 9368, Section 2.1 [1].
	out.data = wire.AppendVersionNegotiation(out.data, unused[0], scid, dcid, versions)
	e.stats.VersionNegotiations++
}

// answerRetry sends a Retry packet (RFC 9000, Section 8.1.2).
// RFC 9000, Section 17.2.5.1 [1, 4].
func (e *Endpoint) answerRetry(now instant, a *arrival, h wire.Long) *Conn {
	id, ok := e.generateID()
	if !ok || id.n == 0 || id.equal(h.DCID) { // an empty one leads to no server
		return nil
	}
	out := e.answer(a)
	if out == nil {
		return nil
	}
	odcid, _ := ConnIDFromSlice(h.DCID)
	var nonce [tokenNonceLen]byte
	e.random(nonce[:])
	tok := e.tokens.seal(nil, nonce, tokenContent{
		kind: TokenRetry, time: e.wall(now), remote: a.remote, odcid: odcid, retrySCID: id,
	})
	// RFC 9369, Section 4.1 [1].
	out.data = wire.AppendRetry(out.data, h.Version, h.SCID, id.b[:id.n], tok)
	tag := keys.RetryTag(h.Version, h.DCID, out.data)
	out.data = append(out.data, tag[:]...)
	e.stats.Retries++
	return nil
}

// refuse answers an Initial with CONNECTION_CLOSE and keeps no state (RFC 9000, Section 5.2.2).
// RFC 9000, Section 5.2.2 [4].
func (e *Endpoint) refuse(a *arrival, h wire.Long, code uint64, reason string) *Conn {
	rx, tx := keys.Initial(h.Version, h.DCID)
	if !e.authentic(rx, a.data[:h.End], h.PNOff) {
		e.stats.DroppedUndecryptable++
		return nil
	}
	out := e.answer(a)
	if out == nil {
		return nil
	}
	b, lengthOff, pnOff := wire.AppendLong(out.data, wire.TypeInitial, h.Version, h.SCID, h.DCID, nil, 0, 1)
	b = wire.AppendConnectionClose(b, 256, false, code, 0, reason)
	wire.PutVarint2(b[lengthOff:], uint64(len(b)-pnOff+keys.Overhead))
	out.data = tx.Seal(append(make([]byte, 0, len(b)+keys.Overhead), b...), pnOff, 1, 0)
	e.stats.Refusals++
	return nil
}
