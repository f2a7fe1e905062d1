package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
)

// A backend is one server of a pool.
type backend struct {
	name     string   // as the file has it
	url      *url.URL // with a scheme that the transport knows
	rt       http.RoundTripper
	shut     func()
	inflight atomic.Int64 // requests whose response is not complete
}

// newBackend makes the transport of a URL that was checked.
func newBackend(name string, c *poolConfig, ca *x509.CertPool) *backend {
	u, _ := parseBackend(name)
	b := &backend{name: name, url: &url.URL{Scheme: "https", Host: u.Host}}
	tc := &tls.Config{RootCAs: ca, ServerName: c.ServerName}
	quic := &h3http.Transport{
		TLSClientConfig:       tc,
		QUICConfig:            &conn.Config{HandshakeTimeout: time.Duration(c.Timeouts.Connect)},
		ResponseHeaderTimeout: time.Duration(c.Timeouts.Header),
		DisableCompression:    true, // what the client asks for goes through
	}
	switch u.Scheme {
	case "http", "h2c":
		b.url.Scheme = "http"
		tcp := overTCP(c, nil, u.Scheme)
		b.rt, b.shut = tcp, tcp.CloseIdleConnections
	case "https":
		tcp := overTCP(c, tc, u.Scheme)
		b.rt, b.shut = tcp, tcp.CloseIdleConnections
	case "h3":
		b.rt, b.shut = quic, quic.CloseIdleConnections
	default: // h3+https
		both := &h3http.AltSvcTransport{HTTP: overTCP(c, tc, u.Scheme), HTTP3: quic}
		b.rt, b.shut = both, both.CloseIdleConnections
	}
	return b
}

// overTCP returns a transport of HTTP/1.1 and HTTP/2.
func overTCP(c *poolConfig, tc *tls.Config, scheme string) *http.Transport {
	var speaks http.Protocols
	speaks.SetHTTP1(scheme != "h2c")
	speaks.SetHTTP2(tc != nil)
	speaks.SetUnencryptedHTTP2(scheme == "h2c")
	dialer := net.Dialer{Timeout: time.Duration(c.Timeouts.Connect)}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, &dialError{err}
			}
			return nc, nil
		},
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

// A dialError is that of a connection that was not made: the backend has seen nothing of the
// request.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// roundTrip sends r to b. Until the body of the response is closed r counts as in progress.
func (b *backend) roundTrip(r *http.Request) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host = b.url.Scheme, b.url.Host
	b.inflight.Add(1)
	done := sync.OnceFunc(func() { b.inflight.Add(-1) })
	resp, err := b.rt.RoundTrip(r)
	if err != nil {
		done()
		return nil, err
	}
	resp.Body = counted(resp.Body, done)
	return resp, nil
}

// counted has done called when the body is closed. That of status 101 can be written to as well.
func counted(body io.ReadCloser, done func()) io.ReadCloser {
	if both, ok := body.(io.ReadWriteCloser); ok {
		return &countedStream{both, done}
	}
	return &countedBody{body, done}
}

type countedBody struct {
	io.ReadCloser
	done func()
}

func (b *countedBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

type countedStream struct {
	io.ReadWriteCloser
	done func()
}

func (s *countedStream) Close() error {
	defer s.done()
	return s.ReadWriteCloser.Close()
}
