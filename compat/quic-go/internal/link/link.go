// Package link leads from a quic.Conn to the connection of Lazo that it is made of, for other
// packages of this module. The context of a quic.Conn carries it, because quic.Conn has no methods
// but those of quic-go.
package link

import (
	"context"

	"github.com/lazoquic/lazo/loop"
)

type key struct{}

// With returns a context that carries c.
func With(ctx context.Context, c *loop.Conn) context.Context {
	return context.WithValue(ctx, key{}, c)
}

// Of returns what the context of a quic.Conn carries, or nil.
func Of(ctx context.Context) *loop.Conn {
	c, _ := ctx.Value(key{}).(*loop.Conn)
	return c
}
