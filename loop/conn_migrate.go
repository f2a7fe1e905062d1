package loop

import (
	"context"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// A migration is a call of Migrate or Probe that waits.
type migration struct {
	local netip.AddrPort
	probe bool
	done  chan error // with room for one
}

// A pathError says that a path could not be validated.
type pathError struct{ local netip.AddrPort }

func (e *pathError) Error() string {
	return "loop: no answer on the path from " + e.local.String()
}

// Migrate moves the connection to the socket of its Backend that has the address local, once the
// path from there is validated: see [udpio.Socket.AddLocal]. On an error the connection is still
// where it was. If ctx is done first, it may still move later.
func (c *Conn) Migrate(ctx context.Context, local netip.AddrPort) error {
	return c.move(ctx, local, false)
}

// Probe validates the path from the socket of the Backend that has the address local (RFC 9000,
// Section 8.2). The connection stays where it is, and may move there without waiting later: see
// [Conn.Switch]. A connection probes one path at a time: another call that waits fails.
func (c *Conn) Probe(ctx context.Context, local netip.AddrPort) error {
	return c.move(ctx, local, true)
}

// Switch moves the connection to the socket of its Backend that has the address local, and does not
// wait until the path from there is validated: see [conn.Conn.Switch].
func (c *Conn) Switch(ctx context.Context, local netip.AddrPort) (err error) {
	local = spelled(local)
	do := c.Do(ctx, func(_ time.Time, cc *conn.Conn) {
		if err = c.closed(); err != nil {
			return
		}
		if err = cc.Switch(local); err == nil {
			c.refresh() // LocalAddr is right from now on, before the event
		}
	})
	if do != nil {
		return do
	}
	return err
}

// spelled returns local as the Backend spells it.
func spelled(local netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(named(local.Addr().Unmap()), local.Port())
}

// move is Migrate, or Probe.
func (c *Conn) move(ctx context.Context, local netip.AddrPort, probe bool) error {
	m := &migration{local: spelled(local), probe: probe, done: make(chan error, 1)}
	err := c.Do(ctx, func(_ time.Time, cc *conn.Conn) {
		begin := cc.Migrate
		if probe {
			begin = cc.Probe
		}
		if err := c.closed(); err != nil {
			m.done <- err
		} else if err := begin(m.local); err != nil {
			m.done <- err
		} else {
			c.migrations = append(c.migrations, m)
		}
	})
	if err != nil {
		return err
	}
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// migrated ends the calls of Migrate and of Probe that wait for local; only those of Probe if the
// path was but probed.
func (c *Conn) migrated(local netip.AddrPort, probed bool, err error) {
	rest := c.migrations[:0]
	for _, m := range c.migrations {
		if m.local == local && (m.probe || !probed) {
			m.done <- err
		} else {
			rest = append(rest, m)
		}
	}
	clear(c.migrations[len(rest):])
	c.migrations = rest
}
