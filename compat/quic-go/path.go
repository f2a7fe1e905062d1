package quic

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// A Path is a way to the server from the socket of a Transport: see [Conn.AddPath]. Its methods may
// be called from any goroutine.
type Path struct {
	c     *Conn
	t     *Transport
	local netip.AddrPort // of t

	ctx   context.Context // ends with Close. The connection does not know of it: see err
	close context.CancelCauseFunc

	mu        sync.Mutex
	visit     *visit // while t knows of the path
	validated bool
}

// AddPath returns a path from the socket of t, which may have connections of its own. Nothing is
// sent there before [Path.Probe]. A server's connection has no such paths.
func (c *Conn) AddPath(t *Transport) (*Path, error) {
	var forbidden error
	if c.ctx.Err() != nil {
		return nil, context.Cause(c.ctx)
	}
	if err := c.lc.Do(context.Background(), func(_ time.Time, cc *conn.Conn) {
		switch {
		case cc.Server():
			forbidden = errors.New("server cannot initiate connection migration")
		case cc.MigrationDisabled():
			forbidden = errors.New("server disabled connection migration")
		}
	}); err != nil {
		return nil, c.explain(err)
	}
	if forbidden != nil {
		return nil, forbidden
	}
	if err := t.usable(); err != nil {
		return nil, err
	}
	p := &Path{c: c, t: t, local: t.address()}
	switch {
	case !p.local.IsValid():
		return nil, errors.New("quic: the Transport has no IP address")
	case t != c.t && p.local == c.t.address():
		return nil, errors.New("quic: both Transports have the same address")
	}
	p.ctx, p.close = context.WithCancelCause(context.Background())
	return p, nil
}

// err returns why the path cannot be used: it was closed, or the connection has ended.
func (p *Path) err() error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	return context.Cause(p.c.ctx)
}

// probeAgain is how long Probe waits after an attempt that failed or could not begin, for example
// because the server has not confirmed the handshake yet.
const probeAgain = 100 * time.Millisecond

// Probe sends probes until the path is validated. A path that was validated is validated anew. The
// attempts of all paths of a connection take turns.
func (p *Path) Probe(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	end := func() { cancel(p.err()) }
	defer context.AfterFunc(p.ctx, end)()
	defer context.AfterFunc(p.c.ctx, end)()
	p.begin()
	for ctx.Err() == nil {
		if p.attempt(ctx) {
			return p.succeed()
		}
		select {
		case <-ctx.Done():
		case <-time.After(probeAgain):
		}
	}
	return context.Cause(ctx)
}

// attempt probes once, when it is the turn of the path, and reports whether the path is validated.
func (p *Path) attempt(ctx context.Context) bool {
	select {
	case p.c.probing <- struct{}{}:
		defer func() { <-p.c.probing }()
	case <-ctx.Done():
		return false
	}
	p.visit.follow(p.c.lc.RemoteAddr()) // the server may prefer another address than at the last attempt
	// The path in use is validated.
	return p.c.at() == p.t || p.c.lc.Probe(ctx, p.local) == nil
}

// begin makes the Transport of the path pass on what comes for the connection.
func (p *Path) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.validated = false
	if p.visit == nil {
		p.visit = newVisit(p)
	}
	if p.err() != nil {
		p.visit.end()
	}
}

// succeed notes that the path is validated, unless it has been closed meanwhile.
func (p *Path) succeed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.err(); err != nil {
		return err
	}
	p.validated = true
	return nil
}

// Switch moves the connection to this path at once. From there it may switch back to the Transport
// that it came from, by another Path, if that has been validated.
func (p *Path) Switch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err() != nil:
		return p.err()
	case !p.validated:
		return ErrPathNotValidated
	case p.c.at() == p.t:
		return nil
	}
	if err := p.t.usable(); err != nil {
		return err
	}
	if err := p.c.lc.Switch(context.Background(), p.local); err != nil {
		return p.c.explain(err)
	}
	if err := p.t.usable(); err != nil { // it closed meanwhile, and did not see the connection
		p.c.abandon(err)
		return err
	}
	return nil
}

// Close gives the path up. The path in use cannot be closed.
func (p *Path) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.validated && p.c.at() == p.t && p.err() == nil {
		return errors.New("cannot close active path")
	}
	if p.visit != nil {
		p.visit.end()
	}
	p.close(ErrPathClosed)
	return nil
}

// at returns the Transport whose socket the connection uses.
func (c *Conn) at() *Transport {
	if host := c.t.visits.host(c.lc.LocalAddr()); host != nil {
		return host
	}
	return c.t
}
