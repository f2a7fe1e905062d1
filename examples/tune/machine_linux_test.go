package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lazoquic/lazo/internal/netns"
	"github.com/lazoquic/lazo/internal/require"
)

// fill sends datagrams of a size to a socket that nobody reads, until the kernel has dropped some.
// It returns the line of the socket.
func fill(t *testing.T, w *watcher, to *net.UDPConn, size int) (s socketChange) {
	t.Helper()
	from, err := net.DialUDP("udp4", nil, to.LocalAddr().(*net.UDPAddr))
	require.NoError(t, err)
	defer from.Close()
	for s.Lost == 0 {
		require.NoError(t, t.Context().Err())
		for range 1000 {
			_, err := from.Write(make([]byte, size))
			require.NoError(t, err)
		}
		for _, changed := range w.look().Sockets {
			if changed.Local == to.LocalAddr().String() {
				s = changed
			}
		}
	}
	return s
}

// TestWatch has watch name this process, which does not read its socket.
func TestWatch(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetReadBuffer(4096))
	w := &watcher{m: &machine{files: os.DirFS("/")}}
	w.look()
	s := fill(t, w, c, 1000)
	require.Equal(t, os.Getpid(), s.PID)
	comm, err := os.ReadFile("/proc/self/comm")
	require.NoError(t, err)
	require.Equal(t, string(comm), s.Process+"\n")
	require.Greater(t, s.Waiting, int64(0))
	found := socketDrops(w.m)
	require.Equal(t, note, found.Verdict)
}

// TestBufferHolds counts how many datagrams the buffer of a socket holds, for docs/tuning.md.
func TestBufferHolds(t *testing.T) {
	for _, buffer := range []int{208 << 10, 4 << 20} {
		for _, size := range []int{40, 1200, 1452} {
			c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.SetReadBuffer(buffer))
			if granted := readBufferOf(t, c); granted < buffer {
				t.Skipf("the kernel grants %d of %d bytes", granted, buffer)
			}
			w := &watcher{m: &machine{files: os.DirFS("/")}}
			w.look()
			fill(t, w, c, size)
			n, b := 0, make([]byte, size)
			c.SetReadDeadline(time.Now().Add(time.Minute))
			for n == 0 || waits(t, w, c) {
				_, err := c.Read(b)
				require.NoError(t, err)
				n++
			}
			t.Logf("%7d bytes of buffer hold %5d datagrams of %4d bytes: %7d bytes", buffer, n, size, n*size)
			require.GreaterOrEqual(t, n*4096, buffer, "a datagram counts for more than a page")
		}
	}
}

// waits reports whether a socket has datagrams to read.
func waits(t *testing.T, w *watcher, c *net.UDPConn) (yes bool) {
	t.Helper()
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		yes = err == nil && n > 0
	}))
	return yes
}

// readBufferOf returns what the kernel has granted, in the units of SetReadBuffer.
func readBufferOf(t *testing.T, c *net.UDPConn) (n int) {
	t.Helper()
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	}))
	require.NoError(t, err)
	return n / 2 // the kernel doubles it
}

// TestThisMachine makes all checks of the machine that runs the test.
func TestThisMachine(t *testing.T) {
	for name, f := range check(t, "/") {
		require.NotEmpty(t, f.Value, "%s", name)
		require.Contains(t, []verdict{good, note, change, unknown}, f.Verdict)
	}
}

// inNamespace runs f where a TUN device of an MTU is the only one with an address.
func inNamespace(t *testing.T, mtu int, f func(device *os.File) error) {
	t.Helper()
	n, err := netns.New()
	if errors.Is(err, fs.ErrPermission) {
		t.Skipf("needs root: %v", err)
	}
	require.NoError(t, err)
	defer n.Close()
	device, err := n.AddTUN(netns.Device{Name: "quic0", MTU: mtu, Addrs: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/24")}})
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs TUN devices: %v", err)
	}
	require.NoError(t, err)
	defer device.Close()
	require.NoError(t, n.Do(func() error { return f(device) }))
}

// left returns an error if IPv4 packets have left through a device before one that it sends.
func left(device *os.File) error {
	c, err := net.Dial("udp4", "10.1.2.9:9")
	if err != nil {
		return err
	}
	defer c.Close()
	mark := []byte("the last packet")
	if _, err := c.Write(mark); err != nil {
		return err
	}
	b := make([]byte, 4096)
	for {
		n, err := device.Read(b)
		switch {
		case err != nil:
			return err
		case bytes.HasSuffix(b[:n], mark):
			return nil
		case b[0]>>4 == 4:
			return fmt.Errorf("%d bytes over IPv4 have left: %x", n, b[:n])
		}
	}
}

// TestTry tries a device that takes a batch, and one whose MTU is too small for it. Nothing leaves
// through either.
func TestTry(t *testing.T) {
	for _, mtu := range []int{1500, 1000} {
		var o *offloads
		inNamespace(t, mtu, func(device *os.File) error {
			o = try("quic0")
			return left(device)
		})
		require.NotNil(t, o)
		require.Equal(t, unix.IP_PMTUDISC_PROBE, o.pmtu)
		require.NoError(t, o.pmtuErr)
		require.NoError(t, o.gro)
		require.NotNil(t, o.device)
		m := &machine{iface: "quic0", tried: o}
		f := sendOffload(m)
		// A kernel before 6.11 refuses both, because a TUN device computes no checksums.
		if mtu == 1500 && !errors.Is(o.gso, unix.EIO) {
			require.NoError(t, o.gso)
			require.True(t, o.whole)
			require.Equal(t, good, f.Verdict)
			require.Equal(t, "3 datagrams in one call through quic0", f.Value)
			require.Equal(t, good, receiveOffload(m).Verdict)
			continue
		}
		require.Error(t, o.gso)
		require.Equal(t, change, f.Verdict)
		require.Equal(t, "refused by quic0: "+o.gso.Error(), f.Value)
	}
	require.Nil(t, try("none"))
}

// TestTurnedOff has a device without GRO, and a socket that refuses it.
func TestTurnedOff(t *testing.T) {
	off := false
	m := &machine{iface: "eth0", tried: &offloads{device: &off}}
	f := receiveOffload(m)
	require.Equal(t, change, f.Verdict)
	require.Equal(t, "ethtool -K eth0 gro on", f.Command)
	m.tried = &offloads{gro: unix.ENOPROTOOPT}
	require.Equal(t, "the socket refuses it: protocol not available", receiveOffload(m).Value)
}
