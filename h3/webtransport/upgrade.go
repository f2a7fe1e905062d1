package webtransport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
)

const (
	defaultMaxSessions     = 16
	defaultMaxEarlyStreams = 16

	// settingsTime is how long a server waits for the client's settings. A client has to send them
	// first of all.
	settingsTime = 10 * time.Second
)

// An Upgrader makes sessions of requests to a server. The zero value is ready; its fields
// must not change once it is used.
type Upgrader struct {
	// CheckOrigin reports whether the page that a browser made the request for may have
	// a session; r has the header Origin. Default is that its host is the host of the
	// request. Requests without an origin come from no browser, and pass.
	CheckOrigin func(r *http.Request) bool

	// Protocols are those of applications that the server speaks. The first of the client's
	// protocols that is among them is chosen. If none is, the session has no protocol.
	Protocols []string

	// how many may be on a connection at once, where they may share one; default 16
	MaxSessions     int
	MaxEarlyStreams int // how many may wait on a connection for their session; default 16

	// What a client may do in a session (draft-ietf-webtrans-http3-16, Section 5): so many streams
	// of each directionality at once, and so many bytes that the application has not read. Negative
	// means none. The peer gets more credit as streams are closed and data is read. These limits
	// hold where the client has such limits too; otherwise only those of the connection do. If all
	// three are negative, no client has them.
	MaxStreamsBidi int64 // default 100
	MaxStreamsUni  int64 // default 100
	MaxData        int64 // default 32 MiB

	// InitialMaxData is what bytes are limited to at first; default 1 MiB, or MaxData if that is
	// less. The limit grows up to MaxData with the measured bandwidth-delay product. The window of
	// the connection grows with it, and bounds it: see [conn.Config].
	InitialMaxData int64

	mu    sync.Mutex
	muxes map[*loop.Conn]*mux
}

// Configure makes srv take sessions: its H3Config and Extend change. Call it before srv
// serves.
func (u *Upgrader) Configure(srv *h3http.Server) {
	srv.H3Config = extendConfig(srv.H3Config, orDefault(u.MaxSessions, defaultMaxSessions), u.limits())
	srv.H3Config.ExtendedConnect = true
	srv.Extend = u.extend
}

func (u *Upgrader) limits() limits {
	return limitsOf(u.MaxStreamsBidi, u.MaxStreamsUni, u.InitialMaxData, u.MaxData)
}

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}

// extend makes the mux of a connection.
func (u *Upgrader) extend(c *loop.Conn, h *h3.Conn) h3http.Extension {
	m := newMux(c, h, orDefault(u.MaxEarlyStreams, defaultMaxEarlyStreams), orDefault(u.MaxSessions, defaultMaxSessions), u.limits())
	m.forget = func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.muxes, c)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.muxes == nil {
		u.muxes = make(map[*loop.Conn]*mux)
	}
	u.muxes[c] = m
	return m
}

// muxOf returns the mux of the connection of r. It returns nil if u did not configure the server.
func (u *Upgrader) muxOf(r *http.Request) *mux {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.muxes[h3http.ConnOf(r)]
}

// Upgrade accepts the request for a session that a handler got, with status 200 and the
// header of w. Neither may be used any more; the handler may return, and the session
// lasts. If it returns an error, it has answered the request with the fitting status, or rejected
// it because the client should use another connection.
func (u *Upgrader) Upgrade(w http.ResponseWriter, r *http.Request) (*Session, error) {
	status, err := u.check(r)
	var m *mux
	if err == nil {
		if m = u.muxOf(r); m == nil {
			status, err = http.StatusNotImplemented, errNotConfigured
		}
	}
	if err == nil {
		status, err = u.admit(r, m)
	}
	if err != nil {
		if errors.Is(err, errOneSession) {
			if s, unable := h3http.TakeUnanswered(w); unable == nil {
				s.Cancel(h3.RequestRejected)
				s.Close()
				return nil, err
			}
		}
		http.Error(w, http.StatusText(status), status)
		return nil, err
	}
	protocol, ok := choose(available(r.Header), u.Protocols)
	if value, valid := formatStrings(protocol); ok && valid {
		w.Header().Set(headerProtocol, value)
	}
	if r.Header.Get(header02) != "" {
		w.Header().Set(headerResponse02, "draft02")
	}
	for _, name := range contentFields {
		w.Header().Del(name)
	}
	stream, err := h3http.TakeStream(w)
	if err != nil {
		m.handle.Loop().Post(func(time.Time) { m.accepting-- })
		return nil, err
	}
	s := newSession(m, stream, protocol)
	if err := m.run(func() { m.accepting--; m.add(s) }); err != nil {
		s.end(&SessionError{Err: err}, nil)
	}
	go s.run()
	return s, nil
}

var errEarly = errors.New("webtransport: request for a session as early data")

var errContent = errors.New("webtransport: request for a session with a field that describes content")

var errNotConfigured = errors.New("webtransport: the server was not configured by this Upgrader")

// check checks the request itself.
func (u *Upgrader) check(r *http.Request) (status int, err error) {
	if !isWebTransport(r) {
		return http.StatusBadRequest, fmt.Errorf("webtransport: %s request for protocol %q", r.Method, r.Header.Get(":protocol"))
	}
	if describesContent(r.Header) {
		return http.StatusBadRequest, errContent
	}
	// draft-ietf-webtrans-http3-15, Section 3.2: the request may be a replay.
	if r.TLS != nil && !r.TLS.HandshakeComplete {
		return http.StatusTooEarly, errEarly
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return 0, nil
	}
	allowed := u.CheckOrigin
	if allowed == nil {
		allowed = sameOrigin
	}
	if !allowed(r) {
		return http.StatusForbidden, fmt.Errorf("webtransport: origin %q is not allowed", origin)
	}
	return 0, nil
}

// sameOrigin reports whether a page of the host of the request made it.
func sameOrigin(r *http.Request) bool {
	u, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && u.Scheme == "https" && strings.EqualFold(canonical(u.Host), canonical(r.Host))
}

func canonical(host string) string { return strings.TrimSuffix(host, ":443") }

// admit waits for the client's settings, and then looks for a place for the session.
func (u *Upgrader) admit(r *http.Request, m *mux) (status int, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), settingsTime)
	defer cancel()
	select {
	case <-m.ready:
	case <-ctx.Done():
		return http.StatusBadRequest, fmt.Errorf("webtransport: no settings of the client: %w", context.Cause(ctx))
	}
	if !m.peer.datagrams {
		// draft-ietf-webtrans-http3-15, Section 3.1. A client without reset_stream_at is served.
		// Drafts have not always asked for that parameter, and only resets suffer without it.
		return http.StatusBadRequest, errRequirements
	}
	limit, tooMany := 1, errOneSession
	if m.peer.flows(m.own) || m.peer.draft.sharesFreely() && r.Header.Get(":protocol") != protocolName {
		limit = orDefault(u.MaxSessions, defaultMaxSessions)
		tooMany = fmt.Errorf("webtransport: the connection has %d sessions", limit)
	}
	full := false
	err = m.handle.Do(ctx, func(time.Time, *conn.Conn) {
		if full = m.alive() >= limit; !full {
			m.accepting++
		}
	})
	switch {
	case err != nil:
		return http.StatusServiceUnavailable, err
	case full:
		// draft-ietf-webtrans-http3-15, Section 5.2.
		return http.StatusTooManyRequests, tooMany
	}
	return 0, nil
}

// errOneSession means that the connection has the one session that it may have. Without flow
// control for sessions the request has to be reset (draft-ietf-webtrans-http3-15, Section 5.1).
var errOneSession = errors.New("webtransport: the connection has a session")

var errRequirements = errors.New("webtransport: the settings of the peer do not allow it")
