package udpio

import "syscall"

// SetDontFragment keeps a UDP socket from sending fragments (DF), as those of this package
// do; where the system has no option for it, nothing happens. With known, what is longer
// than the kernel knows the path's MTU to be is refused (EMSGSIZE); without, only what is
// longer than the device's, since the ICMP messages from which it knows can be forged.
func SetDontFragment(rc syscall.RawConn, known bool) error {
	return rc.Control(func(fd uintptr) { dontFragment(fd, known) })
}
