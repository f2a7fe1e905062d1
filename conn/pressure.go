package conn

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/lazoquic/lazo/internal/stream"
)

// One account counts all that peers make an Endpoint keep, against EndpointConfig.MaxBuffered.
// Chunks of streams and CRYPTO data, and the gaps in them, count as they come and go. What has a
// fixed size counts when it is made. The rest counts when a connection has done something (settle).
// Each connection has an account of its own within that of the Endpoint.
//
// At the limit nothing more is kept. What a packet brings is refused and the packet is not
// acknowledged, so it comes again later. Datagrams are dropped, Write takes nothing, and new
// connections are not accepted. Those who hold much must not keep out those who hold little: if a
// connection that needs no more than an equal share finds no room, the one that holds most ends.

// Bytes that count for what has a fixed size, maps and what lies behind pointers included.
const (
	connCost      = 10 << 10 // a connection, its connection IDs, paths and limits
	handshakeCost = 24 << 10 // more during its handshake: crypto/tls and its goroutine
	laneCost      = 4 << 10  // a path of multipath besides the first one
	streamCost    = 1 << 10  // a stream, and its events in the queue
	closedCost    = 1 << 10  // what remains of a closed connection, without its datagram
)

// reserveShare says how large a part of EndpointConfig.MaxBuffered is for what cannot be refused:
// one part in reserveShare. That is what is known of packets sent, handshakes in progress, and what
// remains of closed connections. If it is not enough, the connection that holds most ends.
const reserveShare = 16

// errNoRoom refuses what a frame brings: there is no memory for it now.
var errNoRoom = errors.New("conn: no room")

// settle counts what the connection holds that is not counted as it grows.
func (c *Conn) settle() {
	n := c.measure()
	c.memory.Charge(n - c.measured)
	c.measured = n
}

// measure returns the bytes of what settle counts.
func (c *Conn) measure() (n int64) {
	for _, sp := range c.spaces {
		if sp != nil {
			n += int64(sp.sent.bytes())
		}
	}
	if c.multi != nil {
		n += c.multi.held()
	}
	n += c.waiting.held() + c.tls.held()
	if d := c.datagrams; d != nil {
		n += d.send.bytes + d.recv.bytes
	}
	return n + int64(len(c.token)+len(c.control.token))
}

// mayHold reports whether there is room for n bytes of a stream.
// RFC 9000, Section 21.6 [1].
func (c *Conn) mayHold(n int) bool {
	need := int64(n) + 2*stream.ChunkSize + gapCost
	return c.memory.Room() >= need || c.e.makeRoom(c, need)
}

// gapCost is what a gap takes, in bytes, where the list of gaps does not grow.
const gapCost = 16

// mayHoldStreams reports whether there is room for n more streams.
func (c *Conn) mayHoldStreams(n uint64) bool {
	need := int64(min(n, maxLimit/streamCost)) * streamCost
	return c.memory.Room() >= need || c.e.makeRoom(c, need)
}

// mayHoldConn reports whether there is room for another connection.
func (e *Endpoint) mayHoldConn() bool {
	const need = connCost + handshakeCost
	return e.memory.Room() >= need || e.makeRoom(nil, need)
}

// makeRoom makes room for need more bytes of c, or of a new connection if c is nil, and reports
// whether it is there now. Connections that close give their bytes back a little later.
func (e *Endpoint) makeRoom(c *Conn, need int64) bool {
	e.dropAllEarly()
	for !e.lingering.Empty() && e.memory.Room() < need {
		e.lingering.First().forget() // late packets to it are answered with stateless resets
	}
	if e.memory.Room() >= need {
		return true
	}
	if c == nil {
		e.knocked = e.now
	}
	e.relieve(e.now)
	if c == nil {
		return e.memory.Room() >= need
	}
	if !c.closed && e.memory.Room()+e.leaving < need {
		e.endGreediest(c, need)
	}
	return !c.closed && e.memory.Room() >= need
}

// vainTime is how long nobody is looked for after a look at all connections in vain. Otherwise each
// packet that finds no room could cost one, where all have about an equal share.
const vainTime = 50 * time.Millisecond

// endGreediest ends the connection that holds most, if c would hold no more than an equal share
// with need more bytes.
func (e *Endpoint) endGreediest(c *Conn, need int64) {
	share := e.cfg.MaxBuffered / int64(max(e.stats.Conns, 1))
	if c.memory.Used()+need > share || e.vain != 0 && e.now.sub(e.vain) < vainTime {
		return
	}
	e.vain = 0
	if most := e.greediest(); most != c && most.memory.Used() > share {
		most.abort(errors.New("memory is short, and this connection holds most"))
	} else {
		e.vain = e.now
	}
}

// keepLimit ends connections, those that hold most first, while all together hold more than they
// may.
func (e *Endpoint) keepLimit() {
	for e.memory.Used()-e.leaving > e.cfg.MaxBuffered && e.first != nil {
		e.greediest().abort(errors.New("memory is short, and this connection holds most"))
	}
}

// greediest returns the connection that holds most; there must be one.
func (e *Endpoint) greediest() *Conn {
	most := e.first
	for c := e.first; c != nil; c = c.next {
		e.looked++
		if c.memory.Used() > most.memory.Used() {
			most = c
		}
	}
	return most
}

// starve notes that the connection waits for room to write.
func (c *Conn) starve() {
	c.e.makeRoom(c, 2*stream.ChunkSize)
	if !c.starved && !c.closed {
		c.starved = true
		c.e.starved = append(c.e.starved, c)
	}
}

// feed tells those who wait for room to write that there is some.
func (e *Endpoint) feed() {
	if e.memory.Room() < e.cfg.MaxBuffered/16 {
		return
	}
	starved := e.starved
	e.starved = nil
	for _, c := range starved {
		c.starved = false
		if c.closed {
			continue
		}
		for _, s := range c.streams.inOrder() {
			if s.flags&flagWantWrite != 0 && s.Available() > 0 {
				s.writable()
			}
		}
		if d := c.datagrams; d != nil && d.wantWrite {
			d.wantWrite = false
			c.eventOnce(EventDatagramWritable)
		}
	}
}

// inOrder returns the streams in the order of their IDs.
func (t *streamSet) inOrder() []*Stream {
	return slices.SortedFunc(maps.Values(t.all), func(a, b *Stream) int { return cmp.Compare(a.id, b.id) })
}

// A connection is stalled if in stallTime less than 1/stallShare of what it holds has moved on. If
// somebody wants to connect, who would give up after a few seconds, it is a quarter of both for
// those that hold more than an equal share.
const (
	stallTime  = 10 * time.Second
	stallShare = 8
	knockTime  = 2 * time.Second // how long somebody who found no room is remembered
)

// A progress is what relieve noted of a connection.
type progress struct {
	moved uint64  // bytes that had left our memory
	held  int64   // bytes in our memory
	since instant // when that was noted; 0 if never
}

// stalled reports whether less than 1/share of the held bytes has moved on for that long. moved
// bytes have left by now. What has come since is given the same time.
func (p *progress) stalled(now instant, moved uint64, held, share int64, long time.Duration) bool {
	if p.since == 0 || moved-p.moved >= uint64(held/share) || held > 2*p.held {
		p.moved, p.held, p.since = moved, held, now
		return false
	}
	return now.sub(p.since) >= long
}

// moved returns how many bytes have left our memory so far: those of streams that were read or
// acknowledged, and those of datagrams that were read or sent.
func (c *Conn) moved() uint64 {
	n := c.flow.consumed + c.flow.acked
	if d := c.datagrams; d != nil {
		n += d.moved
	}
	return n
}

// relieve ends stalled connections, those that hold most first, while all together hold more than
// they may. Otherwise those who fill the memory, and just keep their connections alive, would keep
// everybody else out. It looks around once a second at most.
func (e *Endpoint) relieve(now instant) {
	if e.relieved != 0 && now.sub(e.relieved) < time.Second {
		return
	}
	e.relieved = now
	type holder struct {
		c    *Conn
		held int64 // bytes
	}
	var stalled []holder
	share := e.cfg.MaxBuffered / int64(e.stats.Conns+1)
	hurry := e.knocked != 0 && now.sub(e.knocked) < knockTime
	for c := range e.Conns() {
		moved, held := c.moved(), c.memory.Used()
		long := c.progress.stalled(now, moved, held, stallShare, stallTime)
		if held <= share {
			c.lately = progress{} // its time begins when it holds more
		}
		short := c.lately.stalled(now, moved, held, 4*stallShare, stallTime/4)
		if long || hurry && short && held > share {
			stalled = append(stalled, holder{c, held})
		}
	}
	slices.SortStableFunc(stalled, func(a, b holder) int { return cmp.Compare(b.held, a.held) })
	over := e.memory.Used() - e.leaving - (e.cfg.MaxBuffered - e.cfg.MaxBuffered/stallShare)
	for _, h := range stalled {
		if over <= 0 {
			return
		}
		over -= h.held // what came is given back later, after EventClosed
		h.c.abort(errors.New("memory is short, and this connection is stalled"))
	}
}
