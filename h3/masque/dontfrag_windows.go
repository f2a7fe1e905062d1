package masque

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// Of ws2ipdef.h.
const (
	ipDontFragment = 14
	ipv6DontFrag   = 14
)

// dontFragment keeps a new socket from fragmenting (RFC 9298, Section 5). Older systems
// lack the option, so that is not an error.
func dontFragment(_, _ string, rc syscall.RawConn) error {
	return rc.Control(func(fd uintptr) {
		windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, ipDontFragment, 1)
		windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipv6DontFrag, 1)
	})
}
