package masque

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/udpio"
)

// TestSocketOfRelay: a proxy's datagrams have DF set and are Not-ECT, and marks of the target's
// datagrams go nowhere. RFC 9298, Section 3.1 [11, 12]; RFC 9298, Section 6.2 [1, 2].
func TestSocketOfRelay(t *testing.T) {
	p := newPair(t)
	target, err := udpio.Listen("udp4", "127.0.0.1:0", nil)
	require.NoError(t, err)
	defer target.Close()
	c := p.dial(target.LocalAddr().String())
	_, err = c.Write([]byte("hello"))
	require.NoError(t, err)
	ms := []udpio.Message{{Buf: make([]byte, 2000)}}
	n, err := target.ReadBatch(ms, time.Now().Add(soon))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, "hello", string(ms[0].Buf))
	require.Zero(t, ms[0].ECN)

	ms[0].ECN = 3 // CE
	_, err = target.WriteBatch(ms)
	require.NoError(t, err)
	b := make([]byte, 10)
	n, err = c.Read(b)
	require.NoError(t, err)
	require.Equal(t, "hello", string(b[:n]))

	p.proxy.mu.Lock()
	defer p.proxy.mu.Unlock()
	require.Len(t, p.proxy.relays, 1)
	for r := range p.proxy.relays {
		rc, err := r.socket.(*net.UDPConn).SyscallConn()
		require.NoError(t, err)
		value := -1
		require.NoError(t, rc.Control(func(fd uintptr) {
			value, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER)
		}))
		require.NoError(t, err)
		require.Equal(t, unix.IP_PMTUDISC_DO, value)
	}
}
