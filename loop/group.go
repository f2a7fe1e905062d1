package loop

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/udpio"
)

// Config configures the Loops of a [Group].
type Config struct {
	// Endpoint configures the endpoint of each Loop; limits hold for each. Zero keys
	// are drawn once for all. Rand defaults to crypto/rand.Reader, Offload to goroutines.
	// A program that sets Offload calls Complete inside Loop.Post; Shard tells it the Loop.
	Endpoint conn.EndpointConfig

	// NewHandler returns the handler of a connection: an accepted one at
	// EventAccepted, when its ALPN is known, or one that [conn.Endpoint.Dial]
	// made. If it is or returns nil, the connection is for Accept, unless it has called
	// [Loop.Conn] and so has taken the connection itself. It does not concern
	// connections that Dial of this package made: see [Loop.SetHandler].
	NewHandler func(l *Loop, c *conn.Conn) Handler

	// Shard, if not nil, is called for each Loop with its index and its copy of the
	// Config, before the Loop runs. What Loops must not share is set here:
	// Endpoint.ConnIDs if they have state, and a NewHandler's world.
	Shard func(i int, cfg *Config)

	// ConnContext, if not nil, returns the context from which those of a connection and its
	// streams are derived: see [Conn.Context]. ctx is the background context. It is called
	// on the loop's goroutine, and must not block.
	ConnContext func(ctx context.Context, c *conn.Conn) context.Context

	// Generations, if not nil, lets this Group share its address with those of other processes.
	Generations *Generations

	// LookupIP returns the addresses of a host for Dial, in order of preference. The
	// default is net.DefaultResolver's.
	LookupIP func(ctx context.Context, host string) ([]netip.Addr, error)

	// WrapBackend, if not nil, returns what a Loop uses in place of each Backend: to watch what
	// passes, as package capture does, or to change it. Closing the one closes the other.
	WrapBackend func(Backend) Backend

	// Observe, if not nil, returns the Observer of the Loop with the index i; nil for none. With
	// an Observer, Endpoint.RTTSample must be nil.
	Observe func(i int) Observer

	// Record, if not nil, returns what gets the recording of the Loop with the index i, for
	// [conn.NewReplay]; nil for none. See [conn.EndpointConfig.Record], which several Loops cannot
	// share. The Loop closes it in the end. A full disk ends the recording, and not the Loop.
	Record func(i int) (io.WriteCloser, error)

	Socket *udpio.Config // for Listen
	Logger *slog.Logger  // gets what LimitLog lets pass; default discards
}

// A Group is one Loop, or a set of them behind one address.
type Group struct {
	loops   []*Loop
	accepts acceptQueue
	work    offload

	lookupIP func(ctx context.Context, host string) ([]netip.Addr, error)
	dials    atomic.Uint32 // the next loop that dials
	reached  reachedAddrs

	interfaces udpio.InterfaceWatcher // for Conn.FollowInterfaces

	elsewhere *atomic.Pointer[elsewhere] // nil without Config.Generations
	running   sync.WaitGroup             // counts loops

	mu  sync.Mutex
	err error // of the backend that failed and stopped the loops
}

// New runs one Loop on each backend, and owns the backends: if it fails, it closes
// them. They should have one address: what reaches the wrong Loop is passed on to
// the right one. A nil cfg is for dialing.
//
// The n Loops tell packets apart by destination connection ID: ((last 4 bytes,
// big-endian) * K >> 16) mod n, in 32 bits, is the index, with a secret odd K that
// is drawn for the Group. Each Loop takes from Endpoint.ConnIDs only IDs that give
// its index; with n > 1 they need 4 bytes or more.
func New(cfg *Config, backends ...Backend) (*Group, error) {
	base, err := complete(cfg)
	if err != nil {
		return nil, closeAll(backends, err)
	}
	k, err := base.steer()
	if err != nil {
		return nil, closeAll(backends, err)
	}
	g, err := newGroup(base, k, backends)
	if err != nil {
		return nil, err
	}
	g.start()
	return g, nil
}

// complete returns a copy of cfg, with the values filled in that all Loops share.
func complete(cfg *Config) (*Config, error) {
	c := new(Config)
	if cfg != nil {
		*c = *cfg
	}
	c.Logger = limited(c.Logger)
	e := &c.Endpoint
	if e.Rand == nil {
		e.Rand = rand.Reader
	}
	if e.ResetKey == [32]byte{} {
		if _, err := io.ReadFull(e.Rand, e.ResetKey[:]); err != nil {
			return nil, err
		}
	}
	if len(e.TokenKeys) == 0 {
		e.TokenKeys = make([][32]byte, 1)
		if _, err := io.ReadFull(e.Rand, e.TokenKeys[0][:]); err != nil {
			return nil, err
		}
	}
	if c.LookupIP == nil {
		c.LookupIP = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if e.TakeTicket == nil {
		e.TakeTicket = new(ticketFilter).first
	}
	return c, nil
}

// A ticketFilter is a conn.TicketFilter that any goroutine may use.
type ticketFilter struct {
	mu sync.Mutex
	f  conn.TicketFilter
}

func (t *ticketFilter) first(id conn.TicketID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.f.First(id)
}

// newGroup makes the Loops. They do not run yet.
func newGroup(base *Config, k uint32, backends []Backend) (*Group, error) {
	if len(backends) == 0 {
		return nil, errors.New("loop: a Group needs a Backend")
	}
	if base.Endpoint.Record != nil && len(backends) > 1 {
		return nil, closeAll(backends, errors.New("loop: several Loops cannot share Endpoint.Record: use Config.Record"))
	}
	g := &Group{accepts: newAcceptQueue(), lookupIP: base.LookupIP}
	if base.Generations != nil {
		g.elsewhere = new(atomic.Pointer[elsewhere])
	}
	for i, b := range backends {
		inner := b
		if base.WrapBackend != nil {
			b = base.WrapBackend(b)
			backends[i] = b
		}
		cfg := *base
		if cfg.Shard != nil {
			cfg.Shard(i, &cfg)
		}
		l, err := newLoop(g, i, b, &cfg, sharding{
			k: k, n: len(backends), index: i, generations: base.Generations, elsewhere: g.elsewhere,
		})
		if err != nil {
			for _, l := range g.loops {
				l.ep.Close()
				l.closeRecording()
			}
			return nil, closeAll(backends, err)
		}
		l.sockets.init(b, inner)
		g.loops = append(g.loops, l)
	}
	return g, nil
}

func (g *Group) start() {
	for _, l := range g.loops {
		g.running.Add(1)
		go l.begin()
	}
}

// closeAll closes backends and returns err.
func closeAll(backends []Backend, err error) error {
	for _, b := range backends {
		b.Close()
	}
	return err
}

// Loops returns the Loops of the group, by index. The slice must not be changed.
func (g *Group) Loops() []*Loop { return g.loops }

// Conns returns the connections that have not closed, also those with a Handler and those
// that nobody has accepted yet. It asks the loops, and waits for them.
func (g *Group) Conns() []*Conn {
	g.mayWait("Conns")
	var conns []*Conn
	for _, l := range g.loops {
		l.Do(context.Background(), func(time.Time) { // a loop that has stopped has no connections
			for c := range l.ep.Conns() {
				if a, ok := c.UserData.(*attachment); ok && !a.closed {
					conns = append(conns, l.Conn(c))
				}
			}
		})
	}
	return conns
}

// LocalAddr returns the address of the first Backend.
func (g *Group) LocalAddr() netip.AddrPort { return g.loops[0].backend.LocalAddr() }

// Accept returns the next connection that has no Handler, after its handshake, or
// at its start if it brings early data: see [Stream.Early]. Once the Group is
// shut down it returns an error that matches net.ErrClosed.
//
// A connection that finds 1,024 others waiting for Accept is closed with code 0.
func (g *Group) Accept(ctx context.Context) (*Conn, error) {
	g.mayWait("Accept")
	return g.accepts.wait(ctx)
}

// Shutdown refuses new connections and waits until all have ended. Ending them is up to the
// application; those that nobody has accepted are closed with code 0. When ctx is done it closes
// the rest with code 0 and returns its error. Either way the Loops have stopped when it returns.
func (g *Group) Shutdown(ctx context.Context) error {
	g.mayWait("Shutdown")
	g.drain()
	done := make(chan struct{})
	go func() {
		g.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		g.Close()
		return ctx.Err()
	}
}

// drain lets every loop stop when its last connection has ended.
func (g *Group) drain() {
	waiting := g.accepts.close()
	for _, l := range g.loops {
		l.Post(func(time.Time) { l.drain() })
	}
	for _, c := range waiting {
		c.l.Post(func(time.Time) { c.c.Close(0, "") })
	}
}

// Close closes all connections with code 0 and stops the Loops. It waits for sockets that are
// full, for a second at most, so that all peers are told.
func (g *Group) Close() error {
	g.mayWait("Close")
	g.stop(nil)
	g.running.Wait()
	return nil
}

// stop tells all loops to stop, because of err if it is not nil.
func (g *Group) stop(err error) {
	g.mu.Lock()
	if g.err == nil {
		g.err = err
	}
	g.mu.Unlock()
	g.accepts.close()
	for _, l := range g.loops {
		l.Post(func(time.Time) { l.stop() })
	}
}

// Wait waits until the Loops have stopped, and returns the error of the backend
// that stopped them, or nil after Shutdown or Close.
func (g *Group) Wait() error {
	g.mayWait("Wait")
	g.running.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}
