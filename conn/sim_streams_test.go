package conn_test

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// One packet with bytes of one stream is lost. The bytes of the other streams
// reach the application in the same round trip, exactly when they would have.
func TestNoHeadOfLineBlocking(t *testing.T) {
	const oneWay = 25 * time.Millisecond
	const size = 1000 // so large that a packet carries only one stream
	arrive := func(t *testing.T, dropFirst bool) (at map[conn.StreamID]time.Duration) {
		rnd := conntest.Seed(t, 1)
		n := simulate(t, 1)
		server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
		client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
		drop := false
		up := conntest.Link{Delay: oneWay, Filter: func(p *conntest.Packet) bool {
			dropped := drop
			drop = false
			return !dropped
		}}
		n.Connect(client, server, up, conntest.Link{Delay: oneWay})

		start := n.Now()
		at = make(map[conn.StreamID]time.Duration)
		server.OnEvent = func(now time.Time, ev conn.Event) {
			if ev.Kind != conn.EventStreamReadable {
				return
			}
			b := make([]byte, 2*size)
			got, err := ev.Stream.Read(b)
			require.NoError(t, err)
			require.Equal(t, size, got, "stream %d arrives whole", ev.Stream.ID())
			at[ev.Stream.ID()] = now.Sub(start)
			_, err = ev.Stream.Read(b)
			require.ErrorIs(t, err, conn.ErrWouldBlock)
		}
		c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
		require.NoError(t, err)
		n.RunUntil(time.Second, c.HandshakeComplete)
		n.RunFor(time.Second) // lets everything end that follows a handshake, probes of the MTU too

		start = n.Now()
		drop = dropFirst
		for range 4 {
			s, err := c.OpenStream(conn.Bidi)
			require.NoError(t, err)
			k, err := s.Write(make([]byte, size))
			require.NoError(t, err)
			require.Equal(t, size, k)
			n.RunFor(0) // sends the packet
		}
		n.RunUntil(time.Second, func() bool { return len(at) == 4 })
		return at
	}

	clean := arrive(t, false)
	for id, at := range clean {
		require.Equal(t, oneWay, at, "stream %d, without loss", id)
	}
	lossy := arrive(t, true)
	for _, id := range []conn.StreamID{4, 8, 12} {
		require.Equal(t, oneWay, lossy[id], "stream %d, behind the loss", id)
	}
	require.Equal(t, 3*oneWay, lossy[0], "the lost bytes take a round trip more")
}

// The same in the middle of four downloads that fill the path: those that lost
// nothing go on while the lost packet is repaired.
func TestNoHeadOfLineBlockingUnderLoad(t *testing.T) {
	const rtt = 50 * time.Millisecond
	var lostAt, repairedAt time.Duration
	progress := make(map[conn.StreamID][]time.Duration)
	var stalled conn.StreamID
	down := conntest.Link{Delay: rtt / 2, Rate: 50e6}
	var w *world
	down.Filter = func(p *conntest.Packet) bool {
		if p.N == 600 {
			lostAt = w.client.now()
			return false
		}
		return true
	}
	sc := scenario{seed: 1, streams: 4, download: 2e6, up: conntest.Link{Delay: rtt / 2}, down: down}
	sc.event = func(p *peer, ev conn.Event) {
		if p.name == "client" && ev.Kind == conn.EventStreamReadable {
			progress[ev.Stream.ID()] = append(progress[ev.Stream.ID()], p.now())
		}
	}
	w = sc.start(t)
	w.work()
	require.True(t, w.done())
	require.NotZero(t, lostAt)

	// The stream that stalls is the one that is silent for the longest time after the loss.
	longest := time.Duration(0)
	for id, times := range progress {
		for i := 1; i < len(times); i++ {
			gap := times[i] - times[i-1]
			if times[i] > lostAt && times[i-1] < lostAt+rtt && gap > longest {
				longest, stalled, repairedAt = gap, id, times[i]
			}
		}
	}
	require.Greater(t, repairedAt, lostAt+rtt, "repair takes a round trip")
	for id, times := range progress {
		if id == stalled {
			continue
		}
		during := 0
		for _, at := range times {
			if at > lostAt+rtt/2 && at < repairedAt {
				during++
			}
		}
		require.Greater(t, during, 5, "stream %d goes on while stream %d waits", id, stalled)
	}
}

func TestLargeTransfer(t *testing.T) {
	link := conntest.Link{Delay: 10 * time.Millisecond, Rate: 1e9, Queue: 1 << 20}
	for _, coalesce := range []bool{false, true} {
		sc := scenario{seed: 1, streams: 1, upload: 64 << 20, download: 1000, coalesce: coalesce}.both(link)
		out := sc.run(t)
		require.NoError(t, out.timeout)
		require.Less(t, out.server.PacketsSent, out.client.PacketsSent/20, "an ACK frame is for many packets")
	}
}

func TestThousandsOfStreams(t *testing.T) {
	link := conntest.Link{Delay: 10 * time.Millisecond, Rate: 100e6, Loss: 0.01}
	out := scenario{seed: 1, streams: 2000, upload: 500, download: 3000}.both(link).run(t)
	require.NoError(t, out.timeout)
}
