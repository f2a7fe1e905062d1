package masque

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// resolveTimeout bounds the look-up of a target's name in time.
const resolveTimeout = 10 * time.Second

// A refusal says why a request fails. It has a status code, and the error type and details for the
// Proxy-Status field (RFC 9209, Section 2.3).
type refusal struct {
	status  int
	kind    string
	details string
}

// parsePort parses a port, which is 1 to 65535 in decimal (RFC 9298, Section 2).
// RFC 9298, Section 3 [2, 4].
func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0 && s[0] != '+'
}

// checkHost reports whether a target may have the host. It must be an address without a zone, or a
// name that can be looked up.
// RFC 9298, Section 3 [1, 2].
func checkHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == ""
	}
	return host != "" && len(host) <= 255 && !strings.ContainsFunc(host, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune(`:%/\?#[]@`, r)
	})
}

// describesContent reports whether h has fields that no message with capsules may have (RFC
// 9297, Section 3.2).
// RFC 9297, Section 3.2 [4, 6].
func describesContent(h http.Header) bool {
	return h["Content-Length"] != nil || h["Content-Type"] != nil || h["Transfer-Encoding"] != nil
}

// resolve returns the first address of the target that Allow takes.
func (p *Proxy) resolve(r *http.Request, host string, port uint16) (netip.AddrPort, *refusal) {
	addrs, err := p.lookup(r.Context(), host)
	if err != nil {
		dns, ok := errors.AsType[*net.DNSError](err)
		switch {
		case ok && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
			return netip.AddrPort{}, &refusal{http.StatusGatewayTimeout, "dns_timeout", ""}
		case ok && dns.IsNotFound:
			return netip.AddrPort{}, &refusal{http.StatusBadGateway, "dns_error", "no such host"}
		}
		return netip.AddrPort{}, &refusal{http.StatusBadGateway, "dns_error", ""}
	}
	for _, addr := range addrs {
		if target := netip.AddrPortFrom(addr.Unmap(), port); p.allows(r, target) {
			return target, nil
		}
	}
	return netip.AddrPort{}, &refusal{http.StatusBadGateway, "destination_ip_prohibited", "this proxy does not reach the target"}
}

// lookup returns the addresses of host.
func (p *Proxy) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	if p.Lookup != nil {
		return p.Lookup(ctx, host)
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func (p *Proxy) allows(r *http.Request, target netip.AddrPort) bool {
	if p.Allow != nil {
		return p.Allow(r, target)
	}
	return Public(target.Addr())
}

// notPublic are blocks that are not globally reachable, by the registries of special-purpose
// addresses (RFC 6890), and multicast.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), // for Teredo, ORCHID and others
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("3fff::/20"),
}

// embedding are blocks of addresses that contain an IPv4 address, at an offset in bytes.
var embedding = []struct {
	block  netip.Prefix
	offset int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64, RFC 6052
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4, RFC 3056
}

// globalUnicast is the part of IPv6 from which addresses are assigned.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// Public reports whether addr is one that the whole Internet can reach. Addresses of loopback,
// private, link-local, shared, documentation, benchmarking, multicast and reserved blocks are not,
// nor are those that stand for an IPv4 address of such a block.
func Public(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	for _, e := range embedding {
		if e.block.Contains(addr) {
			b := addr.As16()
			return Public(netip.AddrFrom4([4]byte(b[e.offset:][:4])))
		}
	}
	for _, block := range notPublic {
		if block.Contains(addr) {
			return false
		}
	}
	return addr.Is4() || globalUnicast.Contains(addr)
}
