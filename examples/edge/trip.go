package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// A trip collects facts about a request on its way, for its line in the log.
type trip struct {
	begin     time.Time
	client    string // IP address
	pool      string
	backend   string    // the last one that was asked
	asked     time.Time // when it was asked
	attempts  int
	empty     bool        // the response has no content
	early     bool        // the handshake of the client is not complete
	cameEarly bool        // it was not complete when the request came
	saidEarly bool        // the client says so itself
	slow      atomic.Bool // the client sent too little for too long
}

type tripKey struct{}

// with returns r with t in its context.
func (t *trip) with(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), tripKey{}, t))
}

// tripOf returns the trip of a request, or a new one that nobody reads.
func tripOf(r *http.Request) *trip {
	if t, ok := r.Context().Value(tripKey{}).(*trip); ok {
		return t
	}
	return &trip{client: peerOf(r)}
}

// attempt takes note of a backend that is asked.
func (t *trip) attempt(b *backend) {
	t.backend, t.asked = b.name, time.Now()
	t.attempts++
}

// timing returns the field Server-Timing, in milliseconds. It has the time until the response
// header, and the part of that time that the last backend took.
func (t *trip) timing() string {
	now := time.Now()
	ms := func(from time.Time) float64 { return float64(now.Sub(from).Microseconds()) / 1000 }
	return fmt.Sprintf("edge;dur=%.3f, backend;dur=%.3f", ms(t.begin), ms(t.asked))
}
