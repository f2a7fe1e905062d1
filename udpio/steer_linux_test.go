package udpio

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/lazoquic/lazo/internal/require"
)

// packet returns the beginning of a QUIC packet with the given destination
// connection ID.
func packet(r *rand.Rand, id []byte, long bool) []byte {
	b := []byte{byte(r.Uint32()) &^ 0x80}
	if long {
		b[0] |= 0x80
		b = binary.BigEndian.AppendUint32(b, r.Uint32())
		b = append(b, byte(len(id)))
	}
	b = append(b, id...)
	for range 20 {
		b = append(b, byte(r.Uint32()))
	}
	return b
}

func TestSteer(t *testing.T) {
	const n, idLen = 4, 9
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, listen := range []struct{ network, address, to string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1"},
		{"udp", "[::]:0", "::1"},
		{"udp", "[::]:0", "127.0.0.1"},
	} {
		group := mustListenGroup(t, listen.network, listen.address, n, nil)
		k := r.Uint32() | 1
		require.NoError(t, group[r.IntN(n)].Steer(n, k, idLen))

		c := mustListen(t, "udp", "[::]:0", nil)
		if listen.to != "::1" {
			c = mustListen(t, "udp4", "127.0.0.1:0", nil)
		}
		to := addr(listen.to, group[0])
		used := map[int]int{}
		for i := range 400 {
			long := i%2 == 0
			id := make([]byte, idLen)
			if long {
				id = make([]byte, 4+r.IntN(17))
			}
			for j := range id {
				id[j] = byte(r.Uint32())
			}
			want := SteerIndex(id, n, k)
			used[want]++
			b := packet(r, id, long)
			write(t, c, Message{Buf: b, Remote: to})
			require.Equal(t, b, readOne(t, group[want]).Buf, "packet %d, long %v, ID %x", i, long, id)
		}
		require.Len(t, used, n)

		// If a load is beyond the end of the packet, the first socket gets it.
		for _, b := range [][]byte{{}, {0x40}, {0x40, 1, 2, 3, 4, 5, 6, 7, 8}, {0xc0, 0, 0, 0, 1, 255, 1, 2, 3}} {
			write(t, c, Message{Buf: b, Remote: to})
			require.Equal(t, len(b), len(readOne(t, group[0]).Buf))
		}
	}
}

// The program and SteerIndex are one function.
func TestSteerIndex(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		n, k, idLen := 1+r.IntN(64), r.Uint32()|1, 4+r.IntN(17)
		vm, err := bpf.NewVM(steering(uint32(n), k, uint32(idLen)))
		require.NoError(t, err)
		id := make([]byte, idLen)
		for i := range id {
			id[i] = byte(r.Uint32())
		}
		want := SteerIndex(id, n, k)
		require.True(t, want >= 0 && want < n)
		for _, long := range []bool{false, true} {
			got, err := vm.Run(packet(r, id, long))
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
	require.Zero(t, SteerIndex([]byte{1, 2, 3}, 4, 7))
	require.Zero(t, SteerIndex([]byte{1, 2, 3, 4}, 0, 7))
	require.Zero(t, SteerIndex([]byte{1, 2, 3, 4}, -1, 7))
	require.Equal(t, 5, SteerIndex([]byte{9, 0, 5, 0, 0}, 100, 1))
}

func TestSteerErrors(t *testing.T) {
	s := mustListen(t, "udp4", "127.0.0.1:0", &Config{ReusePort: true})
	require.Error(t, s.Steer(0, 1, 8))
	require.Error(t, s.Steer(2, 1, 3))
	require.Error(t, s.Steer(2, 1, 21))
	require.NoError(t, s.Steer(1, 1, 20))
	other, err := Listen("udp4", s.LocalAddr().String(), nil)
	require.Error(t, err, "without ReusePort the address is taken")
	require.Nil(t, other)
	require.NotEqual(t, netip.AddrPort{}, s.LocalAddr())
}
