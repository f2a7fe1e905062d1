package h3http

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/loop"
)

// This file runs HTTP/3 on connections that the application has made and goes on using.

// An attached is what a ServerConn and a ClientConn have in common.
type attached struct {
	c        *connection
	settings chan struct{} // closed when the peer's settings have come
}

// ReceivedSettings returns a channel that is closed when the settings of the peer have come.
func (a *attached) ReceivedSettings() <-chan struct{} { return a.settings }

// PeerSettings returns what [h3.Conn.PeerSettings] does. Call it once the channel of
// ReceivedSettings is closed.
func (a *attached) PeerSettings() map[uint64]uint64 {
	select {
	case <-a.settings:
		return a.c.h3.PeerSettings() // which does not change any more
	default:
		return nil
	}
}

// HandleStream gives HTTP/3 a stream that AcceptStream of the connection has returned, after Attach
// with manual. The caller may have looked at its start with [loop.Stream.Peek], but may not have
// read from it. So a program can keep streams of WebTransport, for example, to itself. HandleStream
// does not wait for what comes on the stream. It returns an error if the stream was used, or has
// ended with the connection.
func (a *attached) HandleStream(id conn.StreamID) error {
	var err error
	do := a.c.handle.Do(context.Background(), func(now time.Time, _ *conn.Conn) {
		err = a.c.takeStream(now, id)
	})
	return errors.Join(do, err)
}

// takeStream takes a stream of the peer from the goroutine that has accepted it, with what has
// happened to it.
func (c *connection) takeStream(now time.Time, id conn.StreamID) error {
	s, err := c.handle.TakeBack(id)
	if err != nil {
		return err
	}
	events := []conn.Event{{Kind: conn.EventStreamOpened}, {Kind: conn.EventStreamReadable}}
	if code, ok := canceledBy(s.Peek(1)); ok {
		events = append(events, conn.Event{Kind: conn.EventStreamReset, Code: code})
	}
	if id.Dir() == conn.Bidi {
		if n, err := s.Write(nil); n == 0 {
			if code, ok := canceledBy(nil, err); ok {
				events = append(events, conn.Event{Kind: conn.EventStreamStopped, Code: code})
			}
		}
	}
	for _, ev := range events {
		if ev.Conn, ev.Stream = c.quic, s; ev.Kind == conn.EventStreamOpened || s.UserData != nil {
			c.process(now, ev) // after the first event HTTP/3 may have refused the stream
		}
	}
	c.owner.settle(now)
	return nil
}

// canceledBy returns the code with which the peer has canceled a stream, if err says so and
// nothing is left to read.
func canceledBy(left []byte, err error) (code uint64, ok bool) {
	if se, is := errors.AsType[*conn.StreamError](err); is && se.Remote && len(left) == 0 {
		return se.Code, true
	}
	return 0, false
}

// share makes c a Handler beside the methods of its handle.
func (c *connection) share(h loop.Handler, manual bool) *attached {
	a := &attached{c, make(chan struct{})}
	c.attached, c.shared, c.manual = a, true, manual
	c.loop.Share(c.quic, h, manual)
	return a
}

// A ServerConn is a connection that [Server.Attach] has brought HTTP/3 to.
type ServerConn struct{ *attached }

// Attach serves HTTP/3 on c, a connection that a client has made. Methods of c still work, so that
// streams of other protocols can be opened. The contexts of requests derive from ctx, in place of
// BaseContext. Shutdown and Close of s end c. If manual is set, the streams of the client come from
// AcceptStream of c, and the caller gives those of HTTP/3 to HandleStream. Otherwise HTTP/3 takes
// all streams of the client. Datagrams are HTTP/3's if H3Config has them. A connection can be
// attached once.
//
// Attach does not use the fields TLSConfig, QUICConfig, Secret and Loops of s, because the
// connection exists already.
func (s *Server) Attach(ctx context.Context, c *loop.Conn, manual bool) (*ServerConn, error) {
	base := &baseContext{s: s, ctx: ctx}
	base.once.Do(func() {})
	var a *attached
	var err error
	do := c.Do(ctx, func(_ time.Time, q *conn.Conn) {
		var sc *serverConn
		if sc, err = newServerConn(s, base, c.Loop(), q); err != nil {
			return
		}
		if err = s.register(sc); err == nil {
			a = sc.share(sc, manual)
		}
	})
	if err := errors.Join(do, err); err != nil {
		return nil, err
	}
	return &ServerConn{a}, nil
}

// A ClientConn is a connection that [Transport.Attach] has brought HTTP/3 to.
type ClientConn struct {
	*attached
	client *clientConn
}

// Attach sends requests on c, a connection to a server of HTTP/3. Methods of c still work. c is not
// in the pool of t, and Close of t leaves it open. It closes with H3_NO_ERROR when the server has
// sent GOAWAY and all requests have ended. [Server.Attach] describes manual. A connection can be
// attached once.
func (t *Transport) Attach(ctx context.Context, c *loop.Conn, manual bool) (*ClientConn, error) {
	return t.attach(ctx, c, manual, new(clientConn))
}

// attach makes cc the client's side of HTTP/3 on c.
func (t *Transport) attach(ctx context.Context, c *loop.Conn, manual bool, cc *clientConn) (*ClientConn, error) {
	cc.t, cc.confirmed = t, make(chan struct{})
	var a *attached
	var err error
	do := c.Do(ctx, func(_ time.Time, q *conn.Conn) {
		cc.init(cc, c.Loop(), q, &t.chunks, &t.tally)
		if cc.h3, err = h3.NewConn(q, t.h3Config()); err != nil {
			return
		}
		if t.Extend != nil {
			cc.extension = t.Extend(c, cc.h3)
		}
		a = cc.share(cc, manual)
		cc.settle(time.Time{})
	})
	if err := errors.Join(do, err); err != nil {
		return nil, err
	}
	return &ClientConn{a, cc}, nil
}

// RoundTrip does what [Transport.RoundTrip] does, on this connection alone. It does not repeat
// requests.
func (c *ClientConn) RoundTrip(r *http.Request) (*http.Response, error) {
	call := newCall(c.client.t, r)
	call.alone = true
	resp, err := call.doOn(c.client)
	if err != nil {
		call.closeBody()
		return nil, err
	}
	return resp, nil
}

// doOn sends the request on cc.
func (c *call) doOn(cc *clientConn) (*http.Response, error) {
	if err := c.prepare(); err != nil {
		return nil, err
	}
	if ctx := c.r.Context(); ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !cc.begin() {
		return nil, &unprocessedError{cc.gone()}
	}
	if c.r.Close {
		cc.leave()
	}
	x := c.send(cc)
	resp, err := c.receive(cc, x)
	if err == nil {
		c.giveBack()
		x.handOver(resp)
	}
	return resp, err
}

// gone returns why c takes no requests, or nil if it takes them.
func (c *clientConn) gone() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.leaving {
		return errGoAway
	}
	return c.err
}

type confirmedKey struct{}

// WithoutEarlyData returns a context for requests that are not to be sent before the handshake is
// complete, because somebody may replay them (RFC 8470).
func WithoutEarlyData(ctx context.Context) context.Context {
	return context.WithValue(ctx, confirmedKey{}, true)
}

type tooEarlyKey struct{}

// WithTooEarly returns a context for requests whose caller sees a 425 (Too Early) to early data. By
// default the request is sent again after the handshake (RFC 8470, Section 5.2).
func WithTooEarly(ctx context.Context) context.Context {
	return context.WithValue(ctx, tooEarlyKey{}, true)
}

func withTooEarly(ctx context.Context) bool { return ctx.Value(tooEarlyKey{}) != nil }

func withoutEarlyData(ctx context.Context) bool { return ctx.Value(confirmedKey{}) != nil }
