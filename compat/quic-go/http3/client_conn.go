package http3

import (
	"context"
	"net"
	"net/http"

	"github.com/lazoquic/lazo/h3/h3http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/internal/link"
)

// A ClientConn sends requests on one connection.
type ClientConn struct {
	conn   *quic.Conn
	h      *h3http.ClientConn // nil if failed is set
	failed error
	never  chan struct{} // what ReceivedSettings returns if h is nil
}

// NewClientConn starts HTTP/3 on conn. Transport.Close leaves the connection open.
func (t *Transport) NewClientConn(conn *quic.Conn) *ClientConn { return t.attach(conn, false) }

// A RawClientConn is a ClientConn for which the application accepts the streams of the server. It
// hands those of HTTP/3 over.
type RawClientConn struct{ *ClientConn }

// NewRawClientConn starts HTTP/3 on conn. Call it before AcceptStream and AcceptUniStream of conn.
func (t *Transport) NewRawClientConn(conn *quic.Conn) *RawClientConn {
	return &RawClientConn{t.attach(conn, true)}
}

func (t *Transport) attach(conn *quic.Conn, raw bool) *ClientConn {
	c := &ClientConn{conn: conn, never: make(chan struct{})}
	inner, err := t.get()
	if err == nil {
		c.h, err = inner.Attach(context.Background(), link.Of(conn.Context()), raw)
	}
	c.failed = explain(err)
	return c
}

// Context returns a context that is done when the connection has ended.
func (c *ClientConn) Context() context.Context { return c.conn.Context() }

// LocalAddr returns the address of this side.
func (c *ClientConn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr returns the address of the server.
func (c *ClientConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// CloseWithError closes the connection.
func (c *ClientConn) CloseWithError(code quic.ApplicationErrorCode, msg string) error {
	return c.conn.CloseWithError(code, msg)
}

// ReceivedSettings returns a channel that is closed when the settings of the server have come.
func (c *ClientConn) ReceivedSettings() <-chan struct{} {
	if c.failed != nil {
		return c.never
	}
	return c.h.ReceivedSettings()
}

// Settings returns the settings of the server, or nil before they have come.
func (c *ClientConn) Settings() *Settings {
	select {
	case <-c.ReceivedSettings():
		return settingsOf(c.h.PeerSettings())
	default:
		return nil
	}
}

// RoundTrip sends a request on this connection.
func (c *ClientConn) RoundTrip(req *http.Request) (*http.Response, error) {
	if c.failed != nil {
		closeBody(req)
		return nil, c.failed
	}
	r, err := outgoing(req, true, false)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	return incoming(req)(c.h.RoundTrip(r))
}

// OpenRequestStream opens a stream for a request, and waits until the server allows it.
func (c *ClientConn) OpenRequestStream(ctx context.Context) (*RequestStream, error) {
	if c.failed != nil {
		return nil, c.failed
	}
	s, err := c.h.OpenStream(ctx)
	if err != nil {
		return nil, explain(err)
	}
	return &RequestStream{s: newStream(c.conn, &s.Stream), r: s}, nil
}

// HandleBidirectionalStream takes a bidirectional stream of the server. It closes the connection,
// because HTTP/3 has no such streams (RFC 9114, Section 6.1).
func (c *ClientConn) HandleBidirectionalStream(str *quic.Stream) {
	c.conn.CloseWithError(quic.ApplicationErrorCode(ErrCodeStreamCreationError), "bidirectional stream from a server")
}

// HandleUnidirectionalStream takes a stream. The application may have peeked at its start, but must
// not have read any of it.
func (c *RawClientConn) HandleUnidirectionalStream(str *quic.ReceiveStream) {
	if c.failed == nil {
		handOver(c.conn, c.h, str)
	}
}
