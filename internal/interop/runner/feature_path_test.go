package runner

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
	"github.com/quic-go/quic-go"
)

// requireProbed requires that the client probed a second path before it used it. The server must
// have answered there, and must have challenged that path itself (RFC 9000, Section 9). Our
// packets, which go in one direction, must not have a connection ID that was used on the other
// path. quic-go may send a packet that waited when the path changed.
func requireProbed(t *testing.T, tr *trace, ours netrelay.Dir) {
	t.Helper()
	var paths []path
	ids := make(map[string]path)
	asked := make(map[[8]byte]path)
	answered := make(map[netrelay.Dir]bool)
	for _, p := range tr.packets {
		if p.typ != conn.Packet1RTT {
			continue
		}
		if !slices.Contains(paths, p.atClient) {
			paths = append(paths, p.atClient)
			probe := p.dir == netrelay.Up && hasFrame(p.frames, wire.FramePathChallenge)
			require.True(t, len(paths) == 1 || probe, "the new path is not probed first")
		}
		was, ok := ids[string(p.dcid)]
		// RFC 9000, Section 9.5
		require.True(t, !ok || was == p.atClient || p.dir != ours, "a connection ID on two paths")
		ids[string(p.dcid)] = p.atClient
		for _, data := range pathData(p.frames, wire.FramePathChallenge) {
			require.GreaterOrEqual(t, len(p.data), 1200) // RFC 9000, Section 8.2.1
			asked[data] = p.atClient
		}
		for _, data := range pathData(p.frames, wire.FramePathResponse) {
			if asked[data] == paths[len(paths)-1] {
				answered[p.dir] = true
			}
		}
	}
	require.Len(t, paths, 2)
	require.True(t, answered[netrelay.Down], "the client's challenge is not answered")
	require.True(t, answered[netrelay.Up], "the server's challenge is not answered")
}

// TestMigrationToQUICGo moves a client to another socket in the middle of a download.
func TestMigrationToQUICGo(t *testing.T) {
	ctx, r := feature(t, toQUICGo)
	l := quicGo{}.listen(t, r.serverConfig())
	r.relayTo(addrPort(l.Addr()), near())
	name := r.files.add(mb)
	sock, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	g, err := loop.New(nil, sock)
	require.NoError(t, err)
	defer g.Close()
	c, err := g.Dial(ctx, r.addr.String(), lazo{}.clientConfig(r.clientConfig()))
	require.NoError(t, err)
	server := r.acceptQUICGo(ctx, l)
	require.NoError(t, r.files.check(ctx, lazoClient{c}, name))
	before := addrPort(server.RemoteAddr())

	done := make(chan error, 1)
	go func() { done <- r.files.check(ctx, lazoClient{c}, name) }()
	second, err := sock.AddLocal("udp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, c.Migrate(ctx, second))
	require.NoError(t, <-done)
	require.NoError(t, r.files.check(ctx, lazoClient{c}, name))
	require.Equal(t, second, c.LocalAddr())
	require.EqualValues(t, 1, c.Stats().PathChanges)
	after := addrPort(server.RemoteAddr())
	require.NotEqual(t, before, after, "the address that the server sends to")
	require.NoError(t, c.Close(0, ""))
	tr := r.closedTrace(1)
	requireProbed(t, tr, netrelay.Up)
	ups := tr.of(netrelay.Up, conn.Packet1RTT)
	last := ups[len(ups)-1]
	require.Equal(t, second, last.atClient.client)
	require.Equal(t, after, last.atServer.client)
}

// TestMigrationFromQUICGo has quic-go probe a path and switch to it.
func TestMigrationFromQUICGo(t *testing.T) {
	ctx, r := feature(t, fromQUICGo)
	g := lazo{}.listen(t, r.serverConfig())
	r.relayTo(g.LocalAddr(), near())
	name := r.files.add(mb)
	c, err := quicGo{}.connect(ctx, r.clientConfig())
	require.NoError(t, err)
	server := r.acceptLazo(ctx, g)
	require.NoError(t, r.files.check(ctx, c, name))
	before := server.RemoteAddr()

	tr := &quic.Transport{Conn: listenUDP(t, localhost)}
	defer tr.Close()
	p, err := c.c.AddPath(tr)
	require.NoError(t, err)
	require.NoError(t, p.Probe(ctx))
	require.Equal(t, before, server.RemoteAddr(), "a probe is no migration")
	require.Zero(t, server.Stats().PathChanges)
	done := make(chan error, 1)
	go func() { done <- r.files.check(ctx, c, name) }()
	require.NoError(t, p.Switch())
	require.NoError(t, <-done)
	require.NoError(t, r.files.check(ctx, c, name))
	require.EqualValues(t, 1, server.Stats().PathChanges)
	require.NotEqual(t, before, server.RemoteAddr())
	require.Equal(t, tr.Conn.LocalAddr().(*net.UDPAddr).Port, c.c.LocalAddr().(*net.UDPAddr).Port)
	require.NoError(t, c.close())
	requireProbed(t, r.closedTrace(1), netrelay.Down)
}

// TestRebindingTellsTheServer changes the address of a client between downloads. The client does
// not notice it.
func TestRebindingTellsTheServer(t *testing.T) {
	other := netip.AddrFrom4([4]byte{127, 0, 0, 7})
	t.Run(toQUICGo.String(), func(t *testing.T) {
		ctx, r := feature(t, toQUICGo)
		l := quicGo{}.listen(t, r.serverConfig())
		r.relayTo(addrPort(l.Addr()), near())
		name := r.files.add(100 * kb)
		c, err := lazo{}.connect(ctx, r.clientConfig())
		require.NoError(t, err)
		server := r.acceptQUICGo(ctx, l)
		require.NoError(t, r.files.check(ctx, lazoClient{c}, name))
		require.NoError(t, r.relay.Rebind(other))
		for range 2 {
			require.NoError(t, r.files.check(ctx, lazoClient{c}, name))
		}
		require.Equal(t, other, addrPort(server.RemoteAddr()).Addr())
		require.Zero(t, c.Stats().PathChanges)
		require.NoError(t, c.Close(0, ""))
		require.Equal(t, 2, r.validatedPaths(r.closedTrace(1)))
	})
	t.Run(fromQUICGo.String(), func(t *testing.T) {
		ctx, r := feature(t, fromQUICGo)
		g := lazo{}.listen(t, r.serverConfig())
		r.relayTo(g.LocalAddr(), near())
		name := r.files.add(100 * kb)
		c, err := quicGo{}.connect(ctx, r.clientConfig())
		require.NoError(t, err)
		server := r.acceptLazo(ctx, g)
		require.NoError(t, r.files.check(ctx, c, name))
		require.NoError(t, r.relay.Rebind(other))
		for range 2 {
			require.NoError(t, r.files.check(ctx, c, name))
		}
		require.Equal(t, other, server.RemoteAddr().Addr())
		require.EqualValues(t, 1, server.Stats().PathChanges)
		require.NoError(t, c.close())
		require.Equal(t, 2, r.validatedPaths(r.closedTrace(1)))
	})
}
