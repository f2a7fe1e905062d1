//go:build darwin || freebsd

package udpio

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// beforeBind sets the options that a new socket must have before it is bound.
func beforeBind(_ string, rc syscall.RawConn, reusePort bool) error {
	var optErr error
	err := rc.Control(func(fd uintptr) {
		dontFragment(fd, false)
		if reusePort {
			optErr = setReusePort(fd)
		}
	})
	return errors.Join(err, optErr)
}

func setReusePort(fd uintptr) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}

// dontFragment sets DF in all packets. It ignores errors: older systems lack the option, and the
// option of the other address family fails.
func dontFragment(fd uintptr, _ bool) {
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_DONTFRAG, 1)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
}
