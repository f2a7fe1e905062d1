//go:build darwin || freebsd || linux

package udpio

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// beforeBind sets the options that a new socket must have before it is bound.
func (o bindOptions) beforeBind(_ string, rc syscall.RawConn) error {
	var optErr error
	err := rc.Control(func(fd uintptr) {
		dontFragment(fd, false)
		if o.reusePort {
			optErr = setReusePort(fd)
		}
		if o.device != "" && optErr == nil {
			optErr = bindToDevice(fd, o.device)
		}
	})
	return errors.Join(err, optErr)
}

func setReusePort(fd uintptr) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}
