package loop

import "github.com/lazoquic/lazo/conn"

// Adopt makes a Stream of cs, which the Handler of the connection has had for itself
// so far. The Handler gets no more events of it and must not use it: it is as if
// OpenStream or AcceptStream had returned the Stream. What was read from cs stays so;
// nothing must have been written to it. Call Adopt on the loop's goroutine.
func (c *Conn) Adopt(cs *conn.Stream) *Stream {
	s := newStream(c, cs, cs.ID().ByServer() == c.c.Server())
	s.start() // data may have come before
	return s
}
