package h3http

import (
	"context"
	"net/url"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/loop"
)

// An Extension is what a protocol that shares connections with HTTP/3, such as WebTransport, knows
// of one of them: see Extend of Server and of Transport. Its methods run on the loop's goroutine
// and must not block.
type Extension interface {
	// HandleHTTP gets the events of HTTP/3 that belong to no request. Among them are
	// [h3.EventSettings], and [h3.EventStream] for streams of h3.Config.StreamTypes.
	HandleHTTP(now time.Time, ev h3.Event)

	// HandleEvent gets the events of QUIC that are not only HTTP/3's, such as those of the
	// extension's own streams. The last one is [conn.EventClosed].
	HandleEvent(now time.Time, ev conn.Event)
}

// extend passes ev to the extension, if there is one. ours says that ev concerns only HTTP/3.
func (c *connection) extend(now time.Time, ev conn.Event, ours bool) {
	if c.extension != nil && (!ours || ev.Kind == conn.EventClosed) {
		c.extension.HandleEvent(now, ev)
	}
}

// Preconnect connects to the host of u, unless there is a connection already, and returns the
// connection. Requests to the host take it while it lasts.
func (t *Transport) Preconnect(ctx context.Context, u *url.URL) (*loop.Conn, error) {
	addr, err := dialAddr(u)
	if err != nil {
		return nil, err
	}
	c, _, err := t.get(ctx, target{origin: addr}, false)
	if err != nil {
		return nil, err
	}
	c.unbegin()
	return c.handle, nil
}
