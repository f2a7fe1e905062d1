package udpio

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bindToDevice lets a socket send and receive by one interface alone.
func bindToDevice(fd uintptr, device string) error {
	return os.NewSyscallError("setsockopt", unix.BindToDevice(int(fd), device))
}

// settleTime is how long the list of interfaces has to stay as it is before it is read. An address
// that comes brings several messages, and its route comes a moment later.
const settleTime = 50 * time.Millisecond

// listRetry is how long to wait before the interfaces are read again, if that has failed.
const listRetry = time.Second

// watch takes each message of netlink as a hint that something has changed, and then reads
// everything again. So a message that was lost, or not understood, does no harm.
func (s *hintSource) watch(ctx context.Context, remote netip.Addr, report func([]Interface)) error {
	l, err := s.join()
	if err != nil {
		return fmt.Errorf("udpio: watching interfaces: %w", err)
	}
	defer s.leave(l)
	return watchList(ctx, report,
		func() ([]Interface, error) { return listInterfaces(remote) },
		func() error { return l.wait(ctx) })
}

// watchList reports what list returns, at first and whenever wait has returned, if that is new. The
// last list holds while no other one can be had. An error of the first list says that this host
// does not let the caller read it, unless the host is short of something.
func watchList(ctx context.Context, report func([]Interface), list func() ([]Interface, error), wait func() error) error {
	var last []Interface
	for first := true; ctx.Err() == nil; {
		now, err := list()
		switch {
		case err == nil:
		case first && !isShortage(err):
			return fmt.Errorf("udpio: listing interfaces: %w", err)
		default:
			pause(ctx, listRetry)
			continue
		}
		if first || !slices.Equal(now, last) {
			first, last = false, now
			report(slices.Clone(now))
		}
		if err := wait(); err != nil && ctx.Err() == nil {
			return fmt.Errorf("udpio: watching interfaces: %w", err)
		}
	}
	return ctx.Err()
}

// pause waits for d, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// isShortage reports whether err says that this process or host is short of something at present,
// which tells nothing about networks. EAGAIN is what connect returns if no port is free.
func isShortage(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EAGAIN:
		return true
	}
	return false
}

// openHints opens a netlink socket that tells of changes of links, addresses and routes.
func openHints() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
		unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// awaitHints waits until something has changed, and for what else comes with it. Changes that
// happen while the caller reads the list wait in the socket.
func awaitHints(ctx context.Context, hints *os.File) error {
	var b [8 << 10]byte
	if _, err := hints.Read(b[:]); err != nil && !errors.Is(err, unix.ENOBUFS) {
		return err
	}
	pause(ctx, settleTime)
	return dropHints(hints)
}

// maxHints is how many messages are dropped at once. If more are left, there is one list more.
const maxHints = 10_000

// dropHints drops the messages that wait: they tell of changes that the next list has. It uses no
// deadline, because that of hints belongs to those who end the wait.
func dropHints(hints *os.File) error {
	raw, err := hints.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) {
		var b [1]byte // the rest of a message is dropped
		for range maxHints {
			_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_DONTWAIT)
			switch err {
			case nil, unix.EINTR, unix.ENOBUFS: // messages may be left
			default:
				return // EAGAIN: there are none
			}
		}
	})
}

// A route is how good the best route from an interface is.
type route struct {
	bits   int // of its prefix
	metric uint32
}

// listInterfaces returns the interfaces from which remote can be reached.
func listInterfaces(remote netip.Addr) ([]Interface, error) {
	routes, err := routesTo(remote)
	if err != nil {
		return nil, err
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	return interfacesTo(remote, all, routes)
}

// interfacesTo returns those of all interfaces which have one of routes, and an address to send
// from. It fails if it cannot find that out at present.
func interfacesTo(remote netip.Addr, all []net.Interface, routes map[int]route) ([]Interface, error) {
	preferred, err := sourceTo(remote, "")
	if isShortage(err) {
		return nil, err
	}
	var list []Interface
	for i := range all {
		ifi := &all[i]
		r, ok := routes[ifi.Index]
		if !ok || !usable(ifi) || remote.Zone() != "" && remote.Zone() != ifi.Name {
			continue
		}
		source, err := sourceTo(remote, ifi.Name)
		if isShortage(err) {
			return nil, err
		}
		if err != nil {
			continue // it has no address of this family, or is gone already
		}
		list = append(list, Interface{
			Name: ifi.Name, Index: ifi.Index, Addr: source,
			Metric: r.metric, Preferred: source == preferred,
		})
	}
	sortInterfaces(list)
	return list, nil
}

// sortInterfaces sorts the list as WatchInterfaces promises.
func sortInterfaces(list []Interface) {
	slices.SortStableFunc(list, func(a, b Interface) int {
		switch {
		case a.Preferred && !b.Preferred:
			return -1
		case b.Preferred && !a.Preferred:
			return 1
		}
		return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Index, b.Index))
	})
}

// usable reports whether an interface may carry anything.
func usable(i *net.Interface) bool {
	const need = net.FlagUp | net.FlagRunning
	return i.Flags&need == need && i.Flags&net.FlagLoopback == 0
}

// sourceTo returns the address from which the kernel would send to remote by a device, or by any if
// that is "". Nothing is sent.
func sourceTo(remote netip.Addr, device string) (netip.Addr, error) {
	d := net.Dialer{Control: func(_, _ string, rc syscall.RawConn) error {
		if device == "" {
			return nil
		}
		var bindErr error
		err := rc.Control(func(fd uintptr) { bindErr = bindToDevice(fd, device) })
		return errors.Join(err, bindErr)
	}}
	c, err := d.Dial("udp", netip.AddrPortFrom(remote, 9).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	source := addrPort(c.LocalAddr()).Addr()
	if !source.IsValid() || source.IsUnspecified() || source.IsLoopback() && !remote.IsLoopback() {
		return netip.Addr{}, unix.EADDRNOTAVAIL
	}
	return source, nil
}

// routesTo returns the best route to remote from each interface, by the index of the interface. It
// reads all routing tables: rules may lead to another one than the main table.
func routesTo(remote netip.Addr) (map[int]route, error) {
	family := unix.AF_INET
	if remote.Is6() {
		family = unix.AF_INET6
	}
	rib, err := syscall.NetlinkRIB(unix.RTM_GETROUTE, family)
	if err != nil {
		return nil, os.NewSyscallError("netlinkrib", err)
	}
	ms, err := syscall.ParseNetlinkMessage(rib)
	if err != nil {
		return nil, os.NewSyscallError("parsenetlinkmessage", err)
	}
	best := make(map[int]route)
	for i := range ms {
		if ms[i].Header.Type != unix.RTM_NEWROUTE || len(ms[i].Data) < unix.SizeofRtMsg {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(&ms[i])
		if err != nil {
			continue // one route that is not understood does not hide the others
		}
		noteRoute(best, remote, ms[i].Data, attrs)
	}
	return best, nil
}

// Offsets in struct rtmsg, and its size before the attributes.
const (
	rtmDstLen = 1
	rtmTable  = 4
	rtmType   = 7
	rtmFlags  = 8
)

// noteRoute enters a route of the kernel into best, if it leads to remote.
func noteRoute(best map[int]route, remote netip.Addr, rtm []byte, attrs []syscall.NetlinkRouteAttr) {
	if rtm[rtmType] != unix.RTN_UNICAST || rtm[rtmTable] == unix.RT_TABLE_LOCAL ||
		binary.NativeEndian.Uint32(rtm[rtmFlags:])&unix.RTM_F_CLONED != 0 {
		return
	}
	r := route{bits: int(rtm[rtmDstLen])}
	to := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if remote.Is6() {
		to = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	var devices []int
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.RTA_DST:
			if addr, ok := netip.AddrFromSlice(a.Value); ok {
				to = netip.PrefixFrom(addr, r.bits)
			}
		case unix.RTA_OIF:
			if len(a.Value) >= 4 {
				devices = append(devices, int(binary.NativeEndian.Uint32(a.Value)))
			}
		case unix.RTA_PRIORITY:
			if len(a.Value) >= 4 {
				r.metric = binary.NativeEndian.Uint32(a.Value)
			}
		case unix.RTA_MULTIPATH:
			devices = appendHops(devices, a.Value)
		}
	}
	if !to.Contains(remote.WithZone("")) {
		return
	}
	for _, d := range devices {
		if old, ok := best[d]; !ok || old.bits < r.bits || old.bits == r.bits && r.metric < old.metric {
			best[d] = r
		}
	}
}

// appendHops appends the interfaces of a route that has several next hops (struct rtnexthop).
func appendHops(devices []int, b []byte) []int {
	for len(b) >= unix.SizeofRtNexthop {
		n := int(binary.NativeEndian.Uint16(b))
		devices = append(devices, int(binary.NativeEndian.Uint32(b[4:])))
		if n = (n + 3) &^ 3; n < unix.SizeofRtNexthop || n > len(b) {
			break
		}
		b = b[n:]
	}
	return devices
}
