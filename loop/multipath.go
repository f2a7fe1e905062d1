package loop

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/udpio"
)

// A PathUse says what a client does with an interface.
type PathUse int

const (
	UsePath    PathUse = iota // a path from there takes data
	BackupPath                // a path from there takes data if no other one works
	NoPath                    // there is no path from there
)

// Multipath configures how a client uses the interfaces of its host: see [Conn.FollowInterfaces].
type Multipath struct {
	// MaxPaths is how many paths a connection has at once: see [conn.Config.MaxPaths]. One more
	// than there are interfaces lets an interface come back at once after it has gone. The zero
	// value means no multipath.
	MaxPaths int

	// Use decides about an interface. By default all are used. It is called again whenever the
	// interfaces have changed, and may decide anew.
	Use func(at udpio.Interface) PathUse

	// Watch reports the interfaces from which remote can be reached, with the contract of
	// [udpio.WatchInterfaces]. By default the connections of a Group share a
	// [udpio.InterfaceWatcher]. Set it where the system has another way to learn of them, or in a
	// simulation.
	Watch func(ctx context.Context, remote netip.Addr, report func([]udpio.Interface)) error
}

// Waits between attempts to open a path that fail.
const (
	firstPathRetry = time.Second
	lastPathRetry  = 30 * time.Second
)

// localWait is after how long to ask again for the address of the path of the handshake, while it
// is not known.
const localWait = 100 * time.Millisecond

// FollowInterfaces makes the connection of a client have a path from each interface of the host
// that leads to the server: it opens one when an interface comes, and abandons it when that goes. A
// path that the server or the network has ended is opened again after a while. The path of the
// handshake counts as that of its interface, as long as the routing table sends it there; after
// that, another takes its place. Paths that were opened by other means are left alone.
//
// FollowInterfaces returns when ctx is done, with its error, or when the connection has closed. If
// the server does not speak multipath, and for the connection of a server, it returns an error at
// once. If another path can never be opened, it returns the error of [Conn.AddPath]. That matches
// [errors.ErrUnsupported] if the Backend has one socket only, and is [conn.ErrMigrationDisabled] if
// the server has said so. The connection then goes on with the paths that it has. Call it once for
// a connection.
func (c *Conn) FollowInterfaces(ctx context.Context, m *Multipath) error {
	c.l.mayWait("Conn.FollowInterfaces")
	select {
	case <-c.Handshake():
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
	if !c.Multipath() {
		if c.ctx.Err() != nil { // nobody knows any more
			return context.Cause(c.ctx)
		}
		return errors.New("loop: the connection does not speak multipath")
	}
	var server bool
	if c.ask(func() { server = c.c.Server() }); server {
		return errors.New("loop: a server does not open paths")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	f := &follower{
		c: c, m: m,
		reports: make(chan []udpio.Interface),
		results: make(chan pathResult),
		changed: make(chan struct{}, 1),
	}
	watch := m.Watch
	if watch == nil {
		watch = c.l.group.interfaces.Watch
	}
	watched := make(chan error, 1)
	go func() {
		watched <- watch(ctx, c.RemoteAddr().Addr(), func(list []udpio.Interface) {
			select {
			case f.reports <- list:
			case <-ctx.Done():
			}
		})
	}()
	c.ask(func() { c.paths.watch(f.changed) })
	err := f.run(ctx, watched)
	cancel()
	c.ask(func() { c.paths.unwatch(f.changed) })
	for f.opening > 0 {
		<-f.results
		f.opening--
	}
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return err
}

// A follower opens and abandons the paths of a connection. Its fields belong to the goroutine of
// FollowInterfaces.
type follower struct {
	c       *Conn
	m       *Multipath
	reports chan []udpio.Interface
	results chan pathResult
	changed chan struct{} // has a token when a path has opened or ended

	list    []udpio.Interface // of the last report
	paths   []*followed
	opening int // calls of AddPath that have not returned
}

// A followed is an interface of which the follower knows.
type followed struct {
	at      udpio.Interface
	use     PathUse
	opening bool
	cancel  context.CancelFunc // of the call that opens it
	open    bool               // id is that of its path
	since   time.Time          // when it opened last
	id      conn.PathID
	retryAt time.Time
	wait    time.Duration // before the next attempt
}

// A pathResult is what a call of AddPath has returned.
type pathResult struct {
	p   *followed
	id  conn.PathID
	err error
}

// run follows the interfaces until ctx is done, the watch has failed, or no path can be opened.
func (f *follower) run(ctx context.Context, watched <-chan error) error {
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-watched:
			return err
		case f.list = <-f.reports:
		case r := <-f.results:
			if f.opened(r); lasting(r.err) {
				return r.err
			}
		case <-f.changed:
		case <-retry.C:
		}
		if ctx.Err() == nil {
			retry.Reset(f.settle(ctx))
		}
	}
}

// opened notes the result of a call of AddPath.
func (f *follower) opened(r pathResult) {
	p := r.p
	f.opening--
	p.opening = false
	p.cancel()
	if r.err == nil {
		p.open, p.id, p.since = true, r.id, time.Now()
	} else {
		p.fail()
	}
}

// lasting reports whether an error of AddPath says that no path can be opened, now or later.
func lasting(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, conn.ErrMigrationDisabled)
}

// ended notes that an open path has ended. It was ended by the server, or got no answers for too
// long. If it was of use, what happened before does not make the next attempt wait.
func (p *followed) ended() {
	p.open = false
	if time.Since(p.since) > lastPathRetry {
		p.wait = 0
	}
	p.fail()
}

// fail lets the next attempt wait.
func (p *followed) fail() {
	p.wait = min(max(2*p.wait, firstPathRetry), lastPathRetry)
	p.retryAt = time.Now().Add(p.wait)
}

// settle brings the paths in line with the interfaces, and returns after how long it has to look
// again at the latest.
func (f *follower) settle(ctx context.Context) time.Duration {
	wanted := f.wanted()
	open := f.c.Paths()
	first := firstOf(open)
	for _, p := range f.paths {
		if p.open && !slices.ContainsFunc(open, func(s conn.PathStats) bool { return s.ID == p.id }) {
			p.ended()
		}
	}
	next := time.Hour
	covered := false
	for i := range wanted {
		w := &wanted[i]
		p := f.find(w.at)
		if p == nil && covers(first, w.at) {
			covered = true
			f.setBackup(first.ID, w.use)
			continue
		}
		if p == nil {
			p = &followed{at: w.at}
			f.paths = append(f.paths, p)
		}
		p.use = w.use
		next = min(next, f.want(ctx, p))
	}
	f.paths = slices.DeleteFunc(f.paths, func(p *followed) bool { return f.unwanted(p, wanted) })
	switch {
	case first == nil:
	case !first.Local.IsValid():
		next = min(next, localWait)
	case !covered && len(wanted) > 0:
		f.c.DropPath(first.ID) // fails until another path is open
	}
	return next
}

// covers reports whether first, the path of the handshake, is one from an interface. Its socket is
// bound to none, so that it sends from the one that the kernel prefers. Before a packet has come
// after the handshake, its address may not be known.
func covers(first *conn.PathStats, at udpio.Interface) bool {
	return first != nil && at.Preferred && (!first.Local.IsValid() || first.Local.Addr() == at.Addr)
}

// find returns what the follower knows of an interface; nil if that is nothing.
func (f *follower) find(at udpio.Interface) *followed {
	for _, p := range f.paths {
		if place(p.at) == place(at) {
			return p
		}
	}
	return nil
}

// wanted returns the interfaces from which there should be paths.
func (f *follower) wanted() (list []followed) {
	for _, at := range f.list {
		use := UsePath
		if f.m.Use != nil {
			use = f.m.Use(at)
		}
		if use != NoPath && len(list) < f.m.MaxPaths {
			list = append(list, followed{at: at, use: use})
		}
	}
	return list
}

// firstOf returns the path of the handshake; nil if it is not open.
func firstOf(open []conn.PathStats) *conn.PathStats {
	if len(open) > 0 && open[0].ID == 0 {
		return &open[0]
	}
	return nil
}

// want sees to it that there is a path from an interface, and returns when to look again.
func (f *follower) want(ctx context.Context, p *followed) time.Duration {
	switch wait := time.Until(p.retryAt); {
	case p.open:
		f.setBackup(p.id, p.use)
	case p.opening:
	case wait > 0:
		return wait
	default:
		p.opening = true
		f.opening++
		var open context.Context
		open, p.cancel = context.WithCancel(ctx)
		at := p.at
		go func() {
			id, err := f.c.AddPath(open, at)
			f.results <- pathResult{p, id, err}
		}()
	}
	return time.Hour
}

// setBackup tells the server how a path is used, if that has changed.
func (f *follower) setBackup(id conn.PathID, use PathUse) {
	f.c.SetPathBackup(id, use == BackupPath)
}

// unwanted ends p if its interface has gone, and reports whether it can be forgotten.
func (f *follower) unwanted(p *followed, wanted []followed) bool {
	if slices.ContainsFunc(wanted, func(w followed) bool { return place(w.at) == place(p.at) }) {
		return false
	}
	if p.opening {
		p.cancel()
		return false
	}
	return !p.open || f.c.DropPath(p.id) == nil
}
