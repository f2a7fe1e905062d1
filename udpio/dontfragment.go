package udpio

import "syscall"

// SetDontFragment keeps a UDP socket from sending fragments (DF), as those of this package do;
// where the system has no option for it, nothing happens. With known, the kernel refuses datagrams
// longer than the path MTU that it knows (EMSGSIZE). Without, it refuses only those longer than the
// device's MTU, since the ICMP messages that tell it the path MTU can be forged.
// RFC 9000, Section 14 [2, 3].
func SetDontFragment(rc syscall.RawConn, known bool) error {
	return rc.Control(func(fd uintptr) { dontFragment(fd, known) })
}
