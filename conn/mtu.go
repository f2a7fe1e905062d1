package conn

import "time"

// Path MTU discovery (RFC 8899; RFC 9000, Section 14.3). Probes are packets of their own, whose
// loss does not concern congestion control.
const (
	mtuProbeTries  = 3                 // MAX_PROBES
	mtuRaiseAfter  = 600 * time.Second // PMTU_RAISE_TIMER
	mtuGranularity = 16                // bytes: the search gets no closer than this
)

// An mtuState searches for the largest datagram that a path carries, in bytes of UDP payload.
// RFC 9000, Section 14.2 [1, 2, 5]; RFC 9000, Section 14.3 [1].
type mtuState struct {
	current, ceiling int // the largest size known to pass; the largest that may pass
	limit            int // ours or the peer's, whichever is lower
	probe            int // size of the probe in flight or to be sent; 0 if none
	inFlight         bool
	number           uint64 // of the packet that probed last
	tries            int
	next             instant // when to search again; 0 if not set
	// the newest packet that arrived and was larger than what every path carries
	bigAcked uint64
	bigLost  int    // how many such packets were lost that were sent after it
	since    uint64 // packets before say nothing of the path as it is now
}

func (m *mtuState) init(cfg *Config) {
	m.current = cfg.InitialMTU
	m.limit = cfg.MaxMTU
	m.ceiling = m.limit
}

// limitTo takes in max_udp_payload_size of the peer.
func (m *mtuState) limitTo(n int) {
	m.limit = max(min(m.limit, n), minMTU)
	m.ceiling = min(m.ceiling, m.limit)
	m.current = min(m.current, m.limit)
}

// wants returns the size of the probe to send now, 0 if none.
func (m *mtuState) wants(now instant) int {
	if m.inFlight || m.next != 0 && now < m.next {
		return 0
	}
	if m.next != 0 {
		m.next, m.ceiling = 0, m.limit
	}
	if m.probe == 0 {
		switch {
		case m.ceiling <= m.current:
			return 0
		case m.ceiling == m.limit && m.tries == 0:
			m.probe = m.ceiling // most paths carry it: try that first
		case m.ceiling-m.current < mtuGranularity:
			m.next = now.add(mtuRaiseAfter)
			return 0
		default:
			m.probe = (m.current + m.ceiling + 1) / 2
		}
	}
	return m.probe
}

// done reports whether the search has ended for now.
func (m *mtuState) done() bool {
	return !m.inFlight && m.probe == 0 && (m.ceiling <= m.current || m.next != 0)
}

// sent notes that a packet of size bytes probes.
func (m *mtuState) sent(pn uint64, size int) {
	m.probe, m.number, m.inFlight = size, pn, true
}

// acked notes that a packet of size bytes arrived, and reports whether the MTU grew.
func (m *mtuState) acked(pn uint64, size int) bool {
	if pn < m.since {
		return false
	}
	if m.inFlight && size >= m.probe {
		m.inFlight, m.probe, m.tries = false, 0, 0
	}
	if size <= m.current {
		return false
	}
	m.current = size
	m.ceiling = max(m.ceiling, size)
	return true
}

// lost notes that a probe was lost. One that was given up before says nothing.
func (m *mtuState) lost(now instant, pn uint64) {
	if !m.inFlight || pn != m.number {
		return
	}
	m.inFlight = false
	if m.tries++; m.tries < mtuProbeTries {
		return
	}
	m.ceiling = m.probe - 1
	m.probe, m.tries = 0, 0
	if m.ceiling-m.current < mtuGranularity {
		m.next = now.add(mtuRaiseAfter)
	}
}

// doubt goes back to what every path carries, and reports whether that is less. Larger datagrams
// may pass all the same, so the search still begins at its upper end.
func (m *mtuState) doubt() bool {
	less := m.current > minMTU
	m.current = min(m.current, minMTU)
	return less
}

// blackHole goes back to what every path carries, and searches again later (RFC 8899, Section 4.3).
// What was sent before the packet with the number next may have passed before the path changed.
func (m *mtuState) blackHole(next uint64) bool {
	if m.current <= minMTU {
		return false
	}
	m.ceiling = m.current - 1
	m.current = minMTU
	m.inFlight, m.probe, m.tries, m.bigLost = false, 0, 1, 0
	m.next, m.since = 0, next
	return true
}
