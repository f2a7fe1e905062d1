package main

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// A trust holds the addresses whose forwarding fields the edge believes.
type trust []netip.Prefix

// trusts reports whether an IP address is one of those.
func (t trust) trusts(ip string) bool {
	if len(t) == 0 {
		return false
	}
	addr, err := netip.ParseAddr(ip)
	return err == nil && slices.ContainsFunc(t, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

// client returns the IP address of the client: the last untrusted address on the way here. The
// addresses before it in X-Forwarded-For come from an untrusted peer, and may be made up.
func (t trust) client(r *http.Request) string {
	ip := peerOf(r)
	if !t.trusts(ip) {
		return ip
	}
	steps := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(steps) - 1; i >= 0 && t.trusts(ip); i-- {
		addr, err := netip.ParseAddr(strings.TrimSpace(steps[i]))
		if err != nil {
			break
		}
		ip = addr.String()
	}
	return ip
}

// peerOf returns the IP address that r came from.
func peerOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
