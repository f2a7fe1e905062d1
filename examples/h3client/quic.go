package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/quicflags"
	"github.com/lazoquic/lazo/examples/internal/rebind"
	"github.com/lazoquic/lazo/examples/internal/usage"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// quicOptions are the flags about the connection.
type quicOptions struct {
	quicflags.Flags
	sessionFile string
	early       bool
	keyUpdate   time.Duration
	migrate     time.Duration
	rebind      time.Duration
}

func (o *quicOptions) register(fs *flag.FlagSet) {
	o.Register(fs)
	fs.StringVar(&o.sessionFile, "session-file", "", "resume sessions of a `file`, and write those of this run to it")
	fs.BoolVar(&o.early, "0rtt", false, "send a GET as early data, if -session-file has a session that allows it")
	fs.DurationVar(&o.keyUpdate, "key-update", 0, "update the keys again and again, after each `time`")
	fs.DurationVar(&o.migrate, "migrate", 0, "move each connection to another port, after a `time`")
	fs.DurationVar(&o.rebind, "rebind", 0, "change the port without a word after a `time`, as a NAT does")
}

func (o *quicOptions) check() error {
	if o.early && o.sessionFile == "" {
		return usage.Errorf("-0rtt needs -session-file")
	}
	return cmp.Or(
		o.Check(),
		usage.NewFile("session-file", o.sessionFile),
		usage.AtLeast("key-update", o.keyUpdate, 0),
		usage.AtLeast("migrate", o.migrate, 0),
		usage.AtLeast("rebind", o.rebind, 0))
}

// transport returns the Transport of the options. closeAll ends its connections and saves their
// sessions.
func (o *quicOptions) transport(tc *tls.Config, verbose io.Writer) (tr *h3http.Transport, closeAll func() error, err error) {
	cfg := o.Config()
	cfg.Enable0RTT = o.early
	sessions, err := o.openSessions(tc, cfg)
	if err != nil {
		return nil, nil, err
	}
	endLogs, err := envlog.Attach(tc, cfg, slog.Default())
	if err != nil {
		return nil, nil, err
	}
	lc := new(loop.Config)
	closeCapture, err := o.Capture(tc, lc)
	if err != nil {
		return nil, nil, err
	}
	socket, err := udpio.Listen("udp", ":0", nil)
	if err != nil {
		return nil, nil, err
	}
	nat := &rebind.Socket{Socket: socket}
	group, err := loop.New(lc, nat)
	if err != nil {
		return nil, nil, err
	}
	dial := func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
		c, err := group.Dial(ctx, addr, cfg)
		if err == nil {
			o.disturb(c, nat, verbose)
		}
		return c, err
	}
	tr = &h3http.Transport{TLSClientConfig: tc, QUICConfig: cfg, Dial: dial, MaxConnsPerHost: 1}
	return tr, func() error {
		if sessions != nil {
			sessions.wait()
		}
		err := errors.Join(tr.Close(), group.Close(), closeCapture())
		if sessions != nil {
			err = errors.Join(err, sessions.Save(o.sessionFile))
		}
		return errors.Join(err, endLogs())
	}, nil
}

// disturb updates keys, migrates and rebinds a connection while it lasts, as -key-update, -migrate
// and -rebind say.
func (o *quicOptions) disturb(c *loop.Conn, nat *rebind.Socket, verbose io.Writer) {
	ctx := c.Context()
	later := func(d time.Duration, what string, f func() error) {
		if d <= 0 {
			return
		}
		go func() {
			select {
			case <-ctx.Done():
			case <-time.After(d):
				if err := f(); err != nil && ctx.Err() == nil {
					fmt.Fprintf(verbose, "* %s: %v\n", what, err)
				}
			}
		}()
	}
	later(o.migrate, "Migration", func() error {
		local, err := nat.AddLocal("udp", netip.AddrPortFrom(c.LocalAddr().Addr(), 0).String())
		if err != nil {
			return err
		}
		for tries := 0; ; tries++ {
			// It fails until the handshake is confirmed.
			if err := c.Migrate(ctx, local); err == nil || tries == 1000 || ctx.Err() != nil {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	later(o.rebind, "Rebinding", func() error {
		_, err := nat.Rebind(c.LocalAddr().Addr())
		return err
	})
	later(o.keyUpdate, "Key update", func() error { return updateKeys(ctx, c, o.keyUpdate) })
}

// updateKeys updates the keys of c, again and again.
func updateKeys(ctx context.Context, c *loop.Conn, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		// It fails while the server has not followed the last update. Then the next turn tries
		// again.
		if err := c.Do(ctx, func(_ time.Time, cc *conn.Conn) { cc.UpdateKeys() }); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
