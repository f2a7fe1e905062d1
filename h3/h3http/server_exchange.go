package h3http

import (
	"net/http"
	"time"

	"github.com/lazoquic/lazo/h3"
)

// A serverExchange is an exchange of a Server: a request that a handler answers. It begins when the
// header section has come.
type serverExchange struct {
	exchange
	server *serverConn
	stall  stall
	next   *serverExchange // that waits for a goroutine: see crew

	// What the goroutine of the request needs is here so that it takes no memory of its own.
	arrival  arrival
	request  http.Request
	ctx      handlerContext // of request
	body     body
	response response
	room     *fieldRoom // lent by the crew until the stream is released
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
		x.release()
	}
	if x.stream != nil {
		c.watchStall(now, x)
	}
}

// release releases the stream. The handler has returned. The caller has locked x.
func (x *serverExchange) release() {
	c := x.server
	c.release(&x.exchange)
	c.crew.giveBack(x.room)
	x.room = nil
}

func (x *serverExchange) gotHead([]h3.Field) bool { return false }
func (x *serverExchange) lost(err error) error    { return err }
func (x *serverExchange) stopWaiting(err error)   { x.ctx.end(err) }
