package main

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
)

// tableSize is the number of slots of a maglev. It is a prime, and far above maxBackends, so that
// shares are even within a few percent.
const tableSize = 65_537

// maxBackends bounds what a file may name.
const maxBackends = 500

// A maglev maps hashes to backends. When a backend joins or leaves, few other hashes move. Each
// balancer that has the same backends has the same table ("Maglev: A Fast and Reliable Software
// Network Load Balancer", Section 3.4).
type maglev struct {
	backends []*backend
	slots    []uint16 // indexes of backends
}

// newMaglev makes the table. The order of backends does not matter, but they are sorted by address.
func newMaglev(backends []*backend) *maglev {
	m := &maglev{backends: backends}
	if len(backends) == 0 {
		return m
	}
	const free = 1<<16 - 1
	m.slots = make([]uint16, tableSize)
	for i := range m.slots {
		m.slots[i] = free
	}
	// Each backend has a permutation of the slots: offset, offset+skip, offset+2*skip and so on. In
	// turn each takes the first slot of its own that is still free.
	next, skip := make([]uint64, len(backends)), make([]uint64, len(backends))
	for i, b := range backends {
		h := hashAddr(b.addr)
		next[i], skip[i] = h%tableSize, mix(h)%(tableSize-1)+1
	}
	for taken := 0; ; {
		for i := range backends {
			for m.slots[next[i]] != free {
				next[i] = (next[i] + skip[i]) % tableSize
			}
			m.slots[next[i]] = uint16(i)
			if taken++; taken == tableSize {
				return m
			}
		}
	}
}

// find returns the backend of a hash; nil if there is none at all.
func (m *maglev) find(hash uint64) *backend {
	if len(m.slots) == 0 {
		return nil
	}
	return m.backends[m.slots[hash%tableSize]]
}

// hashID hashes a connection ID. It has no secret, so that all balancers agree.
func hashID(id []byte) uint64 {
	h := fnv.New64a()
	h.Write(id)
	return mix(h.Sum64())
}

// hashAddr hashes an address.
func hashAddr(a netip.AddrPort) uint64 {
	b := a.Addr().As16()
	h := fnv.New64a()
	h.Write(b[:])
	h.Write(binary.BigEndian.AppendUint16(b[:0], a.Port()))
	return mix(h.Sum64())
}

// mix makes each bit of the result depend on all bits of h.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
