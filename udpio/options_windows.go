package udpio

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/windows"
)

// Of ws2ipdef.h.
const (
	ipDontFragment = 14
	ipv6DontFrag   = 14
)

// beforeBind sets what a new socket must have before it is bound. Older systems
// lack the option to set DF, so that is not an error.
func beforeBind(network string, rc syscall.RawConn, reusePort bool) error {
	if reusePort {
		return setReusePort(0)
	}
	return rc.Control(func(fd uintptr) {
		windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, ipDontFragment, 1)
		if network != "udp4" {
			windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipv6DontFrag, 1)
		}
	})
}

func setReusePort(uintptr) error { return fmt.Errorf("SO_REUSEPORT: %w", errors.ErrUnsupported) }
