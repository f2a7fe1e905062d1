package conn_test

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/wire"
)

// needs returns how long timeouts must be for connections of c to bear the network and their own
// applications.
func (c *client) needs() time.Duration {
	d := max(patience(c.Up), patience(c.Down))
	for _, l := range []conntest.Link{c.Up, c.Down} {
		for _, f := range l.Faults {
			d += 4*max(f.To-f.From, 0) + 60*(f.Jitter+f.Delay)
		}
	}
	if n := len(c.Moves); n > 0 {
		d += 2 * (c.Moves[n-1].At - c.Moves[0].At)
	}
	for _, x := range c.Dials {
		d = max(d, d+2*x.span())
	}
	return d
}

// span returns how long the applications may take by themselves.
func (d *dial) span() (span time.Duration) {
	for _, x := range d.Streams {
		span = max(span, x.At)
	}
	for _, x := range d.Calls {
		span = max(span, x.At)
	}
	for _, x := range d.Streams {
		span += 9 * (x.There.Pause + x.Back.Pause)
	}
	return span
}

// mayTimeOut reports whether the network or the story is such that the connection may time out.
func (pr *pair) mayTimeOut() bool {
	c, client, server := pr.client, &pr.client.Host.Config, &pr.server.Config
	need := c.needs()
	for _, h := range pr.p.hosts() {
		for _, j := range h.Jumps {
			need += 2 * max(j.By, -j.By)
		}
	}
	least := time.Duration(1<<63 - 1)
	for _, cfg := range []*conn.Config{client, server} {
		least = min(least, orDefault(cfg.MaxIdleTimeout, 30*time.Second), orDefault(cfg.HandshakeTimeout, 10*time.Second))
	}
	// A client that only receives is not found again behind a NAT unless it sends something.
	lost := len(c.Moves) > 0 && (client.KeepAlive == 0 || client.KeepAlive > least/3)
	for _, x := range pr.dial.Calls {
		lost = lost || len(c.Moves) > 0 && x.Do == "keepalive"
	}
	// A damaged datagram is as useless as a lost one.
	worst := max(c.Up.Loss+c.Up.Corrupt, c.Down.Loss+c.Down.Corrupt)
	return pr.excused || least < need || lost || worst >= 0.1 || pr.short() || !pr.speak()
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// short reports whether memory may be too short for the connection.
func (pr *pair) short() bool { return pr.client.Host.MaxBuffered > 0 || pr.server.MaxBuffered > 0 }

// speak reports whether the sides can agree on a version.
func (pr *pair) speak() bool {
	versions := func(cfg *conn.Config) []uint32 {
		if len(cfg.Versions) == 0 {
			return []uint32{conn.Version1, conn.Version2}
		}
		return cfg.Versions
	}
	theirs := versions(&pr.server.Config)
	ours := versions(&pr.client.Host.Config)
	if pr.server.Options.NoNegotiation {
		return slices.Contains(theirs, ours[0]) && slices.Contains(theirs, ours[len(ours)-1])
	}
	return slices.ContainsFunc(ours, func(v uint32) bool { return slices.Contains(theirs, v) })
}

// checkEnds checks how both sides ended.
func (pr *pair) checkEnds() {
	for i, a := range pr.sides {
		if a.conn == nil {
			continue
		}
		if !a.closed {
			pr.p.fail("end", "side %d of connection %d never ends", i, pr.n)
		}
		if !pr.mayEnd(a, pr.sides[1-i]) {
			pr.p.fail("end", "side %d of connection %d ends with %v, the other one with %v", i, pr.n, a.err, pr.sides[1-i].err)
		}
	}
}

// mayEnd reports whether the connection of a may have ended as it did.
func (pr *pair) mayEnd(a, other *actor) bool {
	var app *conn.ApplicationError
	var transport *conn.TransportError
	const internal, refused, invalidToken = 1, 2, 0xb
	switch {
	case isTimeout(a.err):
		// What the other side said when it ended may be lost.
		return pr.mayTimeOut() || other.closed && !isTimeout(other.err)
	case errors.As(a.err, &app):
		by := a.number()
		if app.Remote {
			by = other.number()
		}
		return pr.code[by] == int64(app.Code)
	case errors.Is(a.err, conn.ErrStatelessReset):
		return other.closed
	case errors.Is(a.err, conn.ErrVersion):
		// nothing protects Version Negotiation from damage
		return !pr.speak() || worse(pr.client.Down, func(f conntest.Fault) bool { return f.Corrupt > 0 })
	case errors.As(a.err, &transport) && transport.Code == refused:
		return pr.refused
	case errors.As(a.err, &transport) && transport.Code == 0:
		// each side may have abandoned the path that the other one has kept
		return slices.ContainsFunc(pr.dial.Calls, func(c call) bool { return c.Do == "leave" })
	case errors.As(a.err, &transport) && transport.Code == internal:
		return pr.short()
	case errors.As(a.err, &transport) && transport.Code == invalidToken:
		// the address changed behind a Retry, or the token has expired: the packet with it came
		// late
		return pr.excused || len(pr.server.Jumps) > 0 || pr.client.needs() > retryTokenLife
	case errors.As(a.err, &transport) && transport.Remote:
		// it says so when it times out, and hides the application's code in the handshake
		return isTimeout(other.err) || transport.Code == 0xc && pr.code[other.number()] >= 0
	}
	return false
}

// retryTokenLife is the default of conn.EndpointConfig.RetryTokenLife.
const retryTokenLife = 10 * time.Second

// worse reports whether something holds for a link, always or while it has a fault.
func worse(l conntest.Link, holds func(conntest.Fault) bool) bool {
	always := conntest.Fault{Loss: l.Loss, Corrupt: l.Corrupt, Duplicate: l.Duplicate, Reorder: l.Reorder}
	return holds(always) || slices.ContainsFunc(l.Faults, holds)
}

// A shield watches over the limit for addresses that are not validated: a server sends at most
// three times what came from there (RFC 9000, Section 8.1). It counts at a server's door what the
// client has sent, lost or not, and twice if the path duplicates. So it may let pass too much, but
// never too little.
type shield struct {
	hosts map[netip.AddrPort]*unknownHost
}

type unknownHost struct {
	sent, got int
	known     bool // something came that may validate the address
}

func (s *shield) host(addr netip.AddrPort) *unknownHost {
	if s.hosts == nil {
		s.hosts = make(map[netip.AddrPort]*unknownHost)
	}
	h := s.hosts[addr]
	if h == nil {
		h = new(unknownHost)
		s.hosts[addr] = h
	}
	return h
}

// up sees what a client sends.
func (s *shield) up(c *client, d *conntest.Packet) bool {
	h := s.host(d.Src)
	h.sent += len(d.Data)
	if worse(c.Up, func(f conntest.Fault) bool { return f.Duplicate > 0 }) {
		h.sent += len(d.Data)
	}
	// Only an Initial without a token, alone in its datagram, says nothing of the address.
	first, ok := wire.ParseLong(d.Data)
	if !ok || first.Type != wire.TypeInitial || len(first.Token) > 0 || first.End < len(d.Data) {
		h.known = true
	}
	return true
}

// down sees what a server sends.
func (s *shield) down(p *play, d *conntest.Packet) bool {
	h := s.host(d.Dst)
	h.got += len(d.Data)
	if !h.known && h.got > 3*h.sent {
		p.fail("amplification", "%v got %d bytes for %d", d.Dst, h.got, h.sent)
	}
	return true
}

func mustAddr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
