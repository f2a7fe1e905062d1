package h3http

import "sync"

// fieldRooms are memory for the header sections of a Transport, for reuse. Any goroutine may use
// them.
type fieldRooms struct{ pool sync.Pool }

// get lends memory until put.
func (p *fieldRooms) get() *fieldRoom {
	if r, ok := p.pool.Get().(*fieldRoom); ok {
		return r
	}
	return new(fieldRoom)
}

// put takes memory back that nobody uses any more. It may be nil.
func (p *fieldRooms) put(r *fieldRoom) {
	if r != nil {
		clear(r[:])
		p.pool.Put(r)
	}
}
