package loop

import (
	"context"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// A migration is a call of Migrate that waits.
type migration struct {
	local netip.AddrPort
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
	local = netip.AddrPortFrom(named(local.Addr().Unmap()), local.Port())
	m := &migration{local: local, done: make(chan error, 1)}
	err := c.Do(ctx, func(_ time.Time, cc *conn.Conn) {
		if err := c.closed(); err != nil {
			m.done <- err
		} else if err := cc.Migrate(local); err != nil {
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

// migrated ends the calls of Migrate that wait for local.
func (c *Conn) migrated(local netip.AddrPort, err error) {
	rest := c.migrations[:0]
	for _, m := range c.migrations {
		if m.local == local {
			m.done <- err
		} else {
			rest = append(rest, m)
		}
	}
	clear(c.migrations[len(rest):])
	c.migrations = rest
}
