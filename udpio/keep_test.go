package udpio

import (
	"net"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestKeepOpen: a connection that Wrap took over is there again after Close.
func TestKeepOpen(t *testing.T) {
	for name, hide := range map[string]bool{"UDPConn": false, "PacketConn": true} {
		t.Run(name, func(t *testing.T) {
			udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			require.NoError(t, err)
			defer udp.Close()
			var c net.PacketConn = udp
			if hide {
				c = struct{ net.PacketConn }{udp}
			}
			from, err := net.Dial("udp4", udp.LocalAddr().String())
			require.NoError(t, err)
			defer from.Close()
			for range 2 { // it can be wrapped again, too
				s, err := Wrap(c, &Config{KeepOpen: true})
				require.NoError(t, err)
				from.Write([]byte("to Lazo"))
				ms := []Message{{Buf: make([]byte, 1<<16)}}
				n, err := s.ReadBatch(ms, time.Now().Add(10*time.Second))
				require.NoError(t, err)
				require.Equal(t, 1, n)
				require.Equal(t, "to Lazo", string(ms[0].Buf))
				require.NoError(t, s.Close())

				from.Write([]byte("to its user"))
				b := make([]byte, 100)
				n, _, err = c.ReadFrom(b)
				require.NoError(t, err)
				require.Equal(t, "to its user", string(b[:n]))
			}
		})
	}
}
