package masque

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A Client asks a proxy for tunnels. It is safe for concurrent use; its fields must not
// change once it is used.
type Client struct {
	// Transport reaches the proxy, over one connection for all tunnels. Its
	// H3Config, if not nil, should have Datagrams.
	Transport *h3http.Transport

	// Proxy is the URI template of the proxy (RFC 9298, Section 2), or its URL without a
	// path, for the default template: https://proxy.example.
	Proxy string

	Header http.Header // sent with each request, such as Proxy-Authorization; may be nil
	// longest payload that goes in a capsule if it fits no datagram; default 1200; negative for
	// none
	CapsuleLimit int
	MaxAge       time.Duration // how long a payload may wait to be sent; default any time
}

// A RefusedError is the answer of a proxy that opens no tunnel.
type RefusedError struct {
	StatusCode  int
	ProxyStatus string // the Proxy-Status field of the response, with the reason (RFC 9209)
}

// Error names the status code and the Proxy-Status field.
func (e *RefusedError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("masque: the proxy refused with status %d: %s", e.StatusCode, e.ProxyStatus), ": ")
}

// Dial opens a tunnel to target, which is host:port. The proxy resolves names. ctx bounds
// the opening alone. The error is a *[RefusedError] if the proxy says no.
func (c *Client) Dial(ctx context.Context, target string) (*Conn, error) {
	u, err := c.expand(target)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, u, nil)
	if err != nil {
		return nil, fmt.Errorf("masque: %w", err)
	}
	for key, values := range c.Header {
		r.Header[key] = values
	}
	r.Header[":protocol"] = []string{"connect-udp"} // RFC 9298, Section 3.4 [1, 2, 3, 4]
	r.Header.Set("Capsule-Protocol", "?1")          // RFC 9297, Section 3.4 [4]
	s, resp, err := c.Transport.Connect(r)
	if err != nil {
		return nil, fmt.Errorf("masque: %w", err)
	}
	if s == nil {
		resp.Body.Close()
		// RFC 9298, Section 3.1 [10]; RFC 9298, Section 3.5 [3].
		return nil, &RefusedError{resp.StatusCode, resp.Header.Get(headerStatus)}
	}
	// RFC 9297, Section 3.2
	// RFC 9297, Section 3.2 [6].
	if resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusResetContent ||
		resp.StatusCode == http.StatusPartialContent || describesContent(resp.Header) {
		s.Cancel(h3.MessageError)
		return nil, fmt.Errorf("masque: the proxy's response, with status %d, is not one with capsules", resp.StatusCode)
	}
	return newConn(c, s, remoteAddr(target, resp.Header)), nil
}

// expand returns the URL of the request for a tunnel to target.
// RFC 9298, Section 2 [2, 4, 8, 9]; RFC 9298, Section 3 [5]; RFC 9298, Section 3.4 [5].
func (c *Client) expand(target string) (string, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return "", fmt.Errorf("masque: %w", err)
	}
	if _, ok := parsePort(port); !ok || !checkHost(host) {
		return "", fmt.Errorf("masque: invalid target %q", target)
	}
	scheme, rest, ok := strings.Cut(c.Proxy, "://")
	if !ok || scheme != "https" {
		return "", errors.New("masque: Client.Proxy must begin with https://")
	}
	authority, path := rest, WellKnown
	if i := strings.IndexAny(rest, "/?{"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if path == "/" {
		path = WellKnown
	}
	t, err := parseTemplate(path)
	if err != nil {
		return "", err
	}
	u := "https://" + authority + t.expand(host, port)
	if parsed, err := url.Parse(u); err != nil || parsed.Host == "" {
		return "", fmt.Errorf("masque: invalid Client.Proxy %q", c.Proxy)
	}
	return u, nil
}

// unknownAddr stands for the address of a target that only the proxy knows (RFC 7600,
// Section 4.8: the IPv4 dummy address).
var unknownAddr = netip.AddrFrom4([4]byte{192, 0, 0, 8})

// remoteAddr returns the address of the target. If target is not an address, it is the next-hop in
// the header of the proxy's response.
func remoteAddr(target string, header http.Header) netip.AddrPort {
	if addr, err := netip.ParseAddrPort(target); err == nil {
		return addr
	}
	if addr, ok := nextHop(header); ok {
		return addr
	}
	_, port, _ := net.SplitHostPort(target)
	n, _ := parsePort(port)
	return netip.AddrPortFrom(unknownAddr, n)
}

// DialQUIC connects to addr, which is host:port, by QUIC through a tunnel of its own,
// which ends with the connection. It serves as Dial of an [h3http.Transport]. If
// TLS.ServerName of cfg is empty, it is the host.
func (c *Client) DialQUIC(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
	if cfg.TLS != nil && cfg.TLS.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, fmt.Errorf("masque: %w", err)
		}
		named := *cfg
		named.TLS = cfg.TLS.Clone()
		named.TLS.ServerName = host
		cfg = &named
	}
	tunnel, err := c.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	socket, err := udpio.Wrap(tunnel, nil)
	if err != nil {
		tunnel.Close()
		return nil, err
	}
	g, err := loop.New(nil, socket)
	if err != nil {
		return nil, err
	}
	q, err := g.Dial(ctx, tunnel.RemoteAddr().String(), cfg)
	if err != nil {
		g.Close()
		return nil, err
	}
	context.AfterFunc(q.Context(), func() { g.Close() })
	return q, nil
}
