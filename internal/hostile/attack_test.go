package hostile

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// An attack is what a peer sends, what it must get, and what that may cost.
type attack struct {
	name string
	refs []string // advisories of other implementations that had the hole
	rule string   // the section that says what happens, or why
	at   stage
	edit func(*conn.EndpointConfig) // of the server

	params []byte // transport parameters of the peer, if they are not honest
	alpn   string // the protocol that it asks for, if it is not HTTP/3
	table  int64  // capacity of the server's table for QPACK, in bytes

	send func(*peer)
	want outcome

	// The limits. Those of memory and answers hold beyond what the connection had before, or
	// altogether for a peer that has none.
	held    int64 // bytes, counted in the account
	answers int   // bytes of datagrams
}

// A stage is how far the peer got before.
type stage string

const (
	stranger  stage = "a stranger"           // nothing was sent
	connected stage = "a connection"         // without HTTP/3
	client    stage = "a client with HTTP/3" // that got its page

	// Clients that got their page from a site, too.
	session stage = "a client with a session of WebTransport"
	idle    stage = "a client with a session that nobody reads"
	tunnel  stage = "a client with a tunnel of CONNECT-UDP"
)

// onSite reports whether the stage takes a site.
func (s stage) onSite() bool { return s == session || s == idle || s == tunnel }

func (o outcome) String() string {
	switch o.kind {
	case kindReset:
		return "request: " + o.name
	case kindStatus:
		return fmt.Sprint("status ", o.code)
	default:
		return o.name
	}
}

// prepare makes the peer, and brings it to the stage of the attack.
func (a attack) prepare(t *testing.T, to target) *peer {
	p := hello(t, to)
	switch {
	case a.params != nil || a.alpn != "":
		p = helloOther(t, to, a.params, a.alpn)
	case a.at.onSite():
		p = helloOther(t, to, params(param(paramDatagrams, varint(minDatagram))), "")
	}
	if a.at != stranger {
		p.connect()
	}
	switch a.at {
	case client:
		p.ask()
	case session:
		p.join(sessionRequest("/"))
	case idle:
		p.join(sessionRequest(idlePath))
	case tunnel:
		p.join(tunnelRequest())
	}
	p.settle()
	return p
}

func (a attack) run(t *testing.T, to target) {
	p := a.prepare(t, to)
	base, answered, sent := to.held(), p.answered, p.sent
	if c, ok := to.(*core); ok {
		c.peak = base
	}
	a.send(p)
	a.check(p)

	answers := p.answered - answered
	t.Logf("%d bytes held, %d bytes in answer to %d", a.heldAfter(t, to, base), answers, p.sent-sent)
	require.LessOrEqual(t, answers, a.answers, "bytes in answer")

	honest := hello(t, to)
	honest.begin()
	if a.want == silence { // on a socket the answer would have come by now
		a.check(p)
	}
	honest.leave()
	if !p.seen.closed && p.tx[app] != nil {
		p.leave()
	}
}

// heldAfter checks what the target holds, and returns it. The core is held to the peak. Goroutines
// of a server read what came, and may be behind. What nobody reads stays for ever.
func (a attack) heldAfter(t *testing.T, to target, base int64) (held int64) {
	if c, ok := to.(*core); ok {
		held = c.peak - base
		require.LessOrEqual(t, held, a.held, "bytes held")
		return held
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if held = to.held() - base; held <= a.held || time.Now().After(end) {
			require.LessOrEqual(t, held, a.held, "bytes held")
			return held
		}
	}
}

// runAlone runs it against a target of its own. Nothing may be left then.
func (a attack) runAlone(t *testing.T, to target) {
	before := to.held()
	a.run(t, to)
	to.rest(t, before)
}

// check waits for the outcome.
func (a attack) check(p *peer) {
	switch a.want.kind {
	case kindServed:
		p.get()
	case kindSilence:
		p.settle()
		require.Zero(p.t, p.answered)
	case kindNegotiate:
		p.wait("Version Negotiation", func() bool { return len(p.others) > 0 })
		version, _, _, ok := wire.ParseInvariant(p.others[0])
		require.True(p.t, ok && version == 0)
		require.LessOrEqual(p.t, p.answered, p.sent)
	case kindLess, kindThrice:
		p.drain()
		most := p.sent - 1
		if a.want.kind == kindThrice {
			most = 3 * p.sent // RFC 9000, Section 8.1
		}
		require.LessOrEqual(p.t, p.answered, most)
	case kindStatus:
		s := p.of(p.nextID[bidi] - 4)
		p.wait("the end of the response", func() bool { return s.fin })
		require.Equal(p.t, fmt.Sprint(a.want.code), statusOf(p.t, s.text()))
		p.get()
	case kindClose, kindAppClose:
		p.wait("the end of the connection", func() bool { return p.seen.closed })
		require.Equal(p.t, a.want.kind == kindAppClose, p.seen.app, "code %#x %s", p.seen.code, p.seen.reason)
		require.Equal(p.t, code(a.want.code), code(p.seen.code), p.seen.reason)
		if a.want != connectionRefused { // which is to be short
			require.NotEmpty(p.t, p.seen.reason)
		}
	case kindReset:
		s := p.of(p.nextID[bidi] - 4)
		p.wait("the end of the stream", func() bool { return s.reset || s.stopped })
		if s.reset {
			require.Equal(p.t, code(a.want.code), code(s.resetCode))
		}
		if s.stopped {
			require.Equal(p.t, code(a.want.code), code(s.stopCode))
		}
		p.get()
	}
}

// A code is an error code as it is printed.
type code uint64

func (c code) String() string { return fmt.Sprintf("%#x", uint64(c)) }

// get makes a request and waits for the page.
func (p *peer) get() {
	p.t.Helper()
	s := p.of(p.stream(bidi, request("GET"), true))
	p.wait("its page", func() bool {
		require.False(p.t, p.seen.closed, "closed with %#x %q", p.seen.code, p.seen.reason)
		return s.fin && bytes.HasSuffix(s.text(), []byte(page))
	})
	p.forget()
}

// begin completes the handshake, and gets the page.
func (p *peer) begin() {
	p.t.Helper()
	p.connect()
	p.ask()
}

// ask begins HTTP/3, and gets the page.
func (p *peer) ask() {
	p.t.Helper()
	p.stream(uni, settings(), false)
	p.get()
}

// leave closes the connection.
func (p *peer) leave() {
	p.sendIn(app, wire.AppendConnectionClose(nil, 100, true, 0x100, 0, "")) // H3_NO_ERROR
}

func attacks() (all []attack) {
	for _, a := range slices.Concat(packetAttacks(), handshakeAttacks(), pathAttacks(), frameAttacks(), http3Attacks(), messageAttacks(), qpackAttacks(), costlyAttacks(), sessionAttacks(), tunnelAttacks()) {
		if a.held == 0 {
			a.held = 24 << 10
		}
		if a.answers == 0 {
			a.answers = 4 * minDatagram
		}
		if a.at == "" {
			a.at = client
		}
		all = append(all, a)
	}
	return all
}

// inVirtualTime calls f with a target of its own, in virtual time.
func (a attack) inVirtualTime(t *testing.T, f func(t *testing.T, to target)) {
	if a.at.onSite() {
		inBubble(t, a.edit, func(t *testing.T, s *virtualSite) { f(t, s) })
		return
	}
	f(t, newCore(t, a.edit, a.table))
}

// TestCore runs all attacks in virtual time.
func TestCore(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) { a.inVirtualTime(t, a.runAlone) })
	}
}

// TestRealServer runs them on a socket. They share a server, unless they change it.
func TestRealServer(t *testing.T) {
	shared, site := newRealServer(t, nil), startServer(t, newSite(), nil)
	before, siteBefore := shared.held(), site.held()
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			switch {
			case a.edit != nil || a.table > 0:
				h := &h3.Config{Datagrams: true, QPACKTableCapacity: a.table, QPACKBlockedStreams: min(a.table, 100)}
				a.runAlone(t, startServer(t, &h3http.Server{QUICConfig: quicConfig(), H3Config: h}, a.edit))
			case a.at.onSite():
				a.run(t, site)
			default:
				a.run(t, shared)
			}
		})
	}
	shared.rest(t, before)
	site.rest(t, siteBefore)
}
