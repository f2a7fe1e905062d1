package main

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// A route sends the requests of a host and below a path to a pool, or lets tunnels through. CONNECT
// has no path, and its host is that of the target.
type route struct {
	host string // "" for any, or *.example.org for all below
	path string // "/api" for itself and all below it
	pool string

	early     bool // takes requests that may be repeated by an attacker
	next      http.Handler
	webSocket http.Handler // over HTTP/3

	connect, connectUDP http.Handler // nil for none
}

// routes are in order: the most specific comes first.
type routes []*route

// sort puts names before wildcards before any host, and long paths before short ones.
func (rs routes) sort() {
	slices.SortStableFunc(rs, func(a, b *route) int {
		if d := specific(b.host) - specific(a.host); d != 0 {
			return d
		}
		return len(b.path) - len(a.path)
	})
}

// specific is greater for hosts that fewer names match.
func specific(host string) int {
	if host == "" {
		return 0
	}
	if strings.HasPrefix(host, "*") {
		return len(host)
	}
	return 1 << 16
}

// find returns the first route that takes r, or nil.
func (rs routes) find(r *http.Request) *route {
	host := hostOf(r)
	for _, rt := range rs {
		if rt.serves(r) && rt.takesHost(host) && rt.takesPath(r.URL.Path) {
			return rt
		}
	}
	return nil
}

// serves reports whether the route has a handler for requests of the kind of r.
func (rt *route) serves(r *http.Request) bool {
	switch {
	case isConnect(r):
		return rt.connect != nil
	case isConnectUDP(r):
		return rt.connectUDP != nil
	case isTunnel(r):
		return false
	}
	return rt.next != nil
}

// hostOf returns the name that r is for, without port, in lower case.
func hostOf(r *http.Request) string {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return canonicalHost(host)
}

func (rt *route) takesHost(host string) bool {
	if below, ok := strings.CutPrefix(rt.host, "*"); ok {
		return strings.HasSuffix(host, below) && len(host) > len(below)
	}
	return rt.host == "" || rt.host == host
}

// takesPath matches whole segments: /api takes /api and /api/x, but not /apis.
func (rt *route) takesPath(path string) bool {
	rest, ok := strings.CutPrefix(path, rt.path)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(rt.path, "/"))
}
