package netns

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// walkServer is the address of the server of a walk. The client has two interfaces that lead there.
const walkServer = "10.78.0.1"

// A walkLink is one of the networks of a client that walks.
type walkLink struct {
	device, client, router string
	metric                 int
}

var walkLinks = [2]walkLink{
	{"wlan0", "10.78.1.2", "10.78.1.1", 600},
	{"wwan0", "10.78.2.2", "10.78.2.1", 700},
}

// TestWalk: a client of HTTP/3 has two interfaces, and loses each of them in turn, again and again.
// A download and a WebSocket of one connection go on. LAZO_WALK sets how often, for longer runs.
func TestWalk(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	times := 3
	if s, ok := os.LookupEnv("LAZO_WALK"); ok {
		var err error
		if times, err = strconv.Atoi(s); err != nil {
			t.Fatal("LAZO_WALK: ", err)
		}
	}
	p := newWalk(t)
	server := p.start(p.server, "walk-server")
	server.want("ready")
	client := p.start(p.client, "walk")
	do := func(command string) {
		t.Helper()
		fmt.Fprintln(client.in, command)
		client.want("did " + command)
	}
	wifi, mobile := &walkLinks[0], &walkLinks[1]
	both := fmt.Sprintf("paths %s %s", wifi.client, mobile.client)
	do(both)
	do("go")
	for i := range times {
		for k := range walkLinks {
			gone, left := &walkLinks[k], &walkLinks[1-k]
			p.ip("-n", p.client, "link", "set", gone.device, "down")
			do("go")
			do("paths " + left.client)
			p.ip("-n", p.client, "link", "set", gone.device, "up")
			p.route(gone)
			do(both)
			do("go")
		}
		t.Logf("%d: lost both in turn", i+1)
	}
	// A cable that is cut somewhere else: the interface is up, and nothing comes through. Then the
	// route goes, and the address.
	p.ip("-n", p.server, "link", "set", "s0", "down")
	do("go")
	p.ip("-n", p.server, "link", "set", "s0", "up")
	do(both)
	p.ip("-n", p.client, "route", "del", "default", "dev", "wlan0")
	do("paths " + mobile.client)
	do("go")
	p.route(wifi)
	do(both)
	p.ip("-n", p.client, "addr", "del", mobile.client+"/24", "dev", "wwan0")
	do("paths " + wifi.client)
	do("go")
}

// newWalk makes the namespaces of a server and of a client with two interfaces.
func newWalk(t *testing.T) *pair {
	p := newEnds(t, 7)
	p.ip("-n", p.server, "addr", "add", walkServer+"/32", "dev", "lo")
	for i := range walkLinks {
		l := &walkLinks[i]
		far := fmt.Sprint("s", i)
		p.ip("-n", p.server, "link", "add", far, "type", "veth", "peer", "name", l.device, "netns", p.client)
		p.ip("-n", p.server, "addr", "add", l.router+"/24", "dev", far)
		p.ip("-n", p.client, "addr", "add", l.client+"/24", "dev", l.device)
		p.ip("-n", p.server, "link", "set", far, "up")
		p.ip("-n", p.client, "link", "set", l.device, "up")
		p.run("tc", "-n", p.server, "qdisc", "add", "dev", far, "root", "tbf", "rate", "20mbit", "burst", "64kb", "latency", "50ms")
		p.route(l)
	}
	return p
}

// route gives the client a default route by an interface.
func (p *pair) route(l *walkLink) {
	p.t.Helper()
	p.ip("-n", p.client, "route", "add", "default", "via", l.router, "dev", l.device, "metric", strconv.Itoa(l.metric))
}
