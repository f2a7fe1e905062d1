package udpio

import (
	"context"
	"net/netip"
)

// An Interface is an address of a network interface of this host, as a place to send from.
type Interface struct {
	Name  string     // of the interface; "" for whichever the kernel takes
	Index int        // of the interface; 0 if it is not known, or does not matter
	Addr  netip.Addr // of this host, on that interface

	// Metric is that of the best route from the interface: the kernel prefers a lower one.
	Metric uint32
	// Preferred says that sockets which are bound to no interface send from here.
	Preferred bool
}

// bindOptions are what a new socket must have before it is bound.
type bindOptions struct {
	reusePort bool
	device    string // the interface that it is bound to; "" for none
}

// AddInterface is AddLocal for a socket that sends from at.Addr. On Linux it is also bound to the
// interface at.Name, if that is set: whatever the routing table prefers, what is sent there goes
// out by this interface, and nothing is received by another one. The kernel allows that to everyone
// since Linux 5.7, and to CAP_NET_RAW before. On other systems the address alone counts. Several
// sockets may be added for one interface; each has a port of its own.
func (s *Socket) AddInterface(at Interface) (netip.AddrPort, error) {
	network := "udp4"
	if at.Addr.Is6() && !at.Addr.Is4In6() {
		network = "udp6"
	}
	o := bindOptions{reusePort: s.reusePort, device: at.Name}
	return s.driver.addLocal(network, netip.AddrPortFrom(at.Addr, 0).String(), o)
}

// WatchInterfaces calls report with the Interfaces that have a route to remote, at once and
// whenever they have changed, until ctx is done. An interface has at most one address in the list:
// the one that the kernel would send from. Those that the kernel prefers come first.
// WatchInterfaces calls report from its own goroutine, and the slice belongs to report.
//
// It needs Linux, where it listens to netlink: on other systems the error matches
// [errors.ErrUnsupported]. Many who watch should share an [InterfaceWatcher].
func WatchInterfaces(ctx context.Context, remote netip.Addr, report func([]Interface)) error {
	return new(InterfaceWatcher).Watch(ctx, remote, report)
}

// An InterfaceWatcher watches the interfaces for many callers at once. While anybody watches, it
// has one netlink socket and one goroutine. The zero value is ready. Any goroutine may use it.
type InterfaceWatcher struct{ hints hintSource }

// Watch is [WatchInterfaces], which see.
func (w *InterfaceWatcher) Watch(ctx context.Context, remote netip.Addr, report func([]Interface)) error {
	return w.hints.watch(ctx, remote.Unmap(), report)
}
