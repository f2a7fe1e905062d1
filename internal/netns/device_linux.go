package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Device configures a TUN device.
type Device struct {
	Name  string
	MTU   int // in bytes
	Addrs []netip.Prefix
}

// queueLength is how many packets may wait for a device's reader. It is long, so that only the
// relay loses packets, never the device.
const queueLength = 10_000

// AddTUN makes a TUN device in the namespace. Each Read of the file returns an IP packet that the
// namespace sends to it, and each Write passes it one; closing the file removes the device.
func (n *Namespace) AddTUN(d Device) (*os.File, error) {
	fd := -1
	err := n.Do(func() (err error) {
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("no /dev/net/tun: load module tun, or mknod /dev/net/tun c 10 200: %w", err)
		}
		if err != nil {
			return err
		}
		return d.configure(fd)
	})
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("netns: %s: %w", d.Name, err)
	}
	return os.NewFile(uintptr(fd), d.Name), nil
}

// configure turns the open file fd into the device.
func (d *Device) configure(fd int) error {
	ifr, err := unix.NewIfreq(d.Name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return err
	}
	return withSocket(unix.AF_INET, func(s int) error {
		ifr.SetUint32(uint32(d.MTU))
		if err := unix.IoctlIfreq(s, unix.SIOCSIFMTU, ifr); err != nil {
			return err
		}
		ifr.SetUint32(queueLength)
		if err := unix.IoctlIfreq(s, unix.SIOCSIFTXQLEN, ifr); err != nil {
			return err
		}
		if err := setUp(s, d.Name, true); err != nil {
			return err
		}
		for _, a := range d.Addrs {
			if err := d.addAddr(s, a); err != nil {
				return fmt.Errorf("address %v: %w", a, err)
			}
		}
		return nil
	})
}

func (d *Device) addAddr(s int, a netip.Prefix) error {
	ifr, err := unix.NewIfreq(d.Name)
	if err != nil {
		return err
	}
	if a.Addr().Is6() {
		if err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, ifr); err != nil {
			return err
		}
		return addAddr6(ifr.Uint32(), a)
	}
	b := a.Addr().As4()
	if err := ifr.SetInet4Addr(b[:]); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCSIFADDR, ifr); err != nil {
		return err
	}
	mask := uint32(0xffff_ffff) << (32 - a.Bits())
	if err := ifr.SetInet4Addr([]byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)}); err != nil {
		return err
	}
	return unix.IoctlIfreq(s, unix.SIOCSIFNETMASK, ifr)
}

// addAddr6 gives an IPv6 address to the device with the index.
func addAddr6(index uint32, a netip.Prefix) error {
	req := struct { // in6_ifreq of linux/ipv6.h
		addr   [16]byte
		prefix uint32
		index  uint32
	}{a.Addr().As16(), uint32(a.Bits()), index}
	return withSocket(unix.AF_INET6, func(s int) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&req)))
		if errno != 0 {
			return errno
		}
		return usable(s, a.Addr())
	})
}

// usable waits until the address can be used. The kernel first looks for another owner of the
// address, which takes a moment.
func usable(s int, a netip.Addr) error {
	for tries := 0; ; tries++ {
		err := unix.Bind(s, &unix.SockaddrInet6{Addr: a.As16()})
		if err != unix.EADDRNOTAVAIL || tries == 5000 {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

func loopbackUp() error {
	return withSocket(unix.AF_INET, func(s int) error { return setUp(s, "lo", true) })
}

// SetUp takes a device up or down. One that is down loses its IPv6 addresses.
func (n *Namespace) SetUp(name string, on bool) error {
	return n.Do(func() error {
		return withSocket(unix.AF_INET, func(s int) error { return setUp(s, name, on) })
	})
}

func setUp(s int, name string, on bool) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	flags := ifr.Uint16() &^ unix.IFF_UP
	if on {
		flags |= unix.IFF_UP
	}
	ifr.SetUint16(flags)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr)
}

// withSocket runs f with a socket. Requests about devices take one.
func withSocket(family int, f func(s int) error) error {
	s, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	return f(s)
}
