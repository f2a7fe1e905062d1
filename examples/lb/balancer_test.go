package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// startBalancer starts a balancer on loopback. The rest follows "listen" in its file.
func startBalancer(t *testing.T, rest string) *balancer {
	c, err := readConfig(writeConfig(t, "listen: 127.0.0.1:0\n"+rest))
	require.NoError(t, err)
	b, err := newBalancer(c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return b
}

// backendsOf names backends with server IDs of two bytes in clear.
func backendsOf(addrs ...netip.AddrPort) string {
	text := "ids: [{config: 0, server_id_bytes: 2, nonce_bytes: 6}]\nbackends:\n"
	for i, addr := range addrs {
		text += fmt.Sprintf("  - {address: %q, server_ids: [\"0a%02x\"]}\n", addr, i)
	}
	return text
}

// idOf returns an ID of backend i of backendsOf.
func idOf(t *testing.T, i int) []byte {
	source, err := quiclb.NewSource(quiclb.Config{ServerID: []byte{10, byte(i)}, NonceLen: 6}, rand.Reader)
	require.NoError(t, err)
	var b [20]byte
	return b[:source.Generate(&b)]
}

func listen(t *testing.T, network, addr string) *udpio.Socket {
	s, err := udpio.Listen(network, addr, nil)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// readAll reads messages until they have the number of bytes.
func readAll(t *testing.T, s *udpio.Socket, bytes int) (ms []udpio.Message) {
	for limit := time.Now().Add(time.Minute); bytes > 0; {
		one := []udpio.Message{{Buf: make([]byte, 64<<10)}}
		n, err := s.ReadBatch(one, limit)
		require.NoError(t, err)
		require.Equal(t, 1, n, "nothing came")
		bytes -= len(one[0].Buf)
		ms = append(ms, one[0])
	}
	return ms
}

// TestBatches: datagrams that the client has sent as one message reach the server that each is
// for, in order, and an answer of several datagrams comes back.
func TestBatches(t *testing.T) {
	servers := []*udpio.Socket{listen(t, "udp", "127.0.0.1:0"), listen(t, "udp", "[::1]:0")}
	b := startBalancer(t, backendsOf(servers[0].LocalAddr(), servers[1].LocalAddr())+"health: {off: true}\n")
	client := listen(t, "udp", "127.0.0.1:0")
	var all []byte
	want := make([][]byte, 2)
	for i, to := range []int{0, 0, 0, 1, 1, 0, 1, 0} {
		d := append(short(idOf(t, to)), make([]byte, 500)...)
		d[len(d)-1] = byte(i)
		all, want[to] = append(all, d...), append(want[to], d...)
	}
	_, err := client.WriteBatch([]udpio.Message{{Buf: all, SegmentSize: len(all) / 8, Remote: b.addr(), ECN: 2}})
	require.NoError(t, err)
	for i, s := range servers {
		ms := readAll(t, s, len(want[i]))
		var got []byte
		for _, m := range ms {
			got = append(got, m.Buf...)
			require.EqualValues(t, 2, m.ECN)
			require.Equal(t, ms[0].Remote, m.Remote)
		}
		require.Equal(t, want[i], got)
		_, err := s.WriteBatch([]udpio.Message{{Buf: all, SegmentSize: len(all) / 8, Remote: ms[0].Remote, ECN: 1}})
		require.NoError(t, err)
		for _, m := range readAll(t, client, len(all)) {
			require.Equal(t, b.addr(), m.Remote)
			require.EqualValues(t, 1, m.ECN)
		}
	}
}

// quicServer starts a server that answers Version Negotiation, and nothing else of use.
func quicServer(t *testing.T, addr string) *loop.Group {
	g, err := loop.Listen("udp", addr, 1, &loop.Config{Endpoint: conn.EndpointConfig{Server: conntest.ServerConfig()}})
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	return g
}

// healthOf waits until the balancer knows a backend as is.
func healthOf(t *testing.T, b *balancer, addr netip.AddrPort, is health) {
	t.Helper()
	require.Eventually(t, func() bool {
		p := b.pool.Load()
		for _, m := range p.members {
			if m.addr == addr {
				return m.health == is
			}
		}
		return false
	}, time.Minute, time.Millisecond, "%v is not %v", addr, is)
}

// TestHealth: a server that ends is dead, one that says nothing is silent and then dead, and each
// is well when it answers.
func TestHealth(t *testing.T) {
	g := quicServer(t, "127.0.0.1:0")
	addr := g.LocalAddr()
	mute, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	muteAddr := netip.MustParseAddrPort(mute.LocalAddr().String())
	b := startBalancer(t, backendsOf(addr, muteAddr)+"health: {interval: 50ms, silent: 2, dead: 20}\n")
	healthOf(t, b, muteAddr, silent)
	healthOf(t, b, muteAddr, dead)
	require.NoError(t, mute.Close())
	quicServer(t, muteAddr.String())
	healthOf(t, b, muteAddr, well)
	healthOf(t, b, addr, well)
	require.NoError(t, g.Close())
	healthOf(t, b, addr, dead)
	quicServer(t, addr.String())
	healthOf(t, b, addr, well)
}

// TestFewRefusals: a host that says but once that nobody listens, or a few times to clients, is
// believed when no probe is answered meanwhile. Hosts limit how often they say it.
func TestFewRefusals(t *testing.T) {
	mute, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer mute.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var probes atomic.Int64
	died := make(chan int64, 1)
	c := &check{
		addr: netip.MustParseAddrPort(mute.LocalAddr().String()), interval: 500 * time.Millisecond, silent: 50, dead: 100,
		refused: make(chan struct{}, 1),
		changed: func(is health) { died <- probes.Load() },
	}
	go func() {
		for b := make([]byte, 2048); ; {
			if _, _, err := mute.ReadFrom(b); err != nil {
				return
			}
			probes.Add(1)
			select {
			case c.refused <- struct{}{}: // while the probe waits for an answer
			case <-ctx.Done():
			}
		}
	}()
	go c.run(ctx)
	require.EqualValues(t, refusals, <-died)
}

// TestProbeAnswers: only the answer to this probe counts.
func TestProbeAnswers(t *testing.T) {
	p := newProbe()
	answer := func(version byte, dcid, scid [8]byte) []byte {
		b := append([]byte{0x80, 0, 0, 0, version, 8}, dcid[:]...)
		return append(append(append(b, 8), scid[:]...), 0, 0, 0, 1)
	}
	require.True(t, p.answeredBy(answer(0, p.scid, p.dcid)))
	require.False(t, p.answeredBy(answer(0, p.dcid, p.scid)))
	require.False(t, p.answeredBy(answer(1, p.scid, p.dcid)))
	require.False(t, p.answeredBy(p.packet()))
	require.False(t, p.answeredBy(nil))
	require.Len(t, p.packet(), 1200)
}

// TestReload: a file that changes is read again, also at a signal; one with a mistake is not used.
func TestReload(t *testing.T) {
	servers := []*udpio.Socket{listen(t, "udp", "127.0.0.1:0"), listen(t, "udp", "127.0.0.1:0")}
	off := "health: {off: true}\n"
	b := startBalancer(t, backendsOf(servers[0].LocalAddr())+off)
	signals := make(chan os.Signal, 1)
	go b.keepCurrent(t.Context(), signals, time.Millisecond)
	name := b.config.file.Name
	replace := func(text string) {
		text = "listen: 127.0.0.1:0\n" + text
		require.NoError(t, os.WriteFile(name+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(name+".new", name))
	}
	members := func(n int) func() bool { return func() bool { return len(b.pool.Load().members) == n } }
	before := b.pool.Load()
	replace(backendsOf(servers[0].LocalAddr(), servers[1].LocalAddr()) + off)
	require.Eventually(t, members(2), time.Minute, time.Millisecond)
	for _, m := range before.members {
		require.NotNil(t, b.pool.Load().members[m.backend], "a backend that stays is the same")
	}
	replace(strings.Replace(backendsOf(servers[1].LocalAddr())+off, "0a00", "0a", 1))
	require.Error(t, b.reload())
	require.True(t, members(2)())
	replace(backendsOf(servers[1].LocalAddr()) + "flows: {max: 5}\n" + off)
	require.ErrorContains(t, b.reload(), "flows: cannot change without a restart")
	replace(backendsOf(servers[1].LocalAddr()) + off)
	signals <- os.Interrupt
	require.Eventually(t, members(1), time.Minute, time.Millisecond)
}

// TestKeyFile: a key in a file counts, and so does another one that the file gets later.
func TestKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(key [16]byte, end string) {
		require.NoError(t, os.WriteFile(file+".new", []byte(hex.EncodeToString(key[:])+end), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	keys := [][16]byte{{1}, {2}}
	write(keys[0], "")
	addr := listen(t, "udp", "127.0.0.1:0").LocalAddr()
	b := startBalancer(t, fmt.Sprintf("ids: [{config: 0, server_id_bytes: 2, nonce_bytes: 6, key_file: %q}]\n", file)+
		fmt.Sprintf("backends: [{address: %q, server_ids: [\"0a00\"]}]\nhealth: {off: true}\n", addr))
	finds := func(key [16]byte) bool {
		source, err := quiclb.NewSource(quiclb.Config{ServerID: []byte{10, 0}, NonceLen: 6, Key: &key}, rand.Reader)
		require.NoError(t, err)
		var cid [20]byte
		id, ok := b.pool.Load().decoder.ServerID(nil, cid[:source.Generate(&cid)])
		return ok && bytes.Equal(id, []byte{10, 0})
	}
	require.True(t, finds(keys[0]))
	require.False(t, finds(keys[1]))
	go b.keepCurrent(t.Context(), nil, time.Millisecond)
	write(keys[1], "\n") // another size, since the clock of file systems is coarse
	require.Eventually(t, func() bool { return finds(keys[1]) }, time.Minute, time.Millisecond)
	require.False(t, finds(keys[0]))
}

// TestNoRoom: more clients than flows.max share the ports; the latest of them are answered.
func TestNoRoom(t *testing.T) {
	server := listen(t, "udp", "127.0.0.1:0")
	b := startBalancer(t, backendsOf(server.LocalAddr())+"health: {off: true}\nflows: {max: 2}\n")
	ports := make(map[uint16]bool)
	for range 5 {
		client := listen(t, "udp", "127.0.0.1:0")
		_, err := client.WriteBatch([]udpio.Message{{Buf: short(idOf(t, 0)), Remote: b.addr()}})
		require.NoError(t, err)
		m := readAll(t, server, 1)[0]
		ports[m.Remote.Port()] = true
		_, err = server.WriteBatch([]udpio.Message{{Buf: []byte("answer"), Remote: m.Remote}})
		require.NoError(t, err)
		require.Equal(t, "answer", string(readAll(t, client, 1)[0].Buf))
	}
	require.Len(t, ports, 2)
	require.EqualValues(t, 3, b.forwarders[0].evicted.Load())
}
