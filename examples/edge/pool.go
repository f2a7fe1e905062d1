package main

import (
	"errors"
	"net/http"
)

// A pool is the http.RoundTripper of a set of backends.
type pool struct {
	name     string
	backends []*backend
	balance  balancer
}

// newPool makes the pool of a configuration that was checked.
func newPool(name string, c *poolConfig) (*pool, error) {
	ca, err := loadCA(c.CA)
	if err != nil {
		return nil, err
	}
	p := &pool{name: name, balance: newBalancer(c)}
	for _, b := range c.Backends {
		p.backends = append(p.backends, newBackend(b, c, ca))
	}
	return p, nil
}

// errNoBackend is the error of a request that no backend can take.
var errNoBackend = errors.New("edge: no backend is available")

// RoundTrip sends r to a backend of the balancer's choice.
func (p *pool) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(p.backends) == 0 {
		return nil, errNoBackend
	}
	return p.balance.choose(r, p.backends).roundTrip(r)
}

// close ends connections that carry no request.
func (p *pool) close() {
	for _, b := range p.backends {
		b.shut()
	}
}
