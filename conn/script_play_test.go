package conn_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/script"
)

// A play is a story that is being played.
type play struct {
	story
	net     *conntest.Network
	servers []*conntest.Node
	pairs   []*pair
	books   map[*conn.Conn]*conn.LedgerCheck
	turns   map[*conntest.Node]*turns
	scratch [32 << 10]byte
	shield  shield
	edit    func(*conn.EndpointConfig) // of each endpoint
}

// A pair is a connection, with the applications on both sides.
type pair struct {
	p       *play
	n       int
	dial    *dial
	client  *client
	server  *host
	sides   [2]*actor // the client's and the server's
	talks   map[conn.StreamID]*talk
	left    int  // streams that are not finished, by side, and calls that are not made
	excused bool // something happened that may make the connection time out
	refused bool
	void    bool     // nobody can say what should happen
	code    [2]int64 // with which the sides closed, by side; -1 if they did not
}

// check plays the story, and returns what went wrong first, nil if nothing did.
func (s story) check(t *testing.T) *script.Flaw {
	_, f := s.play(t)
	return f
}

// play plays the story once. The hash is that of the transcript.
func (s story) play(t *testing.T) (hash [32]byte, found *script.Flaw) {
	return s.playWith(t, func(*conn.EndpointConfig) {})
}

// playWith is play with a change to the configuration of each endpoint.
func (s story) playWith(t *testing.T, edit func(*conn.EndpointConfig)) (hash [32]byte, found *script.Flaw) {
	if len(s.Servers) == 0 {
		return hash, nil
	}
	found = script.Try(t, func(tb *script.Trial) {
		p := &play{story: s, books: make(map[*conn.Conn]*conn.LedgerCheck), turns: make(map[*conntest.Node]*turns), edit: edit}
		rnd := conntest.Seed(t, s.Seed)
		p.net = conntest.New(tb, s.Seed)
		p.set(rnd)
		p.run()
		p.finish()
		hash = p.net.Transcript()
	})
	return hash, found
}

// fail ends the run.
func (p *play) fail(kind, format string, args ...any) {
	at := p.net.Now().Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
	panic(&script.Flaw{Kind: kind, Text: fmt.Sprintf("at %v: ", at) + fmt.Sprintf(format, args...)})
}

// set puts all hosts on the network, and lets what the story says happen in its time.
func (p *play) set(rnd io.Reader) {
	p.net.OnStep = p.step
	for i := range p.Servers {
		h := &p.Servers[i]
		cfg := h.config(conntest.ServerTLS())
		second := fmt.Sprintf("10.0.1.%d:443", 1+i)
		if h.Options.Preferred {
			cfg.PreferredAddress4 = mustAddr(second)
		}
		a := p.add(h, fmt.Sprintf("10.0.0.%d:443", 1+i), &conn.EndpointConfig{
			Server: cfg, Rand: rnd, MaxHandshakes: h.Options.MaxHandshakes, NoVersionNegotiation: h.Options.NoNegotiation,
		})
		p.net.AddAddr(a, second)
		a.OnEvent = func(_ time.Time, ev conn.Event) { p.serverEvent(a, ev) }
		p.servers = append(p.servers, a)
	}
	for i := range p.Clients {
		p.setClient(i, rnd)
	}
}

// add puts an endpoint on the network.
func (p *play) add(h *host, addr string, cfg *conn.EndpointConfig) *conntest.Node {
	cfg.MaxBuffered = h.MaxBuffered
	if h.Options.Retry {
		cfg.Admit = func(in conn.AdmissionRequest) conn.Admission {
			if in.Token == conn.TokenNone {
				return conn.AdmissionRetry
			}
			return conn.AdmissionAccept
		}
	}
	p.edit(cfg)
	a := p.net.Add(addr, cfg)
	a.MaxSegments, a.Coalesce = max(h.Segments, 0), h.Coalesce
	for _, j := range h.Jumps {
		p.net.After(j.At, func() {
			a.Ahead += max(min(j.By, 24*time.Hour), -24*time.Hour)
			a.Endpoint.HandleTimeout(p.net.Now().Add(a.Ahead))
		})
	}
	return a
}

func (p *play) setClient(i int, rnd io.Reader) {
	c := &p.Clients[i]
	a := p.add(&c.Host, fmt.Sprintf("10.0.2.%d:5000", 1+i), &conn.EndpointConfig{Rand: rnd})
	for k := range 4 {
		p.net.AddAddr(a, fmt.Sprintf("10.1.%d.%d:5000", i, 1+k)) // for Migrate and Probe
	}
	for _, s := range p.servers {
		up, down := c.Up, c.Down
		up.Filter, down.Filter = func(d *conntest.Packet) bool { return p.shield.up(c, d) }, func(d *conntest.Packet) bool { return p.shield.down(p, d) }
		p.net.Connect(a, s, up, down)
	}
	cfg := c.Host.config(conntest.ClientTLS())
	if c.Host.Options.Sessions {
		cfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(2)
		cfg.Tokens = &tokens{}
	}
	a.OnEvent = func(_ time.Time, ev conn.Event) { p.clientEvent(a, ev) }
	for _, m := range c.Moves {
		p.net.After(m.At, func() {
			to := a.Addr.String()
			if n := m.To & 3; n != 0 {
				to = fmt.Sprintf("192.0.2.%d:6%d000", 1+i, n)
			}
			p.net.Rebind(a, to)
			for _, pr := range p.pairs {
				if pr.client == c && !pr.sides[0].confirmed() {
					pr.excused = true
				}
			}
		})
	}
	for k := range c.Dials {
		d := &c.Dials[k]
		n := int(uint(d.Server) % uint(len(p.servers)))
		pr := &pair{
			p: p, n: len(p.pairs), dial: d, client: c, server: &p.Servers[n], talks: make(map[conn.StreamID]*talk),
			left: 2*len(d.Streams) + len(d.Calls), code: [2]int64{-1, -1},
		}
		pr.sides = [2]*actor{{pair: pr, node: a}, {pair: pr, node: p.servers[n], isServer: true}}
		p.pairs = append(p.pairs, pr)
		p.net.After(d.At, func() { pr.start(cfg) })
	}
}

// start dials.
func (pr *pair) start(cfg *conn.Config) {
	a := pr.sides[0]
	c, err := a.node.Dial(pr.p.net.Now().Add(a.node.Ahead), conn.Target{Remote: pr.sides[1].node.Addr}, cfg)
	if err != nil {
		pr.p.fail("dial", "%v", err)
	}
	a.conn = c
	if c.EarlyData() {
		a.begin()
	}
}

// config returns the configuration that the host describes.
func (h *host) config(t *tls.Config) *conn.Config {
	cfg, o := h.Config, h.Options
	cfg.TLS = t
	switch o.Congestion {
	case "reno":
		cfg.Congestion = congestion.NewReno
	case "bbr":
		cfg.Congestion = congestion.NewBBR
	}
	if o.ConfinedFlow {
		cfg.AllowWindowIncrease = func(*conn.Conn, int64) bool { return false }
	}
	if o.Trace {
		cfg.Trace = func(*conn.TraceEvent) {}
		cfg.QLog = func(conn.ConnID, bool) io.WriteCloser { return nowhere{} }
	}
	cfg.TicketData = make([]byte, max(o.TicketData, 0))
	if o.RejectEarly {
		cfg.AcceptEarlyData = func([]byte) bool { return false }
	}
	return &cfg
}

// nowhere takes a qlog.
type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) Close() error                { return nil }

// tokens are a conn.TokenCache.
type tokens struct{ all map[string][]byte }

func (t *tokens) TakeToken(server string) []byte {
	b := t.all[server]
	delete(t.all, server)
	return b
}

func (t *tokens) PutToken(server string, token []byte) {
	if t.all == nil {
		t.all = make(map[string][]byte)
	}
	t.all[server] = token
}

func (p *play) clientEvent(a *conntest.Node, ev conn.Event) {
	for _, pr := range p.pairs {
		if s := pr.sides[0]; s.node == a && s.conn == ev.Conn {
			s.event(ev)
			return
		}
	}
	p.fail("event", "event %d of an unknown connection", ev.Kind)
}

// serverEvent finds the pair of an event. A server may have more connections than clients have: an
// Initial that was sent again, or came twice, may begin another one, of which nothing comes. So a
// pair takes the one in which something happens.
func (p *play) serverEvent(a *conntest.Node, ev conn.Event) {
	for _, pr := range p.pairs {
		s, c := pr.sides[1], pr.sides[0].conn
		if s.node != a || c == nil {
			continue
		}
		alive := ev.Kind != conn.EventAccepted && (ev.Kind != conn.EventClosed || s.conn == nil)
		if s.conn != ev.Conn && c.ID() == ev.Conn.ID() && alive {
			// Early data may have begun one connection, and the handshake another one.
			pr.void = pr.void || s.conn != nil && !s.closed
			s.conn, s.closed = ev.Conn, false
		}
		if s.conn == ev.Conn {
			s.event(ev)
			return
		}
	}
	if ev.Kind == conn.EventStreamReadable {
		p.fail("event", "data on a connection that nobody has")
	}
}

// turns are the steps of a node. Idle are those for a timer that have changed none of its counters.
type turns struct {
	busy, idle int
	last       conn.EndpointStats
	next       time.Time // when the timer is due
}

// step checks what must hold after each step of a.
func (p *play) step(a *conntest.Node) {
	p.countTurn(a)
	if err := a.CheckMemory(); err != nil {
		p.fail("memory", "%v: %v", a.Addr, err)
	}
	for c := range a.Conns() {
		k := p.books[c]
		if k == nil {
			k = new(conn.LedgerCheck)
			p.books[c] = k
		}
		if err := k.Check(c); err != nil {
			p.fail("ledger", "%v: %v", a.Addr, err)
		}
		if a.Timeout().IsZero() {
			p.fail("timer", "%v has a connection and no timer", a.Addr)
		}
	}
	for _, pr := range p.pairs {
		c, s := pr.sides[0], pr.sides[1]
		if c.node != a && s.node != a || c.conn == nil || s.conn == nil || pr.void {
			continue
		}
		if err := conn.CheckCredit(c.conn, s.conn); err != nil {
			p.fail("credit", "client to server: %v", err)
		}
		if err := conn.CheckCredit(s.conn, c.conn); err != nil {
			p.fail("credit", "server to client: %v", err)
		}
	}
}

// countTurn fails the run if a node wakes up for nothing all the time.
func (p *play) countTurn(a *conntest.Node) {
	x := p.turns[a]
	if x == nil {
		x = new(turns)
		p.turns[a] = x
	}
	now, due := p.net.Now().Add(a.Ahead), x.next
	x.next = a.Timeout()
	s := a.Stats()
	switch {
	case s != x.last:
		x.busy, x.last = x.busy+1, s
	case due.IsZero() || now.Before(due): // something came: a closed connection does not count it
	default:
		x.idle++
	}
	if x.idle > maxIdleTurns+x.busy {
		p.fail("turns", "%v: %d of %d turns came to nothing", a.Addr, x.idle, x.idle+x.busy)
	}
}

// maxIdleTurns is how many turns may come to nothing, besides one for each that does not.
const maxIdleTurns = 500

// longest is how much virtual time a story may take.
const longest = 3 * time.Hour

// run plays until each connection has done its work or ended.
func (p *play) run() {
	for end := p.net.Now().Add(longest); !p.done(); p.net.RunFor(time.Second) {
		for _, pr := range p.pairs {
			if pr.done() && pr.sides[0].conn != nil {
				pr.sides[0].close(finalCode)
			}
		}
		if p.net.Now().After(end) {
			for _, pr := range p.pairs {
				if !pr.done() {
					p.fail("stuck", "connection %d neither ends nor gets on; %d things are left", pr.n, pr.left)
				}
			}
		}
	}
}

func (p *play) done() bool {
	return !slices.ContainsFunc(p.pairs, func(pr *pair) bool { return !pr.done() })
}

func (pr *pair) done() bool {
	return pr.sides[0].closed || pr.void || pr.left == 0 && pr.sides[0].connected && pr.sides[1].connected
}

// finish closes what is left, and checks how everything ended, and that nothing remains.
func (p *play) finish() {
	for _, pr := range p.pairs {
		for _, a := range pr.sides {
			a.close(finalCode)
		}
	}
	for steps := 0; p.net.Step(); steps++ {
		if steps == 1e6 {
			p.fail("rest", "the network does not come to rest")
		}
	}
	for _, pr := range p.pairs {
		if !pr.void {
			pr.checkEnds()
		}
	}
	nodes := slices.Clone(p.servers)
	for _, pr := range p.pairs {
		nodes = append(nodes, pr.sides[0].node)
	}
	for _, a := range nodes {
		now := p.net.Now().Add(a.Ahead)
		if err := a.CheckEmpty(now); err != nil {
			p.fail("left", "%v: %v", a.Addr, err)
		}
	}
}

// finalCode is the code with which connections are closed whose work is done.
const finalCode = 1000
