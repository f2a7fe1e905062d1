package udpio

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
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
