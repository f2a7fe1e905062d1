package main

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"time"
)

// An attempt is one try to send a request. What it has seen decides whether there may be another.
// It counts as in progress on its backend until finish.
type attempt struct {
	r  *http.Request
	to *backend

	sent     atomic.Bool // a connection was there, so the backend may know of the request
	read     atomic.Bool // the body was touched, so it cannot be sent again
	broken   atomic.Bool // the client's body broke off, for which no backend is to blame
	finished atomic.Bool
}

// begin returns the request to send. It shares the header with r.
func (a *attempt) begin() *http.Request {
	a.to.inflight.Add(1)
	a.to.attempts.Add(1)
	ctx := a.r.Context()
	if !safe(a.r) { // for a safe request it does not matter
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GotConn: func(httptrace.GotConnInfo) { a.sent.Store(true) },
		})
	}
	out := a.r.WithContext(ctx)
	u := *a.r.URL
	u.Scheme, u.Host = a.to.url.Scheme, a.to.url.Host
	out.URL = &u
	if a.r.Body != nil && a.r.Body != http.NoBody {
		out.Body = &watchedBody{a.r.Body, a}
	}
	return out
}

// send makes the attempt, and takes note of how it went.
func (a *attempt) send() (*http.Response, error) {
	resp, err := a.to.way.Load().RoundTrip(a.begin())
	if err != nil {
		a.finish()
		a.breaksOff()
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		a.to.pool.noteFailure(a.to)
	default:
		a.to.condition.succeeded(time.Now())
	}
	if both, ok := resp.Body.(io.ReadWriteCloser); ok { // status 101
		resp.Body = &countedStream{both, a}
	} else {
		resp.Body = &countedBody{resp.Body, a}
	}
	return resp, nil
}

// finish is called when the attempt has failed or its response was closed.
func (a *attempt) finish() {
	if !a.finished.Swap(true) {
		a.to.inflight.Add(-1)
	}
}

// breaksOff takes note of a request that broke off, unless the client has caused it.
func (a *attempt) breaksOff() {
	if a.r.Context().Err() == nil && !a.broken.Load() {
		a.to.pool.noteFailure(a.to)
	}
}

// repeatable reports whether r may be sent once more. A request of a safe method may (RFC 9110,
// Section 9.2.2). Any other may if the backend has not seen it.
func (a *attempt) repeatable() bool {
	if a.read.Load() || a.r.Context().Err() != nil {
		return false
	}
	return safe(a.r) || !a.sent.Load()
}

// safe reports whether a backend may get r twice.
func safe(r *http.Request) bool {
	if r.Body != nil && r.Body != http.NoBody || r.Header.Get("Upgrade") != "" {
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// A watchedBody tells that it is read. It does not close what it reads: httputil.ReverseProxy does
// that at the end, and until then there may be another attempt.
type watchedBody struct {
	io.Reader
	a *attempt
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.a.read.Store(true)
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		b.a.broken.Store(true)
	}
	return n, err
}

func (b *watchedBody) Close() error { return nil }

// retryStatus reports whether a response is a reason to ask another backend.
func (p *pool) retryStatus(resp *http.Response) bool {
	return slices.Contains(p.config.Retries.Statuses, resp.StatusCode)
}
