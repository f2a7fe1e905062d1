package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// A network has clients, a balancer and two servers.
type network struct {
	*fabric
	client, balancer, a, b *host
	servers                map[byte]*process
	file                   string // of the balancer
	mode                   string
}

// changes is how often each client changes its address.
const changes = 10

// newNetwork makes a network for n clients, in which nothing runs yet.
func newNetwork(t *testing.T, a *addresses, n int, mode string) *network {
	f := newFabric(t, a)
	var addrs []string
	for i := range n {
		addrs = append(addrs, f.of(i)...)
	}
	w := &network{fabric: f, mode: mode, servers: make(map[byte]*process), file: writeConfig(t, "")}
	w.client, w.balancer, w.a, w.b = f.host(addrs...), f.host(f.own, f.vip), f.host(f.serverA), f.host(f.serverB)
	return w
}

// serve starts the servers, and the balancer.
func (w *network) serve(routeBy string) (balancer *process) {
	w.servers['A'], w.servers['B'] = w.a.start("server", "A"), w.b.start("server", "B")
	w.servers['A'].want("ready")
	w.servers['B'].want("ready")
	w.configure(routeBy, stateUp)
	balancer = w.balancer.start("lb", w.file)
	balancer.want("forwarding")
	return balancer
}

// configure writes the configuration of the balancer, with a state of server A.
func (w *network) configure(routeBy, stateOfA string) {
	text := fmt.Sprintf(`listen: %q
mode: %s
loops: 2
route_by: %s
ids: [{config: 3, server_id_bytes: 2, nonce_bytes: 6, key: "00000000000100000000000000000000"}]
backends:
  - {address: %q, server_ids: ["0a41"], state: %s}
  - {address: %q, server_ids: ["0a42"]}
`, net.JoinHostPort(w.vip, "443"), w.mode, routeBy, net.JoinHostPort(w.serverA, "443"), stateOfA, net.JoinHostPort(w.serverB, "443"))
	require.NoError(w.t, os.WriteFile(w.file+".new", []byte(text), 0o600))
	require.NoError(w.t, os.Rename(w.file+".new", w.file))
}

// work lets n clients work at the same time: a third of them downloads, a third uploads, and a
// third has a WebSocket. It returns what became of each.
func (w *network) work(n int) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			m, err := w.connect(w.client, kinds()[i%3], w.of(i)...)
			if err == nil {
				err = m.work()
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errs
}

// lost returns how many of the connections were lost, and how many of each kind in words.
func lost(errs []error) (n int, text string) {
	byKind := make([]int, len(kinds()))
	for i, err := range errs {
		if err != nil {
			n++
			byKind[i%len(byKind)]++
		}
	}
	for i, kind := range kinds() {
		text += fmt.Sprintf(" %s %d of %d,", strings.TrimPrefix(kind, "/"), byKind[i], len(errs)/len(byKind))
	}
	return n, strings.TrimSuffix(text, ",")
}

// TestMovingClients: clients change their addresses ten times during downloads, uploads and
// WebSockets, and none is lost, over IPv4 and IPv6. With a balancer that hashes addresses most are.
func TestMovingClients(t *testing.T) {
	const n = 6
	losses := make(map[string]int)
	contrast := fmt.Sprintf("lost in %d changes of address each:", changes)
	for _, test := range []struct {
		name, routeBy string
		addresses     *addresses
	}{
		{"by connection ID", routeByID, v4()},
		{"by connection ID over IPv6", routeByID, v6()},
		{"by address", routeByTwo, v4()},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newNetwork(t, test.addresses, n, modeNAT)
			w.serve(test.routeBy)
			errs := w.work(n)
			for i, err := range errs {
				t.Logf("client %d, %s: %v", i, kinds()[i%3], err)
			}
			lost, text := lost(errs)
			losses[test.name] = lost
			contrast += fmt.Sprintf("\nrouting %s:%s", test.name, text)
		})
	}
	t.Log(contrast)
	require.Len(t, losses, 3)
	require.Zero(t, losses["by connection ID"])
	require.Zero(t, losses["by connection ID over IPv6"])
	require.Greater(t, losses["by address"], n/2)
}

// TestDrainAndDeath: while a server drains none of its connections is lost, not even when their
// addresses change, and no new one goes there. When a server is killed, its connections end with a
// stateless reset, and those of the other go on.
func TestDrainAndDeath(t *testing.T) {
	const n = 24 // more than are needed, since a hash may choose one server for many in a row
	w := newNetwork(t, v4(), n, modeNAT)
	balancer := w.serve(routeByID)
	var movers []*mover
	count := make(map[byte]int)
	for i := 0; i < 8 || count['A'] == 0 || count['B'] == 0; i++ {
		require.Less(t, i, n-4, "all clients have one server: %v", count)
		m, err := w.connect(w.client, socket, w.of(i)...)
		require.NoError(t, err)
		movers = append(movers, m)
		count[m.server]++
	}
	w.configure(routeByID, stateDrain)
	balancer.want("was reloaded")
	for range 4 {
		i := len(movers)
		m, err := w.connect(w.client, socket, w.of(i)...)
		require.NoError(t, err)
		require.Equal(t, byte('B'), m.server, "A drains")
		movers = append(movers, m)
	}
	for _, m := range movers {
		require.NoError(t, m.work())
	}
	t.Logf("A drains: 0 of its %d connections were lost", count['A'])

	start := time.Now()
	var ended []time.Duration
	var mu sync.Mutex
	for _, m := range movers {
		context.AfterFunc(m.conn.Context(), func() {
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, time.Since(start).Round(time.Millisecond))
		})
	}
	w.servers['B'].kill()
	for _, m := range movers {
		if m.server == 'A' {
			require.NoError(t, m.part())
			continue
		}
		select {
		case <-m.conn.Context().Done():
		case <-time.After(time.Minute):
			t.Fatal("a connection outlives its server")
		}
		require.ErrorIs(t, m.part(), conn.ErrStatelessReset)
	}
	mu.Lock()
	defer mu.Unlock()
	t.Logf("B was killed: its connections ended with stateless resets after %v", ended)
}

// TestDirectReturn: in mode ipip servers see the clients' addresses and answer directly, and learn
// what routers say of their answers.
func TestDirectReturn(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) { testDirectReturn(t, v4()) })
	t.Run("IPv6", func(t *testing.T) { testDirectReturn(t, v6()) })
}

func testDirectReturn(t *testing.T, a *addresses) {
	const n = 6
	w := newNetwork(t, a, n, modeIPIP)
	type report struct {
		server *host
		client netip.Addr
	}
	reports := make(chan report, 1000)
	for _, h := range []*host{w.a, w.b} {
		w.add(h, a.vip, "lo")
		w.unwrap(h, func(client netip.Addr) {
			select {
			case reports <- report{h, client}:
			default: // there are more than enough
			}
		})
	}
	w.serve(routeByID)
	w.mu.Lock()
	w.small = 1300
	w.mu.Unlock()
	servers := make(map[byte]*mover)
	owners := make(map[netip.Addr]*host)
	for i := range n {
		m, err := w.connect(w.client, download, w.of(i)...)
		require.NoError(t, err)
		require.Equal(t, netip.MustParseAddr(w.of(i)[0]), netip.MustParseAddrPort(m.seen).Addr(), "what the server sees")
		servers[m.server] = m
		for _, addr := range w.of(i) {
			owners[netip.MustParseAddr(addr)] = map[byte]*host{'A': w.a, 'B': w.b}[m.server]
		}
		require.NoError(t, m.work())
	}
	w.mu.Lock()
	direct := maps.Clone(w.direct)
	w.mu.Unlock()
	t.Logf("packets with the address of the balancer, by sender: %v", direct)
	require.Zero(t, direct[netip.MustParseAddr(a.own)], "no answer passes the balancer")
	for name, addr := range map[byte]string{'A': a.serverA, 'B': a.serverB} {
		if servers[name] != nil {
			require.NotZero(t, direct[netip.MustParseAddr(addr)], "%s answers directly", addr)
		}
	}
	r := <-reports
	require.Contains(t, r.server.ip("route", "get", r.client.String(), "from", a.vip), "mtu 1300")
	for count := 1; ; count++ {
		require.Same(t, owners[r.client], r.server, "what a router says of packets to %v reaches another server", r.client)
		select {
		case r = <-reports:
			continue
		default:
		}
		t.Logf("%d messages of routers reached the right servers", count)
		return
	}
}

// unwrap does for a host what a device of the kernel's module ipip or ip6_tunnel does: what comes
// inside another IP packet arrives as if it had come by itself. It reports the destination of each
// packet that a router has found too big.
func (w *network) unwrap(h *host, report func(client netip.Addr)) {
	network, kind, icmp := "ip4:4", byte(3), byte(1) // RFC 2003; RFC 792
	if w.clients.Addr().Is6() {
		network, kind, icmp = "ip6:41", 2, 58 // RFC 2473; RFC 4443, Section 3.2
	}
	var c net.PacketConn
	require.NoError(w.t, h.Do(func() (err error) {
		c, err = net.ListenPacket(network, "")
		return err
	}))
	var done sync.WaitGroup
	done.Go(func() {
		for b := make([]byte, 2*mtu); ; {
			n, _, err := c.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if p, ok := parseIP(b[:n]); ok && p.proto == icmp && len(p.content) > 8 && p.content[0] == kind {
				if about, ok := parseIP(p.content[8:]); ok {
					report(about.to)
				}
			}
			h.device.Write(b[:n])
		}
	})
	w.t.Cleanup(func() {
		c.Close()
		done.Wait()
	})
}
