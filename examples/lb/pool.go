package main

import (
	"net/netip"
	"slices"

	"github.com/lazoquic/lazo/conn"
)

// A backend is a server. It stays the same object as long as its address is in the file.
type backend struct {
	addr netip.AddrPort
}

// A member is a backend in a pool, and what is known of it now.
type member struct {
	*backend
	serverIDs [][]byte
	drain     bool // keeps its connections, and gets no new ones
	health    health
}

// A pool decides which backend gets a datagram. It never changes: when a backend joins, drains,
// leaves, dies or comes back, another pool takes its place.
type pool struct {
	decoder   decoder
	members   map[*backend]*member
	byID      map[string]*member
	newcomers *maglev // backends that get new connections
	byAddress bool    // look at addresses alone, as balancers do that know nothing of QUIC
}

// A decoder reads the connection IDs that servers issue. It is a *quiclb.Decoder or a
// quiclb.KatranDecoder.
type decoder interface {
	ServerID(dst, cid []byte) (sid []byte, ok bool)
	Len(b []byte) int
}

// newPool makes a pool. If no member is fit to get new connections, those get them that are silent,
// then those that drain, and then those that are dead, since the checks may be wrong.
func newPool(decoder decoder, members []*member, byAddress bool) *pool {
	p := &pool{decoder: decoder, members: make(map[*backend]*member), byID: make(map[string]*member), byAddress: byAddress}
	for _, m := range members {
		p.members[m.backend] = m
		for _, id := range m.serverIDs {
			p.byID[string(id)] = m
		}
	}
	for _, fit := range []func(*member) bool{
		func(m *member) bool { return !m.drain && m.health == well },
		func(m *member) bool { return !m.drain && m.health != dead },
		func(m *member) bool { return m.health != dead },
		func(m *member) bool { return !m.drain },
		func(m *member) bool { return true },
	} {
		var fits []*backend
		for _, m := range members {
			if fit(m) {
				fits = append(fits, m.backend)
			}
		}
		if len(fits) > 0 {
			slices.SortFunc(fits, func(a, b *backend) int { return a.addr.Compare(b.addr) })
			p.newcomers = newMaglev(fits)
			return p
		}
	}
	p.newcomers = newMaglev(nil)
	return p
}

// A reason says why a datagram goes where it goes.
type reason int

const (
	byServerID reason = iota // its connection ID names the server
	byOrphan                 // the same, but that server is dead: another answers with a reset
	byNewID                  // the connection ID is one that a client has chosen
	byFlow                   // nothing names a server, but the client's last datagram went there
	byClient                 // nothing is known but the client's address
	reasons
)

// unroutable are the first three bits of IDs of servers that have no configuration
// (draft-ietf-quic-load-balancers, Section 3.2).
const unroutable = 7

// pick chooses the backend of a datagram from a client, whose last datagram went to last, or nil.
// It returns nil if there are no backends. It looks at nothing but what all versions of QUIC have
// in common (RFC 8999), and does not care whether the datagram is QUIC. It overwrites scratch.
func (p *pool) pick(datagram []byte, client netip.AddrPort, last *backend, scratch *[64]byte) (*backend, reason) {
	if p.byAddress {
		return p.newcomers.find(hashAddr(client)), byClient
	}
	h, ok := conn.ParseHeader(datagram, p.decoder.Len)
	if ok {
		if sid, ok := p.decoder.ServerID(scratch[:0], h.DCID); ok {
			if m := p.byID[string(sid)]; m != nil && m.health != dead {
				return m.backend, byServerID
			} else if m != nil {
				return p.newcomers.find(hashID(h.DCID)), byOrphan
			}
		}
	}
	if ok && h.Long && len(h.DCID) > 0 && h.DCID[0]>>5 != unroutable {
		return p.newcomers.find(hashID(h.DCID)), byNewID
	}
	if m := p.members[last]; m != nil && m.health != dead {
		return last, byFlow
	}
	if ok && h.Long && len(h.DCID) > 0 {
		return p.newcomers.find(hashID(h.DCID)), byNewID
	}
	return p.newcomers.find(hashAddr(client)), byClient
}
