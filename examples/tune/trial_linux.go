package main

import (
	"errors"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lazoquic/lazo/udpio"
)

// allHosts is a multicast group that every interface is a member of. Nobody has to join it, so a
// trial sends no IGMP either.
var allHosts = [4]byte{224, 0, 0, 1}

// try tries an interface and the options of sockets, or returns nil if it cannot.
func try(iface string) *offloads {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return nil
	}
	receiver, err := newSocket()
	if err != nil {
		return nil
	}
	defer unix.Close(receiver)
	sender, err := newSocket()
	if err != nil {
		return nil
	}
	defer unix.Close(sender)
	o := &offloads{device: deviceGRO(sender, iface)}
	o.gro = unix.SetsockoptInt(receiver, unix.SOL_UDP, unix.UDP_GRO, 1)
	o.pmtu, o.pmtuErr = socketPMTU()
	if !sendBatch(o, ifi, sender, receiver) {
		return nil
	}
	return o
}

func newSocket() (int, error) {
	return unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
}

// sendBatch sends a batch through the interface and reads it. The batch does not leave the machine.
// sendBatch reports false if it cannot prepare that.
func sendBatch(o *offloads, ifi *net.Interface, sender, receiver int) (ok bool) {
	wait := unix.NsecToTimeval(trialWait.Nanoseconds())
	var port int
	for _, step := range []func() error{
		func() error { return unix.Bind(receiver, &unix.SockaddrInet4{Addr: allHosts}) },
		func() error { return unix.SetsockoptTimeval(receiver, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait) },
		func() error {
			at, err := unix.Getsockname(receiver)
			if in, ok := at.(*unix.SockaddrInet4); ok {
				port = in.Port
			}
			return err
		},
		func() error {
			return unix.SetsockoptIPMreqn(sender, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(ifi.Index)})
		},
		func() error { return unix.SetsockoptInt(sender, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 0) },
		func() error { return unix.SetsockoptInt(sender, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 1) },
	} {
		if step() != nil {
			return false
		}
	}
	to := &unix.SockaddrInet4{Addr: allHosts, Port: port}
	if unix.Sendto(sender, make([]byte, 1), 0, to) != nil {
		return false // without GSO nothing goes either: there is no address
	}
	if o.gso = unix.SetsockoptInt(sender, unix.SOL_UDP, unix.UDP_SEGMENT, segment); o.gso == nil {
		o.gso = unix.Sendto(sender, make([]byte, segments*segment), 0, to)
	}
	if o.gso != nil {
		return true
	}
	b := make([]byte, segments*segment+1)
	for {
		n, _, err := unix.Recvfrom(receiver, b, 0)
		if errors.Is(err, unix.EINTR) || err == nil && n == 1 {
			continue // the datagram before
		}
		o.whole = err == nil && n == segments*segment
		return true
	}
}

// deviceGRO asks a device whether it has GRO. It returns nil if the device does not say.
func deviceGRO(socket int, iface string) *bool {
	value := struct{ command, data uint32 }{command: unix.ETHTOOL_GGRO}
	var request struct {
		name  [unix.IFNAMSIZ]byte
		value unsafe.Pointer
		_     [24 - unsafe.Sizeof(uintptr(0))]byte // struct ifreq is longer
	}
	copy(request.name[:unix.IFNAMSIZ-1], iface)
	request.value = unsafe.Pointer(&value)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return nil
	}
	on := value.data != 0
	return &on
}

// socketPMTU returns IP_MTU_DISCOVER of a socket of package udpio.
func socketPMTU() (mode int, err error) {
	s, err := udpio.Listen("udp4", "127.0.0.1:0", nil)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		mode, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER)
	})
	return mode, errors.Join(controlErr, err)
}
