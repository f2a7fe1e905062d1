package handover

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// Config configures a [Handover].
type Config struct {
	// Path is the name of the Unix socket by which processes find each other. It has at most 90
	// bytes, and the socket has mode 0600. Processes of other users are refused, except those of
	// root. Use a directory that only this user can write to.
	Path string

	Logger *slog.Logger // default discards
}

// A Handover is one process in a row of processes that serve the same addresses. Call its methods
// in the order of the package's example, on one goroutine. Any goroutine may call Superseded, Stats
// and Close.
type Handover struct {
	path string
	log  *slog.Logger
	to   *control // the predecessor; nil for the first process, and after Ready

	own       int // generation
	steer     uint32
	inherited *inheritance // nil for the first process

	socketCfg        udpio.Config
	network, address string // of the group
	sockets          []*udpio.Socket
	copies           []*os.File // of the sockets, to pass on
	group            *loop.Group
	resetKey         [32]byte
	tokenKeys        [][32]byte
	listeners        map[string]*os.File // copies to pass on

	relatives  relatives
	superseded chan struct{}

	mu      sync.Mutex
	ln      *net.UnixListener // nil while a successor serves the path
	back    *net.UnixConn     // brings what successors read for this process
	peer    *control          // a successor that is taking over
	closed  bool
	serving sync.WaitGroup // the goroutines
}

// An inheritance is what a predecessor has passed on and nobody has taken yet.
type inheritance struct {
	offer     *offer
	sockets   []*os.File
	listeners map[string]*os.File
}

// patience is how long the other process may take to answer where it need not wait for anything.
const patience = 5 * time.Second

// Open looks for a predecessor at cfg.Path, and waits for what it passes on. The predecessor serves
// as before until Ready.
func Open(ctx context.Context, cfg *Config) (*Handover, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	h := &Handover{
		path:       cfg.Path,
		log:        cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
		listeners:  make(map[string]*os.File),
		superseded: make(chan struct{}),
	}
	if h.path == "" {
		return nil, errors.New("handover: Config.Path is empty")
	}
	for begin := time.Now(); ; {
		c, err := dial(h.path)
		if err != nil {
			return nil, err
		}
		if c == nil {
			h.beFirst()
			return h, nil
		}
		err = h.inherit(ctx, c)
		if err == nil {
			return h, nil
		}
		c.closeFiles()
		c.Close()
		// The process that served the path has been superseded by another one meanwhile.
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) || ctx.Err() != nil || time.Since(begin) > patience {
			return nil, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// beFirst draws the secrets that all generations share.
func (h *Handover) beFirst() {
	var k [4]byte
	rand.Read(k[:])
	rand.Read(h.resetKey[:])
	h.tokenKeys = make([][32]byte, 1)
	rand.Read(h.tokenKeys[0][:])
	h.steer = binary.BigEndian.Uint32(k[:]) | 1
}

// inherit reads the offer of a predecessor.
func (h *Handover) inherit(ctx context.Context, c *control) error {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	o, err := c.receiveOffer()
	if err != nil {
		return errors.Join(err, ctx.Err())
	}
	if len(o.TokenKeys) == 0 || o.Generation < 0 || o.Generation >= loop.MaxGenerations {
		return errRecord
	}
	h.own, h.steer, h.tokenKeys = o.Generation, o.Steer, nil
	copy(h.resetKey[:], o.ResetKey)
	for _, k := range o.TokenKeys {
		h.tokenKeys = append(h.tokenKeys, [32]byte{})
		copy(h.tokenKeys[len(h.tokenKeys)-1][:], k)
	}
	in := &inheritance{offer: o, sockets: c.takeFiles(o.Sockets), listeners: make(map[string]*os.File)}
	for i, f := range c.takeFiles(len(o.Listeners)) {
		in.listeners[o.Listeners[i]] = f
	}
	h.inherited = in
	for i, f := range c.takeFiles(len(o.Living)) {
		u, err := unixConn(f)
		if err == nil {
			err = h.relatives.add(o.Living[i], u)
		}
		if err != nil {
			h.dropInheritance()
			return err
		}
	}
	h.to = c
	return nil
}

// First reports whether there is no predecessor.
func (h *Handover) First() bool { return h.inherited == nil }

// Listen returns the listener that the predecessor had for the same network and address, or else
// what net.Listen returns. The listener is passed on to a successor. Closing it here leaves it open
// there.
func (h *Handover) Listen(network, address string) (net.Listener, error) {
	key := network + " " + address
	ln, err := h.inheritListener(key)
	if ln == nil && err == nil {
		ln, err = net.Listen(network, address)
	}
	if err != nil {
		return nil, err
	}
	filer, ok := ln.(interface{ File() (*os.File, error) })
	if !ok {
		ln.Close()
		return nil, fmt.Errorf("handover: a listener of network %s cannot be passed on", network)
	}
	f, err := filer.File()
	if err != nil {
		ln.Close()
		return nil, err
	}
	if old := h.listeners[key]; old != nil {
		old.Close()
	}
	h.listeners[key] = f
	return ln, nil
}

func (h *Handover) inheritListener(key string) (net.Listener, error) {
	if h.inherited == nil || h.inherited.listeners[key] == nil {
		return nil, nil
	}
	f := h.inherited.listeners[key]
	delete(h.inherited.listeners, key)
	defer f.Close()
	return net.FileListener(f)
}

// Group makes the Group of a Handover. The first process opens n sockets. Later ones get as many,
// and must name the same network and address. The Group accepts connections. It reads nothing
// before Ready. Keys that cfg.Endpoint does not set are those of the predecessor. Group ignores
// cfg.Generations and sets its own.
func (h *Handover) Group(network, address string, n int, cfg *loop.Config) (*loop.Group, error) {
	if h.group != nil {
		return nil, errors.New("handover: a Handover has one Group")
	}
	if cfg.Socket != nil {
		h.socketCfg = *cfg.Socket
	}
	if h.socketCfg.Logger == nil {
		h.socketCfg.Logger = cfg.Logger
	}
	h.network, h.address = network, address
	if err := h.openSockets(n); err != nil {
		return nil, err
	}
	own := *cfg
	h.shareKeys(&own.Endpoint)
	own.Generations = &loop.Generations{Own: h.own, Steer: h.steer, Forward: h.relatives.forward}
	backends := make([]loop.Backend, len(h.sockets))
	for i, s := range h.sockets {
		if err := h.quiet(s); err != nil {
			for _, s := range h.sockets {
				s.Close()
			}
			return nil, err
		}
		backends[i] = s
	}
	g, err := loop.New(&own, backends...)
	if err != nil {
		return nil, err
	}
	if err := h.join(g); err != nil {
		g.Close()
		return nil, err
	}
	h.group = g
	h.relatives.init(g)
	return g, nil
}

// quiet keeps s from reading, and makes a copy of it.
func (h *Handover) quiet(s *udpio.Socket) error {
	if err := s.SetReading(false); err != nil {
		return err
	}
	rc, err := s.SyscallConn()
	if err != nil {
		return err
	}
	f, err := copyOf(rc)
	if err == nil {
		h.copies = append(h.copies, f)
	}
	return err
}

// join checks that connection IDs of g are as long as those of the predecessor. In the first
// process it has the kernel steer by them.
func (h *Handover) join(g *loop.Group) error {
	size := g.ConnIDLen()
	if h.inherited != nil {
		if old := h.inherited.offer.ConnIDLen; old != size {
			return fmt.Errorf("handover: connection IDs of %d bytes, the predecessor has %d", size, old)
		}
		return nil
	}
	if n := len(h.sockets); n > 1 {
		if err := h.sockets[0].Steer(n, h.steer, size); err != nil {
			h.log.Info("handover: the kernel does not steer", "err", err)
		}
	}
	return nil
}

// openSockets opens sockets, or takes those of the predecessor.
func (h *Handover) openSockets(n int) (err error) {
	if h.inherited == nil {
		h.sockets, err = udpio.ListenGroup(h.network, h.address, n, &h.socketCfg)
		return err
	}
	if o := h.inherited.offer; o.Network != h.network || o.Address != h.address {
		return fmt.Errorf("handover: the predecessor serves %s %s, not %s %s", o.Network, o.Address, h.network, h.address)
	}
	files := h.inherited.sockets
	h.inherited.sockets = nil
	for i, f := range files {
		s, err := udpio.FromFile(f, &h.socketCfg)
		if err != nil {
			closeFiles(files[i+1:])
			for _, s := range h.sockets {
				s.Close()
			}
			return err
		}
		h.sockets = append(h.sockets, s)
	}
	return nil
}

// shareKeys sets the keys that the configuration does not have to the shared ones. The others are
// passed on in their place.
func (h *Handover) shareKeys(e *conn.EndpointConfig) {
	if e.ResetKey == [32]byte{} {
		e.ResetKey = h.resetKey
	}
	before := h.tokenKeys[0]
	if len(e.TokenKeys) == 0 {
		e.TokenKeys = h.tokenKeys
	}
	h.resetKey, h.tokenKeys = e.ResetKey, e.TokenKeys
	if h.inherited != nil && !slices.Contains(e.TokenKeys, before) {
		// Clients come with tokens that the predecessor has just sealed, in Retry packets too.
		e.TokenKeys = append(slices.Clip(e.TokenKeys), before)
	}
}

// setReading makes the Loops begin or stop reading. When it returns, what they have read is with
// their Endpoints, or on its way from one Loop to another.
func (h *Handover) setReading(on bool) error {
	for i, l := range h.group.Loops() {
		var err error
		if doErr := l.Do(context.Background(), func(time.Time) { err = h.sockets[i].SetReading(on) }); doErr != nil {
			return doErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Superseded returns a channel that is closed when a successor serves, the handshakes that were in
// progress here are over, and no connection waits for Accept. It waits for the latter two for a
// minute at most. No more connections come then: shut down the Group, and then call Close.
func (h *Handover) Superseded() <-chan struct{} { return h.superseded }

// Stats are the counters of a Handover.
type Stats struct {
	Forwarded     uint64 // messages to the processes that own what was read here
	ForwardedLost uint64 // messages for which there was no room
	Returned      uint64 // messages with datagrams for this process
	ReturnedLost  uint64 // datagrams that found no room in a Loop
}

// Stats returns a snapshot.
func (h *Handover) Stats() Stats {
	return Stats{
		Forwarded:     h.relatives.sent.Load(),
		ForwardedLost: h.relatives.lost.Load(),
		Returned:      h.relatives.returned.Load(),
		ReturnedLost:  h.relatives.noRoom.Load(),
	}
}
