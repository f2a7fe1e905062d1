package h3

import "github.com/lazoquic/lazo/conn"

// Expects reports whether the request stream id is open, or yet to come. What refers
// to a request and overtakes it, as streams of WebTransport may, is worth keeping as long.
func (c *Conn) Expects(id conn.StreamID) bool {
	return c.streams[id] != nil || c.server && id >= c.nextRequest
}
