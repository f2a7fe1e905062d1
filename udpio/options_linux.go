package udpio

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// beforeBind sets what a new socket must have before it is bound.
func beforeBind(_ string, rc syscall.RawConn, reusePort bool) error {
	var optErr error
	err := rc.Control(func(fd uintptr) {
		setDontFragment(int(fd))
		if reusePort {
			optErr = setReusePort(fd)
		}
	})
	return errors.Join(err, optErr)
}

// setDontFragment sets DF in all packets. PROBE also keeps the kernel from
// believing ICMP messages about the path's MTU, which anyone can send. The option
// of the other family fails, but for IP's on a socket of both.
func setDontFragment(fd int) {
	unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
}

func setReusePort(fd uintptr) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}
