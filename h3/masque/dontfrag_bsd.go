//go:build darwin || freebsd

package masque

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// dontFragment keeps a new socket from fragmenting (RFC 9298, Section 5). Older systems
// lack the option, so that is not an error.
func dontFragment(_, _ string, rc syscall.RawConn) error {
	return rc.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_DONTFRAG, 1)
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
	})
}
