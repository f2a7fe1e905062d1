package main

import (
	"net/http"

	"github.com/lazoquic/lazo/h3/h3http"
)

// settle deals with early data, which an attacker may have sent again. If the route does not take
// early data, settle waits for the end of the handshake. An attacker cannot repeat that (RFC 8470,
// Section 3). It reports false if the client has left.
func settle(r *http.Request, takes bool) (ok bool) {
	t := tripOf(r)
	t.early = r.TLS != nil && !r.TLS.HandshakeComplete
	t.cameEarly = t.early
	if !t.early || takes {
		return true
	}
	if !handshake(r) {
		return false
	}
	t.early = false
	return true
}

// handshake waits for the end of the handshake of the client.
func handshake(r *http.Request) (ok bool) {
	c := h3http.ConnOf(r)
	if c == nil {
		return true
	}
	select {
	case <-c.Handshake():
		return r.Context().Err() == nil
	case <-r.Context().Done():
		return false
	}
}

// tooEarly reports whether to send a request again, because resp says that it was too early. It
// waits for the end of the handshake first. If the client itself has said that the request is
// early, the client gets the status instead (RFC 8470, Section 5.2).
func tooEarly(r *http.Request, resp *http.Response) bool {
	t := tripOf(r)
	if resp.StatusCode != http.StatusTooEarly || !t.early || t.saidEarly || !safe(r) || !handshake(r) {
		return false
	}
	t.early = false
	r.Header = r.Header.Clone() // the first attempt may still have it
	r.Header.Del("Early-Data")
	return true
}
