package h3http

import (
	"time"

	"github.com/lazoquic/lazo/h3"
)

// A serverExchange is an exchange of a Server: a request that a handler answers. It begins when the
// header section has come.
type serverExchange struct {
	exchange
	server *serverConn
	stall  stall
}

var _ half = (*serverExchange)(nil)

// service implements half. The stream is released, which lets the client open another one, once the
// handler has returned and the response has arrived or cannot arrive. So the limit of streams
// bounds the running handlers, however fast the client resets its streams.
func (x *serverExchange) service(now time.Time) {
	c := x.server
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stream != nil && x.advance(now) && x.closed && x.delivered() {
		c.release(&x.exchange)
	}
	if x.stream != nil {
		c.watchStall(now, x)
	}
}

func (x *serverExchange) gotHead([]h3.Field) bool { return false }
func (x *serverExchange) stopWaiting()            {}
func (x *serverExchange) lost(err error) error    { return err }
