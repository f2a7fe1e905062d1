package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
)

// runClient downloads what the runner requests.
func runClient(ctx context.Context, o *options) error {
	urls := make([]*url.URL, len(o.requests))
	for i, s := range o.requests {
		u, err := url.Parse(s)
		if err != nil {
			return err
		}
		urls[i] = u
	}
	// The runner makes new certificates for each run, and their names do not matter.
	tlsc := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{hqInterop}}
	endKeys, err := envlog.Keys(tlsc, slog.Default())
	if err != nil {
		return err
	}
	defer endKeys()
	d := &download{o: o, config: o.config(tlsc)}
	var fetch func(context.Context, []*url.URL) error
	switch o.testCase {
	case "handshake", "transfer", "retry", "chacha20", "ecn", "v2":
		fetch = d.atOnce
	case "keyupdate":
		fetch = d.updatingKeys
	case "multiconnect":
		fetch = d.oneByOne
	case "resumption", "zerortt":
		fetch = d.resuming
	case "http3":
		fetch = d.http3
	default:
		return fmt.Errorf("%w: client of test case %q", errUnsupported, o.testCase)
	}
	if len(urls) == 0 {
		return errors.New("REQUESTS is empty")
	}
	return fetch(ctx, urls)
}

// A download is what one test case fetches.
type download struct {
	o      *options
	config *conn.Config
}

// atOnce downloads urls over one connection.
func (d *download) atOnce(ctx context.Context, urls []*url.URL) error { return d.over(ctx, urls, nil) }

// oneByOne downloads each of urls over a connection of its own.
func (d *download) oneByOne(ctx context.Context, urls []*url.URL) error {
	for i := range urls {
		if err := d.over(ctx, urls[i:i+1], nil); err != nil {
			return err
		}
	}
	return nil
}

// updatingKeys downloads urls over one connection whose keys it updates.
func (d *download) updatingKeys(ctx context.Context, urls []*url.URL) error {
	return d.over(ctx, urls, updateKeys)
}

// over downloads urls, which are of one server, at the same time over one connection. Meanwhile it
// calls also, if that is not nil.
func (d *download) over(ctx context.Context, urls []*url.URL, also func(context.Context, *loop.Conn) error) error {
	c, err := loop.Dial(ctx, hostPort(urls[0]), d.config)
	if err != nil {
		return err
	}
	tasks := make([]func() error, 0, len(urls)+1)
	for _, u := range urls {
		tasks = append(tasks, func() error {
			return d.save(u, func(w io.Writer) error { return get(ctx, c, u.Path, w) })
		})
	}
	if also != nil {
		tasks = append(tasks, func() error { return also(ctx, c) })
	}
	if err := together(tasks); err != nil {
		c.Close(1, "")
		return err
	}
	return c.Close(0, "")
}

// together runs tasks at the same time and waits for all.
func together(tasks []func() error) error {
	errs := make(chan error, len(tasks))
	for _, task := range tasks {
		go func() { errs <- task() }()
	}
	var all error
	for range tasks {
		all = errors.Join(all, <-errs)
	}
	return all
}

// save creates the file of a URL, and has fetch fill it.
func (d *download) save(u *url.URL, fetch func(io.Writer) error) error {
	f, err := os.Create(filepath.Join(d.o.downloads, path.Base(u.Path)))
	if err != nil {
		return err
	}
	return errors.Join(fetch(f), f.Close())
}

// hostPort is where a URL leads to.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// updateKeys updates the keys of c as soon as that is allowed: when the handshake is confirmed.
func updateKeys(ctx context.Context, c *loop.Conn) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		var failed error
		if err := c.Do(ctx, func(_ time.Time, c *conn.Conn) { failed = c.UpdateKeys() }); err != nil {
			return err
		}
		if failed == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(failed, ctx.Err())
		}
	}
}

// ticketWait is how long a server may take to send a session ticket.
const ticketWait = 10 * time.Second

// A ticketCache tells when a session ticket has come.
type ticketCache struct {
	loop.SessionCache
	came chan struct{} // with room for one
}

// Put is part of [tls.ClientSessionCache].
func (c *ticketCache) Put(key string, s *tls.ClientSessionState) {
	c.SessionCache.Put(key, s)
	if s == nil {
		return
	}
	select {
	case c.came <- struct{}{}:
	default:
	}
}

// resuming downloads the first URL over a connection, and the others over another that resumes its
// session.
func (d *download) resuming(ctx context.Context, urls []*url.URL) error {
	if len(urls) < 2 {
		return errors.New("there is nothing to request over the second connection")
	}
	cache := &ticketCache{came: make(chan struct{}, 1)}
	d.config.TLS.ClientSessionCache = cache
	if d.o.testCase == "zerortt" {
		d.config.Enable0RTT = true
		// Probes for a larger MTU would count as data that was not sent early.
		d.config.InitialMTU, d.config.MaxMTU = 1200, 1200
	}
	err := d.over(ctx, urls[:1], func(ctx context.Context, _ *loop.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, ticketWait)
		defer cancel()
		select {
		case <-cache.came:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("no session ticket: %w", ctx.Err())
		}
	})
	if err != nil {
		return err
	}
	return d.over(ctx, urls[1:], nil)
}

// http3 downloads urls at the same time over HTTP/3.
func (d *download) http3(ctx context.Context, urls []*url.URL) error {
	tr := &h3http.Transport{TLSClientConfig: d.config.TLS, QUICConfig: d.o.config(nil)}
	defer tr.Close()
	client := &http.Client{Transport: tr}
	tasks := make([]func() error, 0, len(urls))
	for _, u := range urls {
		tasks = append(tasks, func() error {
			return d.save(u, func(w io.Writer) error { return fetch(ctx, client, u, w) })
		})
	}
	return together(tasks)
}

// fetch copies the body of a response to w.
func fetch(ctx context.Context, client *http.Client, u *url.URL, w io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", u, resp.Status)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}
