package runner

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// blackhole turns the network off for a while in the middle of a transfer.
func blackhole(r *run) {
	name := r.files.add(r.size(10*mb, 2*mb))
	r.begin(simple(), serverConfig{})
	began := time.Now()
	on, off := r.time(5*time.Second, time.Second), 2*time.Second
	var ends time.Time
	var mu sync.Mutex
	start := time.AfterFunc(on, func() {
		r.relay.Blackhole(true)
		time.AfterFunc(off, func() { // the off time counts from here, even if this call is late
			mu.Lock()
			defer mu.Unlock()
			ends = time.Now()
			r.relay.Blackhole(false)
		})
	})
	defer start.Stop()
	r.one(r.download(name))
	mu.Lock()
	defer mu.Unlock()
	require.False(r, ends.IsZero(), "the transfer was over after %v, before the network came back", time.Since(began))
}

// seed draws a seed and logs it, so that a failed test prints it.
func (r *run) seed() uint64 {
	seed := rand.Uint64()
	r.Logf("seed %d", seed)
	return seed
}

// handshakesUnder gets files of 1 KB, each over a connection of its own.
func (r *run) handshakesUnder(filter func(*netrelay.Packet) bool) {
	count := r.size(50, 10)
	var names []string
	for range count {
		names = append(names, r.files.add(1*kb))
	}
	scenario := simple()
	scenario.Filter = filter
	r.begin(scenario, serverConfig{})
	ctx := r.context(3*timeout, timeout)
	errs := make(chan error, count)
	for _, name := range names {
		go func() { errs <- r.downloadAlone(ctx, name) }()
	}
	for range names {
		require.NoError(r, <-errs)
	}
	tr := r.tap.trace()
	require.Equal(r, count, tr.handshakes(), "handshakes")
	require.Equal(r, map[uint32]bool{conn.Version1: true}, tr.versions(netrelay.Up, conn.PacketInitial))
}

// downloadAlone gets a file over a connection of its own.
func (r *run) downloadAlone(ctx context.Context, name string) error {
	c, err := r.tryConnect(ctx, clientConfig{})
	if err != nil {
		return err
	}
	if err := r.files.check(ctx, c, name); err != nil {
		return err
	}
	return c.close()
}

// The runner's bad networks.
const (
	extremely, moderately = 0.30, 0.02
	inARow                = 3
)

func handshakeLoss(r *run) { r.handshakesUnder(newMisfortune(r.seed(), extremely, inARow).drop) }

func handshakeCorruption(r *run) {
	r.handshakesUnder(newMisfortune(r.seed(), extremely, inARow).corrupt)
}

func (r *run) transferUnder(filter func(*netrelay.Packet) bool) {
	scenario := simple()
	scenario.Filter = filter
	name := r.files.add(2 * mb)
	r.begin(scenario, serverConfig{})
	ctx := r.context(timeout, timeout)
	c := r.connect(ctx, clientConfig{})
	require.NoError(r, r.files.check(ctx, c, name))
	require.NoError(r, c.close())
	r.one(r.tap.trace())
}

func transferLoss(r *run) { r.transferUnder(newMisfortune(r.seed(), moderately, inARow).drop) }

func transferCorruption(r *run) {
	r.resets = true // a damaged connection ID is unknown
	r.transferUnder(newMisfortune(r.seed(), moderately, inARow).corrupt)
}

// rebindPort and rebindAddr have a NAT that forgets its mapping.
func rebindPort(r *run) { r.rebind(func(int) netip.Addr { return netip.Addr{} }) }

func rebindAddr(r *run) {
	tr := r.rebind(func(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + i%250)}) })
	addrs := make(map[netip.Addr]bool)
	for _, p := range tr.of(netrelay.Down, conn.Packet1RTT) {
		addrs[p.atServer.client.Addr()] = true
	}
	require.Greater(r, len(addrs), 1, "addresses that the server sent to")
}

// rebind has the NAT forget its mapping after parts of a transfer have passed. The runner's NAT
// forgets by the clock. By the clock it could forget during the handshake. It could also forget
// when no packets are under way to the client, which then has no reason to send any.
func (r *run) rebind(source func(i int) netip.Addr) *trace {
	size := r.size(10*mb, 2*mb)
	parts := []int{size / 8, size / 8 * 5}
	name := r.files.add(size)
	scenario := simple()
	begun := make(chan struct{})
	through := 0 // used only by the relay's goroutine for that direction
	scenario.Delivered = func(p *netrelay.Packet) {
		if p.Dir == netrelay.Up {
			return
		}
		through += len(p.Data)
		if len(parts) > 0 && through >= parts[0] {
			parts = parts[1:]
			<-begun
			if err := r.relay.Rebind(source(len(parts))); err != nil {
				r.Errorf("rebind: %v", err)
			}
		}
	}
	r.begin(scenario, serverConfig{})
	close(begun)
	tr := r.download(name)
	r.one(tr)
	require.Equal(r, 3, r.validatedPaths(tr), "paths that the server used")
	return tr
}

// validatedPaths returns how many paths the server sent on. On each new path the first datagram of
// the server must be a challenge, and the client must answer it.
func (r *run) validatedPaths(tr *trace) int {
	r.Helper()
	answered := make(map[[8]byte]bool)
	for _, p := range tr.of(netrelay.Up, conn.Packet1RTT) {
		for _, data := range pathData(p.frames, wire.FramePathResponse) {
			answered[data] = true
		}
	}
	var paths []path
	validated := make(map[path]bool)
	for _, p := range tr.of(netrelay.Down, conn.Packet1RTT) {
		challenges := pathData(p.frames, wire.FramePathChallenge)
		if !slices.Contains(paths, p.atServer) {
			paths = append(paths, p.atServer)
			require.True(r, len(paths) == 1 || len(challenges) > 0, "the first packet on path %d challenges nothing", len(paths))
		}
		for _, data := range challenges {
			validated[p.atServer] = validated[p.atServer] || answered[data]
		}
	}
	for i, p := range paths[1:] {
		require.True(r, validated[p], "no answer on path %d", i+2)
	}
	return len(paths)
}

func ecn(r *run) {
	name := r.files.add(100 * kb)
	r.begin(simple(), serverConfig{})
	tr := r.download(name)
	r.one(tr)
	for dir, back := range []netrelay.Dir{netrelay.Up: netrelay.Down, netrelay.Down: netrelay.Up} {
		var marks [4]int
		for _, p := range tr.packets {
			if p.dir == netrelay.Dir(dir) {
				marks[p.ecn]++
			}
		}
		require.Zero(r, marks[conn.ECNCE], "direction %d", dir)
		require.NotZero(r, marks[conn.ECT0]+marks[conn.ECT1], "direction %d", dir)
		require.True(r, slices.ContainsFunc(tr.packets, func(p *packet) bool {
			return p.dir == back && hasFrame(p.frames, wire.FrameAckECN)
		}), "direction %d: no ACK with counts", back)
	}
}

func overIPv6(r *run) {
	names := []string{r.files.add(5 * kb), r.files.add(10 * kb)}
	r.begin(simple(), serverConfig{ip: netip.IPv6Loopback()})
	tr := r.download(names...)
	r.one(tr)
	for _, p := range tr.packets {
		require.True(r, p.atServer.client.Addr().Is6() && p.atClient.client.Addr().Is6())
	}
}

// amplificationLimit has a long chain of certificates, and loses datagrams of the client for a
// while.
func amplificationLimit(r *run) {
	r.trust(9, 20)
	// A ClientHello with a post-quantum key share takes two datagrams, but only one gets through.
	r.clientTLS.CurvePreferences = classical
	scenario := simple()
	scenario.Filter = dropUp(2, 3, 4, 5, 6, 7)
	r.begin(scenario, serverConfig{})
	tr := r.download(r.files.add(5 * kb))
	s := r.one(tr)
	require.GreaterOrEqual(r, len(s.crypto[netrelay.Down][spaceHandshake].buf), 7500, "bytes of the server's handshake")
	r.checkAmplification(r.tap.recorded())
}

// checkAmplification adds up what the server got and sent (RFC 9000, Section 8.1). The runner lets
// a server send its last datagram over the limit, up to four times what it got. This module must
// not.
func (r *run) checkAmplification(datagrams []*datagram) {
	allowed, received, blocked, tolerance := 0, 0, 0, 0
	if r.server != implementation(lazo{}) {
		tolerance = 1
	}
	for _, d := range datagrams {
		switch {
		case d.dir == netrelay.Down && d.sent:
			allowed -= len(d.data)
			require.GreaterOrEqual(r, allowed+tolerance*received, 0, "the server sent more than three times what it got")
			if allowed < 1200 {
				blocked++
			}
		case d.dir == netrelay.Up && !d.sent:
			if h, ok := wire.ParseLong(d.data); !ok || h.Type == wire.TypeHandshake {
				require.NotZero(r, blocked, "the limit never mattered")
				return
			}
			allowed += 3 * len(d.data)
			received += len(d.data)
		}
	}
	r.Fatal("the server never got a Handshake packet")
}
