package h3http

import (
	"time"

	"github.com/lazoquic/lazo/h3"
)

// A serverExchange is an exchange of a Server: a request that a handler answers. The header
// section has come before it begins.
type serverExchange struct {
	exchange
	server *serverConn
	stall  stall
}

var _ half = (*serverExchange)(nil)

// service implements half. The stream is given back, which gives the client credit
// for another one, once the handler has returned and the response has arrived or
// cannot: running handlers are bounded by the streams, however fast these are reset.
func (x *serverExchange) service(now time.Time) {
	c := x.server
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stream != nil && x.advance(now) && x.done && x.delivered() {
		c.release(&x.exchange)
	}
	if x.stream != nil {
		c.watchStall(now, x)
	}
}

func (x *serverExchange) gotHead([]h3.Field) bool { return false }
func (x *serverExchange) stopWaiting()            {}
func (x *serverExchange) lost(err error) error    { return err }
