package loop_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// within returns a context for a test on real sockets.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// noLeaks fails the test if goroutines of this module are left when it ends.
func noLeaks(t *testing.T) {
	t.Cleanup(func() {
		buf := make([]byte, 1<<20)
		var left string
		for range 6000 { // goroutines that have nothing left to do may take a moment to end
			left = ""
			for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
				if strings.Contains(g, "lazo/") && !strings.Contains(g, "testing.tRunner") {
					left += g + "\n\n"
				}
			}
			if left == "" {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Error("goroutines are left:\n", left)
	})
}

// listen returns a group of n loops on a free port.
func listen(t *testing.T, network, address string, n int) *loop.Group {
	t.Helper()
	g, err := loop.Listen(network, address, n, serverConfig(withDatagrams(0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

func TestSockets(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			noLeaks(t)
			g := listen(t, "udp", address, 1)
			go serveEcho(t, g)
			c, err := loop.Dial(within(t), g.LocalAddr().String(), conntest.ClientConfig())
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.OpenStream(within(t), conn.Bidi)
			if err != nil {
				t.Fatal(err)
			}
			if s.RemoteAddr().String() != g.LocalAddr().String() || s.LocalAddr() == nil {
				t.Errorf("addresses %v and %v", s.LocalAddr(), s.RemoteAddr())
			}
			transfer(t, s, 8<<20, 1)
			if err := c.Shutdown(within(t), 0, ""); err != nil {
				t.Error(err)
			}
			if err := c.Loop().Group().Wait(); err != nil { // the socket closes with the connection
				t.Error(err)
			}
			st := g.Stats()
			if st.PacketsReceived == 0 || st.Socket.ReadBuffer == 0 {
				t.Errorf("statistics: %+v", st)
			}
		})
	}
}

// TestDialName dials a name.
func TestDialName(t *testing.T) {
	noLeaks(t)
	g := listen(t, "udp", "127.0.0.1:0", 1)
	go serveEcho(t, g)
	_, port, _ := net.SplitHostPort(g.LocalAddr().String())
	cfg := conntest.ClientConfig()
	cfg.TLS.ServerName = ""
	c, err := loop.Dial(within(t), "localhost:"+port, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.TLS().ServerName; got != "localhost" {
		t.Errorf("ServerName is %q", got)
	}
	c.Close(0, "")
	if _, err := loop.Dial(within(t), "name.invalid:1", cfg); err == nil {
		t.Error("a name that does not exist was found")
	}
}

// TestSteering: many clients connect to two loops. The kernel finds the right loop.
func TestSteering(t *testing.T) {
	noLeaks(t)
	g := listen(t, "udp4", "127.0.0.1:0", 2)
	go serveEcho(t, g)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			c, err := loop.Dial(within(t), g.LocalAddr().String(), conntest.ClientConfig())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close(0, "")
			s, err := c.OpenStream(within(t), conn.Bidi)
			if err != nil {
				t.Error(err)
				return
			}
			transfer(t, s, 100_000, uint64(i))
		})
	}
	wg.Wait()
	st := g.Stats()
	if runtime.GOOS == "linux" && st.HandedOver != 0 {
		t.Errorf("%d datagrams of %d reached the wrong loop", st.HandedOver, st.PacketsReceived)
	}
	if st.Accepted != 20 {
		t.Errorf("%d connections, want 20", st.Accepted)
	}
	for i, l := range g.Loops() {
		l.Do(within(t), func(time.Time) {
			if n := l.Endpoint().Stats().Accepted; n == 0 || n == 20 {
				t.Errorf("loop %d has accepted %d of 20 connections", i, n)
			}
		})
	}
}

// unsteered returns a group of n loops among which the kernel chooses by address.
func unsteered(t testing.TB, cfg *loop.Config, n int) *loop.Group {
	t.Helper()
	address := "127.0.0.1:0"
	var backends []loop.Backend
	for range n {
		s, err := udpio.Listen("udp4", address, &udpio.Config{ReusePort: true})
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("no SO_REUSEPORT here")
		}
		if err != nil {
			t.Fatal(err)
		}
		address = s.LocalAddr().String()
		backends = append(backends, s)
	}
	g, err := loop.New(cfg, backends...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// TestHandover: the kernel chooses by address, so loops must hand datagrams over. All connections
// come from one socket and reach one socket of the server, in GRO batches with packets for all
// loops. The loops of the client must hand over too.
func TestHandover(t *testing.T) {
	noLeaks(t)
	server := unsteered(t, serverConfig(withDatagrams(0)), 3)
	client := unsteered(t, nil, 2)
	go serveEcho(t, server)
	var wg sync.WaitGroup
	for i := range 40 { // so that none of three loops is left out: one run in 4 million
		wg.Go(func() {
			c, err := client.Dial(within(t), server.LocalAddr().String(), conntest.ClientConfig())
			if err != nil {
				t.Error(err)
				return
			}
			s, err := c.OpenStream(within(t), conn.Bidi)
			if err != nil {
				t.Error(err)
				return
			}
			transfer(t, s, 300_000, uint64(i))
		})
	}
	wg.Wait()
	for name, g := range map[string]*loop.Group{"server": server, "client": client} {
		st := g.Stats()
		if st.HandedOver == 0 {
			t.Errorf("the %s handed over nothing of %d packets", name, st.PacketsReceived)
		}
		t.Logf("%s: %d handed over, %d had no room, of %d packets", name, st.HandedOver, st.HandoverLost, st.PacketsReceived)
		for i, l := range g.Loops() {
			l.Do(within(t), func(time.Time) {
				if st := l.Endpoint().Stats(); st.Accepted+st.Dialed == 0 {
					t.Errorf("loop %d of the %s has no connections", i, name)
				}
			})
		}
	}
}

// TestSteadyState moves much data through the buffers of loops and connections.
func TestSteadyState(t *testing.T) {
	g := listen(t, "udp4", "127.0.0.1:0", 1)
	c, err := loop.Dial(within(t), g.LocalAddr().String(), conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(0, "")
	peer, err := g.Accept(within(t))
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.OpenStream(within(t), conn.Uni)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("x"), 64<<10)
	move := func(in io.Reader, mib int) {
		go func() {
			for range mib * 16 {
				out.Write(data)
			}
		}()
		p := make([]byte, 64<<10)
		for n := 0; n < mib<<20; {
			k, err := in.Read(p)
			if n += k; err != nil {
				t.Error(err)
				return
			}
		}
	}
	out.Write(data[:1])
	in, err := peer.AcceptStream(within(t))
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(in, make([]byte, 1))
	move(in, 32)
	var before, after runtime.MemStats
	packets := c.Stats().PacketsSent
	runtime.ReadMemStats(&before)
	move(in, 32)
	runtime.ReadMemStats(&after)
	packets = c.Stats().PacketsSent - packets
	n := after.Mallocs - before.Mallocs
	t.Logf("%d allocations, %d bytes, for %d packets", n, after.TotalAlloc-before.TotalAlloc, packets)
	if n > packets/2 { // nothing is allocated for each packet; but free lists have their bounds
		t.Errorf("%d allocations for %d packets", n, packets)
	}
}

// TestListenInUse: a second server on a port does not start, however many loops either has. It does
// if both share the port.
func TestListenInUse(t *testing.T) {
	noLeaks(t)
	for _, n := range []int{1, 2} {
		g := listen(t, "udp", "127.0.0.1:0", n)
		for _, second := range []int{1, 3} {
			other, err := loop.Listen("udp", g.LocalAddr().String(), second, serverConfig(withDatagrams(0)))
			if !errors.Is(err, syscall.EADDRINUSE) || other != nil {
				t.Errorf("%d loops after %d: %v", second, n, err)
			}
		}
	}
	cfg := serverConfig(withDatagrams(0))
	cfg.Socket = &udpio.Config{ReusePort: true}
	g, err := loop.Listen("udp", "127.0.0.1:0", 2, cfg)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no SO_REUSEPORT here")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	other, err := loop.Listen("udp", g.LocalAddr().String(), 2, cfg)
	if err != nil {
		t.Fatal("two that share:", err)
	}
	other.Close()
}

// TestDialThisHost: a listener's own address can be dialed. So can other addresses that sockets
// take for this host.
func TestDialThisHost(t *testing.T) {
	noLeaks(t)
	for _, listening := range []struct {
		network, address string
		hosts            []string
	}{
		{"udp", "[::]:0", []string{"", "0.0.0.0", "[::]", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::1%lo]", "[::1%1]", "[::%1]"}},
		{"udp4", "0.0.0.0:0", []string{"", "0.0.0.0", "[::]"}},
		{"udp6", "[::]:0", []string{"", "[::]"}},
	} {
		g := listen(t, listening.network, listening.address, 1)
		_, port, _ := net.SplitHostPort(g.LocalAddr().String())
		for _, host := range listening.hosts {
			cfg := conntest.ClientConfig()
			cfg.TLS.ServerName = "lazo.test"
			c, err := loop.Dial(within(t), host+":"+port, cfg)
			if err != nil {
				t.Errorf("listening on %v, dialing %q: %v", g.LocalAddr(), host, err)
				continue
			}
			if !c.RemoteAddr().Addr().IsLoopback() {
				t.Errorf("dialing %q led to %v", host, c.RemoteAddr())
			}
			c.Close(0, "")
		}
	}
}

// closedPort returns an address at which nobody listens, and nobody will during the test. The
// socket that has it is connected, and so closed to everybody but its peer.
func closedPort(t *testing.T, host string) string {
	t.Helper()
	ip := net.ParseIP(host)
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: ip}, &net.UDPAddr{IP: ip, Port: 9})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

// TestDialClosedPort: a host says that nobody uses the port, and Dial returns that at once.
func TestDialClosedPort(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no ICMP messages here")
	}
	noLeaks(t)
	for _, host := range []string{"127.0.0.1", "::1"} {
		address := closedPort(t, host)
		_, err := loop.Dial(within(t), address, conntest.ClientConfig())
		var unreachable *conn.UnreachableError
		var icmp *udpio.ICMPError
		if !errors.As(err, &unreachable) || !errors.As(err, &icmp) || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
		want := "loop: dial " + address + ": conn: unreachable: udpio: write to " + address + ": connection refused (ICMP from " + host + ")"
		if err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestDialRefusedElsewhere: a refusal by one address does no harm to connections to others on the
// same socket, or to later dials.
func TestDialRefusedElsewhere(t *testing.T) {
	noLeaks(t)
	server := listen(t, "udp", "127.0.0.1:0", 1)
	go serveEcho(t, server)
	client, err := loop.Listen("udp", "127.0.0.1:0", 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := client.Dial(within(t), server.LocalAddr().String(), conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.OpenStream(within(t), conn.Bidi)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		transfer(t, s, 16<<20, 3)
	}()
	closed := closedPort(t, "127.0.0.1")
	for range 40 {
		if _, err := client.Dial(within(t), closed, conntest.ClientConfig()); err == nil {
			t.Error("dialed a closed port")
		} else if runtime.GOOS == "linux" && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
	}
	<-done
	if n := client.Stats().Unreachable; n != 40 && runtime.GOOS == "linux" {
		t.Errorf("%d connections were unreachable", n)
	}
}
