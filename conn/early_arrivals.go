package conn

import (
	"net/netip"
	"slices"
	"time"

	"github.com/lazoquic/lazo/internal/timerheap"
)

// A server keeps 0-RTT packets that have overtaken the Initial of their connection until that comes
// (RFC 9000, Section 5.2.2 [5]). Anybody can send such packets, so there is little of everything,
// and what is there is never pushed out by what comes later. For each connection ID the bounds are
// those of the packets that wait in a connection, where these go.
const (
	earlyTime       = 100 * time.Millisecond // for which they are kept: reordering, not loss
	maxEarlyIDs     = 32                     // connection IDs
	maxEarlyOfHost  = 4                      // connection IDs, from one IP address or IPv6 network
	maxEarlyBytes   = 512 << 10              // in all
	earlyCost       = 256                    // bytes that count for each connection ID
	earlyRoomNeeded = 16                     // one part in so many of MaxBuffered has to be free
)

// An earlyArrival is the packets that came for one connection ID.
type earlyArrival struct {
	id      ConnID
	remote  netip.AddrPort
	came    instant // the first of them
	packets waitingPackets
}

// earlyArrivals holds 0-RTT packets of connections that are not there, the oldest first.
type earlyArrivals struct {
	list  []earlyArrival
	held  int64 // bytes that count
	timer timerheap.Item[timed]
	// The last client without a token was not taken: it has to prove its address, or to go away.
	// Then the packets of most others would wait for nothing.
	off bool
}

// keepEarly keeps a 0-RTT packet that belongs to no connection, and reports whether it did.
func (e *Endpoint) keepEarly(now instant, a *arrival, dcid []byte) bool {
	id, ok := ConnIDFromSlice(dcid)
	s := e.cfg.Server
	if !ok || s == nil || e.stopped || e.early.off || len(dcid) < minClientDCID ||
		!s.Enable0RTT && e.cfg.ConfigForClient == nil {
		return false
	}
	e.expireEarly(now)
	need := int64(len(a.data)) + waitingCost + earlyCost
	if e.early.held+need > maxEarlyBytes || e.memory.Room() < max(need, e.cfg.MaxBuffered/earlyRoomNeeded) {
		return false
	}
	i := slices.IndexFunc(e.early.list, func(x earlyArrival) bool { return x.id == id })
	if i < 0 {
		if i = len(e.early.list); i >= maxEarlyIDs || e.early.from(a.remote) >= maxEarlyOfHost {
			return false
		}
		e.early.list = append(e.early.list, earlyArrival{id: id, remote: a.remote, came: now})
		e.countEarlyHeld(earlyCost)
		e.setEarlyTimer()
	}
	x := &e.early.list[i]
	if x.remote != a.remote || !x.packets.add(now, Packet0RTT, a.data, a) {
		return false
	}
	e.countEarlyHeld(int64(len(a.data)) + waitingCost)
	e.stats.EarlyPacketsKept++
	return true
}

// from counts the connection IDs that the host of an address has sent.
func (q *earlyArrivals) from(remote netip.AddrPort) (n int) {
	host := hostOf(remote)
	for i := range q.list {
		if hostOf(q.list[i].remote) == host {
			n++
		}
	}
	return n
}

// hostOf returns what one host can take all addresses of: an IPv4 address, or an IPv6 network.
func hostOf(a netip.AddrPort) netip.Prefix {
	bits := 32
	if a.Addr().Is6() {
		bits = 64
	}
	p, _ := a.Addr().Prefix(bits)
	return p
}

// takeEarly gives a new connection the packets that came before its Initial from the same address.
func (e *Endpoint) takeEarly(now instant, c *Conn, id ConnID, remote netip.AddrPort) {
	if len(e.early.list) == 0 {
		return
	}
	e.expireEarly(now)
	i := slices.IndexFunc(e.early.list, func(x earlyArrival) bool { return x.id == id && x.remote == remote })
	if i < 0 {
		return
	}
	taken := e.early.list[i].packets.list
	e.dropEarly(i, i+1)
	for j := range taken {
		if c.closed {
			e.stats.DroppedUnroutable += uint64(len(taken) - j)
			return
		}
		a := &taken[j].at
		a.data, a.waited = taken[j].data, now.sub(taken[j].came)
		c.receive(now, a)
	}
}

// expireEarly drops what nobody has asked for in time.
func (e *Endpoint) expireEarly(now instant) {
	n := 0
	for n < len(e.early.list) && now.sub(e.early.list[n].came) >= earlyTime {
		e.stats.DroppedUnroutable += uint64(len(e.early.list[n].packets.list))
		n++
	}
	if n > 0 {
		e.dropEarly(0, n)
	}
}

// dropAllEarly makes room for others.
func (e *Endpoint) dropAllEarly() {
	if len(e.early.list) == 0 {
		return
	}
	for i := range e.early.list {
		e.stats.DroppedUnroutable += uint64(len(e.early.list[i].packets.list))
	}
	e.dropEarly(0, len(e.early.list))
}

// dropEarly forgets the connection IDs from i on, up to j.
func (e *Endpoint) dropEarly(i, j int) {
	for k := i; k < j; k++ {
		e.countEarlyHeld(-earlyCost - e.early.list[k].packets.held())
	}
	e.early.list = slices.Delete(e.early.list, i, j)
	e.setEarlyTimer()
}

func (e *Endpoint) countEarlyHeld(n int64) {
	e.early.held += n
	e.memory.Charge(n)
}

// setEarlyTimer sets the timer by the oldest packets.
func (e *Endpoint) setEarlyTimer() {
	if len(e.early.list) == 0 {
		e.timers.Remove(&e.early.timer)
		return
	}
	e.early.timer.Value = earlyTimer{e}
	e.timers.Set(&e.early.timer, int64(e.early.list[0].came.add(earlyTime)))
}

// An earlyTimer drops what is too old.
type earlyTimer struct{ e *Endpoint }

func (t earlyTimer) onTimeout(now instant) { t.e.expireEarly(now) }
