package netns_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/netns"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A download is one over a bad path, between real sockets.
type download struct {
	name       string
	link       netrelay.Link // of both directions
	congestion func(congestion.Params) congestion.Controller
	six        bool
	mtu        int // of the devices
	filter     func(netrelay.Dir, []byte) bool

	// part happens when a fifth of the content has come; done when all has, with what the server
	// knows.
	part func(*testing.T, *netrelay.Tunnel)
	done func(*testing.T, conn.Stats)
}

// contentSize is how much is downloaded, in bytes. LAZO_DOWNLOAD sets it, for longer runs.
func contentSize(t *testing.T) int64 {
	s, ok := os.LookupEnv("LAZO_DOWNLOAD")
	if !ok {
		return 600_000
	}
	n, err := strconv.ParseInt(s, 10, 64)
	require.NoError(t, err, "LAZO_DOWNLOAD")
	return n
}

// fifty makes a link of 50 Mbit/s and half of 50 ms, with a queue of one bandwidth-delay product
// besides what is on its way.
func fifty(l netrelay.Link) netrelay.Link {
	l.Delay, l.Rate, l.Queue = 25*time.Millisecond, 50e6, 500_000
	return l
}

// slow makes a link of many round trips a download: 10 ms, 5 Mbit/s and a short queue.
func slow(l netrelay.Link) netrelay.Link {
	l.Delay, l.Rate, l.Queue = 5*time.Millisecond, 5e6, 15_000
	return l
}

// TestPath downloads over bad paths, made of TUN devices and a relay. Everything arrives bit for
// bit.
func TestPath(t *testing.T) {
	for _, d := range []download{
		{name: "1 % loss, CUBIC", link: fifty(netrelay.Link{Loss: 0.01}), congestion: congestion.NewCubic},
		{name: "3 % loss, CUBIC", link: fifty(netrelay.Link{Loss: 0.03}), congestion: congestion.NewCubic},
		{name: "1 % loss, BBR", link: fifty(netrelay.Link{Loss: 0.01}), congestion: congestion.NewBBR},
		{name: "3 % loss, BBR", link: fifty(netrelay.Link{Loss: 0.03}), congestion: congestion.NewBBR},
		{name: "bursts, disorder, copies, damage", link: fifty(netrelay.Link{Loss: 0.01, Burst: 4, Reorder: 0.01, Duplicate: 0.01, Corrupt: 0.01})},
		{name: "ECN", link: fifty(netrelay.Link{Mark: 0.01}), six: true, done: marked},
		{name: "small packets", link: slow(netrelay.Link{MTU: 1300}), done: longer},
		smallerPackets(),
		{name: "small packets of the interface", link: slow(netrelay.Link{}), mtu: 1300, done: longer},
		{name: "smallest packets of the interface, IPv6", link: slow(netrelay.Link{}), six: true, mtu: 1280},
		{name: "interface down for 1 s", link: fifty(netrelay.Link{}), part: unplug},
		{name: "nothing for 3 s", link: fifty(netrelay.Link{}), part: vanish},
		{name: "another port", link: fifty(netrelay.Link{}), part: rebind(""), done: moved},
		{name: "another address", link: fifty(netrelay.Link{}), part: rebind("10.77.9.9"), done: moved},
		{name: "another port, IPv6", link: fifty(netrelay.Link{}), six: true, part: rebind(""), done: moved},
	} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			d.run(t)
		})
	}
}

func marked(t *testing.T, s conn.Stats) { require.NotZero(t, s.CEMarks) }

// longer wants path MTU discovery to have come past its start, and no farther than the path allows.
func longer(t *testing.T, s conn.Stats) {
	require.Greater(t, s.MTU, 1200)
	require.LessOrEqual(t, s.MTU, 1300-28)
}

// smallerPackets is a route that changes to one for packets of 1,250 bytes; nothing tells the ends
// (RFC 8899, Section 4.3).
func smallerPackets() download {
	const mtu = 1250
	var long atomic.Int64
	return download{
		name: "smaller packets", link: slow(netrelay.Link{}),
		filter: func(dir netrelay.Dir, p []byte) bool {
			if dir == netrelay.Down && len(p) > mtu {
				long.Add(1)
			}
			return true
		},
		part: func(t *testing.T, tun *netrelay.Tunnel) {
			require.Greater(t, long.Load(), int64(10), "the server has not found that longer packets pass")
			l := slow(netrelay.Link{MTU: mtu})
			tun.SetLinks(l, l)
		},
		done: func(t *testing.T, s conn.Stats) { require.LessOrEqual(t, s.MTU, mtu-28) },
	}
}

func moved(t *testing.T, s conn.Stats) { require.EqualValues(t, 1, s.PathChanges) }

func vanish(_ *testing.T, tun *netrelay.Tunnel) {
	tun.Blackhole(true)
	time.AfterFunc(3*time.Second, func() { tun.Blackhole(false) })
}

// unplug takes the client's interface down, whose system refuses to send then.
func unplug(t *testing.T, tun *netrelay.Tunnel) {
	require.NoError(t, tun.Client.SetUp(netrelay.TunName, false))
	again := make(chan error, 1)
	time.AfterFunc(time.Second, func() { again <- tun.Client.SetUp(netrelay.TunName, true) })
	t.Cleanup(func() { require.NoError(t, <-again) })
}

// rebind is a NAT that forgets.
func rebind(source string) func(*testing.T, *netrelay.Tunnel) {
	return func(_ *testing.T, tun *netrelay.Tunnel) {
		addr, _ := netip.ParseAddr(source)
		tun.Rebind(addr)
	}
}

// run makes the path and downloads over it.
func (d *download) run(t *testing.T) {
	tun, err := netrelay.NewTunnel(netrelay.TunnelConfig{Up: d.link, Down: d.link, Seed: 1, MTU: d.mtu, Filter: d.filter})
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs root and TUN devices: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(tun.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	at := netrelay.ServerAddr4 + ":443"
	if d.six {
		at = "[" + netrelay.ServerAddr6 + "]:443"
	}
	size := contentSize(t)
	server := group(t, tun.Server, at, &loop.Config{Endpoint: conn.EndpointConfig{Server: d.config(conntest.ServerConfig())}})
	stats := make(chan conn.Stats, 1)
	go func() {
		defer close(stats)
		if s, err := serve(ctx, server, size); err == nil {
			stats <- s
		} else {
			t.Errorf("server: %v", err)
		}
	}()
	local := netrelay.ClientAddr4 + ":0"
	if d.six {
		local = "[" + netrelay.ClientAddr6 + "]:0"
	}
	client := d.config(conntest.ClientConfig())
	if d.part != nil {
		// so that the server cannot be through when a fifth has been read, however late that is
		client.MaxStreamData = 256 << 10
	}
	c, err := group(t, tun.Client, local, nil).Dial(ctx, at, client)
	require.NoError(t, err)
	s, err := c.OpenStream(ctx, conn.Bidi)
	require.NoError(t, err)
	require.NoError(t, s.CloseWrite())
	h := sha256.New()
	_, err = io.CopyN(h, s, size/5)
	require.NoError(t, err)
	if d.part != nil {
		d.part(t, tun)
	}
	n, err := io.Copy(h, s)
	require.NoError(t, err)
	require.Equal(t, size, size/5+n)
	want := sha256.New()
	io.Copy(want, content(size))
	require.Equal(t, want.Sum(nil), h.Sum(nil))
	require.NoError(t, c.Close(0, ""))
	if s, ok := <-stats; ok && d.done != nil {
		d.done(t, s)
	}
}

// config completes a configuration.
func (d *download) config(c *conn.Config) *conn.Config {
	c.Congestion = d.congestion
	// who only receives must say something, or the server does not learn the new address
	c.KeepAlive = 500 * time.Millisecond
	return c
}

// group returns a Group with a socket in a namespace.
func group(t *testing.T, n *netns.Namespace, addr string, cfg *loop.Config) *loop.Group {
	var s *udpio.Socket
	require.NoError(t, n.Do(func() (err error) {
		s, err = udpio.Listen("udp", addr, nil)
		return err
	}))
	g, err := loop.New(cfg, s)
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	return g
}

func content(size int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{2}), size) }

// serve sends the content on the first stream of the first connection, and returns what it knows
// when that has closed.
func serve(ctx context.Context, g *loop.Group, size int64) (stats conn.Stats, err error) {
	c, err := g.Accept(ctx)
	if err != nil {
		return stats, err
	}
	s, err := c.AcceptStream(ctx)
	if err != nil {
		return stats, err
	}
	if _, err := io.Copy(s, content(size)); err != nil {
		return stats, err
	}
	if err := s.CloseWrite(); err != nil {
		return stats, err
	}
	<-c.Context().Done()
	return c.Stats(), nil
}
