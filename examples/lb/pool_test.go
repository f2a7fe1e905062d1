package main

import (
	"bytes"
	"crypto/rand"
	"net/netip"
	"testing"

	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/internal/require"
)

// A site has servers that issue connection IDs of all three kinds, and a balancer's pool.
type site struct {
	members []*member
	configs []quiclb.Config // each of another kind
	pool    *pool
}

var client = netip.MustParseAddrPort("192.0.2.1:1234")

// newSite makes a site of n servers. Their IDs are in clear, encrypted in one pass, and in four.
func newSite(t *testing.T, n int) *site {
	s := &site{configs: []quiclb.Config{
		{ID: 0, ServerID: make([]byte, 2), NonceLen: 6},
		{ID: 1, ServerID: make([]byte, 2), NonceLen: 14, Key: &[16]byte{1}},
		{ID: 2, ServerID: make([]byte, 2), NonceLen: 5, Key: &[16]byte{2, 1: 7, 15: 9}},
	}}
	for i, b := range backends(n) {
		s.members = append(s.members, &member{backend: b, serverIDs: [][]byte{{1, byte(i)}}})
	}
	s.renew(t)
	return s
}

// renew makes the pool that follows from members.
func (s *site) renew(t *testing.T) {
	d, err := quiclb.NewDecoder(s.configs...)
	require.NoError(t, err)
	s.pool = newPool(d, s.members, false)
}

// id returns an ID that server i issues with a configuration.
func (s *site) id(t *testing.T, i, config int) []byte {
	cfg := s.configs[config]
	cfg.ServerID = s.members[i].serverIDs[0]
	source, err := quiclb.NewSource(cfg, rand.Reader)
	require.NoError(t, err)
	var b [20]byte
	return b[:source.Generate(&b)]
}

// pick asks the pool for the backend of a datagram, without a flow.
func (s *site) pick(datagram []byte) (*backend, reason) {
	return s.pool.pick(datagram, client, nil, new([64]byte))
}

func short(id []byte) []byte { return append(append([]byte{0x40}, id...), make([]byte, 30)...) }

// long makes a packet of a version that does not exist yet.
func long(dcid []byte) []byte {
	b := append([]byte{0xff, 0xfa, 0xce, 0xb0, 0x0c, byte(len(dcid))}, dcid...)
	return append(b, make([]byte, 1200)...)
}

// TestServerIDs: what has a server's ID goes there, whatever kind of ID and of header it has.
func TestServerIDs(t *testing.T) {
	s := newSite(t, 10)
	for config := range s.configs {
		for i, m := range s.members {
			for _, datagram := range [][]byte{short(s.id(t, i, config)), long(s.id(t, i, config))} {
				b, why := s.pick(datagram)
				require.Same(t, m.backend, b)
				require.Equal(t, byServerID, why)
			}
		}
	}
}

// TestChurn: connections that have a server ID stay where they are when others join, drain and
// leave, and when the configuration of IDs rotates.
func TestChurn(t *testing.T) {
	s := newSite(t, 10)
	var all [][]byte
	for i := range s.members {
		all = append(all, s.id(t, i, i%3))
	}
	check := func() {
		t.Helper()
		s.renew(t)
		for i, m := range s.members {
			b, _ := s.pick(short(all[i]))
			require.Same(t, m.backend, b)
		}
	}
	for _, m := range s.members {
		m.drain = true
		check()
	}
	joins := backends(11)[10]
	s.members, all = append(s.members, &member{backend: joins, serverIDs: [][]byte{{1, 10}}}), append(all, nil)
	all[10] = s.id(t, 10, 1)
	check()
	ids(1000, func(id []byte) { // all others drain
		b, why := s.pick(long(append([]byte{0x60}, id...)))
		require.Same(t, joins, b)
		require.Equal(t, byNewID, why)
	})
	s.members, all = s.members[1:], all[1:] // one leaves
	s.configs = append(s.configs, quiclb.Config{ID: 4, ServerID: make([]byte, 3), NonceLen: 9, Key: &[16]byte{3}})
	check()
}

// TestOrphans: the packets of a server that is down or gone go to one that is not.
func TestOrphans(t *testing.T) {
	s := newSite(t, 3)
	id := s.id(t, 1, 1)
	s.members[1].health = silent
	s.renew(t)
	b, why := s.pick(short(id)) // it may be slow, so it keeps what it has
	require.Same(t, s.members[1].backend, b)
	require.Equal(t, byServerID, why)
	s.members[1].health = dead
	s.renew(t)
	b, why = s.pick(short(id))
	require.NotEqual(t, s.members[1].backend, b)
	require.NotNil(t, b)
	require.Equal(t, byOrphan, why)

	s.members[0].health, s.members[2].health = dead, silent // perhaps the checks are wrong
	s.renew(t)
	ids(100, func(id []byte) {
		b, _ := s.pick(long(id))
		require.NotNil(t, b)
	})
	gone := s.members[1]
	s.members = append(s.members[:1], s.members[2])
	s.renew(t)
	b, _ = s.pick(short(id))
	require.NotNil(t, b)
	require.NotEqual(t, gone.backend, b)
}

// TestKatranIDs: with the layout of Katran what has a server ID goes there, in each version, and a
// server of that name in one version is the same in another. First packets are spread by a hash.
func TestKatranIDs(t *testing.T) {
	c, err := readConfig(writeConfig(t, `layout: katran
backends:
  - {address: "192.0.2.1:443", server_ids: ["0400", "30400"]}
  - {address: "192.0.2.2:443", server_ids: ["402"]}
`))
	require.NoError(t, err)
	var members []*member
	for i, b := range backends(2) {
		members = append(members, &member{backend: b, serverIDs: c.ids[i]})
	}
	p := newPool(c.decoder, members, false)
	pick := func(datagram []byte) (*backend, reason) { return p.pick(datagram, client, nil, new([64]byte)) }
	for _, v := range []struct {
		version uint8
		id      uint32
		want    int
	}{{1, 0x400, 0}, {2, 0x400, 0}, {3, 0x400, 0}, {2, 0x30400, 0}, {3, 0x30400, 0}, {1, 0x402, 1}, {3, 0x402, 1}} {
		for _, size := range []int{8, 12, 20} {
			source, err := quiclb.NewKatranSource(quiclb.KatranConfig{Version: v.version, ServerID: v.id, Len: size}, rand.Reader)
			require.NoError(t, err)
			var cid [20]byte
			id := cid[:source.Generate(&cid)]
			for _, datagram := range [][]byte{short(id), long(id)} {
				b, why := pick(datagram)
				require.Same(t, members[v.want].backend, b)
				require.Equal(t, byServerID, why)
			}
		}
	}
	_, why := pick(long([]byte{0x41, 2, 3, 4, 5, 6, 7, 8})) // of no server
	require.Equal(t, byNewID, why)
	_, why = pick(short(make([]byte, 8))) // version 0
	require.Equal(t, byClient, why)
}

// TestUnroutable: IDs of servers that have no configuration follow the flow.
func TestUnroutable(t *testing.T) {
	s := newSite(t, 10)
	id := append([]byte{unroutable<<5 | 7}, "1234567"...)
	for _, m := range s.members {
		for _, datagram := range [][]byte{short(id), long(id), {0x40}, {}} {
			b, why := s.pool.pick(datagram, client, m.backend, new([64]byte))
			require.Same(t, m.backend, b)
			require.Equal(t, byFlow, why)
		}
		b, why := s.pool.pick(long([]byte("client's")), client, m.backend, new([64]byte))
		require.Same(t, s.pool.newcomers.find(hashID([]byte("client's"))), b)
		require.Equal(t, byNewID, why)
	}
	_, why := s.pick(short(id))
	require.Equal(t, byClient, why)
}

// TestByAddress: a pool that does not look at IDs loses the server when an address changes.
func TestByAddress(t *testing.T) {
	s := newSite(t, 2)
	p := newPool(s.pool.decoder, s.members, true)
	var right int
	for port := range uint16(1000) {
		b, _ := p.pick(short(s.id(t, 0, 0)), netip.AddrPortFrom(client.Addr(), port), nil, new([64]byte))
		if b == s.members[0].backend {
			right++
		}
	}
	require.InDelta(t, 500, right, 100)
}

func TestNoBackends(t *testing.T) {
	p := newPool(newSite(t, 1).pool.decoder, nil, false)
	for _, datagram := range [][]byte{nil, short(make([]byte, 8)), long(make([]byte, 8))} {
		b, _ := p.pick(datagram, client, backends(1)[0], new([64]byte))
		require.Nil(t, b)
	}
}

// FuzzPick: whatever comes, some backend gets it, and always the same one.
func FuzzPick(f *testing.F) {
	for _, b := range [][]byte{nil, {0x40}, {0xff}, short(make([]byte, 20)), long(nil), long(make([]byte, 255)), bytes.Repeat([]byte{0xff}, 1500)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		s := newSite(t, 3)
		before := bytes.Clone(datagram)
		b, why := s.pick(datagram)
		require.NotNil(t, b)
		require.Less(t, why, reasons)
		again, _ := s.pick(datagram)
		require.Same(t, b, again)
		require.Equal(t, string(before), string(datagram))
	})
}

// TestPickAllocates: a datagram costs no memory.
func TestPickAllocates(t *testing.T) {
	s := newSite(t, 10)
	var scratch [64]byte
	for config := range s.configs {
		datagram := short(s.id(t, 1, config))
		require.Zero(t, testing.AllocsPerRun(100, func() { s.pool.pick(datagram, client, nil, &scratch) }))
	}
	p := newPool(quiclb.KatranDecoder{}, s.members, false)
	datagram := short([]byte{0x41, 0, 3, 4, 5, 6, 7, 8})
	require.Zero(t, testing.AllocsPerRun(100, func() { p.pick(datagram, client, nil, &scratch) }))
}
