package masque

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// defaultIdleTimeout is the shortest time that RFC 9298, Section 3.1 recommends.
// RFC 9298, Section 3.1 [9].
const defaultIdleTimeout = 2 * time.Minute

// A Proxy is an [http.Handler] that proxies UDP (RFC 9298) for the clients of an [h3http.Server],
// on which Configure was called. The zero value reaches public addresses only. Its fields must not
// change once it serves.
//
// It authenticates nobody: wrap it in a handler that does, or anyone may use it.
type Proxy struct {
	// Template is the URI template of requests, from the path on; default [WellKnown].
	Template string

	// Allow decides whether a request may reach an address, which is that of the target
	// or one that its name stands for. It may block. Default [Public] of the address.
	Allow func(r *http.Request, target netip.AddrPort) bool

	// Lookup returns the addresses of a name; default is that of [net.DefaultResolver]. The
	// first that Allow takes is the target.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	// Dial opens the socket of a tunnel to a target that Allow took. Each Read and Write of it is
	// one UDP payload. It should not fragment (RFC 9298, Section 5). Default is a UDP socket. To go
	// through another proxy, call [Client.Dial].
	Dial func(ctx context.Context, target netip.AddrPort) (net.Conn, error)

	// MaxTunnels is how many tunnels there may be at once, and MaxTunnelsPerConn how many of them
	// on one connection, so that no client takes all of them with one connection. The defaults are
	// 1024, and half of MaxTunnels; negative for any number. The server's limit of streams,
	// conn.Config.InitialMaxStreamsBidi, holds as well.
	MaxTunnels        int
	MaxTunnelsPerConn int

	// a tunnel ends if this long nothing passes in either direction; default 2m; negative for never
	IdleTimeout time.Duration
	// longest payload to clients that goes in a capsule if it fits no datagram; default 1200;
	// negative for none
	CapsuleLimit int
	// how long a payload to a client may wait to be sent; default any time
	MaxAge time.Duration
	Name   string       // the name in Proxy-Status fields (RFC 9209); default "lazo"
	Logger *slog.Logger // gets mistakes in the configuration; default discards

	once        sync.Once
	template    *template
	templateErr error

	counters counters
	refused  atomic.Uint64
	opened   atomic.Uint64
	idle     atomic.Uint64

	mu     sync.Mutex
	relays map[*relay]struct{}
	places places
	closed bool
}

var _ http.Handler = (*Proxy)(nil)

// Configure makes srv offer extended CONNECT, without which clients cannot ask for
// tunnels (RFC 9298, Section 3.4). Call it before srv serves. The Handler of srv, which
// passes requests to p, is the caller's.
func (p *Proxy) Configure(srv *h3http.Server) { srv.ExtendedConnect = true }

// ProxyStats are the counters of a [Proxy].
type ProxyStats struct {
	Stats          // of all tunnels
	Tunnels int    // how many there are now
	Opened  uint64 // tunnels that were opened
	Idle    uint64 // tunnels that IdleTimeout ended
	Refused uint64 // requests that were refused
}

// Stats returns a snapshot of the counters.
func (p *Proxy) Stats() ProxyStats {
	p.mu.Lock()
	tunnels := len(p.relays)
	p.mu.Unlock()
	return ProxyStats{
		Stats: p.counters.snapshot(), Tunnels: tunnels,
		Opened: p.opened.Load(), Idle: p.idle.Load(), Refused: p.refused.Load(),
	}
}

// Close ends all tunnels, and makes the Proxy refuse new ones. Without it they hold up
// [h3http.Server.Shutdown].
func (p *Proxy) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for r := range p.relays {
		r.end()
	}
	return nil
}

// ServeHTTP relays until the tunnel ends, or refuses the request with a status code and a
// Proxy-Status field (RFC 9298, Section 3.1; RFC 9209).
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, port, no := p.parse(r)
	if no == nil {
		no = p.open(w, r, host, port)
	}
	if no == nil || r.Context().Err() != nil { // a client that has left is not refused
		return
	}
	p.refused.Add(1)
	w.Header().Del("Capsule-Protocol")             // RFC 9297, Section 3.4 [3]
	w.Header().Set(headerStatus, no.field(p.Name)) // RFC 9298, Section 3.1 [3]
	if no.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodConnect)
	}
	http.Error(w, strings.TrimPrefix(no.kind+": "+no.details, ": "), no.status)
}

// parse checks that r is a request for UDP proxying (RFC 9298, Section 3.4).
func (p *Proxy) parse(r *http.Request) (host string, port uint16, no *refusal) {
	p.once.Do(func() {
		s := p.Template
		if s == "" {
			s = WellKnown // RFC 9298, Section 2 [10]
		}
		if p.template, p.templateErr = parseTemplate(s); p.templateErr != nil {
			p.logger().Error("masque: cannot proxy", "err", p.templateErr)
		}
	})
	if p.templateErr != nil {
		return "", 0, &refusal{http.StatusInternalServerError, "proxy_configuration_error", ""}
	}
	path := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	host, digits, ok := p.template.match(path)
	port, portOK := parsePort(digits)
	switch {
	case r.Method != http.MethodConnect:
		no = &refusal{http.StatusMethodNotAllowed, "http_request_error", "the method is not CONNECT"}
	case r.ProtoMajor != 3 || r.Header.Get(":protocol") != "connect-udp": // RFC 9298, Section 6 [6]
		// RFC 9220, Section 3 [1].
		no = &refusal{http.StatusNotImplemented, "http_request_error", "the protocol is not connect-udp over HTTP/3"}
	case !ok:
		no = &refusal{http.StatusNotFound, "http_request_error", "the path is not of the template"}
	case describesContent(r.Header): // RFC 9297, Section 3.2 [6]
		no = &refusal{http.StatusBadRequest, "http_request_error", "capsules have no length and no type"}
	case !portOK || !checkHost(host):
		no = &refusal{http.StatusBadRequest, "http_request_error", "invalid target"}
	case r.TLS != nil && !r.TLS.HandshakeComplete:
		// RFC 8470
		no = &refusal{http.StatusTooEarly, "http_request_denied", "early data may be a replay"}
	}
	return host, port, no
}

// Target returns the host and the port that r asks for, for Allow for example. It reports false if
// ServeHTTP would refuse r because of its form. The host may be a name in any case, or an address.
func (p *Proxy) Target(r *http.Request) (host string, port uint16, ok bool) {
	host, port, no := p.parse(r)
	return host, port, no == nil
}

// open opens the socket and relays until the tunnel ends.
func (p *Proxy) open(w http.ResponseWriter, r *http.Request, host string, port uint16) *refusal {
	from := h3http.ConnOf(r)
	if !p.takePlace(from) {
		return &refusal{http.StatusServiceUnavailable, "connection_limit_reached", ""}
	}
	defer p.leavePlace(from)
	// RFC 9298, Section 3.1: the name is resolved and the socket open before the response.
	target, no := p.resolve(r, host, port) // RFC 9298, Section 3.1 [1, 2]
	if no != nil {
		return no
	}
	dial := p.Dial
	if dial == nil {
		dial = dialUDP
	}
	c, err := dial(r.Context(), target)
	if err != nil {
		return &refusal{http.StatusBadGateway, "destination_ip_unroutable", ""}
	}
	defer c.Close()
	w.Header().Set("Capsule-Protocol", "?1") // RFC 9297, Section 3.4 [4]
	w.Header().Set(headerStatus, nextHopField(p.Name, target))
	s, err := h3http.TakeStream(w) // RFC 9298, Section 3.5 [1, 2]
	switch {
	case errors.Is(err, http.ErrNotSupported):
		return &refusal{http.StatusNotImplemented, "proxy_internal_error", ""}
	case err != nil:
		return nil // the client has left, and nothing can be said to it
	}
	relay := &relay{
		tunnel: tunnel{s: s, limit: capsuleLimit(p.CapsuleLimit), maxAge: p.MaxAge, counters: &p.counters, hold: s.Account().Hold},
		socket: c,
		idle:   p.idleTimeout(),
	}
	if !p.add(relay) {
		s.Close()
		return nil
	}
	if relay.run() == errIdle {
		p.idle.Add(1)
	}
	p.remove(relay)
	return nil
}

// dialUDP is the default of Proxy.Dial.
func dialUDP(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Control: func(_, _ string, rc syscall.RawConn) error {
		// RFC 9298, Section 3.1 [11, 12].
		return udpio.SetDontFragment(rc, true) // RFC 9298, Section 5
	}}
	return d.DialContext(ctx, "udp", target.String())
}

// takePlace counts a tunnel that is about to open. It reports false if there are too many.
func (p *Proxy) takePlace(from *loop.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	return p.places.take(from, p.MaxTunnels, p.MaxTunnelsPerConn)
}

func (p *Proxy) leavePlace(from *loop.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places.leave(from)
}

func (p *Proxy) add(r *relay) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	if p.relays == nil {
		p.relays = make(map[*relay]struct{})
	}
	p.relays[r] = struct{}{}
	p.opened.Add(1)
	return true
}

func (p *Proxy) remove(r *relay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.relays, r)
}

func (p *Proxy) idleTimeout() time.Duration {
	if p.IdleTimeout == 0 {
		return defaultIdleTimeout
	}
	return max(p.IdleTimeout, 0)
}

func (p *Proxy) logger() *slog.Logger {
	if p.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return p.Logger
}
