package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/lazoquic/lazo/h3/masque"
)

// A target is what tunnels may lead to: addresses of a block, or public addresses of names.
type target struct {
	block netip.Prefix // if valid; also of addresses that are not public
	name  string       // "*" for any, or *.example.org for all below
	port  uint16       // 0 for any
}

// targets are all that the tunnels of a route may lead to.
type targets []target

// parseTargets reads texts of the form HOST:PORT.
func parseTargets(texts []string) (all targets, err error) {
	for _, text := range texts {
		t, err := parseTarget(text)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func parseTarget(text string) (t target, err error) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return t, fmt.Errorf("%q has no port, which may be *", text)
	}
	host, digits := text[:i], text[i+1:]
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	if digits != "*" {
		if t.port, err = parsePort(digits); err != nil {
			return t, fmt.Errorf("%q: the port is neither 1 to 65535 nor *", text)
		}
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		t.block = netip.PrefixFrom(addr, addr.BitLen())
		return t, nil
	}
	if t.block, err = netip.ParsePrefix(host); err == nil {
		return t, nil
	}
	t.name = strings.ToLower(host)
	name := strings.TrimPrefix(t.name, "*.")
	if t.name != "*" && (name == "" || strings.ContainsFunc(name, endsHost) || strings.ContainsAny(name, "*[]:")) {
		return t, fmt.Errorf("%q: the host is neither a name, *.NAME, *, an address nor ADDRESS/BITS", text)
	}
	return t, nil
}

// parsePort reads a port that somebody can listen at.
func parsePort(digits string) (uint16, error) {
	n, err := strconv.ParseUint(digits, 10, 16)
	if err == nil && n == 0 {
		err = strconv.ErrRange
	}
	return uint16(n), err
}

// splitTarget reads what a client asks for, HOST:PORT. The host is in lower case.
func splitTarget(text string) (host string, port uint16, ok bool) {
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, false
	}
	port, err = parsePort(digits)
	host = canonicalHost(host)
	return host, port, err == nil && host != "" && !strings.ContainsAny(host, "%*")
}

// canonicalHost returns a host as it is compared with targets.
func canonicalHost(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// mayLead reports whether any address of a host could be a target. If none could, there is no need
// to look the name up.
func (ts targets) mayLead(host string, port uint16) bool {
	addr, err := netip.ParseAddr(host)
	if err == nil {
		return ts.lead(host, netip.AddrPortFrom(addr, port))
	}
	for _, t := range ts {
		if t.takesPort(port) && (t.block.IsValid() || t.takesName(host)) {
			return true
		}
	}
	return false
}

// lead reports whether tunnels may lead to an address. A client has asked for host, and the address
// is one that host stands for, or host itself.
func (ts targets) lead(host string, to netip.AddrPort) bool {
	addr := to.Addr().Unmap()
	for _, t := range ts {
		switch {
		case !t.takesPort(to.Port()):
		case t.block.IsValid():
			if t.block.Contains(addr) {
				return true
			}
		case masque.Public(addr) && t.takesName(host):
			return true
		}
	}
	return false
}

func (t *target) takesPort(port uint16) bool { return t.port == 0 || t.port == port }

func (t *target) takesName(host string) bool {
	if t.name == "*" {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	if below, ok := strings.CutPrefix(t.name, "*"); ok {
		return strings.HasSuffix(host, below) && len(host) > len(below)
	}
	return t.name == host
}
