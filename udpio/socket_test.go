package udpio

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// An opener is a way to make a Socket.
type opener struct {
	name string
	open func(network, address string, cfg *Config) (*Socket, error)
}

// openers are all ways. Those without system calls in batches work everywhere.
func openers() []opener {
	wrap := func(f func(net.PacketConn) net.PacketConn) func(string, string, *Config) (*Socket, error) {
		return func(network, address string, cfg *Config) (*Socket, error) {
			c, err := net.ListenPacket(network, address)
			if err != nil {
				return nil, err
			}
			return Wrap(f(c), cfg)
		}
	}
	return []opener{
		{"Listen", Listen},
		{"WrapUDPConn", wrap(func(c net.PacketConn) net.PacketConn { return c })},
		{"WrapPacketConn", wrap(func(c net.PacketConn) net.PacketConn { return struct{ net.PacketConn }{c} })},
		{"Portable", func(network, address string, cfg *Config) (*Socket, error) {
			c := cfg.withDefaults()
			d := newConns(c)
			_, err := d.addLocal(network, address, bindOptions{reusePort: c.ReusePort})
			return &Socket{d, c.ReusePort}, err
		}},
	}
}

// forEach runs f for each way to make a socket. It checks that nothing is left over.
func forEach(t *testing.T, f func(t *testing.T, o opener)) {
	for _, o := range openers() {
		t.Run(o.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			t.Cleanup(func() { // after all sockets have been closed
				for deadline := soon(); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
					require.True(t, time.Now().Before(deadline), "goroutines are left")
				}
			})
			f(t, o)
		})
	}
}

func (o opener) mustOpen(t testing.TB, network, address string, cfg *Config) *Socket {
	t.Helper()
	s, err := o.open(network, address, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func mustListen(t testing.TB, network, address string, cfg *Config) *Socket {
	t.Helper()
	return opener{open: Listen}.mustOpen(t, network, address, cfg)
}

// past is a deadline that has passed; soon is one that no test should reach.
var past = time.Unix(1, 0)

func soon() time.Time { return time.Now().Add(time.Minute) }

func newMessages(n int) []Message {
	ms := make([]Message, n)
	for i := range ms {
		ms[i].Buf = make([]byte, 0, 1<<16)
	}
	return ms
}

// readDatagrams reads until there are n datagrams and returns one Message for each.
func readDatagrams(t testing.TB, s *Socket, n int) (all []Message) {
	t.Helper()
	ms := newMessages(8)
	for deadline := soon(); len(all) < n; {
		k, err := s.ReadBatch(ms, deadline)
		require.NoError(t, err)
		require.False(t, k == 0 && time.Now().After(deadline), "%d of %d datagrams came", len(all), n)
		for _, m := range ms[:k] {
			for b, first := m.Buf, true; first || len(b) > 0; first = false {
				size := len(b)
				if m.SegmentSize > 0 {
					size = min(m.SegmentSize, size)
				}
				one := m
				one.Buf, one.SegmentSize = bytes.Clone(b[:size]), 0
				all = append(all, one)
				b = b[size:]
			}
		}
	}
	require.Len(t, all, n)
	return all
}

func readOne(t testing.TB, s *Socket) Message {
	t.Helper()
	return readDatagrams(t, s, 1)[0]
}

// write writes all of ms.
func write(t testing.TB, s *Socket, ms ...Message) {
	t.Helper()
	n, err := s.WriteBatch(ms)
	require.NoError(t, err)
	require.Equal(t, len(ms), n)
}

func requireNothing(t testing.TB, s *Socket) {
	t.Helper()
	n, err := s.ReadBatch(newMessages(1), time.Now().Add(20*time.Millisecond))
	require.NoError(t, err)
	require.Zero(t, n)
}

func addr(ip string, s *Socket) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(ip), s.LocalAddr().Port())
}

func TestEcho(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		for _, test := range []struct{ network, listen, client, dial string }{
			{"udp4", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"},
			{"udp4", "0.0.0.0:0", "127.0.0.1:0", "127.0.0.1"},
			{"udp6", "[::1]:0", "[::1]:0", "::1"},
			{"udp6", "[::]:0", "[::]:0", "::1"},
			{"udp", "[::]:0", "127.0.0.1:0", "127.0.0.1"},
			{"udp", "[::]:0", "[::1]:0", "::1"},
			{"udp", "[::]:0", "[::]:0", "127.0.0.1"},
		} {
			t.Run(test.network+" "+test.listen+" from "+test.client, func(t *testing.T) {
				server := o.mustOpen(t, test.network, test.listen, nil)
				client := o.mustOpen(t, "udp", test.client, nil)
				to := addr(test.dial, server)
				write(t, client, Message{Buf: []byte("hello"), Remote: to, ECN: 2})

				m := readOne(t, server)
				require.Equal(t, "hello", string(m.Buf))
				require.Equal(t, addr(test.dial, client), m.Remote)
				if server.Caps().LocalAddr {
					require.Equal(t, to, m.Local)
				}
				if server.Caps().ECN {
					require.EqualValues(t, 2, m.ECN)
				}

				m.Buf, m.ECN = []byte("hi"), 1
				write(t, server, m)
				m = readOne(t, client)
				require.Equal(t, "hi", string(m.Buf))
				require.Equal(t, to, m.Remote)
				if client.Caps().ECN {
					require.EqualValues(t, 1, m.ECN)
				}
			})
		}
	})
}

func TestAnswerFromTheAddressReached(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		for _, test := range []struct{ network, listen, dial string }{
			{"udp4", "0.0.0.0:0", "127.0.0.2"},
			{"udp4", "0.0.0.0:0", "127.0.0.1"},
			{"udp", "[::]:0", "127.0.0.2"},
			{"udp", "[::]:0", "::1"},
			{"udp6", "[::]:0", "::1"},
		} {
			server := o.mustOpen(t, test.network, test.listen, nil)
			if !server.Caps().LocalAddr {
				continue // TestCaps says where it must be
			}
			to := addr(test.dial, server)
			// A connected socket takes an answer only from its peer.
			client, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
			require.NoError(t, err)
			defer client.Close()
			_, err = client.Write([]byte("?"))
			require.NoError(t, err)
			m := readOne(t, server)
			require.Equal(t, to, m.Local)
			write(t, server, m)
			client.SetReadDeadline(soon())
			n, err := client.Read(make([]byte, 9))
			require.NoError(t, err)
			require.Equal(t, 1, n)
		}
	})
}

func TestDeadlines(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		c := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		ms := newMessages(4)
		// Each once more, after what an earlier one has left behind.
		for _, wait := range []time.Duration{0, 50, 1500, 3000, -1e9, 5000, 50, 3000, 1000, 2500, 0} {
			deadline := time.Now().Add(wait * time.Microsecond)
			n, err := s.ReadBatch(ms, deadline)
			require.NoError(t, err)
			require.Zero(t, n)
			require.False(t, time.Now().Before(deadline), "too early, of %v us", wait)
		}
		// A deadline in the past returns the datagrams that are there.
		write(t, c, Message{Buf: []byte("1"), Remote: s.LocalAddr()})
		for n, deadline := 0, soon(); n == 0; runtime.Gosched() {
			var err error
			n, err = s.ReadBatch(ms, past)
			require.NoError(t, err)
			require.True(t, time.Now().Before(deadline))
		}
		// A datagram ends a wait early. The deadline that is left does no harm.
		for range 3 {
			go write(t, c, Message{Buf: []byte("2"), Remote: s.LocalAddr()})
			n, err := s.ReadBatch(ms, soon())
			require.NoError(t, err)
			require.Equal(t, 1, n)
			deadline := time.Now().Add(3 * time.Millisecond)
			n, err = s.ReadBatch(ms, deadline)
			require.NoError(t, err)
			require.Zero(t, n)
			require.False(t, time.Now().Before(deadline))
		}
	})
}

func TestNothingToReadTo(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		n, err := s.ReadBatch(nil, time.Time{})
		require.NoError(t, err)
		require.Zero(t, n)
		n, err = s.WriteBatch(nil)
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

func TestWake(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		ms := newMessages(1)
		returned := make(chan error)
		read := func(deadline time.Time) {
			n, err := s.ReadBatch(ms, deadline)
			if n != 0 {
				err = fmt.Errorf("%d messages", n)
			}
			returned <- err
		}
		for i := range 300 {
			deadline := time.Time{} // never
			if i%3 == 1 {
				deadline = soon()
			}
			go read(deadline)
			if i%2 == 0 {
				runtime.Gosched() // perhaps it waits by now
			}
			s.Wake()
			require.NoError(t, <-returned)
		}
		// Calls before a ReadBatch count as one. After it they count no more.
		s.Wake()
		s.Wake()
		s.Wake()
		go read(time.Time{})
		require.NoError(t, <-returned)
		for range 3 {
			deadline := time.Now().Add(5 * time.Millisecond)
			go read(deadline)
			require.NoError(t, <-returned)
			require.False(t, time.Now().Before(deadline), "still awake")
		}
	})
}

// Every Wake is followed by a ReadBatch that returns: none is lost, whenever it comes.
func TestWakeIsNeverLost(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		posted, seen := make(chan int, 1), make(chan int)
		go func() {
			ms := newMessages(1)
			for i := 0; ; i++ {
				var deadline time.Time
				if i%2 == 0 {
					deadline = time.Now().Add(time.Duration(i%7) * time.Millisecond)
				}
				if _, err := s.ReadBatch(ms, deadline); err != nil {
					close(seen)
					return
				}
				select {
				case v := <-posted:
					seen <- v
				default:
				}
			}
		}()
		for i := range 5000 {
			posted <- i
			s.Wake()
			select {
			case v := <-seen:
				require.Equal(t, i, v)
			case <-time.After(time.Minute):
				t.Fatal("lost wake-up", i)
			}
		}
		require.NoError(t, s.Close())
		<-seen
	})
}

func TestClose(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		for _, deadline := range []time.Time{{}, soon(), past} {
			s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
			returned := make(chan error)
			go func() {
				ms := newMessages(1)
				for {
					if _, err := s.ReadBatch(ms, deadline); err != nil {
						returned <- err
						return
					}
				}
			}()
			runtime.Gosched()
			require.NoError(t, s.Close())
			require.ErrorIs(t, <-returned, net.ErrClosed)

			require.ErrorIs(t, s.Close(), net.ErrClosed)
			_, err := s.ReadBatch(newMessages(1), time.Time{})
			require.ErrorIs(t, err, net.ErrClosed)
			n, err := s.WriteBatch([]Message{{Buf: []byte("x"), Remote: s.LocalAddr()}})
			require.ErrorIs(t, err, net.ErrClosed)
			require.Zero(t, n)
			_, err = s.AddLocal("udp4", "127.0.0.1:0")
			require.ErrorIs(t, err, net.ErrClosed)
			require.ErrorIs(t, s.RemoveLocal(s.LocalAddr()), net.ErrClosed)
			s.Wake()
		}
	})
}

func TestSeveralSockets(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		first := s.LocalAddr()
		peer4 := mustListen(t, "udp4", "127.0.0.1:0", nil)
		peer6 := mustListen(t, "udp6", "[::1]:0", nil)

		// A socket that is added while ReadBatch waits is read from, too.
		got := make(chan Message)
		go func() {
			ms := newMessages(1)
			for {
				n, err := s.ReadBatch(ms, time.Time{})
				if err != nil {
					close(got)
					return
				}
				if n > 0 {
					m := ms[0]
					m.Buf = bytes.Clone(m.Buf)
					got <- m
				}
			}
		}()
		second, err := s.AddLocal("udp6", "[::1]:0")
		require.NoError(t, err)
		third, err := s.AddLocal("udp4", "127.0.0.3:0")
		require.NoError(t, err)
		require.Equal(t, first, s.LocalAddr())
		for _, local := range []netip.AddrPort{first, second, third} {
			peer := peer4
			if local.Addr().Is6() {
				peer = peer6
			}
			write(t, peer, Message{Buf: []byte("to"), Remote: local})
			m := <-got
			require.Equal(t, local, m.Local)
			require.Equal(t, peer.LocalAddr(), m.Remote)
		}

		// Local names the socket. Without Local it is the oldest socket of the family.
		write(t, s,
			Message{Buf: []byte("0"), Remote: peer4.LocalAddr()},
			Message{Buf: []byte("3"), Remote: peer4.LocalAddr(), Local: third},
			Message{Buf: []byte("1"), Remote: peer4.LocalAddr(), Local: first},
			Message{Buf: []byte("6"), Remote: peer6.LocalAddr()},
			Message{Buf: []byte("2"), Remote: peer6.LocalAddr(), Local: second})
		from := func(s *Socket, n int) (remotes []netip.AddrPort) {
			for _, m := range readDatagrams(t, s, n) {
				remotes = append(remotes, m.Remote)
			}
			return remotes
		}
		to4 := from(peer4, 3)
		slices.SortFunc(to4, netip.AddrPort.Compare)
		want4 := []netip.AddrPort{first, first, third}
		slices.SortFunc(want4, netip.AddrPort.Compare)
		require.Equal(t, want4, to4)
		require.Equal(t, []netip.AddrPort{second, second}, from(peer6, 2))

		// A message that names a socket which was removed is dropped.
		require.NoError(t, s.RemoveLocal(first))
		require.Equal(t, second, s.LocalAddr())
		require.Error(t, s.RemoveLocal(first))
		write(t, s,
			Message{Buf: []byte("gone"), Remote: peer4.LocalAddr(), Local: first},
			Message{Buf: []byte("left"), Remote: peer4.LocalAddr()})
		m := readOne(t, peer4)
		require.Equal(t, "left", string(m.Buf))
		require.Equal(t, third, m.Remote)
		write(t, peer6, Message{Buf: []byte("!"), Remote: second})
		require.Equal(t, second, (<-got).Local)

		require.NoError(t, s.RemoveLocal(third))
		require.Error(t, s.RemoveLocal(second), "the only one")
		require.NoError(t, s.Close())
		for range got {
		}
	})
}

// One socket that always has something to read does not starve another.
func TestFairness(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		quiet, err := s.AddLocal("udp4", "127.0.0.1:0")
		require.NoError(t, err)
		c := mustListen(t, "udp4", "127.0.0.1:0", nil)
		noise := make([]Message, 200)
		for i := range noise {
			// The sizes grow, so GRO cannot join the datagrams.
			noise[i] = Message{Buf: make([]byte, i+1), Remote: s.LocalAddr()}
		}
		write(t, c, noise...)
		write(t, c, Message{Buf: []byte("quiet"), Remote: quiet})
		ms := newMessages(4)
		for i := 0; ; i++ {
			n, err := s.ReadBatch(ms, soon())
			require.NoError(t, err)
			require.NotZero(t, n)
			for _, m := range ms[:n] {
				if m.Local == quiet {
					return
				}
			}
			if s.Caps().GRO { // else it is up to Go's scheduler
				require.Less(t, i, 2)
			}
		}
	})
}

func TestZeroLength(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		c := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		write(t, c,
			Message{Remote: s.LocalAddr()},
			Message{Buf: []byte("x"), Remote: s.LocalAddr()},
			Message{Buf: []byte{}, SegmentSize: 1, Remote: s.LocalAddr()})
		ms := readDatagrams(t, s, 3)
		require.Empty(t, ms[0].Buf)
		require.Equal(t, "x", string(ms[1].Buf))
		require.Empty(t, ms[2].Buf)
		require.Equal(t, c.LocalAddr(), ms[2].Remote)
	})
}

func TestTruncatedIsDropped(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		c := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		for range 20 {
			write(t, c, Message{Buf: make([]byte, 30), Remote: s.LocalAddr()})
		}
		// There are only datagrams that are cut off. The deadline holds nevertheless.
		small := []Message{{Buf: make([]byte, 8)}, {Buf: nil}, {Buf: make([]byte, 8)}}
		n, err := s.ReadBatch(small, time.Now().Add(20*time.Millisecond))
		require.NoError(t, err)
		require.Zero(t, n)

		// Those that fit are kept, although others among them are cut off.
		bufs := map[*byte]bool{}
		for i := range small {
			small[i].Buf = make([]byte, 0, 8)
			bufs[&small[i].Buf[:1][0]] = true
		}
		for _, size := range []int{30, 8, 30, 7} {
			write(t, c, Message{Buf: make([]byte, size), Remote: s.LocalAddr()})
		}
		var sizes []int
		for deadline := soon(); len(sizes) < 2; {
			n, err := s.ReadBatch(small, deadline)
			require.NoError(t, err)
			require.NotZero(t, n)
			for _, m := range small[:n] {
				sizes = append(sizes, len(m.Buf))
			}
		}
		require.Equal(t, []int{8, 7}, sizes)
		for i := range small { // in other places perhaps, but all there
			delete(bufs, &small[i].Buf[:1][0])
		}
		require.Empty(t, bufs)
		require.NotZero(t, s.Stats().Truncated)
	})
}

// A Message that is too long concerns nobody else.
func TestErrorConcernsOneMessage(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		c := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		v6 := netip.MustParseAddrPort("[::1]:9")
		ms := []Message{
			{Buf: []byte("1"), Remote: s.LocalAddr()},
			{Buf: make([]byte, 70000), Remote: s.LocalAddr()},
			{Buf: []byte("2"), Remote: s.LocalAddr()},
			{Buf: []byte("3"), Remote: v6},
			{Buf: []byte("4")},
			{Buf: []byte("5"), Remote: s.LocalAddr()},
		}
		bad := 0
		for len(ms) > 0 {
			n, err := c.WriteBatch(ms)
			if ms = ms[n:]; err != nil {
				require.NotErrorIs(t, err, net.ErrClosed)
				require.True(t, strings.HasPrefix(err.Error(), "udpio: write"), err)
				require.True(t, len(ms[0].Buf) > 1 || ms[0].Remote == v6 || !ms[0].Remote.IsValid())
				ms = ms[1:]
				bad++
			}
		}
		require.Equal(t, 3, bad)
		for i, m := range readDatagrams(t, s, 3) {
			require.Equal(t, string("125"[i]), string(m.Buf))
		}
	})
}

// Messages of several datagrams arrive whatever the abilities.
func TestSegmentsEverywhere(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		c := o.mustOpen(t, "udp4", "127.0.0.1:0", &Config{DisableGSO: true})
		require.Equal(t, 1, c.Caps().MaxSegments)
		write(t, c,
			Message{Buf: pattern(2500), SegmentSize: 1000, Remote: s.LocalAddr()},
			Message{Buf: pattern(700), SegmentSize: 700, Remote: s.LocalAddr()})
		var all []byte
		var sizes []int
		for _, m := range readDatagrams(t, s, 4) {
			all, sizes = append(all, m.Buf...), append(sizes, len(m.Buf))
		}
		require.Equal(t, []int{1000, 1000, 500, 700}, sizes)
		require.Equal(t, append(pattern(2500), pattern(700)...), all)
		require.EqualValues(t, 1, c.Stats().GSOFallbacks)
	})
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i + i>>8)
	}
	return b
}

func TestBuffersAndWarnings(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", &Config{ReadBuffer: 64 << 10, WriteBuffer: 96 << 10})
		if o.name != "WrapPacketConn" {
			require.Equal(t, 64<<10, s.Stats().ReadBuffer)
			require.Equal(t, 96<<10, s.Stats().WriteBuffer)
		}
	})
	// This is more than any kernel grants, to anybody.
	var log bytes.Buffer
	s := mustListen(t, "udp4", "127.0.0.1:0", &Config{
		ReadBuffer: math.MaxInt32, WriteBuffer: math.MaxInt32,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	_, err := s.AddLocal("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(log.String(), "level=WARN"), log.String())
	if runtime.GOOS == "linux" {
		require.Contains(t, log.String(), "sysctl=net.core.rmem_max")
		require.Contains(t, log.String(), "sysctl=net.core.wmem_max")
	}
}

func TestListenErrors(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		_, err := s.AddLocal("udp4", s.LocalAddr().String())
		require.Error(t, err, "in use")
		_, err = s.AddLocal("udp4", "192.0.2.77:0")
		require.Error(t, err, "not ours")
		_, err = s.AddLocal("unixgram", t.TempDir()+"/x")
		require.Error(t, err)
		_, err = s.AddLocal("udp4", "nonsense")
		require.Error(t, err)
	})
	_, err := Listen("ip4:17", "127.0.0.1", nil)
	require.Error(t, err)
	require.True(t, strings.HasPrefix(err.Error(), "udpio: "), err)
}

func TestSyscallConn(t *testing.T) {
	forEach(t, func(t *testing.T, o opener) {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		rc, err := s.SyscallConn()
		if o.name == "WrapPacketConn" {
			require.ErrorIs(t, err, errors.ErrUnsupported)
			return
		}
		require.NoError(t, err)
		called := false
		require.NoError(t, rc.Control(func(uintptr) { called = true }))
		require.True(t, called)
	})
}
