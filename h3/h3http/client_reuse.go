package h3http

import (
	"net/http"
	"sync"
)

// This file uses the exchanges of a Transport again. What the caller of a Transport may keep is new
// with each response: see answer.

// A clientExchanges is exchanges of a Transport that carry no request. Any goroutine may use it.
type clientExchanges struct{ pool sync.Pool }

func (p *clientExchanges) get() *clientExchange {
	if x, ok := p.pool.Get().(*clientExchange); ok {
		return x
	}
	return new(clientExchange)
}

// handOver says that the caller of the Transport gets resp.
func (x *clientExchange) handOver(resp *http.Response) {
	if resp.Body == http.NoBody {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.consumed()
	}
}

// consumed implements half.
func (x *clientExchange) consumed() {
	x.read = true
	x.retire()
}

// left notes that the loop is through with x. queued says that it will look at x nevertheless. The
// caller has locked x, and does nothing with it afterwards but unlock it, unless x has failed.
func (x *clientExchange) left(queued bool) {
	x.over = true
	x.known = x.known || queued
	x.retire()
}

// retire keeps x for another request, maybe on another connection, if nobody knows it any more but
// the body of a response that has ended. That finds by turn that x is no longer its own. The caller
// has locked x.
func (x *clientExchange) retire() {
	if !x.over || !x.read || x.known || x.bare || x.sleepers > 0 || x.life.failure != nil || x.dg != nil || x.in.kept > 0 {
		return
	}
	t := x.client.t
	x.turn++
	x.bodyPipe.clear()
	x.life, x.id, x.unheard = requestLife{}, 0, false
	x.clientState = clientState{}
	t.exchanges.pool.Put(x)
}
