package udpio

import "golang.org/x/sys/unix"

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
