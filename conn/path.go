package conn

import (
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/muldiv"
	"github.com/lazoquic/lazo/internal/pacing"
)

// A path is one pair of addresses that a connection uses (RFC 9000, Section 9), with the estimates that hold for it.
type path struct {
	n             uint32 // number: packets remember theirs
	remote, local netip.AddrPort
	from          netip.AddrPort // what datagrams are sent from: local, or zero where a client lets the socket choose

	rtt      rttState
	cc       congestion.Controller
	pacer    pacing.Pacer
	pacing   pacing.Limits // as of the last acknowledgement
	mtu      mtuState
	ecn      ecnState
	rate     deliveryRate
	losses   lossRuns
	inFlight uint64 // bytes
	acked    bool   // a packet of ours arrived since the path is in use

	validated      bool
	received, sent uint64 // bytes, until it is validated (RFC 9000, Section 8.1)
	challenge      challenge
	migrate        bool        // move to it once it is validated
	probed         *probedPath // server: what the client probes while this is in use
}

// A probedPath is validated already when a client that has probed it moves there.
type probedPath struct {
	remote, local netip.AddrPort
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

// amplification is how many times the bytes received a server may send to an address that is not validated (RFC 9000, Section 8.1).
const amplification = 3

// allowance returns how many bytes may be sent before the address is validated.
func (p *path) allowance() int {
	if p.validated {
		return maxBurst
	}
	return int(min(max(int64(amplification*p.received)-int64(p.sent), 0), maxBurst))
}

func (c *Conn) newPath(remote, local netip.AddrPort) *path {
	c.pathCount++
	p := &path{n: c.pathCount, remote: remote, local: local, from: local}
	p.rtt.init(c.cfg.InitialRTT)
	p.mtu.init(c.cfg)
	params := congestion.Params{Now: c.e.wall(c.e.now), Remote: remote, MTU: p.mtu.current, Rand: c.e.cfg.Rand}
	if p.cc = c.cfg.Congestion(params); p.cc == nil {
		p.cc = congestion.NewCubic(params)
	}
	p.pacing = c.pacingOf(p)
	return p
}

func (c *Conn) pacingOf(p *path) pacing.Limits {
	if c.cfg.DisablePacing {
		return pacing.Limits{}
	}
	return pacing.Of(p.cc, p.rtt.smoothed, p.mtu.current)
}

// window returns how many bytes the congestion window leaves.
func (p *path) window() uint64 {
	w := p.cc.Window()
	if w <= p.inFlight {
		return 0
	}
	return w - p.inFlight
}

// A deliveryRate samples how fast a path delivers (draft-cheng-iccrg-delivery-rate-estimation, which BBR's draft holds now).
type deliveryRate struct {
	delivered   uint64  // bytes in total
	deliveredAt instant // of the newest acknowledged packet
	firstSentAt instant // of the packets of the sampling interval
	limitedTo   uint64  // samples of packets sent before so much was delivered are limited by the application
	latest      uint64  // bytes per second
}

// onSent notes the state in which a packet leaves.
func (r *deliveryRate) onSent(p *sentPacket, inFlight uint64, now instant) {
	if inFlight == 0 {
		r.firstSentAt, r.deliveredAt = now, now
	}
	p.delivered, p.deliveredAt, p.firstSentAt = r.delivered, r.deliveredAt, r.firstSentAt
	if r.limitedTo > r.delivered {
		p.flags |= sentAppLimited
	}
}

// onAcked takes a sample from the newest acknowledged packet.
func (r *deliveryRate) onAcked(p *sentPacket, now instant, minRTT time.Duration) uint64 {
	sendElapsed := p.time.sub(p.firstSentAt)
	ackElapsed := now.sub(p.deliveredAt)
	interval := max(sendElapsed, ackElapsed)
	r.deliveredAt, r.firstSentAt = now, p.time
	if interval <= 0 || interval < minRTT {
		return 0
	}
	r.latest = muldiv.Down(r.delivered-p.delivered, uint64(time.Second), uint64(interval))
	return r.latest
}

// An ecnState validates ECN on a path (RFC 9000, Section 13.4.2).
type ecnState struct {
	state ecnPhase
	sent  int // packets marked while testing
	lost  int // of them
}

type ecnPhase uint8

const (
	ecnOff ecnPhase = iota
	ecnTesting
	ecnCapable
	ecnFailed
)

// ecnTestPackets is how many packets are marked before the first validation. If all of them are lost, the path drops marked ones.
const ecnTestPackets = 10

// mark returns the codepoint for the next packets.
func (s *ecnState) mark() ECN {
	if s.state == ecnCapable || s.state == ecnTesting && s.sent < ecnTestPackets {
		return ECT0
	}
	return NotECT
}
