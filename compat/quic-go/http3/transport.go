package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
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
	config *quic.Config // for Dial
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
		qc, err := t.quicConfig()
		if err != nil {
			return nil, err
		}
		t.config = qc
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

var (
	errNoQUICDatagrams = errors.New("HTTP Datagrams enabled, but QUIC Datagrams disabled")
	errManyVersions    = errors.New("can only use a single QUIC version for dialing a HTTP/3 connection")
)

// quicConfig returns the configuration for Dial. Servers of HTTP/3 open no bidirectional streams.
// There is one version, as in quic-go.
func (t *Transport) quicConfig() (*quic.Config, error) {
	qc := &quic.Config{KeepAlivePeriod: keepAlive, EnableDatagrams: t.EnableDatagrams}
	if t.QUICConfig != nil {
		qc = t.QUICConfig.Clone()
	}
	if t.EnableDatagrams && !qc.EnableDatagrams {
		return nil, errNoQUICDatagrams
	}
	if len(qc.Versions) == 0 {
		qc.Versions = []quic.Version{quic.SupportedVersions()[0]}
	}
	if len(qc.Versions) != 1 {
		return nil, errManyVersions
	}
	if qc.MaxIncomingStreams == 0 {
		qc.MaxIncomingStreams = -1
	}
	return qc, nil
}

// dial is the Dial of the Transport of Lazo, and gets its configuration of TLS.
func (t *Transport) dial(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
	dial := t.Dial
	if dial == nil {
		dial = t.dialOnSocket
	}
	c, err := dial(untraced(ctx), addr, cfg.TLS, t.config)
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
	to, err := resolve(ctx, addr)
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
	return traceDial(ctx, to, func() (*quic.Conn, error) { return socket.DialEarly(ctx, to, tc, qc) })
}

// resolve looks addr up until ctx ends. It prefers IPv4, as net.ResolveUDPAddr does.
func resolve(ctx context.Context, addr string) (*net.UDPAddr, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(ips) == 0 {
		return nil, &net.AddrError{Err: "no suitable address", Addr: host}
	}
	ip := ips[max(0, slices.IndexFunc(ips, func(a net.IPAddr) bool { return a.IP.To4() != nil }))]
	return &net.UDPAddr{IP: ip.IP, Port: port, Zone: ip.Zone}, nil
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
	r, err := outgoing(req, false, false)
	if err == nil {
		err = check(req)
	}
	if err != nil {
		closeBody(req)
		return nil, err
	}
	if opt.OnlyCachedConn {
		r = r.WithContext(h3http.OnlyCachedConn(r.Context()))
	}
	resp, err := incoming(req)(inner.RoundTrip(t.traced(r)))
	if errors.Is(err, net.ErrClosed) && t.isClosed() {
		if _, ok := errors.AsType[*Error](err); !ok {
			return nil, fmt.Errorf("%w: %w", ErrTransportClosed, context.Canceled)
		}
	}
	return resp, err
}

func (t *Transport) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
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
