package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/loop"
)

// A session is a connection of the client, on one of the two tiers. It returns from
// exchange and flood when all is done.
type session interface {
	// exchange does a number of exchanges, some at a time. Each sends up bytes behind
	// its header and has down bytes answered.
	exchange(ops, width int, down, up int64) error

	// flood sends datagrams for a while, and returns how many.
	flood(d time.Duration) (sent int64, err error)

	latency() *histogram // of exchanges
	stats() conn.Stats
	alive() bool
	close()
}

// A client runs one mode.
type client struct {
	o      *options
	remote netip.AddrPort
	cfg    *conn.Config
	group  *loop.Group // nil with a socket for each connection
	meter  meter
	r      report
}

func runClient(o *options) error {
	o.datagrams = o.mode == "datagram"
	c := &client{o: o, r: newReport("client")}
	c.r["mode"], c.r["api"] = o.mode, o.api
	var err error
	if c.remote, err = netip.ParseAddrPort(o.connect); err != nil {
		return err
	}
	c.cfg = o.clientConfig()
	endKeys, err := envlog.Keys(c.cfg.TLS, slog.Default())
	if err != nil {
		return err
	}
	defer endKeys()
	if !o.socketPerConn {
		if c.group, err = c.listen(); err != nil {
			return err
		}
		defer c.group.Close()
	}
	stop, err := o.profile()
	if err != nil {
		return err
	}
	if err = c.run(); err != nil {
		return err
	}
	stop()
	return c.r.print()
}

// listen opens sockets to dial from.
func (c *client) listen() (*loop.Group, error) {
	local := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	if c.remote.Addr().Is6() {
		local = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	}
	return loop.Open("udp", local.String(), c.o.loops, new(loop.Config))
}

func (c *client) run() error {
	switch c.o.mode {
	case "download", "upload", "rr":
		return c.streams()
	case "handshake":
		return c.handshakes()
	case "datagram":
		return c.datagrams()
	case "idle":
		return c.idle()
	case "active":
		return c.active()
	case "mixed":
		return c.mixed()
	case "echo":
		return c.echo()
	}
	return fmt.Errorf("-mode %q is not known", c.o.mode)
}

// dial makes a connection and proves that it works.
func (c *client) dial() (session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.o.giveUp)
	defer cancel()
	g := c.group
	if g == nil {
		var err error
		if g, err = c.listen(); err != nil {
			return nil, err
		}
	}
	s, err := c.session(ctx, g)
	if err == nil {
		t := time.AfterFunc(c.o.giveUp, s.close)
		if err = s.exchange(1, 1, c.o.small(), 0); err != nil {
			s.close()
		}
		t.Stop()
	}
	if err != nil {
		if c.group == nil {
			g.Close()
		}
		return nil, fmt.Errorf("dial %v: %w", c.remote, err)
	}
	if c.group == nil {
		s = &ownSocket{session: s, g: g}
	}
	return s, nil
}

// session makes a session in the way of options.api.
func (c *client) session(ctx context.Context, g *loop.Group) (session, error) {
	switch c.o.api {
	case "handler":
		return dialHandler(ctx, g, c.remote, c.cfg)
	case "http3", "http3shared", "h3loop":
		return dialHTTP3(g, c.remote, c.cfg), nil
	case "http2":
		return dialHTTP2(c.remote, c.cfg.TLS, c.o.giveUp), nil
	case "tls":
		return dialTLS(c.remote, c.cfg.TLS), nil
	}
	return dialStream(ctx, g, c.remote, c.cfg)
}

// small returns the size of a small answer.
func (o *options) small() int64 {
	if o.http() {
		return httpBytes
	}
	return 1
}

func (o *options) http() bool {
	return slices.Contains([]string{"http3", "http3shared", "h3loop", "http2"}, o.api)
}

// An ownSocket is a session that has a socket for itself.
type ownSocket struct {
	session
	g *loop.Group
}

func (s *ownSocket) close() {
	s.session.close()
	s.g.Close()
}

// finish adds what happened between c.meter.start and now to the report.
func (c *client) finish(bytes, ops int64) {
	wall := c.meter.stop(c.r)
	c.r["bytes"], c.r["ops"] = bytes, ops
	c.r["gbit_s"], c.r["ops_s"] = float64(bytes)*8e-9/wall, float64(ops)/wall
}

// streams does exchanges over one connection, or over several.
func (c *client) streams() error {
	all := make(several, c.o.over)
	for i := range all {
		s, err := c.dial()
		if err != nil {
			return err
		}
		defer s.close()
		all[i] = s
	}
	time.Sleep(c.o.warm)
	ops, bytes := int64(c.o.ops), int64(c.o.bytes)
	down, up := bytes, int64(0)
	switch c.o.mode {
	case "upload":
		down, up = 0, bytes
	case "rr":
		down, bytes = c.o.small(), c.o.small()
	}
	first := all[0]
	before := first.stats()
	c.meter.start()
	if err := all.exchange(int(ops), c.o.concurrency, down, up); err != nil {
		return err
	}
	c.finish(bytes*ops, ops)
	c.r.addConn(before, first.stats())
	if c.o.mode == "rr" {
		var h histogram
		for _, s := range all {
			h.merge(s.latency())
		}
		h.addTo(c.r)
	}
	return nil
}

// several are sessions that share the work.
type several []session

// exchange is that of session, with as many exchanges at a time as are asked for in all.
func (a several) exchange(ops, width int, down, up int64) error {
	errs := make(chan error, len(a))
	for i, s := range a {
		share := func(n int) int { return n*(i+1)/len(a) - n*i/len(a) }
		go func() { errs <- s.exchange(share(ops), max(1, share(width)), down, up) }()
	}
	var first error
	for range a {
		if err := <-errs; err != nil && first == nil {
			first = err
			a.close()
		}
	}
	return first
}

func (a several) close() {
	for _, s := range a {
		s.close()
	}
}

// parallel calls f n times, options.concurrency at a time, until one fails.
func (c *client) parallel(n int64, f func() error) error {
	var left atomic.Int64
	left.Store(n)
	errs := make(chan error, c.o.concurrency)
	for range c.o.concurrency {
		go func() {
			var err error
			for err == nil && left.Add(-1) >= 0 {
				err = f()
			}
			left.Store(0) // if this one failed, the others end as well
			errs <- err
		}()
	}
	var first error
	for range c.o.concurrency {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (c *client) datagrams() error {
	s, err := c.dial()
	if err != nil {
		return err
	}
	defer s.close()
	before := s.stats()
	for range 200 { // a datagram may need more than the initial MTU
		if before.MTU > datagramLen+64 {
			break
		}
		time.Sleep(10 * time.Millisecond)
		before = s.stats()
	}
	c.meter.start()
	sent, err := s.flood(time.Duration(c.o.secs * float64(time.Second)))
	if err != nil {
		return err
	}
	c.finish(sent*datagramLen, sent)
	time.Sleep(200 * time.Millisecond) // the last datagrams are on their way
	c.r.addConn(before, s.stats())
	return nil
}

// idle measures the server's memory for connections that rest.
func (c *client) idle() error {
	if c.o.concurrency == 1 {
		c.o.concurrency = 16
	}
	first, err := c.dial()
	if err != nil {
		return err
	}
	defer first.close()
	before, beforeGC := c.memory(300 * time.Millisecond)
	n := int64(c.o.conns)
	c.meter.start()
	all, err := c.dialMany(n)
	if err != nil {
		return err
	}
	c.finish(n, n)
	after, afterGC := c.memory(1500 * time.Millisecond)
	alive := 0
	for _, s := range all {
		if s.alive() {
			alive++
		}
	}
	c.r["conns"], c.r["alive"] = n, alive
	c.r["rss_before_kb"], c.r["rss_after_kb"] = before, after
	c.r["rss_before_gc_kb"], c.r["rss_after_gc_kb"] = beforeGC, afterGC
	c.r["bytes_per_conn"] = float64(after-before) * 1024 / float64(n)
	c.r["bytes_per_conn_gc"] = float64(afterGC-beforeGC) * 1024 / float64(n)
	return nil
}

// memory returns the resident memory of the server in KiB. If the server is to collect garbage,
// after is the memory after that.
func (c *client) memory(settle time.Duration) (before, after int64) {
	if c.o.serverPID == 0 {
		return 0, 0
	}
	time.Sleep(settle)
	pid := strconv.Itoa(c.o.serverPID)
	before = rss(pid)
	if c.o.gcSignal && signalGC(c.o.serverPID) == nil {
		time.Sleep(700 * time.Millisecond)
	}
	return before, rss(pid)
}
