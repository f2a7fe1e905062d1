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

// addrsOf returns the addresses of client i.
func addrsOf(i int) (addrs []string) {
	for k := range changes + 1 {
		addrs = append(addrs, fmt.Sprintf("10.1.%d.%d", i, k+1))
	}
	return addrs
}

// newNetwork makes a network for n clients, in which nothing runs yet.
func newNetwork(t *testing.T, n int, mode string) *network {
	f := newFabric(t)
	var addrs []string
	for i := range n {
		addrs = append(addrs, addrsOf(i)...)
	}
	w := &network{fabric: f, mode: mode, servers: make(map[byte]*process), file: writeConfig(t, "")}
	w.client, w.balancer, w.a, w.b = f.host(addrs...), f.host(own, vip), f.host(serverA), f.host(serverB)
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
	text := fmt.Sprintf(`listen: %s:443
mode: %s
loops: 2
route_by: %s
ids: [{config: 3, server_id_bytes: 2, nonce_bytes: 6, key: "00000000000100000000000000000000"}]
backends:
  - {address: "%s:443", server_ids: ["0a41"], state: %s}
  - {address: "%s:443", server_ids: ["0a42"]}
`, vip, w.mode, routeBy, serverA, stateOfA, serverB)
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
			m, err := w.connect(w.client, kinds()[i%3], addrsOf(i)...)
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
// WebSockets, and none is lost. With a balancer that hashes addresses most are.
func TestMovingClients(t *testing.T) {
	const n = 6
	var losses []int
	contrast := fmt.Sprintf("lost in %d changes of address each:", changes)
	for _, routeBy := range []string{routeByID, routeByTwo} {
		t.Run(routeBy, func(t *testing.T) {
			w := newNetwork(t, n, modeNAT)
			w.serve(routeBy)
			errs := w.work(n)
			for i, err := range errs {
				t.Logf("client %d, %s: %v", i, kinds()[i%3], err)
			}
			n, text := lost(errs)
			losses = append(losses, n)
			contrast += fmt.Sprintf("\nrouting by %s:%s", routeBy, text)
		})
	}
	t.Log(contrast)
	require.Len(t, losses, 2)
	require.Zero(t, losses[0], "by connection ID")
	require.Greater(t, losses[1], n/2, "by addresses")
}

// TestDrainAndDeath: while a server drains none of its connections is lost, not even when their
// addresses change, and no new one goes there. When a server is killed, its connections end with a
// stateless reset, and those of the other go on.
func TestDrainAndDeath(t *testing.T) {
	const n = 24 // more than are needed, since a hash may choose one server for many in a row
	w := newNetwork(t, n, modeNAT)
	balancer := w.serve(routeByID)
	var movers []*mover
	count := make(map[byte]int)
	for i := 0; i < 8 || count['A'] == 0 || count['B'] == 0; i++ {
		require.Less(t, i, n-4, "all clients have one server: %v", count)
		m, err := w.connect(w.client, socket, addrsOf(i)...)
		require.NoError(t, err)
		movers = append(movers, m)
		count[m.server]++
	}
	w.configure(routeByID, stateDrain)
	balancer.want("was reloaded")
	for range 4 {
		i := len(movers)
		m, err := w.connect(w.client, socket, addrsOf(i)...)
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
	const n = 6
	w := newNetwork(t, n, modeIPIP)
	reports := make(chan string, 1000)
	for name, h := range map[string]*host{serverA: w.a, serverB: w.b} {
		h.ip("addr", "add", vip+"/32", "dev", "lo")
		unwrap(t, h, func(report string) { reports <- name + " " + report })
	}
	w.serve(routeByID)
	w.mu.Lock()
	w.small = 1300
	w.mu.Unlock()
	servers := make(map[byte]*mover)
	for i := range n {
		m, err := w.connect(w.client, download, addrsOf(i)...)
		require.NoError(t, err)
		require.Contains(t, m.seen, addrsOf(i)[0]+":", "the server sees the client's address")
		servers[m.server] = m
		require.NoError(t, m.work())
	}
	w.mu.Lock()
	direct := maps.Clone(w.direct)
	w.mu.Unlock()
	t.Logf("packets with the address of the balancer, by sender: %v", direct)
	require.Zero(t, direct[netip.MustParseAddr(own)], "no answer passes the balancer")
	for _, addr := range []string{serverA, serverB} {
		if servers[addr[len(addr)-1]-'1'+'A'] != nil {
			require.NotZero(t, direct[netip.MustParseAddr(addr)], "%s answers directly", addr)
		}
	}
	report := <-reports
	t.Logf("what a router says reaches the server: %s", report)
	server, client, _ := strings.Cut(report, " ")
	h := map[string]*host{serverA: w.a, serverB: w.b}[server]
	require.Contains(t, h.ip("route", "get", client, "from", vip), "mtu 1300")
}

// unwrap does for a host what a device of the kernel's module ipip does: what comes inside another
// IP packet arrives as if it had come by itself. It reports the destination of each packet that a
// router has found too big.
func unwrap(t *testing.T, h *host, report func(client string)) {
	var c net.PacketConn
	require.NoError(t, h.Do(func() (err error) {
		c, err = net.ListenPacket("ip4:4", "0.0.0.0")
		return err
	}))
	var done sync.WaitGroup
	done.Go(func() {
		for b := make([]byte, 2*mtu); ; {
			n, _, err := c.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if p := b[:n]; n > 2*ipv4Len+udpLen && p[9] == 1 && p[ipv4Len] == 3 {
				report(net.IP(p[ipv4Len+udpLen+16:][:4]).String())
			}
			h.device.Write(b[:n])
		}
	})
	t.Cleanup(func() {
		c.Close()
		done.Wait()
	})
}
