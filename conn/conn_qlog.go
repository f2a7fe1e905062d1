package conn

import (
	"errors"
	"slices"
	"time"

	"github.com/lazoquic/lazo/internal/qlog"
	"github.com/lazoquic/lazo/internal/wire"
)

// startQLog begins the log of a connection whose ID and path are known.
func (c *Conn) startQLog() {
	c.traced = c.cfg.Trace != nil
	if c.cfg.QLog == nil {
		return
	}
	out := c.cfg.QLog(c.origin, c.server)
	if out == nil {
		return
	}
	now := c.e.wall(c.e.now)
	c.traced = true
	c.qlog = qlog.New(out, qlog.Header{
		Format: qlog.Format(c.cfg.QLogFormat), Server: c.server, ID: c.origin.bytes(), Start: now,
	})
	c.observer = &observer{log: c.qlog}
	c.qlog.ConnectionStarted(now, c.path.local, c.path.remote)
	c.qlog.VersionInformation(now, c.server, c.cfg.Versions, c.version)
	c.qlog.RecoveryParametersSet(now, qlog.RecoveryParameters{
		ReorderingThreshold: packetThreshold, TimeThreshold: timeThreshold, Granularity: timerGranularity,
		InitialRTT: c.cfg.InitialRTT, MaxDatagram: uint64(c.path.mtu.current), InitialWindow: c.path.cc.Window(),
		PersistentCongestion: persistentThreshold,
	})
}

// QLogs reports whether the connection writes a qlog.
func (c *Conn) QLogs() bool { return c.qlog != nil }

// QLogEvent writes an event of a protocol above QUIC into the qlog, if there is one. The name
// begins with that of a schema and a colon. data is a JSON object. It is lent for the call. The
// header of the log names the schemas of QUIC and HTTP/3. A log in version 0.3 has only the events
// that this version knows. Ask QLogs before you make the data.
func (c *Conn) QLogEvent(name string, data []byte) {
	if c.qlog != nil {
		c.qlog.Event(c.e.wall(c.e.now), name, data)
	}
}

// trace tells Config.Trace and the qlog what happened. raw is the packet, if the event is about
// one. It is called only if Conn.traced is set.
func (c *Conn) trace(ev *TraceEvent, raw []byte) {
	ev.Time, ev.Conn = c.e.wall(c.e.now), c
	if c.cfg.Trace != nil {
		c.cfg.Trace(ev)
	}
	if c.qlog == nil {
		return
	}
	c.qlogOn(c.laneOf(uint32(ev.Path)))
	defer c.qlog.OnPath(0)
	switch ev.Kind {
	case TracePacketSent:
		c.qlog.PacketSent(ev.Time, c.qlogPacket(ev, raw, ackDelayExponent))
	case TracePacketReceived:
		c.qlog.PacketReceived(ev.Time, c.qlogPacket(ev, raw, c.peer.AckDelayExponent))
	case TracePacketDropped:
		c.qlog.PacketDropped(ev.Time, qlogType(ev.Packet), ev.Size, "general", ev.Reason)
	case TracePacketLost:
		c.qlog.PacketLost(ev.Time, qlogType(ev.Packet), ev.Number, ev.Reason, false)
	case TraceKeyUpdated:
		c.qlog.KeyUpdated(ev.Time, !c.server, ev.Number, c.keys.txPhase != c.keys.rxPhase)
	}
}

func (c *Conn) qlogPacket(ev *TraceEvent, raw []byte, exponent uint8) *qlog.Packet {
	p := &qlog.Packet{Type: qlogType(ev.Packet), Number: ev.Number, Raw: raw, Payload: ev.Payload, AckDelayExponent: exponent}
	if l := c.laneOf(uint32(ev.Path)); l != nil && ev.Kind == TracePacketSent {
		m := &l.path.mtu
		p.MTUProbe = m.inFlight && len(raw) == m.probe
	}
	return p
}

// qlogOn says which lane the events that follow are of. A lane that is not open yet has no name in
// the log. It gets one with its first packet, before the turn ends.
func (c *Conn) qlogOn(l *lane) {
	if l == nil || l.id == 0 || l.state == laneIdle || c.multi == nil {
		return
	}
	if l.state == laneOpen && c.observer.find(l) < 0 {
		c.observer.observeLanes(c.multi, c.e.wall(c.e.now))
	}
	c.qlog.OnPath(l.id)
}

func (c *Conn) qlogUDPSent(at time.Time, b *Burst) {
	c.qlogOn(c.laneOfBurst(b))
	c.qlog.UDPSent(at, b.N, b.SegmentSize, uint8(b.ECN))
	c.qlog.OnPath(0)
}

func (c *Conn) qlogUDPReceived(at time.Time, a *arrival) {
	c.qlogOn(c.laneFor(a.data))
	c.qlog.UDPReceived(at, len(a.data), uint8(a.ecn))
	c.qlog.OnPath(0)
}

func qlogType(t PacketType) string {
	switch t {
	case PacketInitial:
		return qlog.Initial
	case Packet0RTT:
		return qlog.ZeroRTT
	case PacketHandshake:
		return qlog.Handshake
	case PacketRetry:
		return qlog.Retry
	case PacketVersionNegotiation:
		return qlog.VersionNegotiation
	case Packet1RTT:
		return qlog.OneRTT
	}
	return qlog.Unknown
}

// traceMetrics reports the estimates of the path in use, once a turn and only if they changed, and
// writes those of all paths into the qlog.
func (c *Conn) traceMetrics() {
	switch {
	case c.qlog == nil:
	case c.multi == nil:
		c.lane.qlogMetrics()
	default:
		for _, l := range c.multi.lanes {
			if l.state == laneOpen {
				l.qlogMetrics()
			}
		}
	}
	m := c.main().metrics()
	if c.lastMetrics == nil {
		c.lastMetrics = new(qlog.Metrics)
	}
	if m != *c.lastMetrics {
		*c.lastMetrics = m
		c.trace(&TraceEvent{Kind: TraceMetrics}, nil)
	}
}

// metrics returns the estimates of the path of a lane.
func (l *lane) metrics() qlog.Metrics {
	p := l.path
	return qlog.Metrics{
		MinRTT: p.rtt.min, SmoothedRTT: p.rtt.smoothed, LatestRTT: p.rtt.latest, RTTVar: p.rtt.variance,
		CongestionWindow: p.cc.Window(), SlowStartThreshold: p.slowStartThreshold(),
		BytesInFlight: p.inFlight, PacingRate: p.pacing.Rate, PTOCount: l.timeouts.count,
	}
}

// qlogMetrics writes the estimates of the path of a lane, and the states of what makes them.
func (l *lane) qlogMetrics() {
	c, p, m := l.conn, l.path, l.metrics()
	now := c.e.wall(c.e.now)
	c.qlogOn(l)
	c.qlog.MetricsUpdated(now, &m)
	state := qlog.State{ECN: p.ecn.state.String(), MTU: p.mtu.current, MTUDone: p.mtu.done()}
	if cc, ok := p.cc.(interface{ State() string }); ok {
		state.Congestion = cc.State()
	}
	c.qlog.StateUpdated(now, state)
	c.qlog.OnPath(0)
}

// String returns the name of the phase of validation in qlog.
func (p ecnPhase) String() string {
	switch p {
	case ecnTesting:
		return "testing"
	case ecnCapable:
		return "capable"
	case ecnFailed:
		return "failed"
	}
	return ""
}

// qlogParams writes the transport parameters of both sides, and the protocol that TLS negotiated.
func (c *Conn) qlogParams(alpn string) {
	if c.qlog == nil {
		return
	}
	now := c.e.wall(c.e.now)
	ours := c.tls.params[0]
	if c.server {
		ours = c.tls.params[max(slices.Index(c.cfg.Versions, c.version), 0)]
	}
	if p, err := wire.ParseParams(ours, c.server); err == nil {
		c.qlog.ParametersSet(now, false, &p)
	}
	c.qlog.ParametersSet(now, true, &c.peer)
	c.qlog.VersionInformation(now, c.server, c.cfg.Versions, c.version)
	c.qlog.ALPNInformation(now, alpn)
}

// endQLog writes how the connection ended, and closes the log.
func (c *Conn) endQLog(err error) {
	if c.qlog == nil {
		return
	}
	end := qlog.Closed{Trigger: qlog.CloseError}
	switch {
	case errors.Is(err, ErrIdleTimeout):
		end.Trigger = qlog.CloseIdleTimeout
	case errors.Is(err, ErrHandshakeTimeout):
		end.Trigger = qlog.CloseHandshakeTimeout
	case errors.Is(err, ErrStatelessReset):
		end.Trigger, end.Remote = qlog.CloseStatelessReset, true
	case errors.Is(err, ErrVersion):
		end.Trigger, end.Remote = qlog.CloseVersion, true
	}
	if te, ok := errors.AsType[*TransportError](err); ok {
		end.Remote, end.HasCode, end.Code, end.Reason = te.Remote, true, te.Code, te.Reason
		if te.Code == errNo {
			end.Trigger = qlog.CloseClean
		}
	}
	if ae, ok := errors.AsType[*ApplicationError](err); ok {
		end.Trigger, end.Application = qlog.CloseApplication, true
		end.Remote, end.HasCode, end.Code, end.Reason = ae.Remote, true, ae.Code, ae.Reason
	}
	now := c.e.wall(c.e.now)
	switch {
	case end.Remote && end.HasCode:
		c.qlog.ConnectionState(now, qlog.Draining)
	case end.HasCode || end.Trigger == qlog.CloseHandshakeTimeout:
		c.qlog.ConnectionState(now, qlog.Closing)
	default:
		c.qlog.ConnectionState(now, qlog.Gone)
	}
	c.qlog.ConnectionClosed(now, end)
	c.qlog.Close(err) // an error of writing cannot be handled here
	c.qlog, c.observer = nil, nil
}
