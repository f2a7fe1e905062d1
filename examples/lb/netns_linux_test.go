package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/lazoquic/lazo/internal/netns"
	"github.com/lazoquic/lazo/internal/require"
)

const (
	vip     = "10.2.0.1" // of the balancer
	own     = "10.2.0.2" // of the balancer, which clients do not know
	serverA = "10.3.0.1"
	serverB = "10.3.0.2"
	mtu     = 1500
)

// A host is a namespace with one device.
type host struct {
	*netns.Namespace
	t      *testing.T
	device *os.File
}

// A fabric joins hosts. It passes packets on by destination, as a router does. It can forget
// addresses, and have a small MTU on the way to clients.
type fabric struct {
	t      *testing.T
	mu     sync.Mutex
	routes map[netip.Addr]*host
	small  int                // bytes that pass on the way to clients; 0 for all
	direct map[netip.Addr]int // datagrams from the balancer's address to clients, by sender
}

// newFabric skips the test where there are no namespaces.
func newFabric(t *testing.T) *fabric {
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip, of iproute2")
	}
	return &fabric{t: t, routes: make(map[netip.Addr]*host), direct: make(map[netip.Addr]int)}
}

// host makes a host with addresses. Packets that it sends are passed on until the test ends.
func (f *fabric) host(addrs ...string) *host {
	n, err := netns.New()
	if errors.Is(err, fs.ErrPermission) {
		f.t.Skipf("no network namespaces here: %v", err)
	}
	require.NoError(f.t, err)
	f.t.Cleanup(n.Close)
	h := &host{Namespace: n, t: f.t}
	h.device, err = n.AddTUN(netns.Device{
		Name: "lb0", MTU: mtu, Addrs: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(addrs[0]), 8)},
	})
	if errors.Is(err, fs.ErrNotExist) {
		f.t.Skipf("needs TUN devices: %v", err)
	}
	require.NoError(f.t, err)
	for i, a := range addrs {
		if i > 0 {
			h.ip("addr", "add", a+"/32", "dev", "lb0")
		}
		f.route(a, h)
	}
	var done sync.WaitGroup
	done.Go(func() { f.pass(h, netip.MustParseAddr(addrs[0])) })
	f.t.Cleanup(func() {
		h.device.Close()
		done.Wait()
	})
	return h
}

// route sets where packets to an address go. A nil host loses them.
func (f *fabric) route(addr string, h *host) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.routes[netip.MustParseAddr(addr)] = h
}

// pass passes on what a host sends.
func (f *fabric) pass(h *host, name netip.Addr) {
	for b := make([]byte, 2*mtu); ; {
		n, err := h.device.Read(b)
		if err != nil {
			return
		}
		if p := b[:n]; n >= ipv4Len && p[0]>>4 == 4 {
			f.forward(p, name)
		}
	}
}

// forward delivers one packet.
func (f *fabric) forward(p []byte, sender netip.Addr) {
	from, to := netip.AddrFrom4([4]byte(p[12:])), netip.AddrFrom4([4]byte(p[16:]))
	f.mu.Lock()
	defer f.mu.Unlock()
	if from.String() == vip && p[9] == protoUDP && to.As4()[1] == 1 {
		f.direct[sender]++
	}
	if f.small > 0 && len(p) > f.small && to.As4()[1] == 1 && p[9] == protoUDP {
		udp := p[ipv4Len:]
		src := netip.AddrPortFrom(from, binary.BigEndian.Uint16(udp))
		dst := netip.AddrPortFrom(to, binary.BigEndian.Uint16(udp[2:]))
		p = tooBig(netip.MustParseAddr("10.9.9.9"), src, dst, f.small, udp[udpLen:])
		to = from
	}
	if h := f.routes[to]; h != nil {
		h.device.Write(p)
	}
}

// ip runs the command ip in the namespace, and returns what it prints.
func (h *host) ip(args ...string) string {
	h.t.Helper()
	var out []byte
	require.NoError(h.t, h.Do(func() (err error) {
		out, err = exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return err
	}))
	return string(out)
}

// roleEnv makes TestRole a process of another test.
const roleEnv = "LAZO_LB_ROLE"

// A process is this test binary in another role.
type process struct {
	*exec.Cmd
	t     *testing.T
	name  string
	lines chan string
}

// start starts a role in the namespace, with a parameter. It is killed when the test ends.
func (h *host) start(role, parameter string) *process {
	self, err := os.Executable()
	require.NoError(h.t, err)
	c := exec.Command(self, "-test.run=^TestRole$")
	c.Env = append(os.Environ(), roleEnv+"="+role+" "+parameter)
	r, w, err := os.Pipe()
	require.NoError(h.t, err)
	c.Stdout, c.Stderr = w, w
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // however this process ends
	require.NoError(h.t, h.Do(c.Start))
	w.Close()
	p := &process{c, h.t, role + " " + parameter, make(chan string, 1000)}
	go p.read(r)
	h.t.Cleanup(p.kill)
	return p
}

func (p *process) read(r io.ReadCloser) {
	defer close(p.lines)
	for s := bufio.NewScanner(r); s.Scan(); {
		p.lines <- s.Text()
	}
}

// want waits for a line with the text.
func (p *process) want(text string) {
	p.t.Helper()
	for line := range p.lines {
		if strings.Contains(line, text) {
			return
		}
		p.t.Logf("%s: %s", p.name, line)
	}
	p.t.Fatalf("%s ended without %q", p.name, text)
}

// kill ends the process at once, as a crash does.
func (p *process) kill() {
	p.Process.Kill()
	p.Wait()
}
