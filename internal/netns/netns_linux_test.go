package netns

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A pair is two namespaces that a cable joins: server and client.
type pair struct {
	t              *testing.T
	server, client string // names of the namespaces
}

const (
	serverAddr = "10.77.0.1"
	clientAddr = "10.77.0.2"
	otherAddr  = "10.77.0.3" // of the client, later
)

// newPair makes the namespaces, with a link of the given rate from server to client. They go when
// the test ends.
func newPair(t *testing.T, n int, rate string) *pair {
	p := newEnds(t, n)
	p.ip("-n", p.server, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", p.client)
	p.ip("-n", p.server, "addr", "add", serverAddr+"/24", "dev", "eth0")
	p.ip("-n", p.client, "addr", "add", clientAddr+"/24", "dev", "eth0")
	for _, ns := range []string{p.server, p.client} {
		p.ip("-n", ns, "link", "set", "eth0", "up")
	}
	p.run("tc", "-n", p.server, "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "128kb", "latency", "50ms")
	return p
}

// newEnds makes two namespaces that nothing joins. The number n tells apart those of parallel
// tests.
func newEnds(t *testing.T, n int) *pair {
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need ip, of iproute2")
	}
	id := fmt.Sprintf("lz%d-%d", os.Getpid(), n)
	p := &pair{t: t, server: id + "s", client: id + "c"}
	for _, ns := range []string{p.server, p.client} {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("no network namespaces here: %v: %s", err, out)
		}
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
	}
	for _, ns := range []string{p.server, p.client} {
		p.ip("-n", ns, "link", "set", "lo", "up")
	}
	return p
}

func (p *pair) ip(args ...string) { p.run("ip", args...) }

func (p *pair) run(name string, args ...string) {
	p.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		p.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// command returns this test binary in a role, in a namespace.
func (p *pair) command(ns, role string, env ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	c := exec.Command("ip", "netns", "exec", ns, self, "-test.run=^TestRole$")
	c.Env = append(append(os.Environ(), roleEnv+"="+role), env...)
	c.Stderr = os.Stderr
	return c
}
