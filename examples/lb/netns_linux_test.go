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

const mtu = 1500

// addresses are those of all hosts, of one family.
type addresses struct {
	vip              string // of the balancer
	own              string // of the balancer, which clients do not know
	serverA, serverB string
	client           string // for fmt: the client, and how often its address has changed, from 1 on
	clients          netip.Prefix
	router           string // on the way to clients
}

func v4() *addresses {
	return &addresses{"10.2.0.1", "10.2.0.2", "10.3.0.1", "10.3.0.2", "10.1.%d.%d", netip.MustParsePrefix("10.1.0.0/16"), "10.9.9.9"}
}

func v6() *addresses {
	return &addresses{
		"fd00:2::1", "fd00:2::2", "fd00:3::1", "fd00:3::2", "fd00:1:%x::%x", netip.MustParsePrefix("fd00:1::/32"), "fd00:9::9",
	}
}

// of returns the addresses of client i.
func (a *addresses) of(i int) (addrs []string) {
	for k := range changes + 1 {
		addrs = append(addrs, fmt.Sprintf(a.client, i, k+1))
	}
	return addrs
}

// full returns the length of a prefix that is one address.
func (a *addresses) full() string { return fmt.Sprint("/", a.clients.Addr().BitLen()) }

// A host is a namespace with one device.
type host struct {
	*netns.Namespace
	t      *testing.T
	device *os.File
}

// A fabric joins hosts. It passes packets on by destination, as a router does. It can forget
// addresses, and have a small MTU on the way to clients.
type fabric struct {
	*addresses
	t      *testing.T
	mu     sync.Mutex
	routes map[netip.Addr]*host
	small  int                // bytes that pass on the way to clients; 0 for all
	direct map[netip.Addr]int // datagrams from the balancer's address to clients, by sender
}

// newFabric skips the test where there are no namespaces.
func newFabric(t *testing.T, a *addresses) *fabric {
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip, of iproute2")
	}
	return &fabric{addresses: a, t: t, routes: make(map[netip.Addr]*host), direct: make(map[netip.Addr]int)}
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
			f.add(h, a, "lb0")
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

// add adds an address to a device of a host. The host does not prefer it when it sends.
func (f *fabric) add(h *host, addr, device string) {
	args := []string{"addr", "add", addr + f.full(), "dev", device}
	if f.clients.Addr().Is6() {
		args = append(args, "nodad", "preferred_lft", "0")
	}
	h.ip(args...)
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
		if p, ok := parseIP(b[:n]); ok {
			f.forward(p, name)
		}
	}
}

// A packet is one of IP.
type packet struct {
	all, content []byte
	proto        byte
	from, to     netip.Addr
}

// parseIP parses a packet without options.
func parseIP(b []byte) (p packet, ok bool) {
	switch {
	case len(b) >= ipv4Len && b[0]>>4 == 4:
		return packet{b, b[ipv4Len:], b[9], netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))}, true
	case len(b) >= ipv6Len && b[0]>>4 == 6:
		return packet{b, b[ipv6Len:], b[6], netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))}, true
	}
	return packet{}, false
}

// forward delivers one packet.
func (f *fabric) forward(p packet, sender netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	toClient := p.proto == protoUDP && f.clients.Contains(p.to)
	if p.from.String() == f.vip && toClient {
		f.direct[sender]++
	}
	to, b := p.to, p.all
	if f.small > 0 && len(b) > f.small && toClient {
		src := netip.AddrPortFrom(p.from, binary.BigEndian.Uint16(p.content))
		dst := netip.AddrPortFrom(p.to, binary.BigEndian.Uint16(p.content[2:]))
		b = tooBig(netip.MustParseAddr(f.router), src, dst, f.small, p.content[udpLen:])
		to = p.from
	}
	if h := f.routes[to]; h != nil {
		h.device.Write(b)
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
