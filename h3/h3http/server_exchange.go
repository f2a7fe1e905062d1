package h3http

import (
	"errors"
	"io"
	"time"

	"github.com/lazoquic/lazo/h3"
)

// A serverExchange is an exchange of a Server: a request that a handler answers. It begins when the
// header section has come.
//
// Most exchanges serve one request after another, each by a response of its own: what a handler may
// keep is new with each request, and the rest is not. Whoever comes from a handler finds by turn
// whether its request is over. That holds for the goroutines that a handler has left behind.
type serverExchange struct {
	exchange
	s *Server

	server  *serverConn
	w       *response
	stall   stall
	next    *serverExchange // that waits for a goroutine: see crew
	arrival arrival
	through bool      // the goroutine that has called the handler is; mu guards it
	room    fieldRoom // for the fields of the request, and then for those of the response
}

var _ half = (*serverExchange)(nil)

// begin makes x the exchange of the request that e has brought on c.
func (x *serverExchange) begin(c *serverConn, e h3.Event) {
	x.server = c
	x.arrival = arrival{end: e.End, tls: c.tlsState(e.Stream), remote: c.remoteAddr()}
	x.arrival.fields = append(x.room[:0], e.Fields...)
	x.w = &response{x: x, turn: x.turn}
	x.init(&c.connection, x)
	c.bind(&x.exchange, e.Stream)
	x.arrival.cost = requestCost + fieldsCost(e.Fields)
	x.charge(x.arrival.cost)
	if e.End {
		x.in.end(io.EOF)
	}
}

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

// release releases the stream, and keeps the exchange for another request if it can. The handler
// has returned. The caller has locked x.
func (x *serverExchange) release() {
	c := x.server
	c.release(&x.exchange)
	x.turn++
	if x.reusable() {
		x.clear()
		c.crew.keep(x)
	}
}

// reusable reports whether only late goroutines of the handler know x, none of which waits for
// anything in it. That is so after most requests. The caller has locked x.
func (x *serverExchange) reusable() bool {
	return x.through && x.sleepers == 0 && x.life.failure == nil && x.dg == nil && x.in.kept == 0 &&
		!x.in.deadline.InUse() && !x.out.deadline.InUse() && !x.c.mayLookAt(&x.exchange)
}

// clear makes x new, but for what others may look at: the lock and turn. The caller has locked x.
func (x *serverExchange) clear() {
	x.bodyPipe.clear()
	x.life, x.id = requestLife{}, 0
	x.server, x.w, x.stall, x.arrival, x.through = nil, nil, stall{}, arrival{}, false
	clear(x.room[:])
}

func (x *serverExchange) gotHead([]h3.Field) bool { return false }
func (x *serverExchange) lost(err error) error    { return err }
func (x *serverExchange) consumed()               {}

// stopWaiting implements half. That a handler has set more fields than the client takes is seen
// nowhere else: the handler has returned, as a rule.
func (x *serverExchange) stopWaiting(err error) {
	if errors.Is(err, h3.ErrFieldsTooLarge) {
		x.s.logger().Error("h3http: header or trailers larger than the client takes", "remote", x.arrival.remote)
	}
	x.w.ctx.end(err)
}
