package h3http

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/internal/lifetime"
)

// An AltSvcTransport is an [http.RoundTripper] that speaks HTTP/3 with servers that
// offer it by Alt-Svc (RFC 7838), and HTTP/1.1 or HTTP/2 with all others. It is safe for
// concurrent use. The zero value is ready; its fields must not change once it is used.
//
// The first request to an origin goes over TCP. If the response offers HTTP/3, the next request
// waits for a connection of HTTP/3 as long as HeadStart says. After that time, and also when the
// connection fails, requests take TCP. Once the connection is complete they move to it. An
// alternative that failed is left alone for a minute, and for twice as long at each failure that
// follows, up to an hour; requests do not wait for it then. Requests that fail with their HTTP/3
// connection, or on which its server falls silent, are sent again over TCP on the conditions of
// [Transport].
//
// Requests that go through an HTTP proxy stay on TCP, and so do requests for an Upgrade.
// RFC 9114, Section 3.1 [3].
type AltSvcTransport struct {
	HTTP  *http.Transport // default is a clone of http.DefaultTransport
	HTTP3 *Transport      // default has the TLSClientConfig and limits of HTTP

	// HeadStart is how long a request waits for HTTP/3 while a connection is being made; default
	// 300ms. If it is negative, the request does not wait.
	HeadStart time.Duration

	once  sync.Once
	tcp   *http.Transport
	udp   *Transport
	cache altCache
}

var _ http.RoundTripper = (*AltSvcTransport)(nil)

// errSlow is the reason why a request that was sent as early data moves to TCP.
var errSlow = errors.New("h3http: the handshake takes too long")

const defaultHeadStart = 300 * time.Millisecond

func (t *AltSvcTransport) init() {
	t.tcp, t.udp = t.HTTP, t.HTTP3
	if t.tcp == nil {
		t.tcp = new(http.Transport)
		if byDefault, ok := http.DefaultTransport.(*http.Transport); ok {
			t.tcp = byDefault.Clone()
		}
	}
	if t.udp == nil {
		t.udp = &Transport{
			DisableCompression:     t.tcp.DisableCompression,
			MaxResponseHeaderBytes: t.tcp.MaxResponseHeaderBytes,
			ResponseHeaderTimeout:  t.tcp.ResponseHeaderTimeout,
			ExpectContinueTimeout:  t.tcp.ExpectContinueTimeout,
		}
		if tc := t.tcp.TLSClientConfig; tc != nil {
			t.udp.TLSClientConfig = tc.Clone()
		}
	}
}

// RoundTrip is part of [http.RoundTripper]. Requests that go over HTTP/3 are those of
// [Transport.RoundTrip], and have the field Alt-Used.
func (t *AltSvcTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.once.Do(t.init)
	origin, ok := t.origin(r)
	if !ok {
		return t.tcp.RoundTrip(r)
	}
	if tg, patience, ok := t.choose(r.Context(), origin); ok {
		c := newCall(t.udp, r)
		c.target.alt, c.patience = tg.alt, patience
		if c.prepare() == nil { // if prepare fails, HTTP may still take the request
			resp, err := c.do()
			if !t.moveOn(&c, resp, err) {
				return t.keep(&c, resp, err)
			}
			r = c.rest()
		}
	}
	resp, err := t.tcp.RoundTrip(r)
	if err == nil {
		t.cache.learn(origin, resp.Header, time.Now())
	}
	return resp, err
}

// CloseIdleConnections closes connections that carry no request.
func (t *AltSvcTransport) CloseIdleConnections() {
	t.once.Do(t.init)
	t.tcp.CloseIdleConnections()
	t.udp.CloseIdleConnections()
}

// Close closes HTTP3, and the idle connections of HTTP. Requests that follow go over TCP.
func (t *AltSvcTransport) Close() error {
	t.once.Do(t.init)
	t.tcp.CloseIdleConnections()
	return t.udp.Close()
}

// origin returns host:port of the origin that r is for. It reports false if no alternative may
// serve it.
func (t *AltSvcTransport) origin(r *http.Request) (string, bool) {
	if r.URL == nil || r.URL.Scheme != "https" || r.Method == http.MethodConnect || r.Header.Get("Upgrade") != "" {
		return "", false
	}
	if proxy := t.tcp.Proxy; proxy != nil {
		if u, err := proxy(r); u != nil || err != nil {
			return "", false
		}
	}
	origin, err := dialAddr(r.URL)
	return origin, err == nil
}

// choose reports whether a request to an origin goes over HTTP/3. It waits for a connection if
// there may be one soon. If the handshake is not complete, patience is how long the request may
// wait for it.
func (t *AltSvcTransport) choose(ctx context.Context, origin string) (tg target, patience time.Duration, ok bool) {
	now := time.Now()
	t.cache.mu.Lock()
	o := t.cache.lookup(origin, now)
	if o == nil {
		t.cache.mu.Unlock()
		return target{}, 0, false
	}
	tg = target{origin: origin, alt: o.alt}
	if t.udp.confirmed(tg) {
		t.cache.mu.Unlock()
		return tg, 0, true
	}
	if now.Before(o.broken) {
		t.cache.mu.Unlock()
		return target{}, 0, false
	}
	if o.try == nil {
		o.try = &altTry{began: now, ready: make(chan struct{})}
		go t.connect(tg, o, o.try)
	}
	try := o.try
	patience = lifetime.Timeout(t.HeadStart, defaultHeadStart) - now.Sub(try.began)
	failed := o.failures > 0
	t.cache.mu.Unlock()
	if patience <= 0 || failed {
		return target{}, 0, false
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-try.ready:
		patience -= time.Since(now)
		return tg, patience, try.err == nil && patience > 0
	case <-late.C:
	case <-ctx.Done():
	}
	return target{}, 0, false
}

// connect makes a connection to tg and notes the result.
func (t *AltSvcTransport) connect(tg target, o *altOrigin, try *altTry) {
	cc, _, err := t.udp.get(context.Background(), tg, false)
	if try.err = err; err != nil {
		t.cache.note(tg, false, time.Now())
	}
	close(try.ready)
	if err == nil {
		// With early data the handshake goes on.
		select {
		case <-cc.confirmed:
			t.cache.note(tg, true, time.Now())
		case <-cc.handle.Context().Done():
			t.cache.note(tg, false, time.Now())
		}
		cc.unbegin()
	}
	t.cache.mu.Lock()
	defer t.cache.mu.Unlock()
	o.try = nil
}

// moveOn reports whether the request of c, which went over HTTP/3, is to go over TCP. It also
// remembers what the result says of the alternative.
func (t *AltSvcTransport) moveOn(c *call, resp *http.Response, err error) bool {
	if err == nil {
		if resp.StatusCode != http.StatusMisdirectedRequest {
			return false
		}
		t.cache.forget(c.target.origin) // RFC 7838, Section 6
		if !c.rewind() {
			return false
		}
		resp.Body.Close()
		return true
	}
	if c.r.Context().Err() != nil {
		return false
	}
	_, unprocessed := errors.AsType[*unprocessedError](err)
	ended, dead := errors.AsType[*connectionError](err)
	if c.undialed || dead && broken(ended.err) {
		t.cache.note(c.target, false, time.Now())
	}
	return (c.undialed || unprocessed || err == errSlow || dead && c.idempotent()) && c.rewind()
}

// broken reports whether a connection has ended in a way that makes HTTP/3 with this peer doubtful.
// Otherwise a new connection is worth a try.
func broken(err error) bool {
	if closed, ok := errors.AsType[*conn.ApplicationError](err); ok {
		return h3.ErrorCode(closed.Code) == h3.VersionFallback
	}
	return !errors.Is(err, conn.ErrStatelessReset) && !errors.Is(err, errSilent)
}

// keep returns the result of the request over HTTP/3.
func (t *AltSvcTransport) keep(c *call, resp *http.Response, err error) (*http.Response, error) {
	if err != nil {
		c.closeBody()
		return nil, err
	}
	t.cache.learn(c.target.origin, resp.Header, time.Now())
	return resp, nil
}

// rest returns the request with the body that rewind has left.
func (c *call) rest() *http.Request {
	if c.body == nil || c.body == c.r.Body {
		return c.r
	}
	r := *c.r
	r.Body = c.body
	return &r
}
