package main

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// ip returns an IPv4 packet.
func ip(protocol byte, body []byte) []byte {
	p := make([]byte, 20)
	p[0], p[9] = 0x45, protocol
	return append(p, body...)
}

// segment returns a TCP segment with 12 bytes of options.
func segment(seq uint32, flags byte, body ...byte) []byte {
	b := make([]byte, 32)
	binary.BigEndian.PutUint32(b[4:], seq)
	b[12], b[13] = 8<<4, flags
	return ip(tcp, append(b, body...))
}

// record returns a TLS record of n bytes.
func record(kind byte, n int) []byte {
	b := append([]byte{kind, 3, 3}, byte(n>>8), byte(n))
	return append(b, make([]byte, n)...)
}

// TestClearOfTCP splits two records over segments in every way. One comes twice.
func TestClearOfTCP(t *testing.T) {
	stream := slices.Concat(record(22, 30), record(23, 20), record(20, 1))
	const inClear = 5 + 30 + 5 + 5 + 1
	for cut := range len(stream) {
		var o observer
		require.NoError(t, o.packet(segment(1<<32-10, 2)))
		const first = 1<<32 - 9 // sequence numbers wrap around
		second := uint32((first + cut) & (1<<32 - 1))
		require.NoError(t, o.packet(segment(first, 16, stream[:cut]...)))
		require.NoError(t, o.packet(segment(second, 16, stream[cut:]...)))
		require.NoError(t, o.packet(segment(second, 16, stream[cut:]...)))
		require.Equal(t, 4*32+inClear, o.clear, cut)
		require.Equal(t, 4, o.packets)
		require.Equal(t, 4*52+len(stream)+len(stream)-cut, o.bytes)
	}
}

// initial returns an Initial packet with connection IDs of 8 and 5 bytes, a token of 3 bytes, and
// n bytes behind the Length field.
func initial(n int) []byte {
	b := []byte{0xc0, 0, 0, 0, 1, 8}
	b = append(b, make([]byte, 8)...)
	b = append(append(b, 5), make([]byte, 5)...)
	b = append(b, 3, 1, 2, 3, 0x40|byte(n>>8), byte(n))
	return append(b, make([]byte, n)...)
}

// handshake returns a Handshake packet with n bytes behind the Length field.
func handshake(n int) []byte {
	b := initial(n)
	at := len(b) - n - 2
	return append([]byte{0xe0}, slices.Concat(b[1:at-4], b[at:])...)
}

func datagram(body ...byte) []byte { return ip(udp, append(make([]byte, 8), body...)) }

// TestClearOfQUIC counts a datagram with three packets, and one with a short header.
func TestClearOfQUIC(t *testing.T) {
	var lengths [2]int
	up, down := observer{connIDs: &lengths}, observer{connIDs: &lengths, dir: 1}
	require.NoError(t, up.packet(datagram(initial(300)...)))
	require.Equal(t, 8+26, up.clear)
	require.Equal(t, 300, up.initial)
	require.Equal(t, [2]int{5, 0}, lengths)

	short := append([]byte{0x40}, make([]byte, 40)...)
	require.NoError(t, down.packet(datagram(slices.Concat(initial(100), handshake(200), short)...)))
	require.Equal(t, 8+26+22+1+5, down.clear)
	require.Equal(t, 100, down.initial)
	require.Equal(t, [2]int{5, 5}, lengths)
	require.NoError(t, up.packet(datagram(short...)))
	require.Equal(t, 8+26+8+1+5, up.clear)
}

// TestClearOfOddPackets cuts packets short everywhere.
func TestClearOfOddPackets(t *testing.T) {
	for _, p := range [][]byte{segment(1, 16), datagram(initial(20)...), datagram(handshake(20)...)} {
		for n := range len(p) {
			o := observer{connIDs: new([2]int)}
			if err := o.packet(p[:n]); n != 28 { // a UDP header alone is a datagram
				require.ErrorIs(t, err, errOdd, n)
			}
		}
	}
	retry := initial(0)
	retry[0] = 0xf0
	other := initial(0)
	other[4] = 2
	for _, b := range [][]byte{retry, other} {
		o := observer{connIDs: new([2]int)}
		require.ErrorIs(t, o.packet(datagram(b...)), errOdd)
	}
	o := observer{connIDs: new([2]int)}
	require.ErrorIs(t, o.packet(ip(1, make([]byte, 50))), errOdd)
}
