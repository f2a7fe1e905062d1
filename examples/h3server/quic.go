package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/quicflags"
	"github.com/lazoquic/lazo/examples/internal/usage"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// quicOptions are the flags about connections.
type quicOptions struct {
	quicflags.Flags
	retry     bool
	early     bool
	preferred string
	keyUpdate time.Duration
	secret    string

	wrap    func(loop.Backend) loop.Backend // by capture
	observe func(*loop.Config)              // by -debug
}

func (o *quicOptions) register(fs *flag.FlagSet) {
	o.Register(fs)
	fs.BoolVar(&o.retry, "retry", false, "validate the address of each client by a Retry packet, or a token of an earlier connection")
	fs.BoolVar(&o.early, "0rtt", false, "accept early data, which an attacker may send again")
	fs.StringVar(&o.preferred, "preferred-address", "", "another `address` to serve on, to which clients move; one loop then does all")
	fs.DurationVar(&o.keyUpdate, "key-update", 0, "update the keys of a connection after each `time` that it is serving a request")
	fs.StringVar(&o.secret, "secret", "", "make the keys of tokens, tickets and resets of a `text`, to keep them over a restart")
}

func (o *quicOptions) check() error {
	if o.preferred != "" {
		if err := usage.Address("preferred-address", o.preferred); err != nil {
			return err
		}
		if a, err := netip.ParseAddrPort(o.preferred); err != nil || a.Addr().IsUnspecified() {
			return usage.Errorf("-preferred-address %q: must be the IP address of an interface", o.preferred)
		}
	}
	return cmp.Or(o.Check(), usage.AtLeast("key-update", o.keyUpdate, 0))
}

// config returns the configuration of connections.
func (o *quicOptions) config() *conn.Config {
	cfg := o.Config()
	cfg.Enable0RTT = o.early
	return cfg
}

// capture has all datagrams written to the file of -pcap, with the keys of tc. done ends the file.
func (o *quicOptions) capture(tc *tls.Config) (done func() error, err error) {
	var lc loop.Config
	done, err = o.Capture(tc, &lc)
	o.wrap = lc.WrapBackend
	return done, err
}

// listen opens the sockets of srv on addr and starts n loops.
func (o *quicOptions) listen(srv *h3http.Server, addr string, n int) (*loop.Group, error) {
	var sockets []loop.Backend
	if o.preferred != "" {
		s, err := o.listenBoth(srv.QUICConfig, addr)
		if err != nil {
			return nil, err
		}
		sockets = append(sockets, s)
	}
	cfg := srv.LoopConfig()
	cfg.WrapBackend = o.wrap
	o.observe(cfg)
	if o.secret != "" {
		cfg.Endpoint.ResetKey = sha256.Sum256([]byte("reset " + o.secret))
		cfg.Endpoint.TokenKeys = [][32]byte{sha256.Sum256([]byte("token " + o.secret))}
	}
	if o.retry {
		cfg.Endpoint.Admit = func(in conn.AdmissionRequest) conn.Admission {
			if in.Token == conn.TokenNone {
				return conn.AdmissionRetry
			}
			return conn.AdmissionAccept
		}
	}
	if sockets != nil {
		return loop.New(cfg, sockets...)
	}
	return loop.Listen("udp", addr, n, cfg)
}

// listenBoth opens the socket on addr together with that on the preferred address.
func (o *quicOptions) listenBoth(cfg *conn.Config, addr string) (*udpio.Socket, error) {
	s, err := udpio.Listen("udp", addr, nil)
	if err != nil {
		return nil, err
	}
	local, err := s.AddLocal("udp", o.preferred)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if local.Addr().Unmap().Is4() {
		cfg.PreferredAddress4 = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	} else {
		cfg.PreferredAddress6 = local
	}
	return s, nil
}

// updatingKeys has the keys of connections updated while h is at work.
func updatingKeys(h http.Handler, every time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				// It fails while the client has not followed the last update. Then the next turn
				// tries again.
				h3http.ConnOf(r).Do(ctx, func(_ time.Time, c *conn.Conn) { c.UpdateKeys() })
			}
		}()
		h.ServeHTTP(w, r)
	})
}

// telling returns a function that prints a line when a connection ends.
func telling(w io.Writer) func(context.Context, *loop.Conn) context.Context {
	return func(ctx context.Context, c *loop.Conn) context.Context {
		context.AfterFunc(c.Context(), func() {
			st, state := c.Stats(), c.TLS()
			fmt.Fprintf(w, "%v from %v ended: %v\n"+
				"  version %#x, resumed: %t, early data: %t, %d key updates, %d path changes\n"+
				"  packets: %d sent, %d received, %d lost, %d CE marks; RTT %v, MTU %d\n",
				c.ID(), c.RemoteAddr(), context.Cause(c.Context()),
				c.Version(), state.DidResume, c.EarlyDataAccepted(), st.KeyUpdates, st.PathChanges,
				st.PacketsSent, st.PacketsReceived, st.PacketsLost, st.CEMarks, st.SmoothedRTT.Round(time.Microsecond), st.MTU)
		})
		return ctx
	}
}
