package loop

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/udpio"
)

// ConnPaths is what a Conn knows of its paths. It belongs to the loop's goroutine.
type connPaths struct {
	opening []*pathOpening
	sockets []pathSocket // of paths that are open
	changed []chan struct{}
}

// A pathSocket says that a path goes from a socket that was added for it.
type pathSocket struct {
	id     conn.PathID
	socket *addedSocket
}

// A pathOpening is a call of OpenPath or AddPath that waits.
type pathOpening struct {
	local  netip.AddrPort
	socket *addedSocket // nil for OpenPath
	begun  bool         // id is known
	id     conn.PathID
	done   chan error // with room for one
}

// A PathError says that a path of a connection with multipath was not opened, or has ended, before
// it took data.
type PathError struct {
	ID   conn.PathID
	Code uint64 // of PATH_ABANDON (draft-ietf-quic-multipath-21, Section 4.2.1)
}

// Error gives the ID and the code.
func (e *PathError) Error() string {
	return fmt.Sprintf("loop: path %d was abandoned, code %#x", e.ID, e.Code)
}

// Multipath is [conn.Conn.Multipath]. It asks the loop and waits for it.
func (c *Conn) Multipath() (on bool) {
	c.l.mayWait("Conn.Multipath")
	c.ask(func() { on = c.c.Multipath() })
	return on
}

// Paths is [conn.Conn.Paths]: the state of each open path. It asks the loop and waits for it.
func (c *Conn) Paths() (paths []conn.PathStats) {
	c.l.mayWait("Conn.Paths")
	c.ask(func() { paths = c.c.Paths(nil) })
	return paths
}

// AddPath opens a path of a client from another interface, besides those that there are: see
// [conn.Conn.OpenPath]. It adds a socket at that interface to the Backend, which has to be a
// [PathBackend] (or what [Config.WrapBackend] got was one): see [udpio.Socket.AddInterface]. at
// needs its Addr; of which interface that is decides the routing table if Name is not set. The
// socket is closed a second after the path has ended, unless another path is from there too.
//
// AddPath waits until the path is validated and takes data. If the peer does not allow another path
// at present, it waits for that. A path that gets no answer fails with a [*PathError]. When ctx is
// done first, the path is abandoned.
func (c *Conn) AddPath(ctx context.Context, at udpio.Interface) (conn.PathID, error) {
	c.l.mayWait("Conn.AddPath")
	s, err := c.l.sockets.take(at)
	if err != nil {
		return 0, err
	}
	return c.openPath(ctx, &pathOpening{local: s.local, socket: s, done: make(chan error, 1)})
}

// OpenPath is AddPath for a socket that the Backend has already: see [udpio.Socket.AddLocal].
func (c *Conn) OpenPath(ctx context.Context, local netip.AddrPort) (conn.PathID, error) {
	c.l.mayWait("Conn.OpenPath")
	local = netip.AddrPortFrom(named(local.Addr().Unmap()), local.Port())
	return c.openPath(ctx, &pathOpening{local: local, done: make(chan error, 1)})
}

// openPath waits for o. It sees to it that a socket of o is given back once.
func (c *Conn) openPath(ctx context.Context, o *pathOpening) (conn.PathID, error) {
	err := c.Do(ctx, func(_ time.Time, cc *conn.Conn) {
		if err := c.closed(); err != nil {
			c.paths.finish(c.l, o, err)
			return
		}
		c.paths.opening = append(c.paths.opening, o)
		c.tryPath(o)
	})
	if err != nil { // the function has not run
		o.giveBack(c.l)
		return 0, err
	}
	select {
	case err = <-o.done:
	case <-ctx.Done():
		c.ask(func() { c.giveUpPath(o, ctx.Err()) })
		err = <-o.done // it may have been opened meanwhile
	}
	return o.id, err
}

// tryPath begins to open a path, unless there is no room.
func (c *Conn) tryPath(o *pathOpening) {
	id, err := c.c.OpenPath(o.local)
	switch {
	case errors.Is(err, conn.ErrPathLimit):
	case err != nil:
		c.paths.finish(c.l, o, err)
	default:
		o.id, o.begun = id, true
		if o.socket != nil {
			c.paths.sockets = append(c.paths.sockets, pathSocket{id, o.socket})
			o.socket = nil
		}
	}
}

// retryPaths tries again to open the paths for which there was no room.
func (c *Conn) retryPaths() {
	for _, o := range slices.Clone(c.paths.opening) {
		if !o.begun {
			c.tryPath(o)
		}
	}
}

// giveUpPath ends o, whose caller waits no longer.
func (c *Conn) giveUpPath(o *pathOpening, err error) {
	if !slices.Contains(c.paths.opening, o) {
		return
	}
	c.paths.finish(c.l, o, err)
	if o.begun {
		c.c.AbandonPath(o.id, 0)
		c.l.touch(c.a)
	}
}

// finish ends a call that waits.
func (p *connPaths) finish(l *Loop, o *pathOpening, err error) {
	p.opening = slices.DeleteFunc(p.opening, func(x *pathOpening) bool { return x == o })
	o.giveBack(l)
	o.done <- err
}

// giveBack gives the socket of o back, if no path has it.
func (o *pathOpening) giveBack(l *Loop) {
	if o.socket != nil {
		l.sockets.give(o.socket)
		o.socket = nil
	}
}

// opened handles EventPathOpened.
func (p *connPaths) opened(id conn.PathID) {
	for _, o := range p.opening {
		if o.begun && o.id == id {
			p.opening = slices.DeleteFunc(p.opening, func(x *pathOpening) bool { return x == o })
			o.done <- nil
			break
		}
	}
	p.tell()
}

// ended handles EventPathAbandoned.
func (p *connPaths) ended(l *Loop, id conn.PathID, code uint64) {
	for _, o := range p.opening {
		if o.begun && o.id == id {
			p.finish(l, o, &PathError{id, code})
			break
		}
	}
	if i := slices.IndexFunc(p.sockets, func(s pathSocket) bool { return s.id == id }); i >= 0 {
		l.sockets.give(p.sockets[i].socket)
		p.sockets = slices.Delete(p.sockets, i, i+1)
	}
	p.tell()
}

// close ends all calls that wait, and gives back all sockets.
func (p *connPaths) close(l *Loop, err error) {
	for len(p.opening) > 0 {
		p.finish(l, p.opening[0], err)
	}
	for _, s := range p.sockets {
		l.sockets.give(s.socket)
	}
	p.sockets = nil
}

// watch has a token put into changed whenever a path has opened or ended.
func (p *connPaths) watch(changed chan struct{}) { p.changed = append(p.changed, changed) }

func (p *connPaths) unwatch(changed chan struct{}) {
	p.changed = slices.DeleteFunc(p.changed, func(c chan struct{}) bool { return c == changed })
}

// tell lets those who watch the paths look again.
func (p *connPaths) tell() {
	for _, c := range p.changed {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// DropPath abandons a path: see [conn.Conn.AbandonPath]. What was on its way there is sent again on
// the others. It fails for the only path that takes data.
func (c *Conn) DropPath(id conn.PathID) error {
	c.l.mayWait("Conn.DropPath")
	return c.doPath(func(cc *conn.Conn) error { return cc.AbandonPath(id, 0) })
}

// SetPathBackup is [conn.Conn.SetPathBackup]: a backup path is used if no other one works.
func (c *Conn) SetPathBackup(id conn.PathID, backup bool) error {
	c.l.mayWait("Conn.SetPathBackup")
	return c.doPath(func(cc *conn.Conn) error { return cc.SetPathBackup(id, backup) })
}

// doPath runs f on the loop's goroutine, and returns its error.
func (c *Conn) doPath(f func(cc *conn.Conn) error) error {
	var err error
	if e := c.Do(context.Background(), func(_ time.Time, cc *conn.Conn) { err = f(cc) }); e != nil {
		return e
	}
	return err
}
