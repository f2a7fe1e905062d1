package loop

import (
	"context"
	"fmt"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/udpio"
)

// Dial opens a socket of its own, and dials address on it. The socket closes with
// the connection. To make more than one connection, use a Group.
func Dial(ctx context.Context, address string, cfg *conn.Config) (*Conn, error) {
	s, err := udpio.Listen("udp", ":0", &udpio.Config{ReceiveErrors: true})
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
// if cfg.TLS has none. As with [net.Dial], no host and an unspecified address mean this
// host. It returns after the handshake, or at once if cfg enables 0-RTT and a session
// allows it: see [conn.Conn.EarlyData].
//
// If the name has several addresses, those of IPv6 and of IPv4 in turn, another one is
// tried whenever 250 ms have passed or an attempt has failed, and the first connection
// is used (RFC 8305). The Group remembers which address that was, and begins with it
// next time; before that, a connection with 0-RTT too is returned after its handshake
// only.
//
// The connection has no Handler: see [Loop.SetHandler].
func (g *Group) Dial(ctx context.Context, address string, cfg *conn.Config) (*Conn, error) {
	g.mayWait("Dial")
	host, addrs, err := g.resolve(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("loop: dial %s: %w", address, err)
	}
	to := conn.Target{}
	if cfg != nil && cfg.TLS != nil && cfg.TLS.ServerName == "" {
		to.ServerName = host
	}
	r := race{
		l:       g.loops[int(g.dials.Add(1))%len(g.loops)],
		address: address,
		addrs:   addrs,
		to:      to,
		cfg:     cfg,
		known:   g.reached.first(address, addrs),
	}
	c, err := r.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("loop: dial %s: %w", address, err)
	}
	return c, nil
}

// dialOne connects to one address. If early is set and there is early data to send, it returns
// before the handshake.
func (l *Loop) dialOne(ctx context.Context, to conn.Target, cfg *conn.Config, early bool) (*Conn, error) {
	var c *Conn
	var err error
	if e := l.Do(ctx, func(now time.Time) {
		c, err = l.dial(now, to, cfg)
		early = early && err == nil && c.c.EarlyData()
	}); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	if early {
		return c, nil
	}
	select {
	case <-c.Handshake():
		return c, nil
	case <-c.ctx.Done():
		return nil, c.closed()
	case <-ctx.Done():
		return nil, c.giveUp(ctx.Err())
	}
}

// giveUp closes a connection whose handshake is not complete because of err. It returns err with
// what is known of the cause.
func (c *Conn) giveUp(err error) error {
	var cause error
	c.ask(func() {
		cause = c.c.SendError()
		c.c.Close(0, "")
	})
	if cause != nil {
		return fmt.Errorf("%w (%w)", err, cause)
	}
	return err
}

// abandon closes a connection that nobody wants any more, and does not wait.
func (c *Conn) abandon() { c.l.Post(func(time.Time) { c.c.Close(0, "") }) }

// dial starts a connection that has no Handler.
func (l *Loop) dial(now time.Time, to conn.Target, cfg *conn.Config) (*Conn, error) {
	if l.draining || l.stopping {
		return nil, errStopped
	}
	cc, err := l.ep.Dial(now, to, cfg)
	if err != nil {
		return nil, err
	}
	a := &attachment{c: cc}
	cc.UserData = a
	a.handle = newConn(l, a)
	return a.handle, nil
}
