package conn_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// Transfers over a path that loses, reorders, duplicates and damages packets, each with something
// that the protocol has besides streams. They arrive bit for bit, and replay.
func TestFeaturesOnABadPath(t *testing.T) {
	bad := conntest.Link{Delay: 20 * time.Millisecond, Rate: 20e6, Queue: 100_000, Loss: 0.02, Reorder: 0.02, Duplicate: 0.01, Corrupt: 0.01}
	firstLost := func(n int) func(*conntest.Packet) bool {
		return func(p *conntest.Packet) bool { return p.N >= n }
	}
	for _, c := range []struct {
		name  string
		edit  func(*scenario)
		check func(t *testing.T, out outcome)
	}{
		{"RFC 9001, Section 4.6: the first flight of 0-RTT is lost", func(sc *scenario) {
			sc.resume = true
			sc.up.Filter = firstLost(2)
			sc.configure = func(cfg *conn.Config) { cfg.Enable0RTT = true }
		}, nil},
		{"RFC 9000, Section 8.1.2: Retry is lost", func(sc *scenario) {
			sc.retry = true
			sc.down.Filter = firstLost(2)
		}, nil},
		{"RFC 9001, Section 6: both sides update their keys all the time", func(sc *scenario) {
			var next time.Duration
			sc.step = func(w *world) {
				if w.client.connected == 0 || w.server.conn == nil || w.client.now() < next {
					return
				}
				next = w.client.now() + 30*time.Millisecond
				w.client.conn.UpdateKeys() // it fails while the last update is not answered
				w.server.conn.UpdateKeys()
			}
		}, func(t *testing.T, out outcome) {
			require.Greater(t, out.client.KeyUpdates, uint64(5))
			require.InDelta(t, out.client.KeyUpdates, out.server.KeyUpdates, 1)
		}},
		// RFC 9369, Section 4.1 [6].
		{"RFC 9369: version 2, after a first packet of version 1", func(sc *scenario) {
			sc.configure = func(cfg *conn.Config) { cfg.Versions = []uint32{conn.Version2, conn.Version1} }
			sc.event = func(p *peer, ev conn.Event) {
				if ev.Kind == conn.EventConnected && ev.Conn.Version() != conn.Version2 {
					p.errorf("version %#x", ev.Conn.Version())
				}
			}
		}, nil},
		{"RFC 9000, Section 4.1: windows that stay small", func(sc *scenario) {
			sc.configure = func(cfg *conn.Config) { cfg.InitialMaxStreamData, cfg.MaxStreamData = 20_000, 20_000 }
		}, nil},
		{"RFC 8899: the path carries little more than it must", func(sc *scenario) {
			sc.up.MTU, sc.down.MTU = 1300, 1280
		}, func(t *testing.T, out outcome) {
			require.LessOrEqual(t, out.client.MTU, 1300)
			require.LessOrEqual(t, out.server.MTU, 1280)
		}},
		{"draft-ietf-ccwg-bbr: BBR on both sides", func(sc *scenario) {
			sc.configure = func(cfg *conn.Config) { cfg.Congestion = congestion.NewBBR }
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := scenario{seed: 1, streams: 3, upload: 400_000, download: 400_000, limit: 5 * time.Minute}.both(bad)
			c.edit(&sc)
			out := sc.run(t)
			require.NoError(t, out.timeout)
			if c.check != nil {
				c.check(t, out)
			}
		})
	}
}

// RFC 9221, Section 5: of every datagram the sender hears once whether it arrived, and what it
// hears is true, but for what counted as lost too early.
func TestFateOfDatagrams(t *testing.T) {
	const count = 2000
	rnd := conntest.Seed(t, 1)
	n := simulate(t, 1)
	n.Default = conntest.Link{Delay: 20 * time.Millisecond, Rate: 5e6, Queue: 30_000, Loss: 0.05, Duplicate: 0.02, Reorder: 0.02}
	sc, cc := conntest.ServerConfig(), conntest.ClientConfig()
	sc.MaxDatagramFrameSize, cc.MaxDatagramFrameSize = 1200, 1200
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	got, fate := map[uint32]int{}, map[uint64]conn.EventKind{}
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind != conn.EventDatagramReadable {
			return
		}
		for b, ok := ev.Conn.ReceiveDatagram(); ok; b, ok = ev.Conn.ReceiveDatagram() {
			got[binary.BigEndian.Uint32(b)]++
		}
	}
	client.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind == conn.EventDatagramAcked || ev.Kind == conn.EventDatagramLost {
			require.Zero(t, fate[ev.ID], "datagram %d has two fates", ev.ID)
			fate[ev.ID] = ev.Kind
		}
	}
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
	require.NoError(t, err)
	n.RunUntil(10*time.Second, c.HandshakeComplete)
	numbers := map[uint64]uint32{}
	for i := range uint32(count) {
		b := make([]byte, 500)
		binary.BigEndian.PutUint32(b, i)
		id, err := c.SendDatagram(b, conn.DatagramOptions{Notify: true, MaxAge: 200 * time.Millisecond})
		if err == nil {
			numbers[id] = i
		} else {
			require.ErrorIs(t, err, conn.ErrWouldBlock) // the queue is full
		}
		n.RunFor(time.Millisecond) // this is more than the path carries
	}
	n.RunFor(5 * time.Second)
	require.Len(t, fate, len(numbers))
	require.Greater(t, len(numbers), count/4)
	var acked, lost, late uint64
	for id, kind := range fate {
		switch arrived := got[numbers[id]]; {
		case arrived > 1:
			t.Errorf("datagram %d came %d times", id, arrived)
		case kind == conn.EventDatagramAcked && arrived == 0:
			t.Errorf("datagram %d was acknowledged, and did not come", id)
		case kind == conn.EventDatagramAcked:
			acked++
		case arrived > 0:
			late++
			lost++
		default:
			lost++
		}
	}
	st := c.Stats()
	require.Positive(t, acked)
	require.Positive(t, lost)
	require.Less(t, late, lost/4)
	require.Equal(t, acked, st.DatagramsAcked)
	require.Equal(t, lost, st.DatagramsLost+st.DatagramsExpired)
}

// RFC 9218, Section 10: where the path is the limit, the urgent stream has it to itself, and
// incremental ones share it. Those that nothing was said of do so too.
// RFC 9218, Section 10 [1, 2, 4].
func TestPrioritiesInTransfer(t *testing.T) {
	const size = 200_000
	for _, tt := range []struct {
		name       string
		priorities [3]conn.Priority
		unset      bool
		check      func(t *testing.T, done [3]time.Duration)
	}{
		{"one after the other", [3]conn.Priority{}, false, func(t *testing.T, done [3]time.Duration) {
			require.Less(t, done[0], done[1]*7/10)
			require.Less(t, done[1], done[2]*8/10)
		}},
		{"the last is urgent", [3]conn.Priority{{}, {}, {Urgency: -3}}, false, func(t *testing.T, done [3]time.Duration) {
			require.Less(t, done[2], done[0]*7/10)
			require.Less(t, done[0], done[1]*8/10)
		}},
		{"incremental", [3]conn.Priority{{Incremental: true}, {Incremental: true}, {Incremental: true}}, false, func(t *testing.T, done [3]time.Duration) {
			require.Greater(t, min(done[0], done[1], done[2]), max(done[0], done[1], done[2])*9/10)
		}},
		{"never set", [3]conn.Priority{}, true, func(t *testing.T, done [3]time.Duration) {
			require.Greater(t, min(done[0], done[1], done[2]), max(done[0], done[1], done[2])*9/10)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rnd := conntest.Seed(t, 1)
			n := simulate(t, 1)
			n.Default = conntest.Link{Delay: 20 * time.Millisecond, Rate: 10e6}
			server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
			client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
			var streams [3]*conn.Stream
			var left, got [3]int
			var done [3]time.Duration
			var start time.Time
			write := func(i int) {
				for left[i] > 0 {
					k, err := streams[i].Write(nothing[:min(left[i], len(nothing))])
					if left[i] -= k; err != nil {
						return
					}
				}
			}
			client.OnEvent = func(_ time.Time, ev conn.Event) {
				if ev.Kind == conn.EventStreamWritable {
					write(slices.Index(streams[:], ev.Stream))
				}
			}
			server.OnEvent = func(now time.Time, ev conn.Event) {
				if ev.Kind != conn.EventStreamReadable {
					return
				}
				i := int(ev.Stream.ID()) / 4
				for {
					b, err := ev.Stream.Peek(1)
					ev.Stream.Discard(len(b))
					if got[i] += len(b); got[i] == size && done[i] == 0 {
						done[i] = now.Sub(start)
					}
					if err != nil {
						return
					}
				}
			}
			c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
			require.NoError(t, err)
			n.RunUntil(time.Second, c.HandshakeComplete)
			start = n.Now()
			for i := range streams {
				streams[i], err = c.OpenStream(conn.Uni)
				require.NoError(t, err)
				if !tt.unset {
					streams[i].SetPriority(tt.priorities[i])
				}
				left[i] = size
			}
			for i := range streams {
				write(i)
			}
			n.RunUntil(time.Minute, func() bool { return min(done[0], done[1], done[2]) > 0 })
			t.Log(done)
			tt.check(t, done)
		})
	}
}

// TestFullDatagramsBothWays: both sides send full-size datagrams at once, every 10 ms. They arrive
// as soon as the path allows. Acknowledgements that may wait take no room from them.
func TestFullDatagramsBothWays(t *testing.T) {
	// with this delay, a datagram comes between two that are sent
	const oneWay = 23 * time.Millisecond
	rnd := conntest.Seed(t, 1)
	n := conntest.New(t, 1)
	n.Default = conntest.Link{Delay: oneWay}
	scfg, ccfg := conntest.ServerConfig(), conntest.ClientConfig()
	scfg.MaxDatagramFrameSize, ccfg.MaxDatagramFrameSize = 1500, 1500
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: scfg, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	var sides [2]*conn.Conn
	var start time.Time
	came, late := 0, 0
	on := func(now time.Time, ev conn.Event) {
		if ev.Kind == conn.EventDatagramReadable {
			for _, ok := ev.Conn.ReceiveDatagram(); ok; _, ok = ev.Conn.ReceiveDatagram() {
				if came++; now.Sub(start)%(10*time.Millisecond) != oneWay%(10*time.Millisecond) {
					late++
				}
			}
		}
		if ev.Conn != sides[0] {
			sides[1] = ev.Conn
		}
	}
	server.OnEvent, client.OnEvent = on, on
	var err error
	sides[0], err = client.Dial(n.Now(), conn.Target{Remote: server.Addr}, ccfg)
	require.NoError(t, err)
	n.RunFor(2 * time.Second) // probes of the MTU too
	start = n.Now()
	const count = 250
	for range count {
		for _, c := range sides {
			_, err := c.SendDatagram(make([]byte, c.MaxDatagramSize()), conn.DatagramOptions{})
			require.NoError(t, err)
		}
		n.RunFor(10 * time.Millisecond)
	}
	n.RunFor(time.Second)
	require.Equal(t, 2*count, came)
	require.Zero(t, late)
}
