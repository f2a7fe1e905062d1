package main

import (
	"context"
	"net/http"
)

// A trip is what becomes known of a request on its way. Its log line needs that.
type trip struct {
	pool     string
	backend  string // the last one that was asked
	attempts int
}

type tripKey struct{}

// with returns r with t in its context.
func (t *trip) with(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), tripKey{}, t))
}

// tripOf returns the trip of a request, or one that nobody looks at.
func tripOf(r *http.Request) *trip {
	if t, ok := r.Context().Value(tripKey{}).(*trip); ok {
		return t
	}
	return new(trip)
}

// attempt takes note of a backend that is asked.
func (t *trip) attempt(b *backend) {
	t.backend = b.name
	t.attempts++
}
