//go:build darwin || freebsd

package udpio

import "golang.org/x/sys/unix"

// dontFragment sets DF in all packets. It ignores errors: older systems lack the option, and the
// option of the other address family fails.
func dontFragment(fd uintptr, _ bool) {
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_DONTFRAG, 1)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
}
