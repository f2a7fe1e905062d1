package loop_test

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestKernelRefusesGSO: a transfer over sockets for which the kernel really does no GSO: UDP-Lite
// (EIO), and UDP without checksums (EINVAL).
func TestKernelRefusesGSO(t *testing.T) {
	for name, open := range map[string]func() (int, error){
		"EIO": func() (int, error) {
			return unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_UDPLITE)
		},
		"EINVAL": func() (int, error) {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
			}
			return fd, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var sockets [2]*udpio.Socket
			var groups [2]*loop.Group
			for i, cfg := range []*loop.Config{serverConfig(nil), nil} {
				fd, err := open()
				if name == "EIO" && err != nil {
					t.Skip("this kernel has no UDP-Lite: ", err)
				}
				require.NoError(t, err)
				require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
				f := os.NewFile(uintptr(fd), "")
				c, err := net.FilePacketConn(f)
				require.NoError(t, err)
				require.NoError(t, f.Close())
				sockets[i], err = udpio.Wrap(c, nil)
				require.NoError(t, err)
				groups[i], err = loop.New(cfg, sockets[i])
				require.NoError(t, err)
				defer groups[i].Close()
			}
			go serveEcho(t, groups[0])
			c, err := groups[1].Dial(t.Context(), sockets[0].LocalAddr().String(), conntest.ClientConfig())
			require.NoError(t, err)
			s, err := c.OpenStream(t.Context(), conn.Bidi)
			require.NoError(t, err)
			transfer(t, s, 1<<20, 1)
			require.Positive(t, sockets[0].Stats().GSOFallbacks+sockets[1].Stats().GSOFallbacks)
		})
	}
}
