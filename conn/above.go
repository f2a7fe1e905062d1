package conn

import "github.com/lazoquic/lazo/internal/memory"

// Layers above package conn keep bytes of connections, too: in buffers between a stream and its
// reader or writer, in requests that wait for an answer. They count in the same account (see
// pressure.go), so that one limit holds for all.

// Hold counts n more bytes that a layer above keeps for the connection, or fewer if n is negative.
// They count against [EndpointConfig.MaxBuffered]. Count whole buffers as they come and go, not
// single bytes.
//
// Hold does not fail. When memory is short, a layer above leaves what the peer sends in the
// connection, where flow control stops the peer. It also lets writers wait. [Endpoint.BufferRoom]
// says when. If all together still exceed the limit, the connection that holds most ends.
//
// Once the connection has ended, nothing counts for it any more, and Hold does nothing. Count what
// is kept beyond that with [Endpoint.Hold].
func (c *Conn) Hold(n int64) {
	c.e.rec.call(callHold, c.serial, uint64(n))
	if c.closed {
		return
	}
	n = max(n, -c.above)
	c.above += n
	c.e.above += n
	c.memory.Charge(n)
}

// Hold is Conn.Hold for bytes of connections that have ended, or of no connection. They count until
// they are taken back.
func (e *Endpoint) Hold(n int64) {
	e.rec.call(callEndpointHold, uint64(n))
	e.above += n
	e.memory.Charge(n)
}

// releaseAbove stops counting what layers above keep for a connection that has ended.
func (c *Conn) releaseAbove() {
	c.memory.Release(c.above)
	c.e.above -= c.above
	c.above = 0
}

// Held returns how many bytes count against [EndpointConfig.MaxBuffered] now. It is the Held of
// Stats, and costs little.
func (e *Endpoint) Held() int64 { return e.memory.Used() }

// BufferRoom returns how many bytes a buffer of a layer above may hold now, if it may hold most
// while there is much room. It is less than most once a quarter of [EndpointConfig.MaxBuffered] is
// used, and least once half of it is. A least of 4096 bytes or more lets each stream go on,
// whatever others hold.
func (e *Endpoint) BufferRoom(most, least int) int {
	return memory.Share(most, least, e.memory.Used(), e.cfg.MaxBuffered)
}
