package loop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/udpio"
)

// addressWait is how long an address may take to answer if there is another to try.
const addressWait = 3 * time.Second

// Dial opens a socket of its own, and dials address on it. The socket closes with
// the connection. To make more than one connection, use a Group.
func Dial(ctx context.Context, address string, cfg *conn.Config) (*Conn, error) {
	s, err := udpio.Listen("udp", ":0", nil)
	if err != nil {
		return nil, err
	}
	g, err := New(nil, s)
	if err != nil {
		return nil, err
	}
	c, err := g.Dial(ctx, address, cfg)
	if err != nil {
		g.Close()
		return nil, err
	}
	g.drain()
	return c, nil
}

// Dial connects to address, which is host:port; the host becomes the ServerName
// if cfg.TLS has none. It returns after the handshake, or at once if cfg enables
// 0-RTT and a session allows it: see [conn.Conn.EarlyData].
//
// Of several addresses it tries one after another, for 3 seconds each but the last.
// The connection has no Handler: see [Loop.SetHandler].
func (g *Group) Dial(ctx context.Context, address string, cfg *conn.Config) (*Conn, error) {
	host, addrs, err := g.resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	to := conn.Target{}
	if cfg != nil && cfg.TLS != nil && cfg.TLS.ServerName == "" {
		to.ServerName = host
	}
	l := g.loops[int(g.dials.Add(1))%len(g.loops)]
	var errs []error
	for i, addr := range addrs {
		to.Remote = addr
		c, err := l.dialOne(ctx, to, cfg, i < len(addrs)-1)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			break
		}
	}
	return nil, fmt.Errorf("loop: dial %s: %w", address, errors.Join(errs...))
}

// resolve returns the host of address, and the addresses that the Group's socket can
// reach.
func (g *Group) resolve(ctx context.Context, address string) (host string, addrs []netip.AddrPort, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return "", nil, err
	}
	ips := make([]netip.Addr, 1)
	if ips[0], err = netip.ParseAddr(host); err != nil {
		if ips, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
			return "", nil, err
		}
	}
	local := g.LocalAddr().Addr()
	for _, ip := range ips {
		if ip = ip.Unmap(); reaches(local, ip) {
			addrs = append(addrs, netip.AddrPortFrom(ip, uint16(port)))
		}
	}
	if len(addrs) == 0 {
		return "", nil, fmt.Errorf("loop: no address of %s can be reached from %s", host, local)
	}
	return host, addrs, nil
}

// reaches reports whether a socket with the address local can send to remote. One
// for all IPv6 addresses sends over IPv4 too.
func reaches(local, remote netip.Addr) bool {
	local = local.Unmap()
	return !local.IsValid() || local.Is4() == remote.Is4() || local.Is6() && local.IsUnspecified()
}

// dialOne connects to one address. If there are others, it does not wait for long.
func (l *Loop) dialOne(ctx context.Context, to conn.Target, cfg *conn.Config, others bool) (*Conn, error) {
	if others {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, addressWait)
		defer cancel()
	}
	var c *Conn
	var err error
	connected := make(chan struct{})
	if e := l.Do(ctx, func(now time.Time) { c, err = l.dial(now, to, cfg, connected) }); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	select {
	case <-connected:
		return c, nil
	case <-c.ctx.Done():
		return nil, c.closed()
	case <-ctx.Done():
		l.Post(func(time.Time) { c.c.Close(0, "") })
		return nil, ctx.Err()
	}
}

// dial starts a connection, for the blocking tier.
func (l *Loop) dial(now time.Time, to conn.Target, cfg *conn.Config, connected chan struct{}) (*Conn, error) {
	if l.draining || l.stopping {
		return nil, errStopped
	}
	cc, err := l.ep.Dial(now, to, cfg)
	if err != nil {
		return nil, err
	}
	a := &attachment{c: cc}
	cc.UserData = a
	a.handle = newConn(l, a, cfg.DatagramPolicy)
	if cc.EarlyData() {
		close(connected)
	} else {
		a.handle.connected = connected
	}
	return a.handle, nil
}
