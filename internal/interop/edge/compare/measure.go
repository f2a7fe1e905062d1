package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
)

// A result is what a server has done in all its turns.
type result struct {
	name     string
	requests int
	took     time.Duration
	cpu      time.Duration   // of the server
	latency  []time.Duration // of each request
}

func (r *result) perSecond() float64 { return float64(r.requests) / r.took.Seconds() }

// cpuEach returns the processor time for a request.
func (r *result) cpuEach() time.Duration { return r.cpu / time.Duration(max(r.requests, 1)) }

// quantile returns a quantile of the latencies, which are sorted.
func (r *result) quantile(q float64) time.Duration {
	if len(r.latency) == 0 {
		return 0
	}
	return r.latency[min(int(q*float64(len(r.latency))), len(r.latency)-1)]
}

// measure lets the servers take turns.
func measure(o *options) ([]*result, error) {
	s, err := newSite(o.size)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(s.dir)
	servers, err := s.startAll(o.envoy)
	defer func() {
		for _, srv := range servers {
			srv.Stop()
		}
	}()
	if err != nil {
		return nil, err
	}
	var results []*result
	loads := make([]*load, len(servers))
	for i, srv := range servers {
		results = append(results, &result{name: srv.name})
		loads[i] = newLoad(s, srv, o)
		defer loads[i].close()
		if err := loads[i].ready(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", srv.name, err, srv.Stop())
		}
		// A turn that does not count opens the connections, and warms the server up.
		if err := loads[i].turn(o.time/2, new(result)); err != nil {
			return nil, fmt.Errorf("%s: %w", srv.name, err)
		}
	}
	for range o.rounds {
		for i, srv := range servers {
			if err := loads[i].turn(o.time, results[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", srv.name, err)
			}
		}
	}
	for _, r := range results {
		slices.Sort(r.latency)
	}
	return results, nil
}

// A load is the clients of one server, each with a connection.
type load struct {
	srv     *server
	o       *options
	clients []*h3http.Transport
}

func newLoad(s *site, srv *server, o *options) *load {
	l := &load{srv: srv, o: o}
	for range o.clients {
		l.clients = append(l.clients, &h3http.Transport{TLSClientConfig: s.trust.Clone(), DisableCompression: true})
	}
	return l
}

func (l *load) close() {
	for _, c := range l.clients {
		c.Close()
	}
}

// ready waits until the server answers.
func (l *load) ready() (err error) {
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(50 * time.Millisecond) {
		if err = l.ask(l.clients[0]); err == nil {
			return nil
		}
	}
	return err
}

// ask makes one request, and reads all of the response.
func (l *load) ask(c *h3http.Transport) error {
	r, err := http.NewRequest("GET", "https://"+l.srv.addr+"/", nil)
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(l.srv.addr)
	r.Host = "localhost:" + port
	resp, err := c.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n != int64(l.o.size)) {
		err = fmt.Errorf("status %d with %d bytes", resp.StatusCode, n)
	}
	return err
}

// turn asks for some time, and adds what happened to a result.
func (l *load) turn(limit time.Duration, to *result) error {
	before, err := l.srv.CPU()
	if err != nil {
		return err
	}
	begin := time.Now()
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	for _, c := range l.clients {
		for range l.o.streams {
			wg.Go(func() {
				took, err := l.repeat(c, begin.Add(limit))
				mu.Lock()
				defer mu.Unlock()
				to.latency = append(to.latency, took...)
				to.requests += len(took)
				if failed == nil {
					failed = err
				}
			})
		}
	}
	wg.Wait()
	to.took += time.Since(begin)
	after, err := l.srv.CPU()
	if failed == nil {
		failed = err
	}
	to.cpu += after - before
	return failed
}

// repeat asks again and again until a time.
func (l *load) repeat(c *h3http.Transport, until time.Time) (took []time.Duration, err error) {
	for at := time.Now(); at.Before(until); {
		if err := l.ask(c); err != nil {
			return took, err
		}
		now := time.Now()
		took = append(took, now.Sub(at))
		at = now
	}
	return took, nil
}
