package quic

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/udpio"
)

// A visit is a path of a connection from the socket of another Transport, its host. The connection
// stays with the loop of its own Transport, its home. What it sends from there, the loop of the
// home passes to that of the host. What comes to the host from the server of the connection, and
// belongs to no connection of the host, the loop of the host passes to that of the home.
type visit struct {
	home, host *Transport
	server     netip.AddrPort // guarded by host.visits
	c          *Conn
}

// newVisit begins a visit. Without end it lasts as long as the connection.
func newVisit(p *Path) *visit {
	v := &visit{home: p.c.t, host: p.t, server: unmapped(p.c.lc.RemoteAddr()), c: p.c}
	if v.home != v.host {
		v.home.visits.add(v)
		v.host.visits.add(v)
	}
	return v
}

// follow notes where the server is now: a server may prefer another address than that of the
// handshake (RFC 9000, Section 9.6).
func (v *visit) follow(server netip.AddrPort) {
	vs := &v.host.visits
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if server = unmapped(server); v.server != server {
		v.server = server
		vs.index()
	}
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// end ends the visit. A second call does nothing.
func (v *visit) end() {
	v.host.visits.remove(v)
	v.home.visits.remove(v)
}

// visits are those that connections of a Transport make, and those that it receives.
type visits struct {
	mu  sync.Mutex
	all []*visit

	hosts  atomic.Pointer[map[netip.AddrPort]*Transport] // of its connections, by their addresses
	guests atomic.Pointer[map[netip.AddrPort][]*visit]   // by the addresses of their servers
}

func (vs *visits) add(v *visit) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	vs.all = append(vs.all, v)
	vs.index()
}

func (vs *visits) remove(v *visit) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	vs.all = slices.DeleteFunc(vs.all, func(x *visit) bool { return x == v })
	vs.index()
}

// index makes the maps anew. The caller holds vs.mu.
func (vs *visits) index() {
	if len(vs.all) == 0 {
		vs.hosts.Store(nil)
		vs.guests.Store(nil)
		return
	}
	hosts, guests := make(map[netip.AddrPort]*Transport), make(map[netip.AddrPort][]*visit)
	for _, v := range vs.all {
		if &v.home.visits == vs {
			hosts[v.host.address()] = v.host
		} else if !slices.ContainsFunc(guests[v.server], func(x *visit) bool { return x.home == v.home }) {
			guests[v.server] = append(guests[v.server], v)
		}
	}
	vs.hosts.Store(&hosts)
	vs.guests.Store(&guests)
}

// host returns the host that has the address local, or nil.
func (vs *visits) host(local netip.AddrPort) *Transport {
	if hosts := vs.hosts.Load(); hosts != nil {
		return (*hosts)[local]
	}
	return nil
}

// leave ends the visits of a connection.
func (vs *visits) leave(c *Conn) {
	for _, v := range vs.list() {
		if v.c == c {
			v.end()
		}
	}
}

// evict ends the visits that t receives. Connections that are there end with err: their packets
// would come to nothing.
func (vs *visits) evict(t *Transport, err error) {
	for _, v := range vs.list() {
		if v.host != t {
			continue
		}
		if v.c.at() == t {
			v.c.abandon(err)
		}
		v.end()
	}
}

func (vs *visits) list() []*visit {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return slices.Clone(vs.all)
}

// address returns the address of the socket, in the form that local addresses of connections have.
func (t *Transport) address() netip.AddrPort {
	return unmapped(t.group.LocalAddr())
}

// elsewhere is conn.EndpointConfig.Elsewhere.
func (t *Transport) elsewhere(_ time.Time, d conn.Datagram) bool {
	if t.visits.host(d.Local) != nil {
		return true // a host has passed it on, for a connection that has ended
	}
	guests := t.visits.guests.Load()
	if guests == nil {
		return false
	}
	list := (*guests)[d.Remote]
	for _, v := range list {
		d.Local = t.address()
		v.home.group.Receive(d) // what finds no room is lost, as in a network
	}
	return len(list) > 0
}

// A visitingSocket is the socket of a Transport. What its connections send from hosts leaves there.
type visitingSocket struct {
	*udpio.Socket
	visits *visits
}

// WriteBatch is that of loop.Backend.
func (s visitingSocket) WriteBatch(ms []udpio.Message) (n int, err error) {
	if s.visits.hosts.Load() == nil {
		return s.Socket.WriteBatch(ms)
	}
	for n < len(ms) {
		if host := s.visits.host(ms[n].Local); host != nil {
			host.loop.Send(ms[n]) // if the host has closed, it is lost
			n++
			continue
		}
		end := n + 1
		for end < len(ms) && s.visits.host(ms[end].Local) == nil {
			end++
		}
		sent, err := s.Socket.WriteBatch(ms[n:end])
		if n += sent; err != nil || n < end {
			return n, err
		}
	}
	return n, nil
}
