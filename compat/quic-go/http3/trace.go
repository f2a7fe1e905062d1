package http3

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/internal/link"
)

// A tracedContext is the context of a request whose program traces it, with another trace for Lazo.
// The calls that quic-go makes at other times than Lazo come from this package.
type tracedContext struct {
	context.Context
	own *httptrace.ClientTrace // of the program
	was *httptrace.ClientTrace // what httptrace would find
	now *httptrace.ClientTrace // what it finds
}

type ownTraceKey struct{}

// Value is part of [context.Context].
func (c tracedContext) Value(key any) any {
	if key == (ownTraceKey{}) {
		return c.own
	}
	v := c.Context.Value(key)
	if v == any(c.was) {
		return c.now
	}
	return v
}

// traced returns a request as Lazo gets it.
func (t *Transport) traced(r *http.Request) *http.Request {
	own := httptrace.ContextClientTrace(r.Context())
	if own == nil {
		return r
	}
	now := *own
	now.TLSHandshakeStart, now.TLSHandshakeDone = nil, nil // dialOnSocket calls those
	if got := own.GotConn; got != nil {
		now.GotConn = func(info httptrace.GotConnInfo) {
			info.Conn = prohibitedConn{t, info.Conn}
			got(info)
		}
	}
	if informed, goAhead := own.Got1xxResponse, own.Got100Continue; informed != nil && goAhead != nil {
		now.Got100Continue = nil
		now.Got1xxResponse = func(code int, header textproto.MIMEHeader) error {
			err := informed(code, header)
			if code == http.StatusContinue {
				goAhead()
			}
			return err
		}
	}
	return r.WithContext(tracedContext{r.Context(), own, own, &now})
}

// untraced returns the context for Dial of the program, with the trace that the program has set.
func untraced(ctx context.Context) context.Context {
	if own, ok := ctx.Value(ownTraceKey{}).(*httptrace.ClientTrace); ok {
		return tracedContext{ctx, own, httptrace.ContextClientTrace(ctx), own}
	}
	return ctx
}

// traceDial calls dial, and the functions of the trace in ctx before and after it.
func traceDial(ctx context.Context, to net.Addr, dial func() (*quic.Conn, error)) (*quic.Conn, error) {
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil {
		return dial()
	}
	if trace.ConnectStart != nil {
		trace.ConnectStart("udp", to.String())
	}
	if trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	c, err := dial()
	if trace.TLSHandshakeDone != nil {
		var state tls.ConnectionState
		if err == nil {
			state = c.ConnectionState().TLS
		}
		trace.TLSHandshakeDone(state, err)
	}
	if trace.ConnectDone != nil {
		trace.ConnectDone("udp", to.String(), err)
	}
	return c, err
}

// addresses are those of a connection.
type addresses interface {
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// addressed returns the quic.Conn that has the addresses of a connection of Lazo. It tells them as
// the program knows them.
func (t *Transport) addressed(of addresses) addresses {
	t.mu.Lock()
	defer t.mu.Unlock()
	local, remote := of.LocalAddr().String(), of.RemoteAddr().String()
	for c := range t.conns {
		inner := link.Of(c.Context())
		if inner.LocalAddr().String() == local && inner.RemoteAddr().String() == remote {
			return c
		}
	}
	return of
}

// A prohibitedConn is what [httptrace.ClientTrace.GotConn] gets for a connection of QUIC. It has
// addresses, which are looked up when somebody asks. All else panics.
type prohibitedConn struct {
	t  *Transport
	of addresses
}

func (c prohibitedConn) LocalAddr() net.Addr  { return c.t.addressed(c.of).LocalAddr() }
func (c prohibitedConn) RemoteAddr() net.Addr { return c.t.addressed(c.of).RemoteAddr() }

const prohibited = "connection operation prohibited"

func (prohibitedConn) Close() error                     { panic(prohibited) }
func (prohibitedConn) Read([]byte) (int, error)         { panic(prohibited) }
func (prohibitedConn) Write([]byte) (int, error)        { panic(prohibited) }
func (prohibitedConn) SetDeadline(time.Time) error      { panic(prohibited) }
func (prohibitedConn) SetReadDeadline(time.Time) error  { panic(prohibited) }
func (prohibitedConn) SetWriteDeadline(time.Time) error { panic(prohibited) }
