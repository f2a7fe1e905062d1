package http3

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/internal/link"
)

// RoundTripOpt are options of RoundTripOpt.
type RoundTripOpt struct {
	// OnlyCachedConn makes a request fail with ErrNoCachedConn if there is no connection for it.
	OnlyCachedConn bool
}

// A Transport is an http.RoundTripper. Its fields must not change once it is used.
type Transport struct {
	TLSClientConfig *tls.Config
	// QUICConfig is for connections that the Transport dials. The default keeps them alive.
	QUICConfig *quic.Config
	// Dial makes connections. By default one UDP socket serves all.
	Dial func(ctx context.Context, addr string, tlsCfg *tls.Config, cfg *quic.Config) (*quic.Conn, error)
	// EnableDatagrams offers HTTP Datagrams (RFC 9297). If QUICConfig is set, it must enable
	// those of QUIC.
	EnableDatagrams bool
	// AdditionalSettings are settings beside those of RFC 9114 and RFC 9297.
	AdditionalSettings map[uint64]uint64
	// MaxResponseHeaderBytes limits the header section of a response, default 10 MiB.
	MaxResponseHeaderBytes int
	// DisableCompression keeps the Transport from asking for gzip and undoing it.
	DisableCompression bool

	Logger *slog.Logger

	mu     sync.Mutex
	inner  *h3http.Transport
	closed bool
	socket *quic.Transport // of the default Dial
	conns  map[*quic.Conn]struct{}
}

// get returns the Transport of Lazo.
func (t *Transport) get() (*h3http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrTransportClosed
	}
	if t.inner == nil {
		t.inner = &h3http.Transport{
			TLSClientConfig:        t.TLSClientConfig,
			H3Config:               &h3.Config{Datagrams: t.EnableDatagrams, Settings: t.AdditionalSettings},
			MaxResponseHeaderBytes: int64(t.MaxResponseHeaderBytes),
			DisableCompression:     t.DisableCompression,
			Dial:                   t.dial,
			Logger:                 t.Logger,
		}
	}
	return t.inner, nil
}

// keepAlive is the KeepAlivePeriod without a QUICConfig.
const keepAlive = 10 * time.Second

var errNoQUICDatagrams = errors.New("HTTP Datagrams enabled, but QUIC Datagrams disabled")

// dial is the Dial of the Transport of Lazo, and gets its configuration of TLS.
func (t *Transport) dial(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
	qc := &quic.Config{MaxIncomingStreams: -1, KeepAlivePeriod: keepAlive, EnableDatagrams: t.EnableDatagrams}
	if t.QUICConfig != nil {
		if qc = t.QUICConfig.Clone(); t.EnableDatagrams && !qc.EnableDatagrams {
			return nil, errNoQUICDatagrams
		}
	}
	dial := t.Dial
	if dial == nil {
		dial = t.dialOnSocket
	}
	c, err := dial(ctx, addr, cfg.TLS, qc)
	if err != nil {
		return nil, err
	}
	if !t.add(c) {
		c.CloseWithError(0, "")
		return nil, ErrTransportClosed
	}
	return link.Of(c.Context()), nil
}

// add notes a connection for Close until it ends. It reports false if t is closed.
func (t *Transport) add(c *quic.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	if t.conns == nil {
		t.conns = make(map[*quic.Conn]struct{})
	}
	t.conns[c] = struct{}{}
	context.AfterFunc(c.Context(), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.conns, c)
	})
	return true
}

// dialOnSocket is the default Dial.
func (t *Transport) dialOnSocket(ctx context.Context, addr string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	if t.socket == nil && !t.closed {
		pc, err := net.ListenUDP("udp", nil)
		if err != nil {
			t.mu.Unlock()
			return nil, err
		}
		t.socket = &quic.Transport{Conn: pc}
	}
	socket := t.socket
	t.mu.Unlock()
	if socket == nil {
		return nil, ErrTransportClosed
	}
	return socket.DialEarly(ctx, to, tc, qc)
}

// RoundTrip sends a request, and returns when the header of its response has come.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.RoundTripOpt(req, RoundTripOpt{})
}

// RoundTripOpt is RoundTrip with options.
func (t *Transport) RoundTripOpt(req *http.Request, opt RoundTripOpt) (*http.Response, error) {
	inner, err := t.get()
	if err != nil {
		closeBody(req)
		return nil, err
	}
	r := outgoing(req, false)
	if opt.OnlyCachedConn {
		r = r.WithContext(h3http.OnlyCachedConn(r.Context()))
	}
	return incoming(req)(inner.RoundTrip(r))
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// outgoing returns the request as Lazo takes it. Extended CONNECT has its protocol in the header,
// and only the methods for early data allow early data. If raw, the request goes on a stream that
// is open, and its URL may be only a path.
func outgoing(req *http.Request, raw bool) *http.Request {
	r := req
	switch {
	case req.Method == MethodGet0RTT, req.Method == MethodHead0RTT:
		r = req.WithContext(h3http.WithTooEarly(req.Context()))
		r.Method = http.MethodGet
		if req.Method == MethodHead0RTT {
			r.Method = http.MethodHead
		}
	case !raw:
		r = req.WithContext(h3http.WithoutEarlyData(req.Context()))
		if r.Method == http.MethodConnect && r.Body == nil {
			r.Body = io.NopCloser(strings.NewReader("")) // Lazo would leave the tunnel open
		}
	}
	if raw && req.URL != nil && (req.URL.Scheme == "" || req.URL.Host == "") {
		u := *req.URL
		u.Scheme, u.Host = cmp.Or(u.Scheme, "https"), cmp.Or(u.Host, req.Host)
		r = r.WithContext(r.Context())
		r.URL = &u
	}
	if req.Method == http.MethodConnect && req.Proto != "" && req.Proto != "HTTP/1.1" {
		r = r.WithContext(r.Context())
		r.Header = req.Header.Clone()
		if r.Header == nil {
			r.Header = make(http.Header)
		}
		r.Header[":protocol"] = []string{req.Proto}
	}
	return r
}

// incoming returns a function that translates the result of a request made from req.
func incoming(req *http.Request) func(*http.Response, error) (*http.Response, error) {
	return func(resp *http.Response, err error) (*http.Response, error) {
		if err != nil {
			return nil, explainRequest(req, err)
		}
		resp.Request = req
		if resp.Body != http.NoBody {
			resp.Body = body{resp.Body, resp}
		}
		return resp, nil
	}
}

// explainRequest is explain for the error of a request.
func explainRequest(req *http.Request, err error) error {
	if errors.Is(err, h3http.ErrUnprocessed) && req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return fmt.Errorf("http3: Transport: cannot retry err [%w] after Request.Body was written; define Request.GetBody to avoid this error", explain(err))
	}
	return explain(err)
}

// A body is the Body of a response.
type body struct {
	io.ReadCloser
	resp *http.Response
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		dropMissing(b.resp.Trailer)
	case err != nil && isCause(b.resp.Request.Context(), err):
		// The stream was reset when the context ended.
		err = &Error{ErrorCode: ErrCodeRequestCanceled, err: err}
	}
	return n, explain(err)
}

// isCause reports whether err is why the context ended.
func isCause(ctx context.Context, err error) bool {
	cause := context.Cause(ctx)
	return cause != nil && errors.Is(err, cause)
}

// dropMissing removes the trailers that were announced and did not come, if any has come.
func dropMissing(trailer http.Header) {
	missing := func(_ string, values []string) bool { return values == nil }
	for _, values := range trailer {
		if values != nil {
			maps.DeleteFunc(trailer, missing)
			return
		}
	}
}

// CloseIdleConnections closes the connections that carry no request, but not those of
// NewClientConn.
func (t *Transport) CloseIdleConnections() {
	if inner, err := t.get(); err == nil {
		inner.CloseIdleConnections()
	}
}

// Close closes all connections, but not those of NewClientConn, and the socket.
func (t *Transport) Close() error {
	t.mu.Lock()
	inner, socket := t.inner, t.socket
	t.closed, t.socket = true, nil
	conns := slices.Collect(maps.Keys(t.conns))
	t.mu.Unlock()
	for _, c := range conns {
		c.CloseWithError(0, "")
	}
	var err error
	if inner != nil {
		err = inner.Close()
	}
	if socket != nil {
		err = errors.Join(err, socket.Close(), socket.Conn.Close())
	}
	return err
}
