package conn_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// schedulerOf sets Config.Scheduler.
func schedulerOf(f func() conn.Scheduler) func(*conn.Config) {
	return func(cfg *conn.Config) { cfg.Scheduler = f }
}

// onPath makes a link add to n the bytes that it is given.
func onPath(l conntest.Link, n *int) conntest.Link {
	l.Filter = func(p *conntest.Packet) bool { *n += len(p.Data); return true }
	return l
}

// A lastFirst is what a user may write: data takes the path with the highest ID.
type lastFirst struct{ asked *int }

func (s lastFirst) Schedule(order []conn.PathID, st *conn.SendState) []conn.PathID {
	*s.asked++
	for _, p := range st.Paths {
		if p.CongestionWindow == 0 || p.Rate == 0 || p.MTU < 1200 || p.SmoothedRTT == 0 || !p.Remote.IsValid() {
			return nil
		}
	}
	return append(order, st.Paths[len(st.Paths)-1].ID, 99, st.Paths[len(st.Paths)-1].ID)
}

// A user's Scheduler decides, whatever it answers besides.
func TestSchedulerOfUser(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000}
	asked, second := 0, 0
	sc := scenario{seed: 20, streams: 1, download: 5e6}.both(link)
	sc.configure = schedulerOf(func() conn.Scheduler { return lastFirst{&asked} })
	w := startTwoPaths(t, sc, onPath(link, &second))
	w.work()
	require.True(t, w.done())
	require.Greater(t, asked, 100)
	require.Greater(t, second, 4_500_000)
	w.finish()
}

// noPath is a Scheduler that names no path: that must not end a transfer.
type noPath struct{}

func (noPath) Schedule(order []conn.PathID, _ *conn.SendState) []conn.PathID { return order }

func TestSchedulerWithoutAnswer(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000, Loss: 0.01}
	sc := scenario{seed: 21, streams: 1, upload: 1e6, download: 1e6}.both(link)
	sc.configure = schedulerOf(func() conn.Scheduler { return noPath{} })
	w := startTwoPaths(t, sc, link)
	w.work()
	require.True(t, w.done())
	w.finish()
}

// With the Scheduler of NewFailover the second path carries nothing of a download until the first
// one dies, and nothing more once that works again.
func TestSchedulerFailover(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000}
	fast := link
	fast.Delay /= 4
	second, stage := 0, 0
	var before, during int
	sc := scenario{seed: 22, streams: 1, download: 20e6}.both(link)
	sc.configure = schedulerOf(conn.NewFailover)
	w := startTwoPaths(t, sc, onPath(fast, &second))
	w.step = func(*world) {
		switch now := w.client.now(); {
		case stage == 0 && now > 2*time.Second:
			before, stage = second, 1
			w.net.ConnectAddrs(w.first, w.server.node.Addr, dead, dead)
		case stage == 1 && now > 4*time.Second:
			during, stage = second, 2
			w.net.ConnectAddrs(w.first, w.server.node.Addr, link, link)
		case stage == 2 && now > 5*time.Second:
			during, second, stage = during-before, 0, 3
		}
	}
	w.work()
	require.True(t, w.done())
	require.Equal(t, 3, stage)
	require.Less(t, before, 50_000, "the MTU is probed, packets are acknowledged")
	require.Greater(t, during, 4_000_000)
	require.Less(t, second, 50_000)
	w.finish()
}

// The end of a short transfer does not wait for a slow path.
func TestSchedulerShortTransfers(t *testing.T) {
	fast := conntest.Link{Delay: 10 * time.Millisecond, Rate: 10e6, Queue: 100_000}
	slow := conntest.Link{Delay: 200 * time.Millisecond, Rate: 10e6, Queue: 500_000}
	took := func(f func() conn.Scheduler) time.Duration {
		sc := scenario{seed: 23, streams: 1, download: 200_000}.both(fast)
		sc.configure = schedulerOf(f)
		w := startTwoPaths(t, sc, slow)
		// It begins once both paths are known.
		w.client.toOpen = 0
		w.net.RunFor(3 * time.Second)
		w.client.toOpen = 1
		began := w.client.now()
		w.client.open()
		w.work()
		require.True(t, w.done())
		w.finish()
		return w.client.lastRead - began
	}
	alone, plain, ours := took(conn.NewFailover), took(conn.NewMinRTT), took(conn.NewEarliestCompletion)
	t.Logf("200 kB take %v on the fast path alone, %v with the least round-trip time, %v with the earliest completion", alone, plain, ours)
	require.Less(t, ours, alone*21/20)
	require.Less(t, ours, plain)
}

// A slow path does not use up a small flow control window, and the fast one is not held up.
func TestSchedulerSmallWindow(t *testing.T) {
	fast := conntest.Link{Delay: 10 * time.Millisecond, Rate: 20e6, Queue: 100_000}
	slow := conntest.Link{Delay: 150 * time.Millisecond, Rate: 5e6, Queue: 200_000}
	took := func(f func() conn.Scheduler) time.Duration {
		sc := scenario{seed: 24, streams: 1, download: 5e6}.both(fast)
		sc.configure = func(cfg *conn.Config) {
			cfg.Scheduler = f
			cfg.InitialMaxStreamData, cfg.MaxStreamData = 200_000, 200_000
		}
		w := startTwoPaths(t, sc, slow)
		w.work()
		require.True(t, w.done())
		w.finish()
		return w.client.lastRead - w.client.connected
	}
	alone, plain, ours := took(conn.NewFailover), took(conn.NewMinRTT), took(conn.NewEarliestCompletion)
	t.Logf("5 MB take %v on the fast path alone, %v with the least round-trip time, %v with the earliest completion", alone, plain, ours)
	require.Less(t, ours, alone*20/19)
	require.Less(t, ours, plain)
}

// Redundant datagrams arrive when the faster path carries them, whichever it is at the moment, and
// whatever one path loses.
func TestRedundantDatagrams(t *testing.T) {
	swings := conntest.Link{Delay: 10 * time.Millisecond, Rate: 10e6, Queue: 100_000, Loss: 0.005}
	for s := range time.Duration(10) {
		swings.Faults = append(swings.Faults, conntest.Fault{From: (2*s + 1) * time.Second, To: (2*s + 2) * time.Second, Delay: 100 * time.Millisecond})
	}
	steady := conntest.Link{Delay: 40 * time.Millisecond, Rate: 10e6, Queue: 100_000, Loss: 0.005}
	const every, count = 5 * time.Millisecond, 3000
	var sent [count]time.Duration
	var late []time.Duration // behind the better path at that moment
	fates := make(map[uint64]int)
	arrived, copies := 0, 0
	seen := make(map[uint32]bool)
	var w *twoPaths
	sc := scenario{seed: 25}.both(swings)
	sc.configure = func(cfg *conn.Config) {
		cfg.MaxDatagramFrameSize, cfg.Congestion = 1200, congestion.NewBBR
	}
	sc.event = func(p *peer, ev conn.Event) {
		switch ev.Kind {
		case conn.EventDatagramReadable:
			for b, ok := ev.Conn.ReceiveDatagram(); ok; b, ok = ev.Conn.ReceiveDatagram() {
				copies++
				i := binary.BigEndian.Uint32(b)
				if seen[i] {
					continue
				}
				seen[i] = true
				arrived++
				better := 40 * time.Millisecond
				if sent[i]/time.Second%2 == 0 {
					better = 10 * time.Millisecond
				}
				late = append(late, w.client.now()-sent[i]-better)
			}
		case conn.EventDatagramAcked, conn.EventDatagramLost:
			fates[ev.ID]++
		}
	}
	w = startTwoPaths(t, sc, steady)
	n := 0
	var send func()
	send = func() {
		b := make([]byte, 200)
		binary.BigEndian.PutUint32(b, uint32(n))
		sent[n] = w.client.now()
		_, err := w.client.conn.SendDatagram(b, conn.DatagramOptions{Redundant: true, Notify: true})
		require.NoError(t, err)
		if n++; n < count {
			w.net.After(every, send)
		}
	}
	w.net.RunFor(time.Second)
	require.Equal(t, 1, w.opened["client"])
	send()
	w.net.RunFor(count*every + 2*time.Second)
	slices.Sort(late)
	t.Logf("%d of %d arrived, %d copies; behind the better path: median %v, 99th percentile %v",
		arrived, count, copies, late[len(late)/2], late[len(late)*99/100])
	require.GreaterOrEqual(t, arrived, count*998/1000, "0.0025 % are lost on both")
	require.Greater(t, copies, count*3/2)
	// A copy that the better path loses comes by the other one: 0.5 % of them.
	require.Less(t, late[len(late)*99/100], 2*time.Millisecond)
	require.Equal(t, count, len(fates))
	for id, n := range fates {
		require.Equal(t, 1, n, "notices of datagram %d", id)
	}
	w.finish()
}

// A redundant stream does not notice that a path dies: what its reader gets is as old as the way
// over the other path is long, and nothing waits for a probe timeout.
func TestRedundantStream(t *testing.T) {
	plain, ours := oldestOfStream(t, false), oldestOfStream(t, true)
	t.Logf("a path dies: the oldest message is %v old, and %v in a redundant stream", plain, ours)
	require.Less(t, ours, 42*time.Millisecond)
	require.Less(t, ours, plain/2)
}

// oldestOfStream returns the greatest age with which a message of 1,000 bytes arrives. One is sent
// each 10 ms. The paths take 20 and 40 ms, and the shorter one dies on the way.
func oldestOfStream(t *testing.T, redundant bool) (oldest time.Duration) {
	rnd := conntest.Seed(t, 26)
	n := simulate(t, 26)
	start := n.Now()
	now := func() time.Duration { return n.Now().Sub(start) }
	n.Default = conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000}
	longer := n.Default
	longer.Delay *= 2
	sc, cc := conntest.ServerConfig(), conntest.ClientConfig()
	sc.MaxPaths, cc.MaxPaths = 2, 2
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	second := n.AddAddr(client, secondAddr)
	n.ConnectAddrs(second, server.Addr, longer, longer)
	const size, count = 1000, 200
	var sent []time.Duration
	got, eof := 0, false
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind != conn.EventStreamReadable {
			return
		}
		buf := make([]byte, 4096)
		for {
			k, err := ev.Stream.Read(buf)
			for i := got / size; i < (got+k)/size; i++ {
				oldest = max(oldest, now()-sent[i])
			}
			got += k
			if eof = eof || err == io.EOF; err != nil {
				return
			}
		}
	}
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
	require.NoError(t, err)
	n.RunFor(time.Second)
	_, err = c.OpenPath(second)
	require.NoError(t, err)
	n.RunFor(time.Second)
	s, err := c.OpenStream(conn.Uni)
	require.NoError(t, err)
	s.SetRedundant(redundant)
	for i := range count {
		if i == count/2 {
			n.ConnectAddrs(client.Addr, server.Addr, dead, dead)
		}
		sent = append(sent, now())
		k, err := s.Write(make([]byte, size))
		require.NoError(t, err)
		require.Equal(t, size, k)
		n.RunFor(10 * time.Millisecond)
	}
	require.NoError(t, s.CloseWrite())
	n.RunFor(time.Second)
	require.Equal(t, size*count, got)
	require.True(t, eof)
	s.Release()
	return oldest
}

// What a redundant stream carries arrives bit for bit, whatever becomes of its paths, and of it.
func TestRedundantChaos(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			link := conntest.Link{Delay: 15 * time.Millisecond, Jitter: 3 * time.Millisecond, Rate: 10e6, Queue: 60_000, Loss: 0.03, Reorder: 0.01}
			slow := link
			slow.Rate /= 5
			sc := scenario{seed: 200 + seed, streams: 4, upload: 5e5, download: 5e5}.both(link)
			sc.event = func(p *peer, ev conn.Event) {
				switch ev.Kind {
				case conn.EventStreamOpened, conn.EventStreamWritable:
					ev.Stream.SetRedundant(ev.Stream.ID()%8 < 4)
				}
			}
			sc.rude = func(_ *peer, id conn.StreamID) manners {
				if id == 8 {
					return manners{reset: 200_000, stop: 200_000, drop: -1}
				}
				return polite
			}
			w := startTwoPaths(t, sc, slow)
			chance, next := newChance(seed, 9), time.Second
			w.step = func(*world) {
				now := w.client.now()
				if now < next || w.client.closed {
					return
				}
				next = now + time.Duration(chance.between(50, 500))*time.Millisecond
				switch a := []netip.AddrPort{w.first, w.second}[chance.IntN(2)]; chance.IntN(3) {
				case 0:
					w.net.ConnectAddrs(a, w.server.node.Addr, dead, dead)
				default:
					w.net.ConnectAddrs(a, w.server.node.Addr, link, link)
				}
			}
			w.work()
			require.True(t, w.done(), "it ended with %v, %v", w.client.err, w.server.err)
			w.finish()
		})
	}
}
