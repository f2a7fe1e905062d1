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

// connContext returns the parent of the contexts of all requests. It makes it away from the loop,
// because ConnContext may block.
func (c *serverConn) connContext() context.Context {
	c.connOnce.Do(func() {
		ctx, cancel := context.WithCancelCause(c.base.get(c.handle.Loop().Group()))
		context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })
		if ctx.Value(http.ServerContextKey) == nil {
			ctx = context.WithValue(ctx, http.ServerContextKey, c.s.mirror())
		}
		ctx = context.WithValue(ctx, http.LocalAddrContextKey, net.Addr(net.UDPAddrFromAddrPort(c.local)))
		ctx = context.WithValue(ctx, connKey{}, c.handle)
		if f := c.s.ConnContext; f != nil {
			if ctx = f(ctx, c.handle); ctx == nil {
				panic("h3http: ConnContext returned nil")
			}
		}
		c.connCtx = ctx
	})
	return c.connCtx
}
