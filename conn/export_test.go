package conn

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"
)

// CheckEmpty returns what an Endpoint whose connections have all ended, long ago, still has. now
// is no earlier than its last verb.
func (e *Endpoint) CheckEmpty(now time.Time) error {
	e.HandleTimeout(now) // a verb drops the streams of the last connection
	if s := e.Stats(); s.Conns != 0 || s.Handshakes != 0 || s.Buffered != 0 {
		return fmt.Errorf("%d connections, %d handshakes and %d bytes are left over", s.Conns, s.Handshakes, s.Buffered)
	}
	if n := e.memory.Used(); n != 0 || e.above != 0 || e.leaving != 0 || len(e.starved) != 0 {
		return fmt.Errorf("%d bytes are counted for nobody, %d are leaving", n, e.leaving)
	}
	if e.first != nil || e.last != nil || e.walks != nil || len(e.expired) != 0 {
		return fmt.Errorf("connections are in the list")
	}
	if !e.events.empty() || !e.output.empty() || !e.farewells.empty() || !e.answers.empty() || e.timers.Min() != nil {
		return fmt.Errorf("it has not come to rest: %v", e.Timeout())
	}
	return e.checkEmptyMaps()
}

// CheckMemory returns what of the account is not what is really held. The Endpoint is between two
// verbs.
func (e *Endpoint) CheckMemory() error {
	conns := map[*Conn]bool{}
	for c := e.first; c != nil; c = c.next {
		conns[c] = true
	}
	for i := e.events.head; i < e.events.tail; i++ {
		conns[e.events.buf[i&(len(e.events.buf)-1)].conn] = true
	}
	for _, c := range e.expired {
		conns[c] = true
	}
	all, chunks, leaving := int64(0), int64(0), int64(0)
	for c := range conns {
		held, inChunks := c.reallyHeld()
		if held != c.memory.Used() || c.measure() != c.measured {
			return fmt.Errorf("connection %v holds %d bytes, %d are counted; %d of %d in the rest",
				c.ID(), held, c.memory.Used(), c.measured, c.measure())
		}
		if c.closed {
			leaving += c.lastHeld
		}
		all, chunks = all+held, chunks+inChunks
	}
	for cc := e.lingering.First(); cc != nil; cc = cc.lingers.Next() {
		all += cc.cost()
	}
	for cc := e.farewells.head; cc != nil; cc = cc.next {
		if cc.gone {
			all += cc.cost()
		}
	}
	for i := range e.early.list {
		all += earlyCost + e.early.list[i].packets.held()
	}
	alone := e.above // what Endpoint.Hold counts
	for c := range conns {
		alone -= c.above
	}
	all += alone
	if all != e.memory.Used() || chunks != e.chunks.Used() || leaving != e.leaving {
		return fmt.Errorf("%d bytes are held, %d are counted; %d of %d in chunks; %d of %d are leaving",
			all, e.memory.Used(), e.chunks.Used(), chunks, e.leaving, leaving)
	}
	if h := e.Stats().HeldBy; h.EndedOrGaps < 0 {
		return fmt.Errorf("%+v is more than %d bytes", h, all)
	}
	if limit := e.cfg.MaxBuffered; all-leaving > limit {
		return fmt.Errorf("%d bytes are held, more than %d", all-leaving, limit)
	}
	return nil
}

// Leaving returns how many bytes count for connections that have closed.
func (e *Endpoint) Leaving() int64 { return e.leaving }

// reallyHeld returns how many bytes a connection holds, and how many of them in chunks.
func (c *Conn) reallyHeld() (all, chunks int64) {
	all = connCost + c.measure() + c.above
	if c.state == stateHandshake && !c.closed {
		all += handshakeCost
	}
	for _, s := range c.streams.all {
		all += streamCost + int64(s.in.Bytes()+s.out.Bytes())
		chunks += int64(s.in.Held() + s.out.Held())
	}
	for _, sp := range c.spaces {
		if sp != nil {
			all += int64(sp.cryptoIn.Bytes() + sp.cryptoOut.Bytes())
			chunks += int64(sp.cryptoIn.Held() + sp.cryptoOut.Held())
		}
	}
	return all, chunks
}

// endpointMaps are where the maps are in an Endpoint, and in the structs in it. No pointer is
// followed.
var endpointMaps = sync.OnceValue(func() [][]int { return mapsIn(reflect.TypeFor[Endpoint](), nil) })

// mapsIn returns the indexes of the maps in a struct, as [reflect.Value.FieldByIndex] takes them.
func mapsIn(t reflect.Type, path []int) (found [][]int) {
	switch t.Kind() {
	case reflect.Map:
		found = append(found, path)
	case reflect.Struct:
		for i := range t.NumField() {
			found = append(found, mapsIn(t.Field(i).Type, append(slices.Clone(path), i))...)
		}
	}
	return found
}

// checkEmptyMaps returns an error about a map in the Endpoint that has members.
func (e *Endpoint) checkEmptyMaps() error {
	v := reflect.ValueOf(e).Elem()
	for _, path := range endpointMaps() {
		if n := v.FieldByIndex(path).Len(); n > 0 {
			return fmt.Errorf("Endpoint.%s, or a map in it, has %d members", v.Type().Field(path[0]).Name, n)
		}
	}
	return nil
}

// heldInChunks returns how many bytes of chunks a connection holds.
func heldInChunks(c *Conn) int64 {
	_, chunks := c.reallyHeld()
	return chunks
}

// DamageReceivedStream changes a byte that a stream has for its reader, as a fault of the core
// would. It reports whether there is such a byte.
func DamageReceivedStream(e *Endpoint) bool {
	for c := range e.Conns() {
		for _, s := range c.streams.all {
			if b := s.in.Peek(&c.chunks, 1); len(b) > 0 {
				b[0] ^= 1
				return true
			}
		}
	}
	return false
}

// DamageReceivedDatagram is DamageReceivedStream for a received datagram.
func DamageReceivedDatagram(e *Endpoint) bool {
	for c := range e.Conns() {
		if d := c.datagrams; d != nil && d.recv.size > 0 {
			d.recv.front().b[0] ^= 1
			return true
		}
	}
	return false
}

// HandshakeDoneAgain makes the first connection of a server that has sent HANDSHAKE_DONE send
// another one. It reports whether there is such a connection.
func HandshakeDoneAgain(e *Endpoint) bool {
	for c := range e.Conns() {
		if c.server && !c.closed && c.state == stateConfirmed && !c.control.handshakeDone {
			c.control.handshakeDone, c.control.any = true, true
			c.wake()
			return true
		}
	}
	return false
}

// WatchRuns lets an endpoint of the configuration send without runs, or else count in packets what
// it sends in runs.
func (c *EndpointConfig) WatchRuns(off bool) (packets *int) {
	c.runs = &runWatch{off: off}
	return &c.runs.packets
}
