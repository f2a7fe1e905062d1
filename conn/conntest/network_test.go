package conntest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// A pair is a client that has dialed a server.
type pair struct {
	*Network
	server, client *Node
	conn           *conn.Conn
}

func newPair(t testing.TB, seed uint64, link Link) *pair {
	p := &pair{Network: New(t, seed)}
	p.Default = link
	p.server = p.Add("10.0.0.1:443", &conn.EndpointConfig{Server: ServerConfig(), Rand: newSource(seed)})
	p.client = p.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: newSource(seed + 1)})
	var err error
	p.conn, err = p.client.Dial(p.Now(), conn.Target{Remote: p.server.Addr}, ClientConfig())
	require.NoError(t, err)
	return p
}

func TestNetworkRunsAHandshake(t *testing.T) {
	p := newPair(t, 1, Link{Delay: 50 * time.Millisecond})
	require.Equal(t, epoch, p.Now())
	p.RunFor(99 * time.Millisecond)
	require.False(t, p.conn.HandshakeComplete())
	require.Equal(t, epoch.Add(99*time.Millisecond), p.Now())
	p.RunFor(time.Millisecond)
	require.True(t, p.conn.HandshakeComplete())
	p.RunFor(time.Second)
	require.NotEmpty(t, p.client.Events)
	require.Equal(t, conn.EventConnected, p.client.Events[0].Kind)
	require.Equal(t, conn.EventAccepted, p.server.Events[0].Kind)
	require.Equal(t, "10.0.0.1:443", p.server.Events[0].Conn.LocalAddr().String())
	require.Equal(t, "10.0.0.2:5000", p.server.Events[0].Conn.RemoteAddr().String())
}

func TestNetworkComesToRest(t *testing.T) {
	p := newPair(t, 1, Link{Delay: time.Millisecond})
	p.RunFor(time.Second)
	p.conn.Close(1, "bye")
	for p.Step() {
	}
	require.Less(t, p.Now().Sub(epoch), 20*time.Second)
	require.False(t, p.Step())
}

func TestNetworkReplays(t *testing.T) {
	run := func(seed uint64) [32]byte {
		Seed(t, seed)
		p := newPair(t, seed, Link{Delay: 10 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.1})
		p.RunFor(10 * time.Second)
		return p.Transcript()
	}
	t.Setenv(seedVariable, "1")
	first := run(1)
	require.Equal(t, first, run(1))
	t.Setenv(seedVariable, "2")
	require.NotEqual(t, first, run(2))
}

func TestNetworkRebinds(t *testing.T) {
	p := newPair(t, 1, Link{Delay: 10 * time.Millisecond})
	var from []netip.AddrPort
	up := Link{Delay: 10 * time.Millisecond, Filter: func(pk *Packet) bool {
		from = append(from, pk.Src)
		return true
	}}
	p.Connect(p.client, p.server, up, Link{Delay: 10 * time.Millisecond})
	p.Rebind(p.client, "192.0.2.9:61000")
	p.RunFor(time.Second)
	require.True(t, p.conn.HandshakeComplete(), "through the NAT")
	require.Equal(t, "10.0.0.2:5000", p.client.Addr.String())
	require.Equal(t, "10.0.0.2:5000", p.conn.LocalAddr().String(), "the client does not notice")
	for _, src := range from {
		require.Equal(t, "192.0.2.9:61000", src.String())
	}
	require.Equal(t, "192.0.2.9:61000", p.server.Events[0].Conn.RemoteAddr().String())
}

func TestRunUntilFails(t *testing.T) {
	t.Setenv(seedVariable, "7")
	r := new(recorder)
	r.run(func() {
		p := newPair(r, 7, Link{Delay: 10 * time.Millisecond})
		p.RunUntil(time.Second, func() bool { return false })
	})
	require.Contains(t, r.fatal, "conntest: the condition does not hold after 1s, at 1s")
	require.Contains(t, r.fatal, "10.0.0.2:5000 -> 10.0.0.1:443 1200 bytes, Initial: delivered")
	require.Contains(t, r.fatal, "replay: LAZO_SEED=7 go test -count=1 -run '^TestRecorded$' ./conn/conntest")
	require.Empty(t, r.log, "reported once")

	r = new(recorder)
	r.run(func() { New(r, 7).RunUntil(time.Second, func() bool { return false }) })
	require.Contains(t, r.fatal, "the network is idle, at 0s")
}

func TestFailureOfTheTestIsReported(t *testing.T) {
	t.Setenv(seedVariable, "7")
	r := new(recorder)
	r.run(func() {
		newPair(r, 7, Link{}).RunFor(time.Second)
		r.Fatalf("of its own")
	})
	require.Equal(t, "of its own", r.fatal)
	require.Contains(t, r.log, "datagrams:")
	require.Contains(t, r.log, "seed 7; replay: ")
}

func TestNetworkRefuses(t *testing.T) {
	for name, f := range map[string]func(*Network){
		"cannot add 10.0.0.1:1":     func(n *Network) { n.Add("10.0.0.1:1", &conn.EndpointConfig{}) },
		"address:":                  func(n *Network) { n.Add("nowhere", &conn.EndpointConfig{Rand: newSource(1)}) },
		"address 10.0.0.1:1 is tak": func(n *Network) { n.twice("10.0.0.1:1") },
	} {
		r := new(recorder)
		r.run(func() { f(New(r, 1)) })
		require.Contains(t, r.fatal, name)
	}
}

func (n *Network) twice(addr string) {
	n.Add(addr, &conn.EndpointConfig{Rand: newSource(1)})
	n.Add(addr, &conn.EndpointConfig{Rand: newSource(2)})
}

// A handler that sets the timer to the present forever must not hang the test.
func TestTimeMustNotStandStill(t *testing.T) {
	r := new(recorder)
	r.run(func() {
		p := newPair(r, 1, Link{})
		p.client.OnEvent = func(now time.Time, ev conn.Event) { ev.Conn.SetTimer(now) }
		p.RunFor(time.Second)
	})
	require.Contains(t, r.fatal, "time stands still")
}

func TestSegmentsAndBatches(t *testing.T) {
	for _, segments := range []int{0, 1, 3} {
		for _, coalesce := range []bool{false, true} {
			p := newPair(t, 1, Link{Delay: time.Millisecond, Rate: 0})
			for _, a := range []*Node{p.client, p.server} {
				a.MaxSegments, a.Coalesce = segments, coalesce
			}
			p.RunUntil(time.Second, p.conn.HandshakeComplete)
			s, err := p.conn.OpenStream(conn.Uni)
			require.NoError(t, err)
			k, err := s.Write(make([]byte, 100_000))
			require.NoError(t, err)
			require.Equal(t, 100_000, k)
			got := 0
			p.server.OnEvent = func(_ time.Time, ev conn.Event) {
				for ev.Kind == conn.EventStreamReadable {
					b, _ := ev.Stream.Peek(1)
					if got += len(b); len(b) == 0 {
						return
					}
					ev.Stream.Discard(len(b))
				}
			}
			p.RunUntil(time.Second, func() bool { return got == k })
		}
	}
}
