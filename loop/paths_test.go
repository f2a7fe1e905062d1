package loop_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// wifi and mobile are the interfaces of a client. The Backend of a world is at wifi.
var (
	wifi   = udpio.Interface{Name: "wlan0", Index: 2, Addr: netip.MustParseAddr("10.0.0.2"), Preferred: true}
	mobile = udpio.Interface{Name: "wwan0", Index: 3, Addr: netip.MustParseAddr("10.1.0.2"), Metric: 700}
)

// Where the simulated network puts a path from an interface.
const wifiAddr, mobileAddr = clientAddr, "10.1.0.2:5000"

var (
	alive = conntest.Link{Delay: 10 * time.Millisecond, Rate: 50e6, Queue: 100_000}
	dead  = conntest.Link{Filter: func(*conntest.Packet) bool { return false }}
)

// runPaths runs f in a world whose server allows n paths, with a connection whose client allows
// four.
func runPaths(t *testing.T, n int, f func(t *testing.T, w *world, c *loop.Conn)) {
	t.Helper()
	server := serverConfig(func(cfg *conn.Config) { cfg.MaxPaths = n })
	run(t, setup{link: alive, seed: 5, server: server}, func(t *testing.T, w *world) {
		go serveEcho(t, w.server)
		f(t, w, w.dialOnly(func(cfg *conn.Config) { cfg.MaxPaths = 4 }))
	})
}

// link sets the link between an address of the client and the server, both ways.
func (w *world) link(client string, link conntest.Link) {
	w.Helper()
	w.net.Connect(client, serverAddr, link)
	w.net.Connect(serverAddr, client, link)
}

// links sets the links of all addresses that a path from an interface may have.
func (w *world) links(at udpio.Interface, link conntest.Link) {
	w.Helper()
	for port := range uint16(8) {
		w.link(netip.AddrPortFrom(at.Addr, 5000+port).String(), link)
	}
}

// pathIDs returns the IDs of the paths that take data by the local address.
func pathIDs(c *loop.Conn) map[netip.Addr]conn.PathID {
	ids := make(map[netip.Addr]conn.PathID)
	for _, p := range c.Paths() {
		if p.Validated {
			ids[p.Local.Addr()] = p.ID
		}
	}
	return ids
}

// A path from another interface carries a connection whose first network dies, and later the other
// way round.
func TestAddPath(t *testing.T) {
	runPaths(t, 4, func(t *testing.T, w *world, c *loop.Conn) {
		require.True(t, c.Multipath())
		id, err := c.AddPath(w.ctx(), mobile)
		require.NoError(t, err)
		paths := c.Paths()
		require.Equal(t, 2, len(paths))
		require.Equal(t, id, paths[1].ID)
		require.Equal(t, mobileAddr, paths[1].Local.String())
		require.True(t, paths[1].Validated)
		transfer(t, w.open(c, conn.Bidi), 1<<18, 1)

		for range 3 {
			for _, addr := range []string{wifiAddr, mobileAddr} {
				w.link(addr, dead)
				transfer(t, w.open(c, conn.Bidi), 1<<18, 2)
				w.link(addr, alive)
				transfer(t, w.open(c, conn.Bidi), 1<<18, 3)
			}
		}
		require.Equal(t, 2, len(c.Paths()))
		require.NoError(t, c.Do(w.ctx(), func(_ time.Time, c *conn.Conn) { checkTraffic(t, c) }))

		require.NoError(t, c.DropPath(0))
		transfer(t, w.open(c, conn.Bidi), 1<<18, 4)
		require.Equal(t, map[netip.Addr]conn.PathID{mobile.Addr: id}, pathIDs(c))
		require.Equal(t, mobileAddr, c.LocalAddr().String())
		require.Error(t, c.DropPath(id), "it is the only path")
	})
}

// checkTraffic checks that the counters of the paths add up to those of the connection.
func checkTraffic(t *testing.T, c *conn.Conn) {
	var sum, want conn.PathStats
	for _, p := range c.Paths(nil) {
		require.True(t, p.BytesSent > 1<<19 && p.BytesReceived > 1<<19, "both carried data: %+v", p)
		sum.PacketsSent += p.PacketsSent
		sum.PacketsReceived += p.PacketsReceived
		sum.PacketsLost += p.PacketsLost
	}
	all := c.Stats()
	want.PacketsSent, want.PacketsReceived, want.PacketsLost = all.PacketsSent, all.PacketsReceived, all.PacketsLost
	require.Equal(t, want, sum)
	require.Positive(t, sum.PacketsLost)
}

// Paths of two connections share the socket at an interface. It closes after the last of them.
func TestAddedSocket(t *testing.T) {
	runPaths(t, 4, func(t *testing.T, w *world, c *loop.Conn) {
		other := w.dialOnly(func(cfg *conn.Config) { cfg.MaxPaths = 4 })
		a, err := c.AddPath(w.ctx(), mobile)
		require.NoError(t, err)
		b, err := other.AddPath(w.ctx(), mobile)
		require.NoError(t, err)
		require.Equal(t, c.Paths()[1].Local, other.Paths()[1].Local)

		require.NoError(t, c.DropPath(a))
		time.Sleep(5 * time.Second)
		require.NoError(t, other.DropPath(0))
		transfer(t, w.open(other, conn.Bidi), 1<<18, 1)

		require.NoError(t, other.Close(0, ""))
		time.Sleep(5 * time.Second)
		w.net.Listen(mobileAddr) // the address is free
		_ = b
	})
}

// A path that gets no answer fails, and so does one whose context ends first. Neither leaves a
// socket or a path behind.
func TestAddPathFails(t *testing.T) {
	runPaths(t, 4, func(t *testing.T, w *world, c *loop.Conn) {
		w.links(mobile, dead)
		_, err := c.AddPath(w.ctx(), mobile)
		var failed *loop.PathError
		require.True(t, errors.As(err, &failed))
		ctx, cancel := context.WithTimeout(w.ctx(), 50*time.Millisecond)
		defer cancel()
		_, err = c.AddPath(ctx, mobile)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1, len(c.Paths()))
		time.Sleep(5 * time.Second)
		w.net.Listen(mobileAddr).Close()

		w.links(mobile, alive)
		_, err = c.AddPath(w.ctx(), mobile)
		require.NoError(t, err)
		require.Equal(t, 2, len(c.Paths()))

		go func() {
			time.Sleep(5 * time.Second)
			c.Close(0, "")
		}()
		for err == nil { // until the server allows no more
			_, err = c.AddPath(w.ctx(), udpio.Interface{Addr: mobile.Addr.Next()})
		}
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = c.AddPath(w.ctx(), mobile)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// Without multipath on the other side, and on a server, there are no other paths.
func TestAddPathWithoutMultipath(t *testing.T) {
	runPaths(t, 0, func(t *testing.T, w *world, c *loop.Conn) {
		require.False(t, c.Multipath())
		_, err := c.AddPath(w.ctx(), mobile)
		require.Error(t, err, "multipath")
		require.Error(t, c.FollowInterfaces(w.ctx(), &loop.Multipath{MaxPaths: 4}), "multipath")
		require.Equal(t, 1, len(c.Paths()))
		transfer(t, w.open(c, conn.Bidi), 1000, 1)
	})
}

// oneSocket is a Backend that cannot have several sockets.
type oneSocket struct{ loop.Backend }

func TestAddPathToOneSocket(t *testing.T) {
	server := serverConfig(func(cfg *conn.Config) { cfg.MaxPaths = 4 })
	wrap := func(b loop.Backend) loop.Backend { return oneSocket{b} }
	run(t, setup{server: server, wrap: wrap}, func(t *testing.T, w *world) {
		c, _ := w.dial(func(cfg *conn.Config) { cfg.MaxPaths = 4 })
		_, err := c.AddPath(w.ctx(), mobile)
		require.ErrorIs(t, err, errors.ErrUnsupported)
	})
}

// A host is what a simulated client has of interfaces.
type host struct{ reports chan []udpio.Interface }

func newHost() *host { return &host{make(chan []udpio.Interface, 1)} }

// now reports other interfaces.
func (h *host) now(list ...udpio.Interface) { h.reports <- list }

func (h *host) watch(ctx context.Context, _ netip.Addr, report func([]udpio.Interface)) error {
	for {
		select {
		case list := <-h.reports:
			report(list)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follow lets c follow the interfaces of h until the connection closes.
func (h *host) follow(w *world, c *loop.Conn, m loop.Multipath) <-chan error {
	m.MaxPaths, m.Watch = 4, h.watch
	done := make(chan error, 1)
	go func() { done <- c.FollowInterfaces(w.ctx(), &m) }()
	return done
}

// A client walks: interfaces come and go, ten times each, and its transfers go on. In between it
// has no network at all.
func TestFollowInterfaces(t *testing.T) {
	runPaths(t, 4, func(t *testing.T, w *world, c *loop.Conn) {
		h := newHost()
		done := h.follow(w, c, loop.Multipath{})
		h.now(wifi, mobile)
		first := mobile
		first.Preferred = true
		step := func(list ...udpio.Interface) {
			for _, at := range []udpio.Interface{wifi, mobile} {
				link := dead
				for _, up := range list {
					if up.Addr == at.Addr {
						link = alive
					}
				}
				w.links(at, link)
			}
			h.now(list...)
		}
		both := func() {
			step(wifi, mobile)
			time.Sleep(5 * time.Second)
			require.Equal(t, 2, len(pathIDs(c)), "paths from two interfaces")
			require.Equal(t, 2, len(c.Paths()))
			transfer(t, w.open(c, conn.Bidi), 1<<18, 1)
		}
		for range 10 {
			both()
			step(first)
			transfer(t, w.open(c, conn.Bidi), 1<<18, 2)
			time.Sleep(3 * time.Second)
			require.Equal(t, 1, len(c.Paths()))
			require.Equal(t, mobile.Addr, c.Paths()[0].Local.Addr())
			both()
			step(wifi)
			transfer(t, w.open(c, conn.Bidi), 1<<18, 3)
			time.Sleep(3 * time.Second)
			require.Equal(t, 1, len(c.Paths()))
			require.Equal(t, wifi.Addr, c.Paths()[0].Local.Addr())
			step()
			time.Sleep(3 * time.Second)
			require.Equal(t, 1, len(c.Paths()), "the only one stays")
		}
		both()
		c.Close(0, "")
		require.ErrorIs(t, <-done, net.ErrClosed)
	})
}

// Use decides which interfaces are used, and which of them are a backup.
func TestFollowInterfacesUse(t *testing.T) {
	runPaths(t, 4, func(t *testing.T, w *world, c *loop.Conn) {
		use := make(map[string]loop.PathUse)
		use["eth0"], use["wwan0"] = loop.NoPath, loop.BackupPath
		h := newHost()
		h.follow(w, c, loop.Multipath{Use: func(at udpio.Interface) loop.PathUse { return use[at.Name] }})
		cable := udpio.Interface{Name: "eth0", Index: 4, Addr: netip.MustParseAddr("10.2.0.2")}
		h.now(wifi, mobile, cable)
		time.Sleep(time.Second)
		paths := c.Paths()
		require.Equal(t, 2, len(paths))
		require.False(t, paths[0].Backup)
		require.True(t, paths[1].Backup)
		transfer(t, w.open(c, conn.Bidi), 1<<18, 1)
		require.True(t, c.Paths()[1].BytesInFlight < 10_000)
	})
}

// When another interface becomes the one that the kernel prefers, packets of the first socket would
// leave from there, with the address of the one before. A socket that is bound takes over.
func TestFollowInterfacesDefaultRoute(t *testing.T) {
	runPaths(t, 4, func(t *testing.T, w *world, c *loop.Conn) {
		h := newHost()
		h.follow(w, c, loop.Multipath{})
		h.now(wifi, mobile)
		time.Sleep(time.Second)
		require.Equal(t, map[netip.Addr]conn.PathID{wifi.Addr: 0, mobile.Addr: 1}, pathIDs(c))
		w.link(wifiAddr, dead)
		later, sooner := wifi, mobile
		later.Preferred, sooner.Preferred = false, true
		h.now(sooner, later)
		time.Sleep(time.Second)
		require.Equal(t, map[netip.Addr]conn.PathID{mobile.Addr: 1, wifi.Addr: 2}, pathIDs(c))
	})
}

// A path that gets no answer is tried again later.
func TestFollowInterfacesRetries(t *testing.T) {
	runPaths(t, 4, func(t *testing.T, w *world, c *loop.Conn) {
		w.links(mobile, dead)
		h := newHost()
		h.follow(w, c, loop.Multipath{})
		h.now(wifi, mobile)
		for range 4 {
			time.Sleep(20 * time.Second)
			transfer(t, w.open(c, conn.Bidi), 1000, 1)
		}
		require.Equal(t, 1, len(pathIDs(c)))
		w.links(mobile, alive)
		for range 3 {
			time.Sleep(20 * time.Second)
			transfer(t, w.open(c, conn.Bidi), 1000, 1)
		}
		require.Equal(t, 2, len(pathIDs(c)))
	})
}

// TestFollowInterfacesForgives: a path that was open for a long time is opened again soon after its
// end, however often that has happened.
func TestFollowInterfacesForgives(t *testing.T) {
	runPaths(t, 4, func(t *testing.T, w *world, c *loop.Conn) {
		h := newHost()
		h.follow(w, c, loop.Multipath{})
		h.now(wifi, mobile)
		for range 6 {
			for range 4 {
				time.Sleep(10 * time.Second)
				transfer(t, w.open(c, conn.Bidi), 1000, 1)
			}
			ids := pathIDs(c)
			require.Equal(t, 2, len(ids))
			require.NoError(t, c.DropPath(ids[mobile.Addr]))
			time.Sleep(3 * time.Second)
			require.Equal(t, 2, len(pathIDs(c)))
		}
	})
}

// TestFollowInterfacesEnds: FollowInterfaces ends if no other path can ever be opened, and says
// why. The connection goes on.
func TestFollowInterfacesEnds(t *testing.T) {
	for name, c := range map[string]struct {
		setup setup
		err   error
	}{
		"one socket": {setup{wrap: func(b loop.Backend) loop.Backend { return oneSocket{b} }}, errors.ErrUnsupported},
		"migration":  {setup{}, conn.ErrMigrationDisabled},
	} {
		t.Run(name, func(t *testing.T) {
			c.setup.link = alive
			c.setup.server = serverConfig(func(cfg *conn.Config) {
				cfg.MaxPaths, cfg.DisableActiveMigration = 4, c.err == conn.ErrMigrationDisabled
			})
			run(t, c.setup, func(t *testing.T, w *world) {
				go serveEcho(t, w.server)
				q := w.dialOnly(func(cfg *conn.Config) { cfg.MaxPaths = 4 })
				h := newHost()
				done := h.follow(w, q, loop.Multipath{})
				h.now(wifi)
				time.Sleep(time.Second)
				require.Empty(t, done, "one path is enough")
				h.now(wifi, mobile)
				require.ErrorIs(t, <-done, c.err)
				transfer(t, w.open(q, conn.Bidi), 1000, 1)
			})
		})
	}
	t.Run("server", func(t *testing.T) {
		server := serverConfig(func(cfg *conn.Config) { cfg.MaxPaths = 4 })
		run(t, setup{link: alive, server: server}, func(t *testing.T, w *world) {
			_, c := w.dial(func(cfg *conn.Config) { cfg.MaxPaths = 4 })
			ctx, cancel := context.WithTimeout(w.ctx(), time.Second)
			defer cancel()
			err := c.FollowInterfaces(ctx, &loop.Multipath{MaxPaths: 4, Watch: newHost().watch})
			require.Error(t, err, "server")
			require.NoError(t, ctx.Err(), "it says so at once")
		})
	})
}

// On a connection that has closed, FollowInterfaces returns why, and does not say that the peer
// lacks multipath.
func TestFollowInterfacesOfClosed(t *testing.T) {
	server := serverConfig(func(cfg *conn.Config) { cfg.MaxPaths = 4 })
	run(t, setup{link: alive, server: server}, func(t *testing.T, w *world) {
		client, c := w.dial(func(cfg *conn.Config) { cfg.MaxPaths = 4 })
		client.Close(7, "the end")
		<-c.Context().Done()
		for range 50 { // the handshake is complete too
			err := client.FollowInterfaces(w.ctx(), &loop.Multipath{MaxPaths: 4, Watch: newHost().watch})
			require.ErrorIs(t, err, net.ErrClosed)
			err = c.FollowInterfaces(w.ctx(), &loop.Multipath{MaxPaths: 4, Watch: newHost().watch})
			require.Equal(t, context.Cause(c.Context()), err)
		}
	})
}

// What is marked redundant goes on both paths: a stream is read as always, and each datagram comes
// twice.
func TestRedundant(t *testing.T) {
	allow := func(cfg *conn.Config) { cfg.MaxPaths, cfg.MaxDatagramFrameSize = 4, 65535 }
	run(t, setup{link: alive, seed: 6, server: serverConfig(allow)}, func(t *testing.T, w *world) {
		c, server := w.dial(allow)
		_, err := c.AddPath(w.ctx(), mobile)
		require.NoError(t, err)
		require.NoError(t, c.SendRedundantDatagram(w.ctx(), []byte("twice"), 0))
		require.NoError(t, c.SendDatagram(w.ctx(), []byte("once"), 0))
		came := make(map[string]int)
		b := make([]byte, 100)
		for range 3 {
			n, err := server.ReceiveDatagram(w.ctx(), b)
			require.NoError(t, err)
			came[string(b[:n])]++
		}
		require.Equal(t, map[string]int{"once": 1, "twice": 2}, came)
		const size = 1 << 18
		s := w.open(c, conn.Uni)
		s.SetRedundant(true)
		go func() {
			_, err := s.Write(make([]byte, size))
			require.NoError(t, err)
			require.NoError(t, s.Close())
		}()
		r, err := server.AcceptStream(w.ctx())
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, r)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		for _, p := range c.Paths() {
			require.Greater(t, p.BytesSent, uint64(size*3/4), "path %d", p.ID)
		}
	})
}
