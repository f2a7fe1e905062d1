package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// backends makes n backends, in the order of their addresses.
func backends(n int) []*backend {
	bs := make([]*backend, n)
	for i := range bs {
		bs[i] = &backend{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 443)}
	}
	return bs
}

// ids calls f with n connection IDs of a client.
func ids(n int, f func(id []byte)) {
	for i := range n {
		f(binary.BigEndian.AppendUint64(nil, mix(uint64(i+1))))
	}
}

// TestMaglevDisruption counts which IDs move when one of ten backends leaves: its own, and few of
// the others.
func TestMaglevDisruption(t *testing.T) {
	const n = 100_000
	bs := backends(10)
	before := newMaglev(bs)
	for _, leaves := range bs {
		after := newMaglev(slices.DeleteFunc(slices.Clone(bs), func(b *backend) bool { return b == leaves }))
		var own, others int
		ids(n, func(id []byte) {
			was, is := before.find(hashID(id)), after.find(hashID(id))
			switch {
			case was == leaves:
				require.NotEqual(t, leaves, is)
				own++
			case was != is:
				others++
			}
		})
		t.Logf("%v leaves: %.1f %% were its own, %.2f %% of the others move", leaves.addr, percent(own, n), percent(others, n-own))
		require.InDelta(t, 10, percent(own, n), 1)
		require.Less(t, percent(others, n-own), 2.0)
	}
}

func percent(part, of int) float64 { return 100 * float64(part) / float64(of) }

// TestMaglevShares: each backend has about the same share of the table, however many there are.
func TestMaglevShares(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 100, maxBackends} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			m := newMaglev(backends(n))
			shares := make(map[*backend]int)
			for i := range uint64(tableSize) {
				shares[m.find(i)]++
			}
			require.Len(t, shares, n)
			for b, share := range shares {
				require.InDelta(t, tableSize/n, share, 1, b.addr)
			}
		})
	}
	require.Nil(t, newMaglev(nil).find(1))
}
