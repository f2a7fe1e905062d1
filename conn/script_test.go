package conn_test

import (
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/script"
)

// A story is a script of a simulated run (see package internal/script): who talks to whom over what
// network, what goes wrong when, and which calls the applications make. Numbers that name a host
// wrap around, so every story can be played.
type story struct {
	Seed    uint64 // of links, both sides and TLS
	Servers []host
	Clients []client
}

// A host is the endpoint of a server or client.
type host struct {
	Config  conn.Config // what of it is plain data
	Options options

	Segments    int // see conntest.Node.MaxSegments
	Coalesce    bool
	MaxBuffered int64
	Jumps       []jump
}

// options stand for what of a configuration is not plain data.
type options struct {
	Congestion    string // "", "reno" or "bbr"
	ConfinedFlow  bool   // AllowWindowIncrease always returns false
	Trace         bool   // Trace and QLog see everything
	Sessions      bool   // a client keeps sessions and tokens
	TicketData    int    // bytes of Config.TicketData
	RejectEarly   bool   // AcceptEarlyData always returns false
	Preferred     bool   // the server has a preferred address
	Retry         bool   // the server validates addresses first
	MaxHandshakes int
	NoNegotiation bool // EndpointConfig.NoVersionNegotiation
}

// A jump is a clock that jumps: forward, or back if By is negative.
type jump struct{ At, By time.Duration }

// A client is a host with a path to all servers.
type client struct {
	Host     host
	Up, Down conntest.Link
	Moves    []move
	Dials    []dial
}

// A move is a NAT that forgets the client's address, and gives it another one. Address 0 is the
// first.
type move struct {
	At time.Duration
	To int
}

// A dial is a connection, and what the applications on both sides do with it.
type dial struct {
	At      time.Duration
	Server  int
	Streams []exchange
	Calls   []call
}

// An exchange is a stream.
type exchange struct {
	At          time.Duration // since the handshake is complete; with 0-RTT, since Dial
	ByServer    bool
	Uni         bool
	Urgency     int8
	Incremental bool
	There, Back half // what who opens it sends, and what it receives
}

// A half is one direction of an exchange. The sender writes all bytes and then FIN, and the
// receiver reads all, unless something else is said here.
type half struct {
	Bytes int64
	Write string // "shared", "lent" and "chunk" name other methods; "back" takes bytes back
	Read  string // "peek" and "chunk" name other methods than Read
	Piece int    // bytes that are written at a time; 0 is no limit
	End   string // "reset", "behind", "at" or "release": how the sender ends it instead of FIN
	After int64  // bytes that it writes before that
	Stop  int64  // the receiver stops after Stop-1 bytes; 0 is never
	Pause time.Duration
}

// A call is one that the application makes on a connection, besides those on streams.
type call struct {
	At       time.Duration // as in exchange
	ByServer bool
	Do       string
	N        int
}

// drawStory draws a story. Only its seed is given.
func drawStory(seed uint64, d *script.Draw) story {
	s := story{Seed: seed}
	servers := 1
	if d.One(8) {
		servers = 2
	}
	var longest time.Duration
	clients := script.Pick(d, 1, 1, 1, 2, 3)
	for range clients {
		c := drawClient(d, servers)
		longest = max(longest, c.needs())
		s.Clients = append(s.Clients, c)
	}
	for range servers {
		s.Servers = append(s.Servers, drawHost(d, true))
	}
	for _, h := range s.hosts() {
		for _, j := range h.Jumps {
			longest += 2 * j.By
		}
	}
	if d.One(8) {
		longest /= 10 // some connections may time out
	}
	for _, h := range s.hosts() {
		h.Config.MaxIdleTimeout = script.Pick(d, longest, 2*longest)
		h.Config.HandshakeTimeout = longest
		if h.Config.KeepAlive != 0 {
			h.Config.KeepAlive = longest / time.Duration(4+d.N(10))
		}
	}
	if d.One(4) {
		drawPaths(d, &s)
	}
	return s
}

// drawPaths lets connections of s have several paths.
func drawPaths(d *script.Draw, s *story) {
	for _, h := range s.hosts() {
		h.Config.MaxPaths = script.Pick(d, 2, 3, 4, 4, 0)
		h.Config.DisableGreaseBit = d.One(3)
	}
	for i := range s.Clients {
		for k := range s.Clients[i].Dials {
			x := &s.Clients[i].Dials[k]
			at := drawTime(d)
			for range script.Pick(d, 0, 1, 3, 8) {
				do := script.Pick(d, "open", "open", "leave", "backup")
				x.Calls = append(x.Calls, call{At: at, ByServer: do != "open" && d.One(4), Do: do, N: d.N(2000)})
				at += d.Time(time.Millisecond, time.Second)
			}
		}
	}
}

// hosts returns all hosts of s.
func (s *story) hosts() (all []*host) {
	for i := range s.Servers {
		all = append(all, &s.Servers[i])
	}
	for i := range s.Clients {
		all = append(all, &s.Clients[i].Host)
	}
	return all
}

func drawClient(d *script.Draw, servers int) client {
	rtt := d.Time(100*time.Microsecond, 2*time.Second)
	c := client{Host: drawHost(d, false), Up: drawLink(d, rtt), Down: drawLink(d, rtt)}
	if d.One(3) {
		c.Down = c.Up
	}
	for range script.Pick(d, 0, 0, 0, 1, 2, 4) {
		drawFault(d, &c)
	}
	if d.One(3) {
		c.Host.Config.KeepAlive = time.Second // drawStory makes it fit
		at := d.Time(10*time.Millisecond, 5*time.Second)
		for range 1 + d.N(6) {
			c.Moves = append(c.Moves, move{at, d.N(4)})
			at += d.Time(time.Millisecond, 2*time.Second) // a flap, or a walk
		}
	}
	for range script.Pick(d, 1, 1, 2, 3) {
		c.Dials = append(c.Dials, drawDial(d, servers, rtt))
	}
	return c
}

// drawLink draws a link whose delay is half of rtt.
func drawLink(d *script.Draw, rtt time.Duration) conntest.Link {
	l := conntest.Link{
		Delay:     rtt / 2,
		Rate:      int64(d.Between(100e3, 10e9)),
		Queue:     int(d.Between(6e3, 300e3)),
		MTU:       1200 + d.N(400),
		Loss:      d.Some(2, 0.15),
		Duplicate: d.Some(3, 0.3),
		Corrupt:   d.Some(3, 0.08),
		Reorder:   d.Some(3, 0.2),
		Mark:      d.Some(4, 0.2),
	}
	if d.One(3) {
		l.Jitter = time.Duration(d.Float() * float64(rtt)).Round(time.Microsecond)
	}
	return l
}

// drawFault makes one direction of the path of c worse for a while, or both.
func drawFault(d *script.Draw, c *client) {
	from := d.Time(time.Millisecond, 10*time.Second)
	f := conntest.Fault{From: from, To: from + d.Time(time.Millisecond, 5*time.Second)}
	switch d.N(6) {
	case 0:
		f.Loss = 1
	case 1:
		f.Loss = 0.2 + 0.7*d.Float()
	case 2:
		f.MTU = 1200 + d.N(100)
	case 3:
		f.Jitter = d.Time(time.Second, 4*time.Second) // reorders by seconds
	case 4:
		f.Corrupt = d.Float()
	case 5:
		f.Duplicate, f.Reorder = d.Float(), d.Float()
	}
	switch d.N(3) {
	case 0:
		c.Up.Faults = append(c.Up.Faults, f)
	case 1:
		c.Down.Faults = append(c.Down.Faults, f)
	case 2:
		c.Up.Faults, c.Down.Faults = append(c.Up.Faults, f), append(c.Down.Faults, f)
	}
}

// drawHost draws an endpoint, over every knob of conn.Config. TestStoriesTurnEveryKnob watches over
// it. Timeouts follow from the rest of the story.
func drawHost(d *script.Draw, server bool) host {
	h := host{Segments: script.Pick(d, 0, 0, 1, 2, 10), Coalesce: d.One(2), Config: conn.Config{
		NoALPN:     d.One(20),
		Versions:   script.Pick(d, nil, nil, nil, []uint32{1}, []uint32{conn.Version2, 1}, []uint32{conn.Version2}),
		InitialRTT: script.Pick[time.Duration](d, 0, 0, 10*time.Millisecond, time.Second),

		Enable0RTT:           d.One(2),
		DisablePacing:        d.One(8),
		DisableAckFrequency:  d.One(4),
		DisableResetStreamAt: d.One(4),
		MaxDatagramFrameSize: script.Pick[int64](d, 1200, 1200, 65535, 100, 0),
		MaxUDPPayloadSize:    script.Pick(d, 0, 0, 0, 1200, 1400),
		MaxMTU:               script.Pick(d, 0, 0, 1200, 1300, 9000),
		QLogFormat:           conn.QLogFormat(d.N(2)),
	}}
	cfg := &h.Config
	if d.One(5) {
		cfg.KeepAlive = time.Second
	}
	if d.One(8) {
		cfg.InitialMTU = 1200 + d.N(250)
	}
	if d.One(3) {
		w := int64(d.Between(100, 20e3))
		cfg.InitialMaxData, cfg.InitialMaxStreamData = 2*w, w
		cfg.MaxData, cfg.MaxStreamData = 4*w, 2*w
	}
	if d.One(3) {
		cfg.InitialMaxStreamsBidi, cfg.InitialMaxStreamsUni = int64(1+d.N(3)), int64(1+d.N(3))
	}
	if d.One(4) {
		cfg.UnsentBytes = 1 + d.N(5000)
	}
	if d.One(3) {
		cfg.DatagramSendQueue, cfg.DatagramReceiveQueue = 1+d.N(10), 1+d.N(10)
		cfg.DatagramPolicy = conn.DatagramPolicy(d.N(3))
	}
	if d.One(8) {
		cfg.AcceptFromAnywhere = true
	}
	if d.One(6) {
		cfg.GrowFirstWindows = true
	}
	if d.One(8) {
		cfg.MaxSuspiciousFrames = 500 + d.N(1000)
	}
	if d.One(12) {
		h.MaxBuffered = int64(d.Between(300e3, 3e6))
	}
	if d.One(6) {
		at, by := d.Time(time.Millisecond, 10*time.Second), d.Time(time.Millisecond, 10*time.Second)
		if at%2 == 1 {
			by = -by
		}
		h.Jumps = append(h.Jumps, jump{at, by})
	}
	h.Options = options{
		Congestion:   script.Pick(d, "", "", "reno", "bbr"),
		ConfinedFlow: d.One(10), Trace: d.One(10), TicketData: script.Pick(d, 0, 0, 30),
	}
	if server {
		h.Options.Retry, h.Options.RejectEarly, h.Options.Preferred = d.One(5), d.One(8), d.One(8)
		h.Options.NoNegotiation, h.Config.DisableActiveMigration = d.One(10), d.One(8)
		h.Options.MaxHandshakes = script.Pick(d, 0, 0, 0, 1)
		cfg.ReuseTickets = h.Options.TicketData > 0 // no draw of its own: seeds keep their stories
	} else {
		h.Options.Sessions = d.One(2)
	}
	return h
}

func drawDial(d *script.Draw, servers int, rtt time.Duration) dial {
	x := dial{At: time.Duration(d.N(4)) * d.Time(time.Millisecond, 2*time.Second), Server: d.N(servers)}
	for range script.Pick(d, 1, 2, 4, 8, 0) {
		x.Streams = append(x.Streams, drawExchange(d))
	}
	names := []string{"datagram", "datagram", "keys", "migrate", "probe", "timer", "window", "streams", "look", "hold", "keepalive", "ticket"}
	for range script.Pick(d, 0, 2, 6, 20) {
		x.Calls = append(x.Calls, call{At: drawTime(d), ByServer: d.One(2), Do: script.Pick(d, names...), N: d.N(2000)})
	}
	if d.One(10) {
		x.Calls = append(x.Calls, call{At: drawTime(d), ByServer: d.One(2), Do: script.Pick(d, "close", "abandon", "refuse"), N: d.N(100)})
	}
	return x
}

// drawTime draws when something happens: often at once.
func drawTime(d *script.Draw) time.Duration {
	if t := d.Time(time.Millisecond, 3*time.Second); d.One(2) {
		return t
	}
	return 0
}

func drawExchange(d *script.Draw) exchange {
	return exchange{
		At: drawTime(d), ByServer: d.One(3), Uni: d.One(3), Urgency: int8(d.N(8)), Incremental: d.One(2),
		There: drawHalf(d), Back: drawHalf(d),
	}
}

func drawHalf(d *script.Draw) half {
	h := half{Write: script.Pick(d, "", "", "shared", "lent", "chunk", "back"), Read: script.Pick(d, "", "peek", "chunk")}
	if !d.One(5) {
		h.Bytes = int64(d.Between(1, 30e3))
	}
	if d.One(3) {
		h.Piece = int(d.Between(1, 5e3)) + int(h.Bytes/30)
	}
	if d.One(8) {
		h.End = script.Pick(d, "reset", "behind", "at", "release")
		h.After = int64(d.Float() * float64(h.Bytes+1))
	}
	if d.One(8) {
		h.Stop = 1 + int64(d.Float()*float64(h.Bytes+1))
	}
	if d.One(10) {
		h.Pause = d.Time(time.Millisecond, 300*time.Millisecond)
	}
	return h
}
