package conn

import (
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/pacing"
	"github.com/lazoquic/lazo/internal/wire"
)

// A path is one pair of addresses that a connection uses (RFC 9000, Section 9).
type path struct {
	*estimates
	remote, local netip.AddrPort
	// what datagrams are sent from: local, or zero where a client lets the socket choose
	from netip.AddrPort

	validated      bool
	received, sent uint64 // bytes, until it is validated (RFC 9000, Section 8.1)
	limited        bool   // something waited until it is validated
	challenge      challenge
	migrate        bool        // once it is validated, the connection has moved there
	probed         *probedPath // another path that the peer probes while this is in use
	peerID         peerID
}

// The estimates of a path are what is known of the network between two hosts. Paths that differ in
// the port of the peer alone share them: there a NAT is likely to be the cause (RFC 9000, Section
// 9.4).
type estimates struct {
	flight
	rtt    rttState
	cc     congestion.Controller
	pacer  pacing.Pacer
	pacing pacing.Limits // as of the last acknowledgement
	mtu    mtuState
	ecn    ecnState
	losses lossRuns
}

// slowStartThreshold returns that of the controller, in bytes; 0 if it has none.
func (m *estimates) slowStartThreshold() uint64 {
	if t, ok := m.cc.(interface{ SlowStartThreshold() uint64 }); ok {
		return t.SlowStartThreshold()
	}
	return 0
}

// A probedPath is a path that the peer probes. A server validates it too, so that it is validated
// already when the client moves there.
type probedPath struct {
	remote, local netip.AddrPort
	peerID        peerID
	challenge     challenge
	validated     bool
}

// A challenge is a path validation in progress (RFC 9000, Section 8.2).
type challenge struct {
	data    [challengeTries][8]byte // RFC 9000, Section 13.3: another each time
	active  bool
	pending bool    // a PATH_CHALLENGE is to be sent
	sentAt  instant // when the last one was sent
	until   instant // when validation has failed
	tries   int
	small   bool // one went in a datagram that does not show that the path carries the least MTU
}

// answered reports whether data is that of a PATH_CHALLENGE which was sent.
func (ch *challenge) answered(data [8]byte) bool {
	for _, d := range ch.data[:ch.tries] {
		if d == data {
			return true
		}
	}
	return false
}

// amplification is how many times the bytes received a server may send to an address that is not
// validated (RFC 9000, Section 8.1).
const amplification = 3

// allowance returns how many bytes may be sent before the address is validated.
// RFC 9000, Section 8 [1]; RFC 9000, Section 8.1 [1]; RFC 9000, Section 14.1 [4].
func (p *path) allowance() int {
	if p.validated {
		return maxBurst
	}
	return int(min(max(int64(amplification*p.received)-int64(p.sent), 0), maxBurst))
}

// credit counts a datagram for the path that it came by, if that is not validated. It counts once,
// however many lanes have a path from its address (RFC 9000, Section 8.1 [2]).
func (c *Conn) credit(a *arrival) {
	if c.multi == nil {
		c.lane.credit(a)
		return
	}
	for _, l := range c.multi.lanes {
		if l.credit(a) {
			return
		}
	}
}

// credit is that of Conn, for one lane. It reports whether the datagram counts here.
func (l *lane) credit(a *arrival) bool {
	if l.path != nil && l.path.validated && l.oldPath == nil && l.candidate == nil {
		return false // as in nearly all of a connection's life
	}
	p := l.accountOf(a.remote, a.local)
	if p == nil || p.validated || l.conn.laneFor(a.data) != l {
		return false
	}
	p.received += uint64(len(a.data))
	return true
}

// laneFor returns the lane that the first packet of a datagram is for.
func (c *Conn) laneFor(b []byte) *lane {
	if c.multi == nil || wire.IsLong(b[0]) {
		return &c.lane
	}
	_, l := c.routes.startOf(b[1:])
	return l
}

// accountOf returns the path that counts the bytes between two addresses; nil if none does. A
// server may not know at which of its addresses datagrams come.
func (l *lane) accountOf(remote, local netip.AddrPort) *path {
	for _, p := range [...]*path{l.path, l.oldPath, l.candidate} {
		if p == nil || p.remote != remote {
			continue
		}
		if !l.conn.server || p.local == local || !p.local.IsValid() || !local.IsValid() {
			return p
		}
	}
	return nil
}

// noteLimited counts the path in use, once, if something waits until its address is validated.
func (l *lane) noteLimited() {
	c, pa := l.conn, l.path
	if pa.limited || pa.allowance() >= minMTU || !c.cryptoUnsent() && !c.hasOutput() {
		return
	}
	pa.limited = true
	c.stats.AmplificationBlocks++
}

// newPath returns a path to remote. It shares estimates with another one, or has its own if that is
// nil.
func (l *lane) newPath(remote, local netip.AddrPort, shared *estimates) *path {
	if shared == nil {
		shared = l.newEstimates(remote)
	}
	return &path{estimates: shared, remote: remote, local: local, from: local}
}

func (l *lane) newEstimates(remote netip.AddrPort) *estimates {
	c := l.conn
	m := &estimates{flight: l.ledger.open()}
	m.rtt.init(c.cfg.InitialRTT) // RFC 9002, Section 6.2.2 [2]
	m.mtu.init(c.cfg)
	params := congestion.Params{Now: c.e.wall(c.e.now), Remote: remote, MTU: m.mtu.current, Rand: c.e.cfg.Rand}
	if m.cc = c.cfg.Congestion(params); m.cc == nil {
		m.cc = congestion.NewCubic(params)
	}
	c.repace(m)
	return m
}

// shortestRTT returns the shortest round trip of the path in use. Where there are several, it is
// that of the longest of them.
func (c *Conn) shortestRTT() time.Duration {
	if c.multi != nil {
		return c.multi.shortestRTT()
	}
	return c.path.rtt.shortest()
}

func (m *multipath) shortestRTT() (d time.Duration) {
	for _, l := range m.lanes {
		if l.usable() {
			d = max(d, l.path.rtt.shortest())
		}
	}
	return d
}

// repace sets the pacing of a path by what its congestion controller says now.
func (c *Conn) repace(m *estimates) {
	m.pacing = pacing.Limits{}
	if !c.cfg.DisablePacing {
		m.pacing = pacing.Of(m.cc, m.rtt.smoothed, m.mtu.current)
	}
}

// window returns how many bytes congestion control lets be sent on a path. Datagrams wait for it as
// all data does (RFC 9221, Section 5.4 [1]).
func (l *lane) window(m *estimates) uint64 {
	w := m.cc.Window()
	if w <= m.inFlight || l.ledger.full() {
		return 0
	}
	return w - m.inFlight
}

// An ecnState validates ECN on a path (RFC 9000, Section 13.4.2).
type ecnState struct {
	state ecnPhase
	sent  int    // packets marked while testing
	lost  int    // of them
	ce    uint64 // packets reported as marked, of which the congestion controller was not told yet
}

type ecnPhase uint8

const (
	ecnOff ecnPhase = iota
	ecnTesting
	ecnCapable
	ecnFailed
)

// ecnTestPackets is how many packets are marked before the first validation. If all of them are
// lost, the path drops marked ones.
const ecnTestPackets = 10

// mark returns the codepoint for the next packets.
func (s *ecnState) mark() ECN {
	if s.state == ecnCapable || s.state == ecnTesting && s.sent < ecnTestPackets {
		return ECT0
	}
	return NotECT
}
