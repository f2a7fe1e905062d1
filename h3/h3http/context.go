package h3http

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/lazoquic/lazo/loop"
)

// connKey is the key of the *loop.Conn in the context of a request.
type connKey struct{}

// A requestContext is the context of a request on a connection.
type requestContext struct {
	context.Context
	conn *loop.Conn
}

func (c *requestContext) Value(key any) any {
	if key == (connKey{}) {
		return c.conn
	}
	return c.Context.Value(key)
}

// ConnOf returns the connection of a request, for its statistics and addresses:
// r is what a Handler gets, or the Request of a Response from a [Transport]. It
// is nil for requests over TCP. Streams of the connection belong to this package.
func ConnOf(r *http.Request) *loop.Conn { return ConnFromContext(r.Context()) }

// ConnFromContext is ConnOf for those who have only the context of a request, or one
// that derives from it.
func ConnFromContext(ctx context.Context) *loop.Conn {
	c, _ := ctx.Value(connKey{}).(*loop.Conn)
	return c
}

// A baseContext is the result of Server.BaseContext for the Group of a [loop.Config].
type baseContext struct {
	s    *Server
	once sync.Once
	ctx  context.Context
}

// get returns the context. It calls BaseContext at the first request, away from the loop, because
// BaseContext may block.
func (b *baseContext) get(g *loop.Group) context.Context {
	b.once.Do(func() {
		b.ctx = context.Background()
		if f := b.s.BaseContext; f != nil {
			if b.ctx = f(g); b.ctx == nil {
				panic("h3http: BaseContext returned nil")
			}
		}
	})
	return b.ctx
}

// connValues is a context with what requests find in theirs about the connection.
type connValues struct {
	context.Context
	server any
	local  net.Addr
	conn   *loop.Conn
}

// Value is part of [context.Context].
func (c *connValues) Value(key any) any {
	switch key {
	case http.ServerContextKey:
		return c.server
	case http.LocalAddrContextKey:
		return c.local
	case connKey{}:
		return c.conn
	}
	return c.Context.Value(key)
}

// connContext returns the parent of the contexts of all requests. It makes it away from the loop,
// because ConnContext may block.
func (c *serverConn) connContext() context.Context {
	c.connOnce.Do(func() {
		base := c.base.get(c.handle.Loop().Group())
		v := &connValues{Context: base, server: base.Value(http.ServerContextKey), local: net.UDPAddrFromAddrPort(c.local), conn: c.handle}
		if v.server == nil {
			v.server = c.s.mirror()
		}
		c.ctx.parent = v
		ctx := context.Context(&c.ctx)
		if f := c.s.ConnContext; f != nil {
			if ctx = f(ctx, c.handle); ctx == nil {
				panic("h3http: ConnContext returned nil")
			}
		}
		c.connCtx = ctx
	})
	return c.connCtx
}
