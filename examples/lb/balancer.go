package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/examples/internal/filestamp"
	"github.com/lazoquic/lazo/udpio"
)

// A balancer is the whole program but for flags and signals.
type balancer struct {
	log        *slog.Logger
	pool       atomic.Pointer[pool] // of the forwarders
	forwarders []*forwarder

	mu       sync.Mutex
	config   *config
	backends map[netip.AddrPort]*watched
}

// A watched is a backend with its check.
type watched struct {
	*backend
	health  health
	refused chan struct{} // see check
	stop    context.CancelFunc
}

// newBalancer opens the sockets of a balancer.
func newBalancer(c *config, log *slog.Logger) (*balancer, error) {
	b := &balancer{log: log, config: c, backends: make(map[netip.AddrPort]*watched)}
	sockets, err := udpio.ListenGroup("udp", c.Listen, c.Loops, &udpio.Config{ReceiveErrors: true, Logger: log})
	if err != nil {
		return nil, err
	}
	for _, s := range sockets {
		var o outlet = new(natOutlet)
		if c.Mode == modeIPIP {
			if o, err = newTunnel(); err != nil {
				for _, s := range sockets {
					s.Close()
				}
				b.close()
				return nil, err
			}
		}
		f := newForwarder(s, &b.pool, o, &c.Flows)
		f.refused = b.refused
		b.forwarders = append(b.forwarders, f)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.follow()
	return b, nil
}

// addr returns the address that clients know.
func (b *balancer) addr() netip.AddrPort { return b.forwarders[0].socket.LocalAddr() }

// run forwards until ctx is done.
func (b *balancer) run(ctx context.Context) error {
	errs := make([]error, len(b.forwarders))
	var wg sync.WaitGroup
	for i, f := range b.forwarders {
		wg.Go(func() { errs[i] = f.run() })
	}
	stop := context.AfterFunc(ctx, b.close)
	wg.Wait()
	stop()
	b.close()
	b.log.LogAttrs(context.Background(), slog.LevelInfo, "ended", attrs(b.forwarders)...)
	return errors.Join(errs...)
}

// close closes all sockets and ends the checks.
func (b *balancer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.forwarders {
		f.socket.Close()
		f.outlet.close()
	}
	for _, w := range b.backends {
		w.stop()
	}
	clear(b.backends)
}

// follow brings backends and the pool to what the configuration says. The caller holds mu.
func (b *balancer) follow() {
	wanted := make(map[netip.AddrPort]bool)
	for _, addr := range b.config.addrs {
		wanted[addr] = true
		if b.backends[addr] == nil {
			b.watch(addr)
		}
	}
	for addr, w := range b.backends {
		if !wanted[addr] {
			w.stop()
			delete(b.backends, addr)
		}
	}
	b.renew()
}

// renew makes the pool that follows from configuration and health. The caller holds mu.
func (b *balancer) renew() {
	var members []*member
	for i, addr := range b.config.addrs {
		w := b.backends[addr]
		members = append(members, &member{
			backend: w.backend, serverIDs: b.config.ids[i], drain: b.config.Backends[i].State == stateDrain, health: w.health,
		})
	}
	b.pool.Store(newPool(b.config.decoder, members, b.config.RouteBy == routeByTwo))
}

// watch begins to check a backend. The caller holds mu.
func (b *balancer) watch(addr netip.AddrPort) {
	ctx, stop := context.WithCancel(context.Background())
	w := &watched{backend: &backend{addr: addr}, refused: make(chan struct{}, 1), stop: stop}
	b.backends[addr] = w
	h := &b.config.Health
	if h.Off {
		return
	}
	c := &check{
		addr: addr, interval: time.Duration(h.Interval), silent: h.Silent, dead: h.Dead, refused: w.refused,
		changed: func(is health) { b.judge(w, is) },
	}
	go c.run(ctx)
}

// judge notes what a check has found.
func (b *balancer) judge(w *watched, is health) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.backends[w.addr] != w {
		return
	}
	b.log.Warn("backend", "address", w.addr, "health", is.String(), "before", w.health.String())
	w.health = is
	b.renew()
}

// refused notes that nobody listens at an address.
func (b *balancer) refused(addr netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w := b.backends[addr]; w != nil {
		select {
		case w.refused <- struct{}{}:
		default:
		}
	}
}

// reload reads the file again. If there is a mistake in it nothing changes.
func (b *balancer) reload() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, err := readConfig(b.config.file.Name)
	if err != nil {
		return err
	}
	for key, same := range map[string]bool{
		"listen": c.Listen == b.config.Listen, "admin": c.Admin == b.config.Admin, "mode": c.Mode == b.config.Mode, "loops": c.Loops == b.config.Loops,
		"flows": c.Flows == b.config.Flows, "health": c.Health == b.config.Health, "report": c.Report == b.config.Report,
	} {
		if !same {
			return c.file.Errorf(key, "cannot change without a restart")
		}
	}
	if reflect.DeepEqual(c.Backends, b.config.Backends) && reflect.DeepEqual(c.IDs, b.config.IDs) &&
		c.RouteBy == b.config.RouteBy && c.Layout == b.config.Layout {
		return nil
	}
	b.config = c
	b.follow()
	b.log.Info("the configuration was reloaded", "backends", len(c.addrs))
	return nil
}

// filePoll is how often the configuration file is looked at.
const filePoll = time.Second

// keepCurrent reloads the configuration at each signal and when its file has changed, and logs
// counters, until ctx is done.
func (b *balancer) keepCurrent(ctx context.Context, signals <-chan os.Signal, poll time.Duration) {
	look, report := time.NewTicker(poll), time.NewTicker(time.Duration(b.config.Report))
	defer look.Stop()
	defer report.Stop()
	before := b.config.stamp
	for {
		select {
		case <-ctx.Done():
			return
		case <-report.C:
			b.log.LogAttrs(ctx, slog.LevelInfo, "datagrams", attrs(b.forwarders)...)
			continue
		case <-look.C:
			if b.stamp() == before {
				continue
			}
		case <-signals:
		}
		before = b.stamp()
		if err := b.reload(); err != nil {
			b.log.Error("the configuration is as before", "error", err)
		}
	}
}

// stamp returns the stamp of the files as they are now.
func (b *balancer) stamp() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return filestamp.Of(b.config.files())
}
