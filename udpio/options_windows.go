package udpio

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/windows"
)

// From ws2ipdef.h.
const (
	ipDontFragment = 14
	ipv6DontFrag   = 14
)

// beforeBind sets the options that a new socket must have before it is bound.
func (o bindOptions) beforeBind(_ string, rc syscall.RawConn) error {
	if o.reusePort {
		return setReusePort(0)
	}
	return SetDontFragment(rc, false)
}

func setReusePort(uintptr) error { return fmt.Errorf("SO_REUSEPORT: %w", errors.ErrUnsupported) }

// dontFragment sets DF in all packets. It ignores errors: older systems lack the option, and the
// option of the other address family fails.
func dontFragment(fd uintptr, _ bool) {
	windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, ipDontFragment, 1)
	windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipv6DontFrag, 1)
}
