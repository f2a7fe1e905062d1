package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A pool is the http.RoundTripper of a set of backends.
type pool struct {
	name        string
	config      *poolConfig
	backends    []*backend
	authorities *watch // whose certificates the backends may have
	balance     balancer
	budget      *budget
	log         *slog.Logger
	stop        context.CancelFunc

	ejecting sync.Mutex // so that two are not ejected where one is enough
}

// newPool makes the pool of a configuration that was checked, and begins to watch its backends.
func newPool(name string, c *poolConfig, log *slog.Logger) (*pool, error) {
	p := &pool{
		name: name, config: c, balance: newBalancer(c), budget: newBudget(*c.Retries.Budget),
		log: log.With("pool", name),
	}
	for _, text := range c.Backends {
		p.backends = append(p.backends, newBackend(text, p))
	}
	var files []string
	if c.CA != "" {
		files = append(files, c.CA)
	}
	var err error
	if p.authorities, err = newWatch("authorities of pool "+name, p.readCA, files...); err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	if c.Health != nil {
		for _, b := range p.backends {
			go p.watch(ctx, b)
		}
	}
	return p, nil
}

// readCA has all backends connect anew, with the authorities that the file has now. Requests in
// progress stay where they are.
func (p *pool) readCA() error {
	ca, err := loadCA(p.config.CA)
	if err != nil {
		return err
	}
	for _, b := range p.backends {
		b.reach(ca)
	}
	return nil
}

// errNoBackend is the error of a request that no backend can take.
var errNoBackend = errors.New("edge: no backend is available")

// RoundTrip sends r to a backend of the balancer's choice. If that fails, and r can be sent again,
// others follow.
func (p *pool) RoundTrip(r *http.Request) (*http.Response, error) {
	p.budget.earn()
	trip := tripOf(r)
	var tried []*backend
	for {
		b := p.choose(r, tried)
		if b == nil {
			return nil, errNoBackend
		}
		tried = append(tried, b)
		trip.attempt(b)
		a := &attempt{r: r, to: b}
		resp, err := a.send()
		if err == nil && tooEarly(r, resp) {
			resp.Body.Close()
			a = &attempt{r: r, to: b}
			trip.attempt(b)
			resp, err = a.send()
		}
		failed := err != nil || p.retryStatus(resp)
		if !failed || len(tried) > *p.config.Retries.Max || !a.repeatable() || p.choose(r, tried) == nil || !p.budget.spend() {
			return resp, err
		}
		if resp != nil {
			resp.Body.Close()
		}
	}
}

// noteFailure ejects b if it has failed too often. At least half of the backends stay: if all
// fail, it is better to ask them than to ask none.
func (p *pool) noteFailure(b *backend) {
	now := time.Now()
	if !b.condition.failed(now) {
		return
	}
	p.ejecting.Lock()
	defer p.ejecting.Unlock()
	ejected := 1
	for _, other := range p.backends {
		if other != b && other.condition.isEjected(now) {
			ejected++
		}
	}
	if 2*ejected <= len(p.backends) {
		pause := b.condition.ejectAt(now)
		p.log.Warn("a backend is left out", "backend", b.name, "for", pause.String())
	}
}

// choose returns a backend that is available and was not tried, or nil.
func (p *pool) choose(r *http.Request, tried []*backend) *backend {
	now := time.Now()
	from := make([]*backend, 0, len(p.backends))
	for _, b := range p.backends {
		if b.condition.available(now) && !slices.Contains(tried, b) {
			from = append(from, b)
		}
	}
	if len(from) == 0 {
		return nil
	}
	return p.balance.choose(r, from)
}

// close ends checks, and connections that carry no request.
func (p *pool) close() {
	p.stop()
	for _, b := range p.backends {
		b.way.Load().shut()
	}
}
