package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/h3/h3http"
)

// A backend is one server of a pool.
type backend struct {
	name      string   // as the file has it
	url       *url.URL // with a scheme that the transport knows
	pool      *pool
	way       atomic.Pointer[way]
	inflight  atomic.Int64 // requests whose response is not complete
	attempts  atomic.Int64 // requests that were sent, or should have been
	condition condition
}

// A way is what has the connections to a backend.
type way struct {
	http.RoundTripper
	shut func() // closes those that carry no request
}

// newBackend returns the backend of a URL that was checked. It cannot be reached before reach.
func newBackend(name string, p *pool) *backend {
	u, _ := parseBackend(name)
	b := &backend{
		name: name, url: &url.URL{Scheme: "https", Host: u.Host}, pool: p,
		condition: condition{checks: p.config.Health, eject: p.config.Eject},
	}
	if u.Scheme == "http" || u.Scheme == "h2c" {
		b.url.Scheme = "http"
	}
	return b
}

// reach makes connections from now on new ones, which trust certificates of the authorities ca. Nil
// stands for those of the system.
func (b *backend) reach(ca *x509.CertPool) {
	c := b.pool.config
	u, _ := parseBackend(b.name)
	tc := &tls.Config{RootCAs: ca, ServerName: c.ServerName}
	quic := &h3http.Transport{
		TLSClientConfig:       tc,
		QUICConfig:            &conn.Config{HandshakeTimeout: time.Duration(c.Timeouts.Connect), QLog: envlog.QLog()},
		ResponseHeaderTimeout: time.Duration(c.Timeouts.Header),
		DisableCompression:    true, // the backend sees the encodings that the client asked for
	}
	var now *way
	switch u.Scheme {
	case "http", "h2c":
		tcp := overTCP(c, nil, u.Scheme)
		now = &way{tcp, tcp.CloseIdleConnections}
	case "https":
		tcp := overTCP(c, tc, u.Scheme)
		now = &way{tcp, tcp.CloseIdleConnections}
	case "h3":
		now = &way{quic, quic.CloseIdleConnections}
	default: // h3+https
		both := &h3http.AltSvcTransport{HTTP: overTCP(c, tc, u.Scheme), HTTP3: quic}
		now = &way{both, both.CloseIdleConnections}
	}
	if before := b.way.Swap(now); before != nil {
		before.shut()
	}
}

// overTCP returns a transport of HTTP/1.1 and HTTP/2.
func overTCP(c *poolConfig, tc *tls.Config, scheme string) *http.Transport {
	var speaks http.Protocols
	speaks.SetHTTP1(scheme != "h2c")
	speaks.SetHTTP2(tc != nil)
	speaks.SetUnencryptedHTTP2(scheme == "h2c")
	dialer := net.Dialer{Timeout: time.Duration(c.Timeouts.Connect)}
	return &http.Transport{
		DialContext:           dialer.DialContext,
		TLSClientConfig:       tc,
		TLSHandshakeTimeout:   time.Duration(c.Timeouts.Connect),
		ResponseHeaderTimeout: time.Duration(c.Timeouts.Header),
		IdleConnTimeout:       time.Duration(c.Timeouts.Idle),
		MaxIdleConnsPerHost:   256,
		DisableCompression:    true,
		Protocols:             &speaks,
		WriteBufferSize:       16 << 10,
		ReadBufferSize:        16 << 10,
	}
}

// A countedBody is that of a response. Its attempt ends when it is closed.
type countedBody struct {
	io.ReadCloser
	a *attempt
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.a.breaksOff()
	}
	return n, err
}

func (b *countedBody) Close() error {
	defer b.a.finish()
	return b.ReadCloser.Close()
}

// A countedStream is what follows status 101. Its attempt ends when it is closed.
type countedStream struct {
	io.ReadWriteCloser
	a *attempt
}

// CloseWrite passes on that the client has ended its side. Without it the proxy would end the other
// side too, before the backend's answer to that has come.
func (s *countedStream) CloseWrite() error {
	if half, ok := s.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (s *countedStream) Close() error {
	defer s.a.finish()
	return s.ReadWriteCloser.Close()
}
