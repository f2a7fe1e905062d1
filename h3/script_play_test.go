package h3

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/script"
)

// A play is a story that is being played.
type play struct {
	story
	net    *conntest.Network
	tales  []*tale
	client *actor
	server *actor // of the connection whose handshake is complete
	others map[*conn.Conn]*actor

	pushed, closed bool // the connection may end because of that
}

// An actor is the application on one side of the connection.
type actor struct {
	p        *play
	node     *conntest.Node
	plan     *host
	isServer bool
	h        *Conn
	waiting  []*tale // for room, or for the settings of the server
	leaving  []*Stream
	err      error
	over     bool
}

// A tale is a request, as nobody on the network can know it.
type tale struct {
	plan    *request
	n       int
	ends    [2]*end // the client's and the server's; nil before the stream is there
	excused bool    // it may end otherwise than with a response
	done    bool    // nothing is to be expected any more
}

// check plays the story, and returns what went wrong first, nil if nothing did.
func (s story) check(t *testing.T) *script.Flaw {
	_, f := s.play(t)
	return f
}

// play plays the story once. The hash is that of the transcript.
func (s story) play(t *testing.T) (hash [32]byte, found *script.Flaw) {
	found = script.Try(t, func(tb *script.Trial) {
		p := &play{story: s, others: make(map[*conn.Conn]*actor)}
		rnd := conntest.Seed(t, s.Seed)
		p.net = conntest.New(tb, s.Seed)
		p.net.OnStep = p.step
		scfg, ccfg := s.Server.config(conntest.ServerConfig()), s.Client.config(conntest.ClientConfig())
		server := p.net.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: rnd, Server: scfg})
		client := p.net.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
		server.MaxSegments, client.MaxSegments = s.Server.Segments, s.Client.Segments
		p.net.Connect(client, server, s.Up, s.Down)
		server.OnEvent = func(now time.Time, ev conn.Event) { p.serverActor(server, ev.Conn).event(now, ev) }
		p.client = &actor{p: p, node: client, plan: &p.story.Client}
		client.OnEvent = func(now time.Time, ev conn.Event) { p.client.event(now, ev) }
		q, err := client.Dial(p.net.Now(), conn.Target{Remote: server.Addr, ServerName: "lazo.test"}, ccfg)
		if err != nil {
			p.fail("dial", "%v", err)
		}
		p.client.begin(q)
		p.run()
		p.finish()
		hash = p.net.Transcript()
	})
	return hash, found
}

func (h *host) config(cfg *conn.Config) *conn.Config {
	cfg.InitialMaxStreamsBidi = h.Streams
	if h.Unsent > 0 { // the header of a frame has to fit, here and in the window
		cfg.UnsentBytes = max(h.Unsent, 16)
	}
	if h.Window > 0 {
		cfg.InitialMaxStreamData, cfg.MaxStreamData = max(h.Window, 64), max(h.Window, 64)
	}
	cfg.MaxIdleTimeout, cfg.HandshakeTimeout = time.Hour, time.Hour
	if h.Config.Datagrams {
		cfg.MaxDatagramFrameSize = 1200
	}
	return cfg
}

// fail ends the run.
func (p *play) fail(kind, format string, args ...any) {
	at := p.net.Now().Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
	panic(&script.Flaw{Kind: kind, Text: fmt.Sprintf("at %v: ", at) + fmt.Sprintf(format, args...)})
}

// serverActor returns the actor of a connection of the server. There may be several connections: an
// Initial that was sent again may begin another one, of which nothing comes.
func (p *play) serverActor(node *conntest.Node, q *conn.Conn) *actor {
	a := p.others[q]
	if a == nil {
		a = &actor{p: p, node: node, plan: &p.Server, isServer: true}
		p.others[q] = a
		a.begin(q)
	}
	return a
}

// begin starts HTTP/3 on a connection.
func (a *actor) begin(q *conn.Conn) {
	h, err := NewConn(q, &a.plan.Config)
	if err != nil {
		a.p.fail("config", "%v", err)
	}
	a.h = h
}

// run plays until each request has come to its end.
func (p *play) run() {
	const longest = 3 * time.Hour
	for end := p.net.Now().Add(longest); !p.done(); p.net.RunFor(time.Second) {
		if p.net.Now().After(end) {
			i := slices.IndexFunc(p.tales, func(t *tale) bool { return !t.ended() })
			p.fail("stuck", "%d requests of %d have begun, and number %d never ends", len(p.tales), len(p.Requests), i)
		}
	}
}

// done reports whether nothing is left to wait for.
func (p *play) done() bool {
	if p.client.over {
		return true
	}
	return len(p.tales) == len(p.Requests) && p.server != nil && !slices.ContainsFunc(p.tales, func(t *tale) bool { return !t.ended() })
}

// ended reports whether both sides are done with the request.
func (t *tale) ended() bool {
	for _, x := range t.ends {
		if x != nil && !x.gone {
			return false
		}
	}
	return t.done || t.ends[0] != nil
}

// finish closes the connection, and checks that nothing remains.
func (p *play) finish() {
	if !p.client.over {
		for _, a := range []*actor{p.client, p.server} {
			if n := len(a.h.streams); n > 0 {
				p.fail("left", "%v has %d streams", a.node.Addr, n)
			}
		}
		p.closed = true
		p.client.h.QUIC().Close(uint64(NoError), "")
	}
	for steps := 0; p.net.Step(); steps++ {
		if steps == 1e6 {
			p.fail("rest", "the network does not come to rest")
		}
	}
	for _, a := range []*actor{p.client, p.server} {
		if a == nil {
			continue // it ended in the handshake
		}
		if !a.over {
			p.fail("end", "%v never ends", a.node.Addr)
		}
		a.node.HandleTimeout(p.net.Now())
		if s := a.node.Stats(); s.Conns != 0 || s.Held != 0 || s.Streams != 0 {
			p.fail("left", "%v has %d connections and holds %d bytes", a.node.Addr, s.Conns, s.Held)
		}
	}
}

// step checks what must hold after each step of a node.
func (p *play) step(node *conntest.Node) {
	for _, a := range []*actor{p.client, p.server} {
		if a != nil && a.node == node && !a.over {
			a.checkAccount()
		}
	}
}

// checkAccount compares what counts for the connection with what it has. Datagrams count by
// themselves, in package dgram.
func (a *actor) checkAccount() {
	h := a.h
	sum := int64(connCost) + h.cfg.QPACKTableCapacity + h.cfg.QPACKEncoderCapacity
	stream := func(s *Stream) {
		if n := cap(s.section) + cap(s.joined) + cap(s.out); n != s.memory {
			a.p.fail("account", "stream %d has %d bytes, %d are counted", s.id, n, s.memory)
		}
		sum += int64(s.memory)
	}
	for _, s := range h.streams {
		stream(s)
		sum += streamCost
	}
	a.leaving = slices.DeleteFunc(a.leaving, func(s *Stream) bool { return s.qs == nil || !s.released })
	for _, s := range a.leaving {
		stream(s)
		sum += streamCost
	}
	for _, s := range h.free {
		stream(s)
	}
	for i := range h.out {
		sum += int64(h.out[i].counted)
	}
	if got := a.node.Stats().HeldBy.Above; h.mux == nil && got != sum && len(a.p.others) <= 1 {
		a.p.fail("account", "%v: %d bytes are counted, and there are %d", a.node.Addr, got, sum)
	}
	if h.partial < 0 || h.silent < 0 || h.silent > len(h.streams) {
		a.p.fail("account", "%v: %d bytes of sections, %d silent requests", a.node.Addr, h.partial, h.silent)
	}
}

// event takes an event of the QUIC connection.
func (a *actor) event(now time.Time, ev conn.Event) {
	if a.over {
		a.p.fail("event", "event %d after EventClosed", ev.Kind)
	}
	a.h.HandleEvent(now, ev)
	switch ev.Kind {
	case conn.EventConnected:
		if a.isServer {
			a.p.server = a
		} else {
			a.start()
		}
	case conn.EventClosed:
		a.over, a.err = true, ev.Err
		a.checkEnd(ev.Err)
	}
	a.drain()
}

// start lets the requests and calls of the story happen in their time.
func (a *actor) start() {
	p := a.p
	for i := range p.Requests {
		r := &p.Requests[i]
		p.after(r.At, func() {
			t := &tale{plan: r, n: len(p.tales)}
			p.tales = append(p.tales, t)
			a.open(t)
			a.drain()
		})
	}
	for i := range p.Calls {
		c := &p.Calls[i]
		p.after(c.At, func() {
			if by := p.actor(c.ByServer); by != nil && !by.over {
				by.call(c)
				by.drain()
			}
		})
	}
}

// after calls f in a while, unless the connection ends before that.
func (p *play) after(d time.Duration, f func()) {
	p.net.After(d, func() {
		if !p.client.over && (p.server == nil || !p.server.over) {
			f()
		}
	})
}

func (p *play) actor(server bool) *actor {
	if server {
		return p.server
	}
	return p.client
}

// call makes a call on the connection.
func (a *actor) call(c *call) {
	p := a.p
	switch c.Do {
	case "goaway":
		for _, t := range p.tales {
			t.excused = t.excused || a.isServer && t.ends[1] == nil
		}
		if err := a.h.GoAway(); err != nil {
			p.fail("goaway", "%v", err)
		}
	case "uni", "push":
		typ := uint64(0x21 + 31*5)
		if c.Do == "push" {
			typ, p.pushed = streamPush, true
		}
		s, err := a.h.OpenUni(typ)
		if err != nil {
			return // there may be no room for it
		}
		s.Write(make([]byte, 100))
		s.CloseWrite()
		s.Release()
	case "close":
		p.closed = true
		a.h.QUIC().Close(uint64(NoError), "")
	}
}

// checkEnd checks the error with which the connection ends.
func (a *actor) checkEnd(err error) {
	if a.isServer && a != a.p.server {
		return // no client knows of it
	}
	var app *conn.ApplicationError
	switch {
	case errors.As(err, &app) && ErrorCode(app.Code) == NoError && a.p.closed:
	case errors.As(err, &app) && ErrorCode(app.Code) == IDError && a.p.pushed:
	case errors.Is(err, conn.ErrStatelessReset) && (a.p.closed || a.p.pushed):
	case errors.Is(err, conn.ErrIdleTimeout) && (a.p.closed || a.p.pushed): // the news was lost
	default:
		a.p.fail("end", "%v ends with %v", a.node.Addr, err)
	}
}

// drain takes the events of HTTP/3.
func (a *actor) drain() {
	for ev, ok := a.h.NextEvent(); ok; ev, ok = a.h.NextEvent() {
		switch ev.Kind {
		case EventSettings, EventRequestsAvailable:
			waiting := a.waiting
			a.waiting = nil
			for _, t := range waiting {
				a.open(t)
			}
		case EventFields:
			a.fields(ev)
		case EventReadable:
			a.end(ev.Stream).receive()
		case EventWritable:
			a.end(ev.Stream).send()
		case EventCanceled:
			a.end(ev.Stream).canceled(ev)
		case EventDatagram:
			a.end(ev.Stream).datagrams()
		case EventPriority:
			a.priority(ev)
		}
	}
}

// end returns that of a stream, which must not be released.
func (a *actor) end(s *Stream) *end {
	x, ok := s.UserData.(*end)
	if !ok {
		a.p.fail("event", "an event of stream %d, which is released or unknown", s.ID())
	}
	return x
}

// fields takes a field section.
func (a *actor) fields(ev Event) {
	if x, ok := ev.Stream.UserData.(*end); ok {
		x.section(ev)
		return
	}
	n := -1
	for _, f := range ev.Fields {
		if f.Name == ":path" {
			n, _ = strconv.Atoi(strings.TrimPrefix(f.Value, "/"))
		}
	}
	if !a.isServer || n < 0 || n >= len(a.p.tales) || a.p.tales[n].ends[1] != nil {
		a.p.fail("fields", "fields on stream %d, of no request: %v", ev.Stream.ID(), ev.Fields)
	}
	x := newEnd(a, a.p.tales[n], ev.Stream)
	x.section(ev)
	if x.stage = stageInterims; !x.gone {
		x.send()
	}
}

// priority checks the priority of a request.
func (a *actor) priority(ev Event) {
	for _, t := range a.p.tales {
		if x := t.ends[0]; x != nil && x.id == ev.ID {
			first := conn.Priority{Urgency: t.plan.Urgency, Incremental: t.plan.Incremental}
			if ev.Priority != first && ev.Priority != updated(first) {
				a.p.fail("priority", "request %d has %v", t.n, ev.Priority)
			}
			return
		}
	}
	a.p.fail("priority", "of no request: %v", ev.ID)
}

// updated is the priority to which a client changes.
func updated(p conn.Priority) conn.Priority {
	return conn.Priority{Urgency: max(-p.Urgency, -defaultUrgency), Incremental: !p.Incremental}
}
