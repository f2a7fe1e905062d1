package loop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// attemptDelay is how long the race waits for an attempt before it tries another address too (RFC
// 8305, Section 5).
const attemptDelay = 250 * time.Millisecond

// A race connects to whichever of several addresses answers first (RFC 8305).
type race struct {
	l       *Loop
	address string           // as the user wrote it
	addrs   []netip.AddrPort // in the order of attempts
	to      conn.Target      // without Remote
	cfg     *conn.Config
	known   bool // the first address was reached before

	finished chan attempt // the results of attempts
	over     chan struct{}
}

// An attempt is the result of an attempt to connect.
type attempt struct {
	addr netip.AddrPort
	c    *Conn
	err  error
}

// run returns the first connection, and abandons the other attempts.
func (r *race) run(ctx context.Context) (*Conn, error) {
	if len(r.addrs) == 1 {
		a := r.try(ctx, 0)
		return a.c, a.err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.finished, r.over = make(chan attempt), make(chan struct{})
	defer close(r.over)
	timer := time.NewTimer(attemptDelay)
	defer timer.Stop()
	r.start(ctx, 0)
	var failed attemptErrors
	for next := 1; ; {
		select {
		case a := <-r.finished:
			if a.err == nil {
				return a.c, nil
			}
			failed = append(failed, fmt.Errorf("%s: %w", a.addr, a.err))
			if len(failed) == len(r.addrs) || ctx.Err() != nil || errors.Is(a.err, errStopped) {
				return nil, failed
			}
		case <-timer.C:
		}
		if next < len(r.addrs) {
			r.start(ctx, next)
			next++
			timer.Reset(attemptDelay)
		}
	}
}

// start starts the attempt to connect to address i.
func (r *race) start(ctx context.Context, i int) {
	go func() {
		a := r.try(ctx, i)
		select {
		case r.finished <- a:
		case <-r.over:
			if a.c != nil {
				a.c.abandon()
			}
		}
	}()
}

// try connects to address i. Before the handshake is complete, nobody knows whether an address can
// be reached. So early data is sent only to an address that is the only one, or that was reached
// before.
func (r *race) try(ctx context.Context, i int) attempt {
	addr := r.addrs[i]
	to := r.to
	to.Remote = addr
	early := len(r.addrs) == 1 || r.known && i == 0
	c, err := r.l.dialOne(ctx, to, r.cfg, early)
	if len(r.addrs) > 1 {
		r.learn(addr, c, err)
	}
	return attempt{addr, c, err}
}

// learn remembers whether addr was reached.
func (r *race) learn(addr netip.AddrPort, c *Conn, err error) {
	reached := &r.l.group.reached
	switch {
	case err == nil && c.handshaken.Load():
		reached.note(r.address, addr)
	case err == nil: // it has early data: whether addr is reached is not known yet
		context.AfterFunc(c.ctx, func() {
			if !c.handshaken.Load() {
				reached.forget(r.address, addr)
			}
		})
	case !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed):
		reached.forget(r.address, addr)
	}
}

// attemptErrors says why no address was reached.
type attemptErrors []error

func (e attemptErrors) Error() string {
	all := make([]string, len(e))
	for i, err := range e {
		all[i] = err.Error()
	}
	return strings.Join(all, "; ")
}

func (e attemptErrors) Unwrap() []error { return e }
