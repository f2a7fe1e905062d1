//go:build go1.27

package nethttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
)

// RegisterTransport makes tr use h for HTTP/3, where tr.Protocols has HTTP/3. tr keeps the pool of
// connections and chooses the connection of each request; h makes the connections. nil stands for
// an h3http.Transport with the fields of tr that both have: TLSClientConfig, ResponseHeaderTimeout,
// ExpectContinueTimeout, MaxResponseHeaderBytes and DisableCompression. They are read when the
// first connection is made. CloseIdleConnections of tr closes the connections and the socket of h.
func RegisterTransport(tr *http.Transport, h *h3http.Transport) {
	if h != nil {
		tr.RegisterProtocol("http/3", &dialer{t: h})
		return
	}
	tr.RegisterProtocol("http/3", &dialer{t: new(h3http.Transport), from: tr})
}

// A dialer makes the connections of an http.Transport.
type dialer struct {
	t    *h3http.Transport
	from *http.Transport // whose fields t gets, or nil
	once sync.Once
}

// RoundTrip is here because RegisterProtocol asks for it. net/http does not call it for HTTP/3.
func (d *dialer) RoundTrip(r *http.Request) (*http.Response, error) {
	return d.transport().RoundTrip(r)
}

// CloseIdleConnections is called by that of the http.Transport.
func (d *dialer) CloseIdleConnections() { d.t.CloseIdleConnections() }

// transport returns the h3http.Transport. The fields of an http.Transport may change until its
// first use.
func (d *dialer) transport() *h3http.Transport {
	d.once.Do(func() {
		if tr := d.from; tr != nil {
			d.t.TLSClientConfig = tr.TLSClientConfig
			d.t.ResponseHeaderTimeout = tr.ResponseHeaderTimeout
			d.t.ExpectContinueTimeout = tr.ExpectContinueTimeout
			d.t.MaxResponseHeaderBytes = tr.MaxResponseHeaderBytes
			d.t.DisableCompression = tr.DisableCompression
		}
	})
	return d.t
}

// DialClientConn makes a connection to addr. net/http calls it.
func (d *dialer) DialClientConn(ctx context.Context, addr string, proxy *url.URL, changed func()) (http.RoundTripper, error) {
	if proxy != nil {
		return nil, fmt.Errorf("nethttp: HTTP/3 through the proxy %s: %w", proxy.Redacted(), errors.ErrUnsupported)
	}
	c, err := d.transport().NewClientConn(ctx, addr, changed)
	if err != nil {
		return nil, err
	}
	return &clientConn{
		ClientConn: c,
		pooled:     changed == nil,
		single:     changed == nil && d.from != nil && (d.from.DisableKeepAlives || d.from.MaxIdleConnsPerHost < 0),
	}, nil
}

// unusedTime is how long a connection for one request waits for it.
const unusedTime = time.Second

// A clientConn is a connection of an http.Transport.
type clientConn struct {
	*h3http.ClientConn
	pooled bool // it is not the caller's of Transport.NewClientConn
	single bool // it is closed before its only request
}

// RoundTrip sends a request. net/http takes another connection for it after an unprocessed error.
func (c *clientConn) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.single {
		r = r.WithContext(r.Context())
		r.Close = true
	}
	resp, err := c.ClientConn.RoundTrip(r)
	if c.pooled && errors.Is(err, h3http.ErrUnprocessed) {
		return nil, unprocessed{err}
	}
	return resp, err
}

// Close closes a connection of the caller's at once. net/http takes connections out of its pool by
// Close, even those with requests in progress, and those that it has just made for one request.
func (c *clientConn) Close() error {
	switch {
	case c.single:
		time.AfterFunc(unusedTime, c.CloseIdle) // the request may never come
		return nil
	case c.pooled:
		c.CloseIdle()
		return nil
	}
	return c.ClientConn.Close()
}

// An unprocessed is an error by which net/http knows that it may send the request on another
// connection.
type unprocessed struct{ error }

func (e unprocessed) Unwrap() error { return e.error }

// IsHTTP2NoCachedConnError is what net/http looks for.
func (unprocessed) IsHTTP2NoCachedConnError() {}
