package webtransport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
)

// maxErrorBody is how many bytes are kept of the body of a response that opens no session.
const maxErrorBody = 4 << 10

// A Dialer opens sessions, each on a connection of its own unless MaxSessionsPerConn is set. The
// zero value is ready; its fields must not change once it is used. It is safe for concurrent use.
type Dialer struct {
	TLSClientConfig *tls.Config  // like the field of [h3http.Transport]
	QUICConfig      *conn.Config // its TLS must be nil
	H3Config        *h3.Config

	// Protocols are those of applications that the client offers, the preferred first. A
	// server that chooses another one makes Dial fail; it may choose none, which
	// Session.Protocol tells.
	Protocols []string

	MaxEarlyStreams int // how many streams may come before the response; default 16

	// MaxSessionsPerConn is how many sessions with one host may share a connection at once. A Dial
	// uses a connection that has room, or else makes another. It also makes another if the server
	// allows fewer sessions: see [Upgrader.MaxSessions]. Default is 1, a connection for each
	// session.
	MaxSessionsPerConn int

	// What a server may do in a session: see the fields of [Upgrader].
	MaxStreamsBidi int64 // default 100
	MaxStreamsUni  int64 // default 100
	MaxData        int64 // default 32 MiB
	InitialMaxData int64 // default 1 MiB, or MaxData if that is less

	// NewConn connects to addr, which is host:port. By default one UDP socket serves all.
	// The method Dial of a [loop.Group] fits.
	NewConn func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error)

	Multipath loop.Multipath // like the field of [h3http.Transport]

	Logger *slog.Logger // for the default socket; default discards

	mu       sync.Mutex
	group    *loop.Group
	sessions map[*Session]struct{} // sessions whose connections are not closed
	links    []*link               // connections that sessions may share
	running  sync.WaitGroup        // counts the goroutines of these sessions
	closed   bool
}

// Dial opens a session at an https URL, with header in the request; nil is fine. If the
// server answers without a session, that is an error, and the Response is its answer, with
// the first 4 KiB of the body. Redirects are not followed. Once Dial has returned, ctx has
// no effect on the session.
func (d *Dialer) Dial(ctx context.Context, url string, header http.Header) (*Session, *http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, url, nil)
	if err != nil {
		return nil, nil, err
	}
	if r.URL.Scheme != "https" || r.URL.Host == "" {
		return nil, nil, fmt.Errorf("webtransport: %q is not an https URL", url)
	}
	if header != nil {
		r.Header = header.Clone()
	}
	if len(d.Protocols) > 0 {
		value, ok := formatStrings(d.Protocols...)
		if !ok {
			return nil, nil, fmt.Errorf("webtransport: protocols %q are not all ASCII", d.Protocols)
		}
		r.Header.Set(headerAvailable, value)
	}
	s, resp, err := d.try(ctx, r, false)
	if errors.Is(err, errOther) {
		s, resp, err = d.try(ctx, r, true)
	}
	return s, resp, err
}

// errOther is the error of try if the session may succeed on another connection.
var errOther = errors.New("webtransport: the shared connection takes no more sessions")

// try asks for a session, on a connection of its own if fresh.
func (d *Dialer) try(ctx context.Context, r *http.Request, fresh bool) (*Session, *http.Response, error) {
	l, shared, err := d.takeLink(r.URL.Host, fresh)
	if err != nil {
		return nil, nil, err
	}
	a := &attempt{d: d, r: r, link: l}
	s, resp, err := a.do(ctx)
	if err != nil {
		if shared && ctx.Err() == nil && l.refused(err) {
			err = errOther
		}
		l.leave()
		return nil, resp, err
	}
	if !d.keep(s, l) {
		l.leave()
		return nil, nil, errDialerClosed
	}
	return s, resp, nil
}

// Close closes all sessions and waits until their servers know, for some seconds at most.
func (d *Dialer) Close() error {
	d.mu.Lock()
	d.closed = true
	sessions := make([]*Session, 0, len(d.sessions))
	for s := range d.sessions {
		sessions = append(sessions, s)
	}
	g := d.group
	d.group = nil
	d.mu.Unlock()
	for _, s := range sessions {
		s.Close()
	}
	d.running.Wait()
	if g == nil {
		return nil
	}
	return g.Close()
}

func (d *Dialer) limits() limits {
	return limitsOf(d.MaxStreamsBidi, d.MaxStreamsUni, d.InitialMaxData, d.MaxData)
}

// keep runs a session and then leaves its connection. It reports false if Close has been called
// already.
func (d *Dialer) keep(s *Session, l *link) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	if d.sessions == nil {
		d.sessions = make(map[*Session]struct{})
	}
	d.sessions[s] = struct{}{}
	l.share()
	d.running.Go(func() {
		s.run()
		l.leave()
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.sessions, s)
	})
	return true
}

var errDialerClosed = errors.New("webtransport: Dialer is closed")

// newConn returns the function that connects.
func (d *Dialer) newConn() (func(context.Context, string, *conn.Config) (*loop.Conn, error), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, errDialerClosed
	case d.NewConn != nil:
		return d.NewConn, nil
	case d.group == nil:
		g, err := loop.Open("udp", ":0", 1, &loop.Config{Logger: d.Logger})
		if err != nil {
			return nil, err
		}
		d.group = g
	}
	return d.group.Dial, nil
}

// An attempt is one call of Dial on one connection.
type attempt struct {
	d    *Dialer
	r    *http.Request
	link *link
}

// do connects, waits for the settings that say how to ask for a session, and asks for one.
func (a *attempt) do(ctx context.Context) (*Session, *http.Response, error) {
	c, err := a.link.tr.Preconnect(ctx, a.r.URL)
	if err != nil {
		return nil, nil, err
	}
	m := a.link.mux()
	select {
	case <-m.ready:
	case <-c.Context().Done():
		return nil, nil, context.Cause(c.Context())
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	switch {
	case m.peer.invalid:
		c.Close(uint64(h3.SettingsError), "SETTINGS_WT_ENABLED out of range")
		return nil, nil, errRequirements
	case m.peer.draft == draftNone || !m.peer.datagrams || !m.peer.connect:
		// RFC 9114, Section 6.2 [8].
		c.Close(uint64(RequirementsNotMet), "settings without WebTransport")
		return nil, nil, errRequirements
	}
	a.r.Header[":protocol"] = []string{m.peer.draft.protocol()}
	if m.peer.draft == draft02 {
		a.r.Header.Set(header02, "1")
	}
	stream, resp, err := a.link.tr.Connect(a.r)
	if err != nil {
		return nil, nil, err
	}
	if stream == nil {
		resp.Body = keepBody(resp.Body)
		return nil, resp, fmt.Errorf("webtransport: the server answered with status %s", resp.Status)
	}
	return a.begin(ctx, stream, resp, m)
}

var errLost = errors.New("webtransport: the connection was lost meanwhile")

// begin makes a session from the stream of a successful response.
func (a *attempt) begin(ctx context.Context, stream *h3http.Stream, resp *http.Response, m *mux) (*Session, *http.Response, error) {
	if h3http.ConnOf(resp.Request) != m.handle {
		stream.Cancel(h3.RequestCancelled)
		return nil, resp, errLost
	}
	if !hasCapsules(resp) {
		stream.Cancel(h3.MessageError)
		return nil, resp, fmt.Errorf("webtransport: the response, with status %d, is not one with capsules", resp.StatusCode)
	}
	protocol, ok := chosen(resp.Header)
	s := newSession(m, stream, protocol)
	if ok && !slices.Contains(a.d.Protocols, protocol) {
		// draft-ietf-webtrans-http3-15, Section 3.3.
		s.CloseWithError(ALPNError, "")
		defer context.AfterFunc(ctx, func() { stream.Cancel(h3.RequestCancelled) })()
		s.run()
		return nil, resp, fmt.Errorf("webtransport: the server chose protocol %q", protocol)
	}
	if err := m.run(func() { m.add(s) }); err != nil {
		return nil, resp, err
	}
	return s, resp, nil
}

// keepBody reads the start of a body, so that the connection is not needed any more.
func keepBody(body io.ReadCloser) io.ReadCloser {
	b, _ := io.ReadAll(io.LimitReader(body, maxErrorBody))
	body.Close()
	return io.NopCloser(bytes.NewReader(b))
}
