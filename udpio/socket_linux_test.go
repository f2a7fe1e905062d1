package udpio

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lazoquic/lazo/internal/require"
)

func ptr[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }

func sockopt(t *testing.T, s *Socket, level, opt int) (v int) {
	rc, err := s.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, rc.Control(func(fd uintptr) { v, err = unix.GetsockoptInt(int(fd), level, opt) }))
	require.NoError(t, err)
	return v
}

// DF is set, and ICMP messages change nothing.
func TestDontFragment(t *testing.T) {
	for _, o := range openers()[:2] {
		s := o.mustOpen(t, "udp4", "127.0.0.1:0", nil)
		require.Equal(t, unix.IP_PMTUDISC_PROBE, sockopt(t, s, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER))
		s = o.mustOpen(t, "udp", "[::]:0", nil)
		require.Equal(t, unix.IP_PMTUDISC_PROBE, sockopt(t, s, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER))
		require.Equal(t, unix.IPV6_PMTUDISC_PROBE, sockopt(t, s, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER))
	}
}

func TestQueueOverflows(t *testing.T) {
	s := mustListen(t, "udp4", "127.0.0.1:0", &Config{ReadBuffer: 8 << 10, DisableGRO: true})
	c := mustListen(t, "udp4", "127.0.0.1:0", nil)
	const sent = 200
	for range sent {
		write(t, c, Message{Buf: pattern(1000), Remote: s.LocalAddr()})
	}
	got, ms := 0, newMessages(8)
	for {
		n, err := s.ReadBatch(ms, past)
		require.NoError(t, err)
		if got += n; n == 0 {
			break
		}
	}
	require.Less(t, got, sent)
	write(t, c, Message{Buf: pattern(1), Remote: s.LocalAddr()}) // carries the count
	readOne(t, s)
	require.EqualValues(t, sent-got, s.Stats().QueueOverflows)
}

// fullSocket returns a Socket whose only port is one end of a pair of Unix sockets, because UDP
// over loopback is never full. It also returns a function that reads what was sent.
func fullSocket(t *testing.T) (*Socket, func() int) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	f := os.NewFile(uintptr(fds[0]), "pair")
	t.Cleanup(func() { unix.Close(fds[1]) })
	rc, err := f.SyscallConn()
	require.NoError(t, err)
	s, err := newSockets((&Config{WriteBuffer: 1}).withDefaults())
	require.NoError(t, err)
	// The socket counts as connected, so it sends without an address.
	require.NoError(t, s.addPort(f, rc, netip.MustParseAddrPort("127.0.0.1:1"), pairPeer))
	t.Cleanup(func() { s.close() })
	buf := make([]byte, 1<<16)
	return &Socket{driver: s}, func() int {
		n, err := unix.Read(fds[1], buf)
		require.NoError(t, err)
		return n
	}
}

var pairPeer = netip.MustParseAddrPort("127.0.0.1:2")

func TestFullAndRoomAgain(t *testing.T) {
	s, drain := fullSocket(t)
	ms := make([]Message, 100)
	for i := range ms {
		ms[i] = Message{Buf: pattern(1000 + i), Remote: pairPeer}
	}
	in := newMessages(1)
	next := 0 // to be read at the other end
	for rest := ms; ; {
		n, err := s.WriteBatch(rest)
		require.NoError(t, err)
		rest = rest[n:]
		if len(rest) == 0 {
			break
		}
		// There is no room, so ReadBatch waits.
		deadline := time.Now().Add(time.Millisecond)
		n, err = s.ReadBatch(in, deadline)
		require.NoError(t, err)
		require.Zero(t, n)
		require.False(t, time.Now().Before(deadline))

		returned := make(chan error)
		go func() {
			_, err := s.ReadBatch(in, soon())
			returned <- err
		}()
		for done := false; !done; {
			select {
			case err := <-returned:
				require.NoError(t, err)
				done = true
			default:
				if next < len(ms)-len(rest) {
					require.Equal(t, 1000+next, drain())
					next++
				}
				runtime.Gosched()
			}
		}
		require.NotZero(t, next)
	}
	for ; next < len(ms); next++ {
		require.Equal(t, 1000+next, drain())
	}
	// Everything was sent, so ReadBatch waits for no room.
	deadline := time.Now().Add(2 * time.Millisecond)
	n, err := s.ReadBatch(in, deadline)
	require.NoError(t, err)
	require.Zero(t, n)
	require.False(t, time.Now().Before(deadline))
}

// Room is reported once. If it is not used, that is the caller's affair.
func TestRoomIsReportedOnce(t *testing.T) {
	s, drain := fullSocket(t)
	ms := make([]Message, 100)
	for i := range ms {
		ms[i] = Message{Buf: pattern(1000), Remote: pairPeer}
	}
	sent, err := s.WriteBatch(ms)
	require.NoError(t, err)
	require.Less(t, sent, len(ms))
	for range sent {
		drain()
	}
	in := newMessages(1)
	n, err := s.ReadBatch(in, time.Time{})
	require.NoError(t, err)
	require.Zero(t, n)
	requireNothing(t, s)
}

func TestNoAllocations(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::]:0"} {
		s, c := mustListen(t, "udp", address, nil), mustListen(t, "udp", address, nil)
		to := addr("127.0.0.1", s)
		out := []Message{
			{Buf: pattern(3000), SegmentSize: 1200, Remote: to, ECN: 2},
			{Buf: pattern(1200), Remote: to, ECN: 2, Local: addr("127.0.0.1", c)},
		}
		in := newMessages(4)
		require.Zero(t, testing.AllocsPerRun(200, func() {
			if n, err := c.WriteBatch(out); n != 2 || err != nil {
				t.Fatal(n, err)
			}
			for got := 0; got < 2; {
				n, err := s.ReadBatch(in, past)
				if err != nil {
					t.Fatal(err)
				}
				got += n
			}
		}))
		// Short and long waits end by themselves, by Wake and by a datagram.
		require.Zero(t, testing.AllocsPerRun(50, func() {
			s.ReadBatch(in, time.Now().Add(100*time.Microsecond))
			s.ReadBatch(in, time.Now().Add(2200*time.Microsecond))
			s.Wake()
			s.ReadBatch(in, time.Time{})
		}))
		ping, pong := make(chan struct{}), make(chan struct{})
		go func() {
			for range ping {
				s.ReadBatch(in, time.Time{})
				pong <- struct{}{}
			}
		}()
		require.Zero(t, testing.AllocsPerRun(100, func() {
			ping <- struct{}{}
			c.WriteBatch(out[1:])
			<-pong
		}))
		close(ping)
	}
}

// One goroutine reads, one writes, others do the rest: for the race detector.
func TestConcurrency(t *testing.T) {
	s := mustListen(t, "udp4", "127.0.0.1:0", nil)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	loop := func(f func()) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f()
				}
			}
		})
	}
	in := newMessages(8)
	var read atomic.Int64
	loop(func() {
		n, err := s.ReadBatch(in, time.Now().Add(time.Millisecond))
		if err != nil {
			t.Error(err)
		}
		read.Add(int64(n))
	})
	to := s.LocalAddr()
	out := []Message{{Buf: pattern(5000), SegmentSize: 1200, Remote: to}, {Buf: pattern(10), Remote: to}}
	loop(func() {
		if _, err := s.WriteBatch(out); err != nil {
			t.Error(err)
		}
	})
	loop(s.Wake)
	loop(func() { s.Caps(); s.Stats(); s.LocalAddr() })
	for range 100 {
		local, err := s.AddLocal("udp4", "127.0.0.1:0")
		require.NoError(t, err)
		_, err = s.AddLocal("udp6", "[::1]:0")
		require.NoError(t, err)
		require.NoError(t, s.RemoveLocal(local))
		ports := *s.driver.(*sockets).ports.Load()
		require.NoError(t, s.RemoveLocal(ports[len(ports)-1].local))
	}
	for read.Load() == 0 {
		runtime.Gosched()
	}
	close(stop)
	wg.Wait()
}

// Closing while others read and write neither crashes nor touches another file that
// gets the same descriptor.
func TestCloseConcurrently(t *testing.T) {
	for range 100 {
		s := mustListen(t, "udp4", "127.0.0.1:0", nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			ms := newMessages(2)
			for {
				if _, err := s.ReadBatch(ms, time.Time{}); err != nil {
					require.ErrorIs(t, err, net.ErrClosed)
					return
				}
			}
		})
		wg.Go(func() {
			for {
				if _, err := s.WriteBatch([]Message{{Buf: pattern(10), Remote: s.LocalAddr()}}); err != nil {
					require.ErrorIs(t, err, net.ErrClosed)
					return
				}
			}
		})
		wg.Go(func() { s.Wake() })
		require.NoError(t, s.Close())
		wg.Wait()
	}
}

// A connected socket gets the errors that ICMP messages bring; they end nothing.
func TestWrapConnected(t *testing.T) {
	for _, o := range openers() {
		if o.name == "Listen" {
			continue
		}
		t.Run(o.name, func(t *testing.T) {
			server := mustListen(t, "udp4", "127.0.0.1:0", nil)
			c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(server.LocalAddr()))
			require.NoError(t, err)
			var s *Socket
			if o.name == "WrapUDPConn" {
				s, err = Wrap(c, nil)
			} else {
				var d driver
				d, err = wrapConn(c, (&Config{}).withDefaults())
				s = &Socket{driver: d}
			}
			require.NoError(t, err)
			defer s.Close()
			write(t, s, Message{Buf: pattern(3000), SegmentSize: 1000, Remote: server.LocalAddr()})
			m := readDatagrams(t, server, 3)[0]
			require.Equal(t, s.LocalAddr(), m.Remote)
			write(t, server, m)
			require.Equal(t, server.LocalAddr(), readOne(t, s).Remote)

			require.NoError(t, server.Close())
			for range 30 { // to a closed port
				s.WriteBatch([]Message{{Buf: pattern(1), Remote: server.LocalAddr()}})
				_, err := s.ReadBatch(newMessages(1), past)
				require.NoError(t, err)
			}
			requireNothing(t, s)
		})
	}
}

func TestNames(t *testing.T) {
	z := newZones()
	lo, err := net.InterfaceByName("lo")
	require.NoError(t, err)
	for _, test := range []struct {
		addr  string
		v6    bool
		size  uint32
		scope uint32
	}{
		{"192.0.2.1:443", false, unix.SizeofSockaddrInet4, 0},
		{"192.0.2.1:443", true, unix.SizeofSockaddrInet6, 0},
		{"[2001:db8::1]:65535", true, unix.SizeofSockaddrInet6, 0},
		{"[fe80::1%lo]:1", true, unix.SizeofSockaddrInet6, uint32(lo.Index)},
		{"[fe80::1%12345]:1", true, unix.SizeofSockaddrInet6, 12345},
		{"[2001:db8::1]:1", false, 0, 0},
	} {
		a := netip.MustParseAddrPort(test.addr)
		var n name
		require.Equal(t, test.size, z.encode(&n, a, test.v6), test.addr)
		if test.size > 0 {
			require.Equal(t, a, z.decode(&n))
		}
		if test.v6 {
			require.Equal(t, test.scope, n.Scope_id)
		}
	}
	var n name
	require.EqualValues(t, unix.SizeofSockaddrInet4, z.encode(&n, netip.MustParseAddrPort("[::ffff:192.0.2.1]:7"), false))
	require.Equal(t, "192.0.2.1:7", z.decode(&n).String())
	require.Zero(t, z.encode(&n, netip.AddrPort{}, true))
	n.Family = unix.AF_UNIX
	require.False(t, z.decode(&n).IsValid())

	require.Zero(t, z.index("no such interface"))
	for i := range uint32(3 * maxZones) {
		z.name(i)
		require.LessOrEqual(t, len(z.names), maxZones)
	}
}

// An interface that was made anew has another index, so what was asked once does not hold for ever.
// What cannot be asked, because the interface is gone or descriptors are, stays as it was.
func TestNamesChange(t *testing.T) {
	z := newZones()
	lo, err := net.InterfaceByName("lo")
	require.NoError(t, err)
	index := uint32(lo.Index)

	past, later := time.Now().Add(-time.Millisecond), time.Now().Add(time.Hour)
	z.indices["lo"], z.names[index] = zone[uint32]{12345, later}, zone[string]{"lo0", later}
	require.EqualValues(t, 12345, z.index("lo"))
	require.Equal(t, "lo0", z.name(index))

	z.indices["lo"], z.names[index] = zone[uint32]{12345, past}, zone[string]{"lo0", past}
	require.Equal(t, index, z.index("lo"))
	require.Equal(t, "lo", z.name(index))

	z.indices["gone0"], z.names[12345] = zone[uint32]{12345, past}, zone[string]{"gone0", past}
	require.EqualValues(t, 12345, z.index("gone0"))
	require.Equal(t, "gone0", z.name(12345))

	z.index("later0") // there is none yet
	require.Less(t, time.Until(z.indices["later0"].till), 2*time.Second)
}

// Control messages are read as they are written, and broken ones end the reading.
func TestControlMessages(t *testing.T) {
	z := newZones()
	var c control
	w := controlWriter{c: &c}
	w.ecn(3, false)
	w.source(netip.MustParseAddr("fe80::7%lo"), &z)
	*(*uint32)(w.add(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 4)) = 99
	*(*int32)(w.add(unix.SOL_UDP, unix.UDP_GRO, 4)) = 70000
	w.add(unix.SOL_SOCKET, unix.SO_TIMESTAMP, 16)
	var r received
	c.parse(w.n, &z, &r)
	require.Equal(t, received{ecn: 3, segmentSize: 70000, local: netip.MustParseAddr("fe80::7%lo"), overflows: 99}, r)

	w = controlWriter{c: &c}
	w.ecn(1, true)
	w.source(netip.MustParseAddr("192.0.2.3"), &z)
	r = received{}
	c.parse(w.n, &z, &r)
	require.Equal(t, received{ecn: 1, local: netip.MustParseAddr("192.0.2.3")}, r)

	for n := range w.n {
		c.parse(n, &z, &received{}) // cut off anywhere
	}
	c.parse(1<<20, &z, &r)
	for _, length := range []uint64{0, 1, uint64(unix.SizeofCmsghdr) - 1, controlSize + 1, 1 << 31, 1<<63 - 1} {
		h := (*unix.Cmsghdr)(ptr(&c))
		*h = unix.Cmsghdr{Level: unix.SOL_UDP, Type: unix.UDP_GRO}
		binary.NativeEndian.PutUint32(c.bytes()[unix.SizeofCmsghdr:], 1200)
		h.SetLen(int(length))
		r = received{}
		c.parse(controlSize, &z, &r)
		require.Zero(t, r.segmentSize, "length %d", length)
	}
}
