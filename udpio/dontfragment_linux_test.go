package udpio

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lazoquic/lazo/internal/require"
)

// TestSetDontFragment: sockets set DF, and refuse datagrams that are longer than the path's MTU.
// RFC 9000, Section 14 [2, 3].
func TestSetDontFragment(t *testing.T) {
	for _, test := range []struct {
		addr                  string
		level, option, expect int
	}{
		{"127.0.0.1:9", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO},
		{"[::1]:9", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO},
	} {
		c, err := net.Dial("udp", test.addr)
		require.NoError(t, err)
		defer c.Close()
		rc, err := c.(*net.UDPConn).SyscallConn()
		require.NoError(t, err)
		require.NoError(t, SetDontFragment(rc, true))
		value := -1
		require.NoError(t, rc.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), test.level, test.option) }))
		require.NoError(t, err)
		require.Equal(t, test.expect, value)
	}
}
