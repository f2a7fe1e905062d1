package netrelay

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/netns"
	"github.com/lazoquic/lazo/internal/require"
)

func tunnel(t testing.TB, cfg TunnelConfig) *Tunnel {
	tun, err := NewTunnel(cfg)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs root and TUN devices: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(tun.Close)
	return tun
}

// inside returns a UDP socket in a namespace.
func inside(t *testing.T, n *netns.Namespace, addr string) (s *socket) {
	require.NoError(t, n.Do(func() (err error) {
		s, err = listen(netip.MustParseAddr(addr))
		return err
	}))
	t.Cleanup(func() { s.Close() })
	return s
}

// families are the addresses of both ends, and another of the client.
var families = map[string]struct{ client, server, other string }{
	"IPv4": {ClientAddr4, ServerAddr4, "10.77.3.3"},
	"IPv6": {ClientAddr6, ServerAddr6, "fd77::3:3"},
}

func TestTunnelUDP(t *testing.T) {
	for name, a := range families {
		t.Run(name, func(t *testing.T) {
			const delay = 20 * time.Millisecond
			tun := tunnel(t, TunnelConfig{Up: Link{Delay: delay}, Down: Link{Mark: 1, Duplicate: 1}})
			client, server := inside(t, tun.Client, a.client), inside(t, tun.Server, a.server)
			began := time.Now()
			client.write([]byte{1, 2, 3}, 2, server.addr())
			m, ok := receive(t, server, time.Minute)
			require.True(t, ok)
			require.GreaterOrEqual(t, time.Since(began), delay)
			require.Equal(t, message{[]byte{1, 2, 3}, 2, client.addr()}, m)
			server.write([]byte{4}, 2, m.from)
			for range 2 {
				m, ok = receive(t, client, time.Minute)
				require.True(t, ok)
				require.Equal(t, message{[]byte{4}, 3, server.addr()}, m)
			}
		})
	}
}

// TestTunnelRebind lets the kernel check the checksums of packets that were rewritten.
func TestTunnelRebind(t *testing.T) {
	for name, a := range families {
		t.Run(name, func(t *testing.T) {
			tun := tunnel(t, TunnelConfig{})
			client, server := inside(t, tun.Client, a.client), inside(t, tun.Server, a.server)
			last := client.addr()
			for _, source := range []netip.Addr{{}, {}, netip.MustParseAddr(a.other)} {
				tun.Rebind(source)
				client.write(bytes.Repeat([]byte{7}, 101), 0, server.addr())
				m, ok := receive(t, server, time.Minute)
				require.True(t, ok)
				require.Equal(t, bytes.Repeat([]byte{7}, 101), m.data)
				require.NotEqual(t, last.Port(), m.from.Port())
				if source.IsValid() {
					require.Equal(t, source, m.from.Addr())
				} else {
					require.Equal(t, client.addr().Addr(), m.from.Addr())
				}
				server.write([]byte{1}, 0, last) // lost
				server.write([]byte{2}, 0, m.from)
				last = m.from
				m, ok = receive(t, client, time.Minute)
				require.True(t, ok)
				require.Equal(t, message{[]byte{2}, 0, server.addr()}, m)
			}
		})
	}
}

func TestTunnelFilterAndBlackhole(t *testing.T) {
	seen := make(chan byte, 10)
	tun := tunnel(t, TunnelConfig{Filter: func(dir Dir, p []byte) bool {
		if dir == Down || len(p) != 20+8+1 {
			return true // of the kernel, to find neighbours
		}
		seen <- p[28]
		return p[28] != 1
	}})
	client, server := inside(t, tun.Client, ClientAddr4), inside(t, tun.Server, ServerAddr4)
	send := func(b byte) {
		client.write([]byte{b}, 0, server.addr())
		require.Equal(t, b, <-seen)
	}
	send(1) // to Filter
	send(2)
	tun.Blackhole(true)
	send(3)
	tun.Blackhole(false)
	send(4)
	for _, want := range []byte{2, 4} {
		m, ok := receive(t, server, time.Minute)
		require.True(t, ok)
		require.Equal(t, []byte{want}, m.data)
	}
}

// TestTunnelTCP downloads over a bad path. TCP repairs everything, damage too.
func TestTunnelTCP(t *testing.T) {
	for name, a := range families {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := Link{
				Delay: 2 * time.Millisecond, Rate: 100e6, Queue: 100_000,
				Loss: 0.01, Burst: 2, Duplicate: 0.01, Corrupt: 0.01, Reorder: 0.01,
			}
			tun := tunnel(t, TunnelConfig{Up: bad, Down: bad, Seed: 7})
			content := make([]byte, 1<<20)
			rand.NewChaCha8([32]byte{}).Read(content)
			c := connect(t, tun, a.server, func(c net.Conn) { c.Write(content) })
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			require.Equal(t, sha256.Sum256(content), sha256.Sum256(got))
		})
	}
}

// BenchmarkTunnel shows how fast a path without any limit is.
func BenchmarkTunnel(b *testing.B) {
	tun := tunnel(b, TunnelConfig{})
	c := connect(b, tun, ServerAddr4, func(c net.Conn) {
		buf := make([]byte, 64<<10)
		for {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		_, err := io.ReadFull(c, buf)
		require.NoError(b, err)
	}
}

// connect returns a TCP connection from the client's side to one that serve serves.
func connect(t testing.TB, tun *Tunnel, addr string, serve func(net.Conn)) (c net.Conn) {
	var l net.Listener
	require.NoError(t, tun.Server.Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(addr, "0"))
		return err
	}))
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		serve(c)
	}()
	require.NoError(t, tun.Client.Do(func() (err error) {
		c, err = net.Dial("tcp", l.Addr().String())
		return err
	}))
	t.Cleanup(func() { c.Close() })
	return c
}
