package udpio

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lazoquic/lazo/internal/require"
)

// A socket at an interface sends from its address, and reads what comes back.
func TestAddInterface(t *testing.T) {
	s, err := Listen("udp4", "127.0.0.1:0", nil)
	require.NoError(t, err)
	defer s.Close()
	peer, err := Listen("udp4", "127.0.0.1:0", nil)
	require.NoError(t, err)
	defer peer.Close()
	_, err = s.AddInterface(Interface{Name: "nonesuch", Addr: netip.MustParseAddr("127.0.0.2")})
	require.ErrorIs(t, err, unix.ENODEV)
	local, err := s.AddInterface(Interface{Name: "lo", Addr: netip.MustParseAddr("127.0.0.2")})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.2", local.Addr().String())

	_, err = s.WriteBatch([]Message{{Buf: []byte("ping"), Remote: peer.LocalAddr(), Local: local}})
	require.NoError(t, err)
	ms := []Message{{Buf: make([]byte, 1<<16)}}
	n, err := peer.ReadBatch(ms, time.Time{})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, local, ms[0].Remote)
	_, err = peer.WriteBatch([]Message{{Buf: []byte("pong"), Remote: local}})
	require.NoError(t, err)
	ms = []Message{{Buf: make([]byte, 1<<16)}}
	n, err = s.ReadBatch(ms, time.Time{})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, local, ms[0].Local)
	require.NoError(t, s.RemoveLocal(local))
}

// Whatever interfaces this host has, they are reported at once, and watching ends with its context.
func TestWatchInterfaces(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reported := make(chan []Interface, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- WatchInterfaces(ctx, netip.MustParseAddr("192.0.2.1"), func(list []Interface) {
			select {
			case reported <- list:
			default:
			}
		})
	}()
	for _, i := range <-reported {
		require.True(t, i.Addr.Is4())
		require.True(t, i.Name != "" && i.Index > 0)
	}
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

// TestWatchKeepsList: while the interfaces cannot be read, those of the last list count. They are
// read again after a while, without a hint.
func TestWatchKeepsList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wifi, cable := Interface{Name: "wlan0", Index: 2}, Interface{Name: "eth0", Index: 3}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var reports [][]Interface
		lists, start := 0, time.Now()
		err := watchList(ctx, func(list []Interface) {
			if reports = append(reports, list); len(reports) == 2 {
				cancel()
			}
		}, func() ([]Interface, error) {
			switch lists++; lists {
			case 1, 3:
				return nil, os.NewSyscallError("socket", unix.EMFILE)
			case 2:
				return []Interface{wifi, cable}, nil
			case 4:
				return nil, errors.New("any other error")
			default:
				return []Interface{wifi}, nil
			}
		}, func() error { return nil })
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, [][]Interface{{wifi, cable}, {wifi}}, reports)
		require.Equal(t, 3*listRetry, time.Since(start))
	})
	denied := func() ([]Interface, error) { return nil, unix.EACCES }
	err := watchList(t.Context(), nil, denied, nil)
	require.ErrorIs(t, err, unix.EACCES, "this host tells nothing of its interfaces")
}

// TestInterfacesWithoutDescriptors: a process that has too many files open cannot tell whether an
// interface leads to the remote. It does not take that for a no.
func TestInterfacesWithoutDescriptors(t *testing.T) {
	remote := netip.MustParseAddr("127.0.0.1")
	lo, err := net.InterfaceByName("lo")
	require.NoError(t, err)
	here := *lo
	here.Flags = net.FlagUp | net.FlagRunning
	all := []net.Interface{here, {Name: "nonesuch", Index: here.Index + 1000, Flags: here.Flags}}
	routes := map[int]route{here.Index: {}, here.Index + 1000: {}}
	want, err := interfacesTo(remote, all, routes)
	require.NoError(t, err)
	require.Equal(t, 1, len(want))

	var old unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: old.Max}))
	_, err = interfacesTo(remote, all, routes)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
	require.ErrorIs(t, err, unix.EMFILE)
	got, err := interfacesTo(remote, all, routes)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// TestHintsAtOnce: hints that come together make one list be read, also if one of them is longer
// than others.
func TestHintsAtOnce(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	defer unix.Close(fds[1])
	hints := os.NewFile(uintptr(fds[0]), "hints")
	defer hints.Close()
	for i := range 8 { // as many as a socket surely holds
		_, err := unix.Write(fds[1], make([]byte, 1+100*i))
		require.NoError(t, err)
	}
	require.NoError(t, awaitHints(t.Context(), hints))
	_, _, err = unix.Recvfrom(fds[0], make([]byte, 1), unix.MSG_DONTWAIT)
	require.ErrorIs(t, err, unix.EAGAIN)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	hints.SetReadDeadline(time.Unix(1, 0)) // as the end of ctx does
	require.ErrorIs(t, awaitHints(ctx, hints), os.ErrDeadlineExceeded)
}

// attr makes an attribute of a route. Numbers are in the order of this host.
func attr(typ uint16, value ...byte) syscall.NetlinkRouteAttr {
	return syscall.NetlinkRouteAttr{Attr: syscall.RtAttr{Type: typ}, Value: value}
}

func number(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// The best route of each interface counts: the longest prefix, and then the lowest metric.
func TestNoteRoute(t *testing.T) {
	remote := netip.MustParseAddr("192.0.2.1")
	unicast := func(bits byte) []byte {
		b := make([]byte, unix.SizeofRtMsg)
		b[0], b[rtmDstLen], b[rtmTable], b[rtmType] = unix.AF_INET, bits, unix.RT_TABLE_MAIN, unix.RTN_UNICAST
		return b
	}
	local, unreachable := unicast(0), unicast(0)
	local[rtmTable] = unix.RT_TABLE_LOCAL
	unreachable[rtmType] = unix.RTN_UNREACHABLE
	hop := func(device uint32) []byte {
		b := binary.NativeEndian.AppendUint16(nil, unix.SizeofRtNexthop)
		return append(append(b, 0, 0), number(device)...)
	}
	best := make(map[int]route)
	for _, r := range []struct {
		rtm   []byte
		attrs []syscall.NetlinkRouteAttr
	}{
		{unicast(0), []syscall.NetlinkRouteAttr{attr(unix.RTA_OIF, number(2)...), attr(unix.RTA_PRIORITY, number(100)...)}},
		{unicast(0), []syscall.NetlinkRouteAttr{attr(unix.RTA_OIF, number(2)...), attr(unix.RTA_PRIORITY, number(50)...)}},
		{unicast(0), []syscall.NetlinkRouteAttr{attr(unix.RTA_OIF, number(2)...), attr(unix.RTA_PRIORITY, number(70)...)}},
		{unicast(24), []syscall.NetlinkRouteAttr{attr(unix.RTA_DST, 192, 0, 2, 0), attr(unix.RTA_OIF, number(3)...), attr(unix.RTA_PRIORITY, number(90)...)}},
		{unicast(0), []syscall.NetlinkRouteAttr{attr(unix.RTA_OIF, number(3)...)}},
		{unicast(24), []syscall.NetlinkRouteAttr{attr(unix.RTA_DST, 198, 51, 100, 0), attr(unix.RTA_OIF, number(4)...)}},
		{unicast(0), []syscall.NetlinkRouteAttr{attr(unix.RTA_MULTIPATH, slices.Concat(hop(5), hop(6), []byte{1})...)}},
		{local, []syscall.NetlinkRouteAttr{attr(unix.RTA_OIF, number(7)...)}},
		{unreachable, []syscall.NetlinkRouteAttr{attr(unix.RTA_OIF, number(8)...)}},
		{unicast(0), []syscall.NetlinkRouteAttr{attr(unix.RTA_OIF, 9)}},
	} {
		noteRoute(best, remote, r.rtm, r.attrs)
	}
	require.Equal(t, map[int]route{2: {0, 50}, 3: {24, 90}, 5: {}, 6: {}}, best)
}

// TestHintsReachAll: those who listen to one source all learn of a change, and of the end.
func TestHintsReachAll(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	kernel := os.NewFile(uintptr(fds[0]), "kernel")
	defer kernel.Close()
	opened := 0
	s := hintSource{open: func() (*os.File, error) {
		opened++
		return os.NewFile(uintptr(fds[1]), "hints"), nil
	}}
	var all []*hintListener
	for range 3 {
		l, err := s.join()
		require.NoError(t, err)
		all = append(all, l)
	}
	for range 2 {
		_, err = kernel.Write([]byte("x"))
		require.NoError(t, err)
		for _, l := range all {
			require.NoError(t, l.wait(t.Context()))
		}
	}
	s.leave(all[0])
	_, err = kernel.Write([]byte("x"))
	require.NoError(t, err)
	for _, l := range all[1:] {
		require.NoError(t, l.wait(t.Context()))
		s.leave(l)
	}
	require.Equal(t, 1, opened)
}

// TestHintsEnd: an error of the socket ends all watches, and the next one opens another socket.
func TestHintsEnd(t *testing.T) {
	opened := 0
	s := hintSource{open: func() (*os.File, error) {
		opened++
		r, w, err := os.Pipe()
		if err == nil {
			w.Close()
		}
		return r, err
	}}
	for i := range 2 {
		var all []*hintListener
		for range 2 {
			l, err := s.join()
			require.NoError(t, err)
			all = append(all, l)
		}
		for _, l := range all {
			require.ErrorIs(t, l.wait(t.Context()), io.EOF)
			s.leave(l)
		}
		require.Greater(t, opened, i)
	}
}

// TestWatchesShareASocket: however many watch, there is one netlink socket, and none at the end.
func TestWatchesShareASocket(t *testing.T) {
	before := len(netlinkSockets(t))
	var w InterfaceWatcher
	ended := make(chan error)
	var stops []context.CancelFunc
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		stops = append(stops, cancel)
		reported := make(chan struct{})
		go func() {
			once := sync.OnceFunc(func() { close(reported) })
			ended <- w.Watch(ctx, netip.MustParseAddr("192.0.2.1"), func([]Interface) { once() })
		}()
		<-reported
		require.Equal(t, before+1, len(netlinkSockets(t)))
	}
	for _, stop := range stops {
		require.Equal(t, before+1, len(netlinkSockets(t)))
		stop()
		require.ErrorIs(t, <-ended, context.Canceled)
	}
	for len(netlinkSockets(t)) > before {
		runtime.Gosched() // until it is closed
	}
}

// netlinkSockets returns the sockets of this process that listen to messages of the kernel about
// links, addresses and routes, by their inodes.
func netlinkSockets(t *testing.T) (inodes []string) {
	t.Helper()
	mine := make(map[string]bool)
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, fd := range fds {
		to, _ := os.Readlink("/proc/self/fd/" + fd.Name()) // it may have been closed
		mine[to] = true
	}
	table, err := os.ReadFile("/proc/self/net/netlink")
	require.NoError(t, err)
	for line := range strings.Lines(string(table)) {
		// sk, protocol, port, groups, rmem, wmem, dump, locks, drops, inode
		f := strings.Fields(line)
		if len(f) == 10 && f[1] == "0" && f[3] != "00000000" && mine["socket:["+f[9]+"]"] {
			inodes = append(inodes, f[9])
		}
	}
	return inodes
}
