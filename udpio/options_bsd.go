//go:build darwin || freebsd

package udpio

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// beforeBind sets what a new socket must have before it is bound. Older systems
// lack the option to set DF, so that is not an error.
func beforeBind(network string, rc syscall.RawConn, reusePort bool) error {
	var optErr error
	err := rc.Control(func(fd uintptr) {
		if network == "udp4" {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_DONTFRAG, 1)
		} else {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
		}
		if reusePort {
			optErr = setReusePort(fd)
		}
	})
	return errors.Join(err, optErr)
}

func setReusePort(fd uintptr) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}
