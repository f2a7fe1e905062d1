// Package link finds the connection of Lazo behind a quic.Conn, for other packages of this module.
// The context of a quic.Conn carries it, because quic.Conn has only the methods of quic-go.
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

// Of returns the connection that the context of a quic.Conn carries, or nil.
func Of(ctx context.Context) *loop.Conn {
	c, _ := ctx.Value(key{}).(*loop.Conn)
	return c
}
