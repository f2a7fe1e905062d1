// Package carriers compares what may carry positions, over one bad path: datagrams, a reliable
// stream of QUIC, and a WebSocket over TCP. A server sends a snapshot each tick over each of them.
// How old is the newest snapshot that the client has, at any moment?
package carriers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lazoquic/lazo/examples/realtime/internal/world"
	"github.com/lazoquic/lazo/internal/netrelay"
)

// SnapshotLen is the length of a snapshot of 30 players, in bytes.
const SnapshotLen = 316

// ErrNoTCP is wrapped by the error of Compare if only the WebSocket could not be compared.
var ErrNoTCP = errors.New("the path for TCP needs Linux, root and /dev/net/tun")

// Config configures Compare.
type Config struct {
	Link netrelay.Link // of each direction
	Seed uint64        // what the path draws from
	For  time.Duration // how long ages are looked at
}

// A Result is what a carrier did.
type Result struct {
	Name string
	Ages *world.Ages // of the newest snapshot that the client has, at any moment
}

// A carrier carries snapshots from a server to a client. Its server has begun to send.
type carrier struct {
	name string
	// receive calls took for each snapshot that comes. It returns an error when what carries them
	// has closed.
	receive func(took func(snapshot []byte)) error
}

const (
	setupTime  = time.Minute // how long it may take until all are connected
	settleTime = time.Second // what comes first is not looked at
)

// Compare has all carriers send at the same time over one path, for cfg.For and a moment before.
// Where the path can have no TCP, the results are those of the other carriers, and the error wraps
// ErrNoTCP.
func Compare(ctx context.Context, cfg Config) ([]Result, error) {
	p, noTCP := newPath(cfg.Seed)
	p.setLink(netrelay.Link{Delay: cfg.Link.Delay}) // all get connected
	c := &comparison{begin: time.Now(), opened: []func(){p.close}}
	defer c.close()
	setup, cancel := context.WithTimeout(ctx, setupTime)
	defer cancel()
	if err := c.open(setup, p); err != nil {
		return nil, err
	}
	p.setLink(cfg.Link)
	results, err := c.measure(ctx, cfg.For)
	if err != nil {
		return nil, err
	}
	return results, noTCP
}

// A comparison is a call of Compare.
type comparison struct {
	begin    time.Time // what stamps count from
	carriers []*carrier
	opened   []func() // close what was opened
}

// close closes what is open, the last first.
func (c *comparison) close() {
	for _, f := range slices.Backward(c.opened) {
		f()
	}
	c.opened = nil
}

// open opens all carriers that p can have.
func (c *comparison) open(ctx context.Context, p path) error {
	if err := c.openQUIC(ctx, p); err != nil {
		return err
	}
	if t, ok := p.(tcpPath); ok {
		return c.openWebSocket(ctx, t)
	}
	return nil
}

// measure looks at what comes over the carriers for a time, and then closes them.
func (c *comparison) measure(ctx context.Context, d time.Duration) (results []Result, err error) {
	var wg sync.WaitGroup
	from := time.Since(c.begin) + settleTime
	failed := make(chan error, len(c.carriers))
	var meters []*meter
	for _, k := range c.carriers {
		m := newMeter(from, d)
		meters = append(meters, m)
		results = append(results, Result{k.name, m.ages})
		wg.Go(func() {
			err := k.receive(func(b []byte) { m.took(time.Since(c.begin), stampOf(b)) })
			failed <- fmt.Errorf("%s: %w", k.name, err)
		})
	}
	select {
	case <-time.After(settleTime + d):
	case <-ctx.Done():
		err = ctx.Err()
	case err = <-failed:
	}
	c.close()
	wg.Wait()
	for _, m := range meters {
		m.look(m.end)
	}
	return results, err
}

// send gives write a snapshot each tick, stamped by the time since begin, until write fails or ctx
// is done.
func send(ctx context.Context, begin time.Time, write func([]byte) error) {
	tick := time.NewTicker(world.Tick)
	defer tick.Stop()
	b := make([]byte, SnapshotLen)
	for {
		binary.BigEndian.PutUint64(b, uint64(time.Since(begin)))
		if write(b) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// stampOf returns when a snapshot was sent.
func stampOf(b []byte) time.Duration { return time.Duration(binary.BigEndian.Uint64(b)) }
