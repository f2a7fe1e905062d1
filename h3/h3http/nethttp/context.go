//go:build go1.27

package nethttp

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/lazoquic/lazo/internal/nostream"
	"github.com/lazoquic/lazo/loop"
)

// baseContext calls BaseContext of s, which net/http leaves to those who listen.
func baseContext(s *http.Server, from handler, g *loop.Group) context.Context {
	ctx := from.BaseContext()
	if s.BaseContext == nil {
		return ctx
	}
	base := s.BaseContext(listener{g})
	if base == nil {
		panic("nethttp: BaseContext returned a nil context")
	}
	return context.WithValue(base, http.ServerContextKey, s)
}

var errNoStream = errors.New("nethttp: a QUIC connection is not a byte stream")

// A listener stands for the sockets of HTTP/3 where a [net.Listener] is expected. It has their
// address, and accepts nothing.
type listener struct{ g *loop.Group }

func (l listener) Accept() (net.Conn, error) { return nil, errNoStream }
func (l listener) Close() error              { return errNoStream }
func (l listener) Addr() net.Addr            { return net.UDPAddrFromAddrPort(l.g.LocalAddr()) }

// A quicConn stands for a connection where a [net.Conn] is expected. It has the addresses, and
// carries no data.
type quicConn struct {
	nostream.Conn
	c *loop.Conn
}

func (c quicConn) LocalAddr() net.Addr  { return net.UDPAddrFromAddrPort(c.c.LocalAddr()) }
func (c quicConn) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.c.RemoteAddr()) }
