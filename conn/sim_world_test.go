package conn_test

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A scenario is a simulated run. A client opens streams to a server. Both write on each of them,
// and read to the end.
type scenario struct {
	seed             uint64
	up, down         conntest.Link // from the client to the server, and back
	streams          int
	upload, download int64 // bytes a stream
	// for idle connections and for handshakes; zero is the default of package conn
	timeout time.Duration
	limit   time.Duration // of simulated time; default an hour

	segments  int                        // see conntest.Node.MaxSegments
	coalesce  bool                       // see conntest.Node.Coalesce
	configure func(*conn.Config)         // changes both configurations
	endpoint  func(*conn.EndpointConfig) // likewise
	retry     bool                       // the server validates addresses first
	// the connection resumes a session of an earlier one, with 0-RTT
	resume bool
	begin  func(*world)            // runs after Dial
	step   func(*world)            // runs before each step of the network
	event  func(*peer, conn.Event) // runs before the peer handles the event

	// rude returns how peers treat a stream. If it is nil, they are polite.
	rude func(p *peer, id conn.StreamID) manners
}

// An outcome is the result of a scenario.
type outcome struct {
	timeout        error         // of either side, before the work was done
	elapsed        time.Duration // from the end of the client's handshake to the last byte read
	hash           [32]byte      // of the transcript
	client, server conn.Stats
}

// A world is a scenario that is running.
type world struct {
	scenario
	t              *testing.T
	net            *simulation
	client, server *peer
	books          [2]conn.LedgerCheck
}

// start sets the scenario up, and dials.
func (sc scenario) start(t *testing.T) *world {
	t.Helper()
	rnd := conntest.Seed(t, sc.seed)
	w := &world{scenario: sc, t: t, net: simulate(t, sc.seed)}
	toServer, toClient := conntest.ClientConfig(), conntest.ServerConfig()
	for _, cfg := range []*conn.Config{toServer, toClient} {
		cfg.MaxIdleTimeout, cfg.HandshakeTimeout = sc.timeout, sc.timeout
		if sc.configure != nil {
			sc.configure(cfg)
		}
	}
	w.server = &peer{w: w, name: "server", sends: sc.download, expects: sc.upload}
	w.client = &peer{w: w, name: "client", sends: sc.upload, expects: sc.download, toOpen: sc.streams}
	accept := &conn.EndpointConfig{Server: toClient, Rand: rnd}
	if sc.retry {
		accept.Admit = func(in conn.AdmissionRequest) conn.Admission {
			if in.Token == conn.TokenNone {
				return conn.AdmissionRetry
			}
			return conn.AdmissionAccept
		}
	}
	dial := &conn.EndpointConfig{Rand: rnd}
	if sc.endpoint != nil {
		sc.endpoint(accept)
		sc.endpoint(dial)
	}
	w.server.join("10.0.0.1:443", accept)
	w.client.join("10.0.0.2:5000", dial)
	if sc.resume {
		w.visit(toServer)
	}
	w.net.Connect(w.client.node, w.server.node, sc.up, sc.down)
	c, err := w.client.node.Dial(w.net.Now(), conn.Target{Remote: w.server.node.Addr}, toServer)
	if err != nil {
		t.Fatal(err)
	}
	w.client.conn = c
	if sc.begin != nil {
		sc.begin(w)
	}
	if sc.resume {
		w.client.open()
	}
	return w
}

// visit connects once over a perfect network, to get a session ticket.
func (w *world) visit(cfg *conn.Config) {
	w.t.Helper()
	ignore := func(time.Time, conn.Event) {}
	w.client.node.OnEvent, w.server.node.OnEvent = ignore, ignore
	cfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	c, err := w.client.node.Dial(w.net.Now(), conn.Target{Remote: w.server.node.Addr}, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.net.RunFor(time.Second)
	c.Close(closeCode, "")
	for w.net.Step() {
	}
	w.client.node.OnEvent, w.server.node.OnEvent = w.client.event, w.server.event
}

// run runs the scenario until its work is done or the client's connection ends. Then it closes what
// is left. No byte may be wrong, and nothing may be left over.
func (sc scenario) run(t *testing.T) outcome {
	t.Helper()
	w := sc.start(t)
	w.work()
	var out outcome
	if w.done() {
		out.elapsed = max(w.client.lastRead, w.server.lastRead) - w.client.connected
	} else if out.timeout = w.client.err; !isTimeout(out.timeout) {
		out.timeout = w.server.err
	}
	out.client = w.client.conn.Stats()
	if w.server.conn != nil {
		out.server = w.server.conn.Stats()
	}
	w.finish()
	out.hash = w.net.Transcript()
	return out
}

// done reports whether everything is read and written. With early data that may happen before the
// handshake is complete.
func (w *world) done() bool {
	return w.client.connected != 0 && w.server.connected != 0 &&
		w.client.finished == w.streams && w.server.finished == w.streams
}

// work runs the network until the work is done or cannot be done any more.
func (w *world) work() {
	w.t.Helper()
	limit := w.limit
	if limit == 0 {
		limit = time.Hour
	}
	w.net.RunUntil(limit, func() bool {
		if w.step != nil {
			w.step(w)
		}
		w.checkLedgers()
		return w.done() || w.client.closed || w.server.closed
	})
}

// finish closes the client's connection. It checks that both sides come to rest and forget
// everything.
func (w *world) finish() {
	w.t.Helper()
	if !w.client.closed {
		w.client.conn.Close(closeCode, "done")
	}
	for steps := 0; w.net.Step(); steps++ {
		w.checkLedgers()
		if steps == 1e6 {
			w.t.Fatal("the network does not come to rest after Close")
		}
	}
	w.checkEnd(w.client, w.server)
	if w.server.conn != nil {
		w.checkEnd(w.server, w.client)
	}
	for _, p := range []*peer{w.client, w.server} {
		if err := p.node.CheckEmpty(w.net.Now()); err != nil {
			p.errorf("%v", err)
		}
	}
}

// checkLedgers checks the account of what is in flight on both sides.
func (w *world) checkLedgers() {
	w.t.Helper()
	for i, p := range []*peer{w.client, w.server} {
		if err := w.books[i].Check(p.conn); err != nil {
			w.t.Fatalf("%s, at %v: %v", p.name, w.client.now(), err)
		}
	}
}

// closeCode is the code with which scenarios close their connections.
const closeCode = 42

// checkEnd checks how p's connection ended. It may have ended with the code of the client, or with
// a timeout. It may also have ended because the other peer's had ended with a timeout, or because
// the client has forgotten what it closed (RFC 9000, Section 10.3).
func (w *world) checkEnd(p, other *peer) {
	w.t.Helper()
	var app *conn.ApplicationError
	var transport *conn.TransportError
	switch {
	case isTimeout(p.err):
	case errors.As(p.err, &app) && app.Code == closeCode && app.Remote == (p == w.server):
	case errors.As(p.err, &transport) && transport.Remote && isTimeout(other.err):
	case errors.Is(p.err, conn.ErrStatelessReset) && p == w.server && w.done():
	default:
		p.errorf("the connection ends with %v", p.err)
	}
}

// isTimeout reports whether err is one of those that a bad network may cause.
func isTimeout(err error) bool {
	return errors.Is(err, conn.ErrIdleTimeout) || errors.Is(err, conn.ErrHandshakeTimeout)
}

// both returns the scenario with the same link both ways.
func (sc scenario) both(l conntest.Link) scenario {
	sc.up, sc.down = l, l
	return sc
}

// runTwice runs the scenario twice and checks that both runs are the same.
func (sc scenario) runTwice(t *testing.T) outcome {
	t.Helper()
	first, second := sc.run(t), sc.run(t)
	if first.hash != second.hash || first.elapsed != second.elapsed {
		t.Errorf("the same seed made different runs: %x in %v, %x in %v",
			first.hash[:4], first.elapsed, second.hash[:4], second.elapsed)
	}
	return first
}
