package runner

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
	"github.com/lazoquic/lazo/loop"
	"github.com/quic-go/quic-go"
)

// These tests cover features for which the runner has no case, or a less strict one. Each test runs
// with this module as client and as server. It checks the reports of both implementations, and the
// trace.

// localhost is where servers are.
var localhost = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// feature prepares a test.
func feature(t *testing.T, p pairing) (context.Context, *run) {
	r := &run{TB: t, pairing: p}
	r.trust(1, 0)
	return r.context(timeout, timeout), r
}

// near is a link without limits.
func near() netrelay.Config {
	link := netrelay.Link{Delay: 5 * time.Millisecond}
	return netrelay.Config{Up: link, Down: link}
}

// far is a link with a long delay, so that a handshake takes longer than sending early data, even
// on a busy machine.
func far() netrelay.Config {
	link := netrelay.Link{Delay: 150 * time.Millisecond}
	return netrelay.Config{Up: link, Down: link}
}

// relayTo puts a relay before a server.
func (r *run) relayTo(server netip.AddrPort, scenario netrelay.Config) {
	scenario.Server = server
	r.relay = r.tap.relay(r, scenario)
	r.addr = r.relay.Addr()
}

func (r *run) serverConfig() serverConfig {
	return serverConfig{tls: r.serverTLS, files: &r.files, ip: localhost}
}

func (r *run) clientConfig() clientConfig {
	return clientConfig{tls: r.clientTLS, server: r.addr}
}

// acceptLazo serves the next connection of g, and returns it.
func (r *run) acceptLazo(ctx context.Context, g *loop.Group) *loop.Conn {
	r.Helper()
	c, err := g.Accept(ctx)
	require.NoError(r, err)
	go serveLazoConn(c, &r.files)
	return c
}

// acceptQUICGo serves the next connection of l, and returns it.
func (r *run) acceptQUICGo(ctx context.Context, l *quic.EarlyListener) *quic.Conn {
	r.Helper()
	c, err := l.Accept(ctx)
	require.NoError(r, err)
	go serveQUICGoConn(c, &r.files)
	return c
}

// toQUICGo and fromQUICGo pair this module with quic-go.
var (
	toQUICGo   = pairing{lazo{}, quicGo{}}
	fromQUICGo = pairing{quicGo{}, lazo{}}
)

// count returns how many packets of a direction and type have a frame.
func (tr *trace) count(dir netrelay.Dir, typ conn.PacketType, frame uint64) (n int) {
	for _, p := range tr.of(dir, typ) {
		if hasFrame(p.frames, frame) {
			n++
		}
	}
	return n
}

// TestVersion2 begins with version 2 (RFC 9369).
func TestVersion2(t *testing.T) {
	both := []uint32{conn.Version2, conn.Version1}
	for _, p := range []pairing{toQUICGo, fromQUICGo} {
		t.Run(p.String(), func(t *testing.T) {
			ctx, r := feature(t, p)
			r.begin(near(), serverConfig{versions: both})
			name := r.files.add(100 * kb)
			c := r.connect(ctx, clientConfig{versions: []uint32{conn.Version2}})
			require.NoError(t, r.files.check(ctx, c, name))
			switch c := c.(type) {
			case lazoClient:
				var version uint32
				require.NoError(t, c.c.Do(ctx, func(_ time.Time, c *conn.Conn) { version = c.Version() }))
				require.EqualValues(t, conn.Version2, version)
			case *quicGoClient:
				require.Equal(t, quic.Version2, c.c.ConnectionState().Version)
			}
			require.NoError(t, c.close())
			tr := r.closedTrace(1)
			only := map[uint32]bool{conn.Version2: true}
			for _, typ := range []conn.PacketType{conn.PacketInitial, conn.PacketHandshake} {
				require.Equal(t, only, tr.versions(netrelay.Up, typ))
				require.Equal(t, only, tr.versions(netrelay.Down, typ))
			}
			require.EqualValues(t, conn.Version2, tr.sessions[0].version)
		})
	}
}

// keyPhases returns who was first in each key phase: the direction of the first packet of phases 1,
// 2, ...
func keyPhases(tr *trace) (first []netrelay.Dir) {
	seen := make(map[*session][2]int)
	for _, p := range tr.packets {
		if p.typ != conn.Packet1RTT || !p.opened {
			continue
		}
		now := seen[p.session]
		if p.phase != (now[p.dir]%2 == 1) {
			now[p.dir]++
			if now[p.dir] > len(first) {
				first = append(first, p.dir)
			}
		}
		seen[p.session] = now
	}
	return first
}

// TestKeyUpdateByLazo updates keys three times in a row. quic-go follows each time.
func TestKeyUpdateByLazo(t *testing.T) {
	const updates = 3
	t.Run("Client", func(t *testing.T) {
		ctx, r := feature(t, toQUICGo)
		r.begin(near(), serverConfig{})
		name := r.files.add(10 * kb) // too few packets for quic-go to begin an update
		c, err := lazo{}.connect(ctx, r.clientConfig())
		require.NoError(t, err)
		for range updates {
			r.updateKeys(ctx, c, func() error { return r.files.check(ctx, lazoClient{c}, name) })
		}
		require.NoError(t, r.files.check(ctx, lazoClient{c}, name))
		require.EqualValues(t, updates, c.Stats().KeyUpdates)
		require.NoError(t, c.Close(0, ""))
		tr := r.closedTrace(1)
		require.Equal(t, []netrelay.Dir{netrelay.Up, netrelay.Up, netrelay.Up}, keyPhases(tr))
		requireGenerations(t, tr, updates+1)
	})
	t.Run("Server", func(t *testing.T) {
		ctx, r := feature(t, fromQUICGo)
		g := lazo{}.listen(t, r.serverConfig())
		r.relayTo(g.LocalAddr(), near())
		name := r.files.add(10 * kb)
		c, err := quicGo{}.connect(ctx, r.clientConfig())
		require.NoError(t, err)
		server := r.acceptLazo(ctx, g)
		for range updates {
			r.updateKeys(ctx, server, func() error { return r.files.check(ctx, c, name) })
		}
		for range 2 { // the second request makes both sides use the last keys
			require.NoError(t, r.files.check(ctx, c, name))
		}
		require.EqualValues(t, updates, server.Stats().KeyUpdates)
		require.NoError(t, c.close())
		tr := r.closedTrace(1)
		require.Equal(t, []netrelay.Dir{netrelay.Down, netrelay.Down, netrelay.Down}, keyPhases(tr))
		requireGenerations(t, tr, updates+1)
	})
}

// updateKeys updates the keys of c. An update is possible only after the peer has acknowledged a
// packet with the keys in use. Until then updateKeys exchanges more packets.
func (r *run) updateKeys(ctx context.Context, c *loop.Conn, exchange func() error) {
	r.Helper()
	for {
		require.NoError(r, exchange())
		err := lazoClient{c}.updateKeys(ctx)
		if err == nil {
			return
		}
		require.NoError(r, ctx.Err(), "%v", err)
	}
}

// requireGenerations fails the test unless each side sent packets with n keys, one after the other.
func requireGenerations(t *testing.T, tr *trace, n int) {
	t.Helper()
	require.Len(t, tr.sessions, 1)
	for dir, level := range tr.sessions[0].level {
		require.Len(t, level[spaceApp], n, "keys in direction %d", dir)
	}
}

// TestKeyUpdateByQUICGo has quic-go update its keys, as it does after 100 packets. This module
// follows.
func TestKeyUpdateByQUICGo(t *testing.T) {
	for _, p := range []pairing{toQUICGo, fromQUICGo} {
		t.Run(p.String(), func(t *testing.T) {
			ctx, r := feature(t, p)
			r.begin(near(), serverConfig{})
			name := r.files.add(mb)
			c := r.connect(ctx, clientConfig{})
			require.NoError(t, r.files.check(ctx, c, name))
			require.NoError(t, r.files.check(ctx, c, name))
			require.NoError(t, c.close())
			tr := r.closedTrace(1)
			want := netrelay.Up
			if p == toQUICGo {
				want = netrelay.Down
			}
			require.Equal(t, []netrelay.Dir{want}, keyPhases(tr))
			requireGenerations(t, tr, 2)
		})
	}
}

// TestNewToken uses a token of NEW_TOKEN where the server would otherwise send Retry (RFC 9000,
// Section 8.1.3).
func TestNewToken(t *testing.T) {
	for _, p := range []pairing{toQUICGo, fromQUICGo} {
		t.Run(p.String(), func(t *testing.T) {
			ctx, r := feature(t, p)
			name := r.files.add(1 * kb)
			r.begin(near(), serverConfig{retry: true})
			var connect func() (client, error)
			if p == toQUICGo {
				cache := new(loop.SessionCache)
				connect = func() (client, error) {
					c, err := lazo{}.connect(ctx, r.clientConfig(), func(cfg *conn.Config) { cfg.Tokens = cache })
					return lazoClient{c}, err
				}
			} else {
				store := quic.NewLRUTokenStore(1, 4)
				connect = func() (client, error) {
					return quicGo{}.connect(ctx, r.clientConfig(), func(cfg *quic.Config) { cfg.TokenStore = store })
				}
			}
			for range 2 {
				c, err := connect()
				require.NoError(t, err)
				require.NoError(t, r.files.check(ctx, c, name))
				require.NoError(t, c.close())
			}
			tr := r.closedTrace(2)
			require.Len(t, tr.sessions, 2)
			retries := tr.of(netrelay.Down, conn.PacketRetry)
			require.NotEmpty(t, retries)
			for _, p := range retries {
				require.Equal(t, tr.sessions[0].clients[0], p.atClient, "a Retry for the second connection")
			}
			var tokens [][]byte
			for _, p := range tr.of(netrelay.Down, conn.Packet1RTT) {
				for _, f := range p.frames {
					if f.typ == wire.FrameNewToken && p.session == tr.sessions[0] {
						token, _ := wire.ParseNewToken(f.data)
						tokens = append(tokens, token)
					}
				}
			}
			require.NotEmpty(t, tokens)
			for _, p := range tr.of(netrelay.Up, conn.PacketInitial) {
				if p.session == tr.sessions[1] {
					require.True(t, slices.ContainsFunc(tokens, func(token []byte) bool { return string(token) == string(p.token) }))
				}
			}
		})
	}
}
