package main

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

var front = netip.MustParseAddrPort("198.51.100.1:443")

// TestFlows: replies find their client, and two flows to one backend never share a port.
func TestFlows(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	f := newFlows(200, time.Minute)
	bs := backends(3)
	now := time.Unix(1, 0)
	for range 4_000 {
		now = now.Add(time.Duration(r.IntN(int(time.Second))))
		from := netip.AddrPortFrom(client.Addr(), uint16(r.IntN(300)))
		b := bs[r.IntN(len(bs))]
		fl := f.use(from, front, b, now)
		require.Equal(t, clientKey{from, front}, fl.clientKey)
		require.Less(t, fl.port, f.max)
		require.Same(t, b, f.last(from, front))
		require.Same(t, fl, f.use(from, front, b, now))
		require.Same(t, fl, f.reply(fl.port, b.addr, now))
		checkFlows(t, f, now)
	}
	f.expire(now.Add(time.Minute))
	require.Empty(t, f.flows)
	require.Empty(t, f.byClient)
	require.Empty(t, f.byReply)
	require.Empty(t, f.ports)
}

func checkFlows(t *testing.T, f *flows, now time.Time) {
	n := 0
	for at, before := f.ends.next, now; at != &f.ends; at = at.next {
		n++
		require.False(t, at.used.After(before), "the order of use is wrong")
		before = at.used
		require.Same(t, at, f.byReply[replyKey{at.port, at.backend.addr}])
	}
	require.Len(t, f.flows, n)
	require.Len(t, f.byReply, n)
	require.LessOrEqual(t, len(f.byClient), n)
	require.LessOrEqual(t, n, f.max)
}

// TestFlood: forged addresses take the place of flows that rest, not of one that is used.
func TestFlood(t *testing.T) {
	f := newFlows(100, time.Minute)
	b := backends(1)[0]
	now := time.Unix(1, 0)
	fl := f.use(client, front, b, now)
	for i := range 10_000 {
		f.use(netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 1), front, b, now)
		if i%50 == 0 {
			require.Same(t, fl, f.use(client, front, b, now))
		}
	}
	require.Len(t, f.flows, 100)
	require.NotZero(t, f.evicted)
	require.LessOrEqual(t, f.ports[b].fresh, 100)
	require.LessOrEqual(t, len(f.ports[b].free), 100)
}

// TestPortsRest: a port that was given up is not used again at once.
func TestPortsRest(t *testing.T) {
	f := newFlows(1000, time.Second)
	b := backends(1)[0]
	now := time.Unix(1, 0)
	first := f.use(client, front, b, now).port
	keep := f.use(netip.AddrPortFrom(client.Addr(), 1), front, b, now.Add(time.Second/2))
	require.NotEqual(t, first, keep.port)
	for i := range restingPorts {
		now = now.Add(time.Second)
		f.use(keep.client, front, b, now.Add(-time.Second/2))
		require.NotEqual(t, first, f.use(netip.AddrPortFrom(client.Addr(), uint16(i+2)), front, b, now).port)
	}
}
