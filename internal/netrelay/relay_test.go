package netrelay

import (
	"container/heap"
	"errors"
	"math/bits"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

func endpoint(t *testing.T, source string) *socket {
	s, err := listen(netip.MustParseAddr(source))
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func relay(t *testing.T, cfg Config) *Relay {
	r, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// A message is a received datagram.
type message struct {
	data []byte
	ecn  uint8
	from netip.AddrPort
}

// receive returns the next datagram, false if none comes within wait.
func receive(t *testing.T, s *socket, wait time.Duration) (message, bool) {
	t.Helper()
	require.NoError(t, s.SetReadDeadline(time.Now().Add(wait)))
	buf, oob := make([]byte, maxDatagram), make([]byte, 128)
	n, ecn, from, err := s.read(buf, oob)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return message{}, false
	}
	require.NoError(t, err)
	return message{buf[:n], ecn, from}, true
}

func TestForward(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) { testForward(t, "127.0.0.1") })
	t.Run("IPv6", func(t *testing.T) { testForward(t, "::1") })
}

func testForward(t *testing.T, source string) {
	server, client := endpoint(t, source), endpoint(t, source)
	const delay = 20 * time.Millisecond
	r := relay(t, Config{Server: server.addr(), Up: Link{Delay: delay}})
	began := time.Now()
	client.write([]byte{1, 2, 3}, 2, r.Addr())
	m, ok := receive(t, server, time.Minute)
	require.True(t, ok)
	require.GreaterOrEqual(t, time.Since(began), delay)
	require.Equal(t, []byte{1, 2, 3}, m.data)
	if carriesECN {
		require.EqualValues(t, 2, m.ecn)
	}
	server.write([]byte{4}, 0, m.from)
	m, ok = receive(t, client, time.Minute)
	require.True(t, ok)
	require.Equal(t, []byte{4}, m.data)
	require.Equal(t, r.Addr(), m.from)
}

func TestDamage(t *testing.T) {
	server, client := endpoint(t, "127.0.0.1"), endpoint(t, "127.0.0.1")
	var filtered atomic.Int64
	delivered := make(chan Packet, 1)
	r := relay(t, Config{
		Server:    server.addr(),
		Up:        Link{Corrupt: 1, Mark: 1},
		Filter:    func(p *Packet) bool { return p.Dir == Up && p.Client == client.addr() && filtered.Add(1) > 1 },
		Delivered: func(p *Packet) { delivered <- *p },
	})
	client.write([]byte{9, 9, 9}, 2, r.Addr())
	client.write([]byte{0, 0, 0}, 2, r.Addr())
	m, ok := receive(t, server, time.Minute)
	require.True(t, ok)
	require.Equal(t, Packet{Dir: Up, Data: m.data, ECN: m.ecn, Client: client.addr(), Source: m.from}, <-delivered)
	require.Equal(t, 1, bits.OnesCount8(m.data[0])+bits.OnesCount8(m.data[1])+bits.OnesCount8(m.data[2]))
	if carriesECN {
		require.EqualValues(t, 3, m.ecn)
	}
}

func TestRebindAndBlackhole(t *testing.T) {
	server, client := endpoint(t, "127.0.0.1"), endpoint(t, "127.0.0.1")
	r := relay(t, Config{Server: server.addr()})
	seen := make(map[netip.AddrPort]bool)
	for _, source := range []netip.Addr{{}, {}, netip.MustParseAddr("127.0.0.9")} {
		require.NoError(t, r.Rebind(source))
		client.write([]byte{1}, 0, r.Addr())
		m, ok := receive(t, server, time.Minute)
		require.True(t, ok)
		require.False(t, seen[m.from], "%v again", m.from)
		seen[m.from] = true
		if source.IsValid() {
			require.Equal(t, source, m.from.Addr())
		}
		server.write([]byte{2}, 0, m.from)
		_, ok = receive(t, client, time.Minute)
		require.True(t, ok)
	}
	r.Blackhole(true)
	client.write([]byte{1}, 0, r.Addr())
	_, ok := receive(t, server, 50*time.Millisecond)
	require.False(t, ok)
	r.Blackhole(false)
	client.write([]byte{3}, 0, r.Addr())
	m, ok := receive(t, server, time.Minute)
	require.True(t, ok)
	require.Equal(t, []byte{3}, m.data)
}

// TestLine needs no sockets. The same seed gives the same fates, and the datagram that is due first
// comes first.
func TestLine(t *testing.T) {
	run := func(seed uint64, link Link) []byte {
		l := newLine(link, seed, 0, nil)
		now := time.Unix(0, 0)
		for i := range 100 {
			l.push(now, &datagram{data: []byte{byte(i)}})
		}
		var got []byte
		for len(l.waiting) > 0 {
			got = append(got, heap.Pop(&l.waiting).(*datagram).data...)
		}
		return got
	}
	all := run(1, Link{})
	require.Len(t, all, 100)
	require.True(t, slices.IsSorted(all), "%v", all)
	bad := Link{Loss: 0.3, Reorder: 0.3, Corrupt: 0.1, Rate: 1e6}
	require.Equal(t, run(1, bad), run(1, bad))
	require.NotEqual(t, run(1, bad), run(2, bad))
	require.Less(t, len(run(1, bad)), 90)
	require.Len(t, run(1, Link{Queue: 10}), 10)
	require.Empty(t, run(1, Link{Loss: 1}))
}
