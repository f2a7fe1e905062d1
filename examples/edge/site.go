package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"time"
)

// A site is a configuration at work. A reload replaces it.
type site struct {
	config *config
	routes routes
	pools  map[string]*pool
	trust  trust
	certs  *certificates
	keys   *keys

	buffers copyBuffers
}

// newSite makes the site of a configuration that was checked. It takes over the pools of the site
// before that are the same. That site may be nil.
func newSite(c *config, log *slog.Logger, before *site) (*site, error) {
	certs, err := loadCertificates(c.Certificates)
	if err != nil {
		return nil, err
	}
	keys, err := loadKeys(c)
	if err != nil {
		return nil, err
	}
	s := &site{config: c, pools: make(map[string]*pool), certs: certs, keys: keys}
	for name, pc := range c.Pools {
		p, err := before.reuse(name, pc)
		if p == nil && err == nil {
			p, err = newPool(name, pc, log)
		}
		if err != nil {
			return nil, err
		}
		s.pools[name] = p
	}
	for _, text := range c.Trusted {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		s.trust = append(s.trust, prefix)
	}
	for _, rc := range c.Routes {
		rt, err := s.newRoute(rc)
		if err != nil {
			return nil, err
		}
		s.routes = append(s.routes, rt)
	}
	s.routes.sort()
	return s, nil
}

func (s *site) newRoute(c *routeConfig) (*route, error) {
	rt := &route{host: c.Host, path: c.Path, pool: c.Pool, early: c.EarlyData}
	if c.Pool != "" {
		next := s.proxyTo(s.pools[c.Pool])
		rt.next, rt.webSocket = next, webSocket{next}
	}
	idle := time.Duration(s.config.Timeouts.Tunnel)
	overTCP, err := parseTargets(c.Connect)
	if err != nil {
		return nil, err
	}
	if overTCP != nil {
		rt.connect = &tunnels{to: overTCP, idle: idle}
	}
	overUDP, err := parseTargets(c.ConnectUDP)
	if overUDP != nil {
		rt.connectUDP = newUDPTunnels(overUDP, idle)
	}
	return rt, err
}

// flushAfter is how long a part of a response waits for more. One that is complete by then goes out
// at once, and one whose length is unknown does not wait.
const flushAfter = time.Millisecond

// proxyTo returns the handler of a route.
func (s *site) proxyTo(p *pool) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:       s.trust.rewrite,
		Transport:     p,
		BufferPool:    &s.buffers,
		FlushInterval: flushAfter,
		ModifyResponse: func(resp *http.Response) error {
			t := tripOf(resp.Request)
			t.empty = resp.ContentLength == 0
			dropAltSvc(resp.Header)
			if s.config.ServerTiming {
				resp.Header.Add("Server-Timing", t.timing())
			}
			return nil
		},
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil { // the client is still there
				p.log.Warn("a request failed", "backend", tripOf(r).backend, "error", err)
			}
			if isGRPC(r) {
				failGRPC(w, r, err)
				return
			}
			if tripOf(r).slow.Load() {
				w.WriteHeader(http.StatusRequestTimeout)
				return
			}
			w.WriteHeader(statusOf(err))
		},
	}
}

// dropAltSvc removes what a backend says of other ways to reach it. For clients, the edge is the
// origin (RFC 7838, Section 2).
func dropAltSvc(h http.Header) { h.Del("Alt-Svc") }

// statusOf returns the status for an error of a backend.
func statusOf(err error) int {
	var timeout net.Error
	switch {
	case errors.Is(err, errNoBackend):
		return http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout
	default:
		return http.StatusBadGateway
	}
}

// ServeHTTP finds the backend of a request that has a trip.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := tripOf(r)
	t.client = s.trust.client(r)
	t.saidEarly = r.Header.Get("Early-Data") != ""
	if refuse(w, r) || isLast(w, r) {
		return
	}
	if isTunnel(r) {
		s.serveTunnel(w, r)
		return
	}
	rt := s.routes.find(r)
	if rt == nil {
		http.Error(w, "no route", http.StatusNotFound)
		return
	}
	t.pool = rt.pool
	switch {
	case !settle(r, rt.early):
	case isWebSocket(r):
		rt.webSocket.ServeHTTP(w, r)
	default:
		// If a body of HTTP/1.1 breaks off, the connection must close. net/http closes it only
		// without EnableFullDuplex. With it, net/http would read the rest as another request.
		limitBody(w, r, time.Duration(s.config.Timeouts.Body))
		rt.next.ServeHTTP(w, r)
	}
}

// close ends everything that requests in progress do not need.
func (s *site) close() {
	for _, p := range s.pools {
		p.close()
	}
}
