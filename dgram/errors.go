package dgram

import (
	"fmt"

	"github.com/lazoquic/lazo/conn"
)

// A TooLargeError refuses a datagram that does not fit into one packet: nothing is ever
// fragmented. It matches [conn.ErrTooLarge].
type TooLargeError struct {
	Len int // bytes of the datagram
	Max int // bytes that fit now; 0 if no datagram may be sent
}

// Error names both sizes.
func (e *TooLargeError) Error() string {
	if e.Max == 0 {
		return "dgram: the peer takes no datagrams, or not yet"
	}
	return fmt.Sprintf("dgram: %d bytes do not fit into a datagram, %d do", e.Len, e.Max)
}

// Unwrap returns [conn.ErrTooLarge].
func (e *TooLargeError) Unwrap() error { return conn.ErrTooLarge }
