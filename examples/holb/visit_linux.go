package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/lazoquic/lazo/examples/internal/tunnelhttp"
	"github.com/lazoquic/lazo/internal/netrelay"
)

// A page is a large resource and many small ones beside it.
type page struct {
	name         string
	large, small int           // bytes
	count        int           // of small ones
	every        time.Duration // from one small one to the next
}

// A visit is a page over a path.
type visit struct {
	protocol protocol
	cc       controller
	path     netrelay.Link // down; up it has the delay and the loss alone
	page     page
	seed     uint64
	keys     io.Writer // of the client; may be nil
}

// A result says how long each resource took.
type result struct {
	large time.Duration
	small []time.Duration
}

// resource serves as many bytes as the path of the URL says.
func resource(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Path[1:])
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(n))
	buf := make([]byte, 16<<10)
	for n > 0 {
		k, err := w.Write(buf[:min(n, len(buf))])
		if err != nil {
			return
		}
		n -= k
	}
}

// run makes the path and visits the page. It asks for the first small resource after a part of the
// large one has come.
func (v *visit) run(ctx context.Context) (*result, error) {
	up := netrelay.Link{Delay: v.path.Delay, Loss: v.path.Loss}
	t, err := netrelay.NewTunnel(netrelay.TunnelConfig{Up: up, Down: v.path, Seed: v.seed})
	if err != nil {
		return nil, err
	}
	defer t.Close()
	s, err := v.protocol.start(t, v, http.HandlerFunc(resource))
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.priority = v.protocol.priority

	r := &result{small: make([]time.Duration, v.page.count)}
	began := time.Now()
	large, err := s.get(ctx, v.page.large)
	if err != nil {
		return nil, err
	}
	defer large.Close()
	if _, err := io.CopyN(io.Discard, large, int64(v.page.large/10)); err != nil {
		return nil, err
	}
	errs := make(chan error, v.page.count)
	tick := time.NewTicker(max(v.page.every, time.Nanosecond))
	defer tick.Stop()
	go func() {
		for i := range r.small {
			go func() {
				took, err := s.fetch(ctx, v.page.small)
				r.small[i] = took
				errs <- err
			}()
			<-tick.C
		}
	}()
	_, err = io.Copy(io.Discard, large)
	r.large = time.Since(began)
	for range r.small {
		err = errors.Join(err, <-errs)
	}
	return r, err
}

// fetch gets n bytes and says how long that took.
func (s *site) fetch(ctx context.Context, n int) (time.Duration, error) {
	began := time.Now()
	body, err := s.get(ctx, n)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	return time.Since(began), err
}

// get asks for n bytes.
func (s *site) get(ctx context.Context, n int) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://%s/%d", tunnelhttp.Addr, n), nil)
	if err != nil {
		return nil, err
	}
	if s.priority != "" {
		req.Header.Set("Priority", s.priority)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("status %s", resp.Status)
	}
	return resp.Body, nil
}
