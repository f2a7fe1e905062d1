package main

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
)

// An attempt is one try to send a request. What it has seen decides whether there may be another.
type attempt struct {
	sent   atomic.Bool // a connection was there, so the backend may know of the request
	read   atomic.Bool // the body was touched, so it cannot be sent again
	broken atomic.Bool // the client's body broke off, for which no backend is to blame
}

// begin returns the request to send.
func (a *attempt) begin(r *http.Request) *http.Request {
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { a.sent.Store(true) },
	})
	out := r.Clone(ctx)
	out.Trailer = r.Trailer // fills while the body is read
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = &watchedBody{r.Body, a}
	}
	return out
}

// repeatable reports whether r may be sent once more. A request of a safe method may (RFC 9110,
// Section 9.2.2). Any other may if the backend has not seen it.
func (a *attempt) repeatable(r *http.Request) bool {
	if a.read.Load() || r.Context().Err() != nil {
		return false
	}
	return safe(r) || !a.sent.Load()
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
