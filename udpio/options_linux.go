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

// dontFragment sets DF in all packets. PROBE also keeps the kernel from believing ICMP messages
// about the path's MTU, which anyone can send. It ignores errors: the option of the other family
// fails, except for IP's on a socket of both.
func dontFragment(fd uintptr, known bool) {
	v4, v6 := unix.IP_PMTUDISC_PROBE, unix.IPV6_PMTUDISC_PROBE
	if known {
		v4, v6 = unix.IP_PMTUDISC_DO, unix.IPV6_PMTUDISC_DO
	}
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, v4)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, v6)
}

func setReusePort(fd uintptr) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}
