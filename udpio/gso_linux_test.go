package udpio

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lazoquic/lazo/internal/require"
)

func TestCaps(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		s := mustListen(t, "udp", address, nil)
		require.Equal(t, Caps{MaxSegments: 64, GRO: true, ShortBufs: true, ECN: true, LocalAddr: true}, s.Caps())
		s = mustListen(t, "udp", address, &Config{DisableGSO: true, DisableGRO: true})
		require.Equal(t, Caps{MaxSegments: 1, ECN: true, LocalAddr: true}, s.Caps())
		_, err := s.AddLocal("udp", address)
		require.NoError(t, err)
		require.Equal(t, Caps{MaxSegments: 1, ECN: true, LocalAddr: true}, s.Caps())
	}
	for _, o := range openers() {
		if o.name == "WrapUDPConn" {
			s := o.mustOpen(t, "udp", "[::]:0", nil)
			require.Equal(t, Caps{MaxSegments: 64, GRO: true, ShortBufs: true, ECN: true, LocalAddr: true}, s.Caps())
		}
	}
}

// With short buffers GRO is off, from the first read on, and with long ones it is on again.
func TestShortBufs(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::]:0"} {
		server, client := mustListen(t, "udp", address, nil), mustListen(t, "udp", address, nil)
		to := addr("127.0.0.1", server)
		send := func(n int) {
			write(t, client, Message{Buf: pattern(n), SegmentSize: 1400, Remote: to})
		}
		read := func(room int) []Message {
			ms := make([]Message, 20)
			for i := range ms {
				ms[i].Buf = make([]byte, room)
			}
			n, err := server.ReadBatch(ms, soon())
			require.NoError(t, err)
			return ms[:n]
		}
		send(10 * 1400)
		require.Len(t, read(2048), 10)
		added, err := server.AddLocal("udp", address)
		require.NoError(t, err)
		first := to
		to = netip.AddrPortFrom(first.Addr(), added.Port())
		send(10 * 1400)
		require.Len(t, read(2048), 10)
		to = first
		for range 3 {
			send(1400)
			read(2048)
			send(10 * 1400)
			ms := read(2048)
			require.Len(t, ms, 10)
			require.Zero(t, ms[0].SegmentSize)
			send(1400)
			read(groRoom)
			send(10 * 1400)
			ms = read(groRoom)
			require.Len(t, ms, 1)
			require.Equal(t, 1400, ms[0].SegmentSize)
		}
		require.Zero(t, server.Stats().Truncated)
	}
}

// A message of GSO arrives as one of GRO, ECN and all.
func TestGSOToGRO(t *testing.T) {
	for _, test := range []struct{ network, listen, dial string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1"},
		{"udp6", "[::1]:0", "::1"},
		{"udp", "[::]:0", "127.0.0.1"},
		{"udp", "[::]:0", "::1"},
	} {
		server := mustListen(t, test.network, test.listen, nil)
		client := mustListen(t, test.network, test.listen, nil)
		to := addr(test.dial, server)
		requireNothing(t, server) // GRO is on from the first read
		for _, size := range []struct{ segment, total int }{
			{1452, 45 * 1452}, // as many as 65,507 bytes hold
			{1200, 3*1200 + 1},
			{1000, 64 * 1000}, // as many as the kernel takes
			{1000, 63*1000 + 17},
			{1, 64},
			{1213, maxGSO},
		} {
			for ecn := range uint8(4) {
				buf := pattern(size.total)
				write(t, client, Message{Buf: buf, SegmentSize: size.segment, Remote: to, ECN: ecn})
				ms := newMessages(4)
				n, err := server.ReadBatch(ms, soon())
				require.NoError(t, err)
				require.Equal(t, 1, n, "%v %v: %d of %d and %d", test, size, len(ms[0].Buf), ms[0].SegmentSize, len(ms[1].Buf))
				m := ms[0]
				require.Equal(t, buf, m.Buf)
				require.Equal(t, size.segment, m.SegmentSize)
				require.Equal(t, ecn, m.ECN)
				require.Equal(t, to, m.Local)
				require.Equal(t, addr(test.dial, client), m.Remote)
			}
		}
		require.Zero(t, client.Stats().GSOFallbacks)
	}
}

// What is more than the kernel takes goes in parts, with GSO nevertheless.
func TestLargeMessagesAreSplit(t *testing.T) {
	s := mustListen(t, "udp4", "127.0.0.1:0", nil)
	c := mustListen(t, "udp4", "127.0.0.1:0", nil)
	calls := 0
	inject(c, func(fd uintptr, v *vector, n int) (int, syscall.Errno) {
		calls++
		return sendmmsg(fd, v, n)
	})
	for _, size := range []struct{ segment, total, datagrams int }{
		{1452, 100*1452 + 5, 101},
		{100, 200 * 100, 200},
		{65507, 2 * 65507, 2},
	} {
		calls = 0
		write(t, c, Message{Buf: pattern(size.total), SegmentSize: size.segment, Remote: s.LocalAddr()})
		require.Equal(t, 1, calls)
		var all []byte
		for _, m := range readDatagrams(t, s, size.datagrams) {
			all = append(all, m.Buf...)
		}
		require.Equal(t, pattern(size.total), all)
	}
	require.EqualValues(t, 1, c.Stats().GSOFallbacks) // the last, of two that GSO cannot join

	_, err := c.WriteBatch([]Message{{Buf: pattern(140000), SegmentSize: 70000, Remote: s.LocalAddr()}})
	require.ErrorIs(t, err, unix.EMSGSIZE)
}

// inject makes f do the sending for s, as sendmmsg does.
func inject(s *Socket, f syscallFunc) { s.driver.(*sockets).writer.sendmmsg = f }

// hasSegments reports whether message i of v asks for GSO.
func hasSegments(v *vector, i int) bool {
	return v.hdrs[i].hdr.Controllen > 0 &&
		(*unix.Cmsghdr)(ptr(&v.controls[i])).Type == unix.UDP_SEGMENT
}

// refuse returns a system call that fails as with a device that refuses GSO.
func refuse(errno syscall.Errno) syscallFunc {
	return func(fd uintptr, v *vector, n int) (int, syscall.Errno) {
		for i := range n {
			if hasSegments(v, i) {
				if i == 0 {
					return -1, errno
				}
				return sendmmsg(fd, v, i)
			}
		}
		return sendmmsg(fd, v, n)
	}
}

func TestGSORefused(t *testing.T) {
	for _, test := range []struct {
		errno      syscall.Errno
		remembered bool
	}{{unix.EIO, true}, {unix.EINVAL, true}, {unix.EMSGSIZE, false}, {unix.ENOBUFS, false}} {
		t.Run(unix.ErrnoName(test.errno), func(t *testing.T) {
			s := mustListen(t, "udp4", "127.0.0.1:0", nil)
			other := mustListen(t, "udp4", "127.0.0.1:0", nil)
			c := mustListen(t, "udp4", "127.0.0.1:0", nil)
			before := c.Caps()
			inject(c, refuse(test.errno))
			// The message that is refused is not the first, and others follow it.
			write(t, c,
				Message{Buf: pattern(10), Remote: s.LocalAddr()},
				Message{Buf: pattern(70*100 + 1), SegmentSize: 100, Remote: s.LocalAddr(), ECN: 2},
				Message{Buf: pattern(11), Remote: s.LocalAddr()})
			got := readDatagrams(t, s, 73)
			require.Len(t, got[0].Buf, 10)
			require.Len(t, got[71].Buf, 1)
			require.Len(t, got[72].Buf, 11)
			require.EqualValues(t, 2, got[40].ECN)
			require.EqualValues(t, 1, c.Stats().GSOFallbacks)
			require.Equal(t, before, c.Caps())

			// Later messages go as single datagrams only if the segments were the reason, and only
			// to that peer.
			inject(c, sendmmsg)
			write(t, c,
				Message{Buf: pattern(300), SegmentSize: 100, Remote: s.LocalAddr()},
				Message{Buf: pattern(300), SegmentSize: 100, Remote: other.LocalAddr()})
			readDatagrams(t, s, 3)
			readDatagrams(t, other, 3)
			want := 1
			if test.remembered {
				want = 2
			}
			require.EqualValues(t, want, c.Stats().GSOFallbacks)
		})
	}
}

// refusing returns a socket whose GSO the kernel really refuses. It segments neither UDP-Lite (EIO)
// nor what has no checksum (EINVAL).
func refusing(t *testing.T, errno syscall.Errno) *Socket {
	proto := 0
	if errno == unix.EIO {
		proto = unix.IPPROTO_UDPLITE
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, proto)
	if errno == unix.EIO && err != nil {
		t.Skip("this kernel has no UDP-Lite: ", err)
	}
	require.NoError(t, err)
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	if errno == unix.EINVAL {
		require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1))
	}
	require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	c, err := net.FilePacketConn(f)
	require.NoError(t, err)
	s, err := Wrap(c, nil)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// TestKernelRefusesGSO: it is the kernel that refuses. All datagrams arrive all the same, and the
// kernel is not asked again.
func TestKernelRefusesGSO(t *testing.T) {
	for _, errno := range []syscall.Errno{unix.EIO, unix.EINVAL} {
		t.Run(unix.ErrnoName(errno), func(t *testing.T) {
			s, c := refusing(t, errno), refusing(t, errno)
			met := 0
			inject(c, func(fd uintptr, v *vector, n int) (int, syscall.Errno) {
				sent, got := sendmmsg(fd, v, n)
				if got != 0 {
					require.Equal(t, errno, got)
					met++
				}
				return sent, got
			})
			for i := range 3 {
				write(t, c, Message{Buf: pattern(5*100 + 1), SegmentSize: 100, Remote: s.LocalAddr()})
				got := readDatagrams(t, s, 6)
				require.Equal(t, pattern(5*100 + 1)[400:500], got[4].Buf)
				require.Len(t, got[5].Buf, 1)
				require.EqualValues(t, i+1, c.Stats().GSOFallbacks)
			}
			require.Equal(t, 1, met)
		})
	}
}

// An error that single datagrams meet too is no refusal of GSO.
func TestErrorIsNoRefusal(t *testing.T) {
	s := mustListen(t, "udp4", "127.0.0.1:0", nil)
	c := mustListen(t, "udp4", "127.0.0.1:0", nil)
	inject(c, func(uintptr, *vector, int) (int, syscall.Errno) { return -1, unix.EINVAL })
	m := Message{Buf: pattern(300), SegmentSize: 100, Remote: s.LocalAddr()}
	n, err := c.WriteBatch([]Message{m})
	require.ErrorIs(t, err, unix.EINVAL)
	require.Zero(t, n)
	inject(c, sendmmsg)
	write(t, c, m)
	require.Zero(t, c.Stats().GSOFallbacks)
}

func TestRefusedPeersAreBounded(t *testing.T) {
	g := gsoState{refused: make(map[netip.AddrPort]struct{})}
	for i := range 3 * maxRefused {
		remote := netip.AddrPortFrom(netip.IPv6Loopback(), uint16(i))
		g.remember(remote)
		require.True(t, g.isRefused(remote))
		require.LessOrEqual(t, len(g.refused), maxRefused)
	}
}

// Full in the midst of a message that goes singly: what was sent is not sent again.
func TestFullWithinAMessage(t *testing.T) {
	s := mustListen(t, "udp4", "127.0.0.1:0", &Config{DisableGRO: true})
	c := mustListen(t, "udp4", "127.0.0.1:0", &Config{DisableGSO: true})
	room := 0
	inject(c, func(fd uintptr, v *vector, n int) (int, syscall.Errno) {
		if n = min(n, room); n == 0 {
			return -1, unix.EAGAIN
		}
		room -= n
		return sendmmsg(fd, v, n)
	})
	buf := pattern(100 * 90)
	ms := []Message{
		{Buf: pattern(3), Remote: s.LocalAddr()},
		{Buf: buf, SegmentSize: 90, Remote: s.LocalAddr()},
		{Buf: pattern(4), Remote: s.LocalAddr()},
	}
	calls := 0
	for ; len(ms) > 0; calls++ {
		n, err := c.WriteBatch(ms)
		require.NoError(t, err)
		ms = ms[n:]
		room = 7
	}
	require.Equal(t, 1+15, calls)
	var all []byte
	for _, m := range readDatagrams(t, s, 102)[1:101] {
		all = append(all, m.Buf...)
	}
	require.Equal(t, buf, all)
	requireNothing(t, s)

	// A caller that does not go on with the message breaks the rules. It loses only the rest of
	// that message.
	room = 2
	n, err := c.WriteBatch([]Message{{Buf: buf, SegmentSize: 90, Remote: s.LocalAddr()}})
	require.NoError(t, err)
	require.Zero(t, n)
	room = 1000
	write(t, c, Message{Buf: buf[:180], SegmentSize: 90, Remote: s.LocalAddr()})
	write(t, c, Message{Buf: buf[:270], SegmentSize: 90, Remote: s.LocalAddr()})
	readDatagrams(t, s, 2+2+3)
}

// Errors about one message, of any kind, leave the others and the socket alone.
func TestSendErrors(t *testing.T) {
	s := mustListen(t, "udp4", "127.0.0.1:0", nil)
	c := mustListen(t, "udp4", "127.0.0.1:0", nil)
	for _, errno := range []syscall.Errno{unix.EPERM, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ECONNREFUSED,
		unix.EMSGSIZE, unix.EACCES, unix.ENOBUFS, unix.ENOMEM, unix.EINVAL, unix.EADDRNOTAVAIL} {
		failed := false
		inject(c, func(fd uintptr, v *vector, n int) (int, syscall.Errno) {
			for i := range n {
				if v.iovs[i].Len == 13 {
					if i > 0 {
						return sendmmsg(fd, v, i)
					}
					failed = true
					return -1, errno
				}
			}
			return sendmmsg(fd, v, n)
		})
		ms := []Message{
			{Buf: pattern(1), Remote: s.LocalAddr()},
			{Buf: pattern(13), Remote: s.LocalAddr()},
			{Buf: pattern(2), Remote: s.LocalAddr()},
		}
		n, err := c.WriteBatch(ms)
		require.ErrorIs(t, err, errno)
		require.NotErrorIs(t, err, net.ErrClosed)
		require.Equal(t, 1, n)
		require.True(t, failed)
		write(t, c, ms[2:]...)
		got := readDatagrams(t, s, 2)
		require.Len(t, got[0].Buf, 1)
		require.Len(t, got[1].Buf, 2)
	}
	// An interrupted call is not an error.
	interrupted := 0
	inject(c, func(fd uintptr, v *vector, n int) (int, syscall.Errno) {
		if interrupted++; interrupted < 4 {
			return -1, unix.EINTR
		}
		return sendmmsg(fd, v, n)
	})
	write(t, c, Message{Buf: pattern(5), Remote: s.LocalAddr()})
	require.Len(t, readOne(t, s).Buf, 5)
}

// An address that is not ours is an error about that message.
func TestSourceNotOurs(t *testing.T) {
	s := mustListen(t, "udp4", "127.0.0.1:0", nil)
	c := mustListen(t, "udp4", "0.0.0.0:0", nil)
	n, err := c.WriteBatch([]Message{
		{Buf: pattern(300), SegmentSize: 100, Remote: s.LocalAddr(), Local: addr("198.51.100.1", c)},
		{Buf: pattern(1), Remote: s.LocalAddr(), Local: addr("127.0.0.9", c)},
	})
	require.Error(t, err)
	require.Zero(t, n)
	write(t, c, Message{Buf: pattern(300), SegmentSize: 100, Remote: s.LocalAddr(), Local: addr("127.0.0.9", c)})
	for _, m := range readDatagrams(t, s, 3) {
		require.Equal(t, addr("127.0.0.9", c), m.Remote)
	}
	require.Zero(t, c.Stats().GSOFallbacks)
}

func TestManyMessages(t *testing.T) {
	s := mustListen(t, "udp4", "127.0.0.1:0", nil)
	c := mustListen(t, "udp4", "127.0.0.1:0", nil)
	const count = 3*batchSize + 5
	var ms []Message
	for i := range count {
		ms = append(ms, Message{Buf: fmt.Appendf(nil, "%*d", 4+i%3, i), Remote: s.LocalAddr()})
	}
	write(t, c, ms...)
	for i, m := range readDatagrams(t, s, count) {
		require.Equal(t, string(ms[i].Buf), string(m.Buf))
	}
}
