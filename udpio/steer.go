package udpio

import "encoding/binary"

// SteerIndex returns which of n sockets [Socket.Steer] makes the kernel choose for
// a QUIC packet with the destination connection ID id, n and k as given to Steer.
// With an ID of less than 4 bytes it is 0; the kernel then chooses any. It is 0 too if n is not
// positive.
func SteerIndex(id []byte, n int, k uint32) int {
	if len(id) < 4 || n <= 0 {
		return 0
	}
	return int(binary.BigEndian.Uint32(id[len(id)-4:]) * k >> 16 % uint32(n))
}
