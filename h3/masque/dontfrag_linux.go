package masque

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// dontFragment keeps a new socket from fragmenting (RFC 9298, Section 5). What the kernel
// knows to be longer than the path's MTU is refused with EMSGSIZE.
func dontFragment(_, _ string, rc syscall.RawConn) error {
	return rc.Control(func(fd uintptr) {
		// That of the other address family fails.
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
	})
}
