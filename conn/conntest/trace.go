package conntest

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// A fate says what became of a datagram: how it was delivered, or why it was not.
type fate uint8

// What may befall a datagram that is delivered, in any combination.
const (
	duplicate fate = 1 << iota
	damaged
	late
	marked
)

// Why a datagram vanished.
const (
	filtered fate = 128 + iota
	lost
	overflowed
	tooLarge
	noRoute
)

// String describes the fate for a person who reads a trace.
func (f fate) String() string {
	switch f {
	case filtered:
		return "dropped by the filter"
	case lost:
		return "lost"
	case overflowed:
		return "dropped, queue full"
	case tooLarge:
		return "dropped, larger than the MTU"
	case noRoute:
		return "dropped, no such address"
	}
	s := "delivered"
	for i, note := range []string{"duplicate", "damaged", "late", "CE"} {
		if f&(1<<i) != 0 {
			s += ", " + note
		}
	}
	return s
}

// traceLen is how many datagrams a trace keeps.
const traceLen = 100

// A trace keeps the last datagrams of a run.
type trace struct {
	ring [traceLen]traceEntry
	n    int // entries so far
}

type traceEntry struct {
	at, sent time.Duration
	fate     fate
	src, dst netip.AddrPort
	size     int
	first    byte // of the datagram
}

func (t *trace) add(at, sent time.Duration, how fate, src, dst netip.AddrPort, data []byte) {
	e := &t.ring[t.n%traceLen]
	t.n++
	*e = traceEntry{at: at, sent: sent, fate: how, src: src, dst: dst, size: len(data)}
	if len(data) > 0 {
		e.first = data[0]
	}
}

// String returns the trace in lines, the oldest first.
func (t *trace) String() string {
	var b strings.Builder
	from := max(t.n-traceLen, 0)
	fmt.Fprintf(&b, "the last %d of %d datagrams:\n", t.n-from, t.n)
	for i := from; i < t.n; i++ {
		e := &t.ring[i%traceLen]
		fmt.Fprintf(&b, "  %12v %v -> %v %d bytes, %s: %v", e.at, e.src, e.dst, e.size, e.kind(), e.fate)
		if e.sent != e.at {
			fmt.Fprintf(&b, " (sent at %v)", e.sent)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// kind names the first packet of the datagram, as far as version 1 of QUIC shows
// it without keys (RFC 9000, Section 17).
func (e *traceEntry) kind() string {
	switch {
	case e.size == 0:
		return "empty"
	case e.first&0x80 == 0:
		return "1-RTT"
	}
	return [...]string{"Initial", "0-RTT", "Handshake", "Retry"}[e.first>>4&3]
}
