package quic_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"

	"github.com/quic-go/quic-go"
)

// A forwarder passes datagrams between clients and a server, and counts those of each client.
type forwarder struct {
	front *net.UDPConn

	mu   sync.Mutex
	from map[string]int // datagrams by the address of the client
	drop string         // nothing goes to or from this client
	mute bool           // the server's packets with short headers are dropped
}

// forward begins to forward to server.
func forward(t *testing.T, server net.Addr) *forwarder {
	t.Helper()
	f := &forwarder{front: listenUDP(t), from: make(map[string]int)}
	backs := make(map[string]*net.UDPConn)
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := f.front.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if !f.count(from.String()) {
				continue
			}
			back := backs[from.String()]
			if back == nil {
				if back, err = net.DialUDP("udp", nil, server.(*net.UDPAddr)); err != nil {
					return
				}
				backs[from.String()] = back
				t.Cleanup(func() { back.Close() })
				go func() {
					b := make([]byte, 1<<16)
					for {
						n, err := back.Read(b)
						if errors.Is(err, net.ErrClosed) {
							return
						}
						if err == nil && f.count(from.String()) && !(n > 0 && b[0]&0x80 == 0 && f.muted()) {
							f.front.WriteToUDPAddrPort(b[:n], from)
						}
					}
				}()
			}
			back.Write(b[:n])
		}
	}()
	return f
}

// count counts a datagram, and reports whether it may pass.
func (f *forwarder) count(client string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.from[client]++
	return client != f.drop
}

func (f *forwarder) of(tr *quic.Transport) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.from[tr.Conn.LocalAddr().String()]
}

// block lets nothing pass to and from a Transport; nil is for none.
func (f *forwarder) block(tr *quic.Transport) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.drop = ""; tr != nil {
		f.drop = tr.Conn.LocalAddr().String()
	}
}

// setMute drops what the server sends in packets with short headers, or lets it pass again.
func (f *forwarder) setMute(mute bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mute = mute
}

func (f *forwarder) muted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mute
}

// pass sends bytes on a new stream to the peer.
func (p pair) pass(t *testing.T, n int) {
	t.Helper()
	want := bytes.Repeat([]byte("some bytes"), n/10)
	s, err := p.client.OpenUniStreamSync(within(t))
	check(t, err)
	go func() {
		s.Write(want)
		s.Close()
	}()
	r, err := p.server.AcceptUniStream(within(t))
	check(t, err)
	got, err := io.ReadAll(r)
	check(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came, not %d", len(got), len(want))
	}
}

// pathsOf connects a client on one Transport through a forwarder, and returns another Transport.
func pathsOf(t *testing.T) (p pair, f *forwarder, home, host *quic.Transport) {
	t.Helper()
	s, c := tlsConfigs(t)
	l, err := quic.ListenAddr("127.0.0.1:0", s, nil)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	f = forward(t, l.Addr())
	home, host = &quic.Transport{Conn: listenUDP(t)}, &quic.Transport{Conn: listenUDP(t)}
	t.Cleanup(func() { home.Close() })
	t.Cleanup(func() { host.Close() })
	p.client, err = home.Dial(within(t), f.front.LocalAddr(), c, nil)
	check(t, err)
	p.server, err = l.Accept(within(t))
	check(t, err)
	t.Cleanup(func() {
		p.client.CloseWithError(0, "")
		p.server.CloseWithError(0, "") // the client may have gone silently
	})
	return p, f, home, host
}

// wantAt fails unless the client is at the address of tr.
func (p pair) wantAt(t *testing.T, tr *quic.Transport) {
	t.Helper()
	if p.client.LocalAddr().String() != tr.Conn.LocalAddr().String() {
		t.Fatalf("the connection is at %v, not %v", p.client.LocalAddr(), tr.Conn.LocalAddr())
	}
}

// TestPaths moves a connection to the socket of another Transport, and back.
func TestPaths(t *testing.T) {
	p, f, home, host := pathsOf(t)
	p.pass(t, 100_000)
	path, err := p.client.AddPath(host)
	check(t, err)
	wantErr(t, "Switch before Probe", path.Switch(), quic.ErrPathNotValidated)
	if n := f.of(host); n != 0 {
		t.Errorf("%d datagrams before Probe", n)
	}
	check(t, path.Probe(within(t)))
	p.wantAt(t, home)
	if f.of(host) == 0 {
		t.Error("no probe")
	}
	check(t, path.Probe(within(t))) // again
	check(t, path.Switch())
	p.wantAt(t, host)
	before := f.of(host)
	p.pass(t, 1_000_000)
	if n := f.of(host) - before; n < 100 {
		t.Errorf("%d datagrams for the bytes after Switch", n)
	}
	if err := path.Close(); err == nil {
		t.Error("Close of the path in use")
	}

	back, err := p.client.AddPath(home)
	check(t, err)
	wantErr(t, "Switch before Probe", back.Switch(), quic.ErrPathNotValidated)
	check(t, back.Probe(within(t)))
	check(t, back.Switch())
	p.wantAt(t, home)
	p.pass(t, 100_000)
	check(t, path.Switch()) // a validated path stays so
	p.wantAt(t, host)
	p.pass(t, 100_000)
	check(t, back.Switch())
	p.pass(t, 100_000)
	check(t, path.Close())
	check(t, path.Close())
	wantErr(t, "Switch after Close", path.Switch(), quic.ErrPathClosed)
	wantErr(t, "Probe after Close", path.Probe(within(t)), quic.ErrPathClosed)
	p.wantAt(t, home)
	p.pass(t, 100_000)
	check(t, p.client.CloseWithError(7, ""))
	<-p.server.Context().Done()
	if e, ok := errors.AsType[*quic.ApplicationError](context.Cause(p.server.Context())); !ok || e.ErrorCode != 7 {
		t.Errorf("the server's connection ended with %v", context.Cause(p.server.Context()))
	}
}

// TestLostHome: the network of the first socket is gone, and that of the second works.
func TestLostHome(t *testing.T) {
	p, f, home, host := pathsOf(t)
	path, err := p.client.AddPath(host)
	check(t, err)
	check(t, path.Probe(within(t)))
	f.block(home)
	check(t, path.Switch())
	p.pass(t, 1_000_000)
	p.wantAt(t, host)
}

// TestSilentPath: Probe of a path that leads nowhere ends with its context, with Close, or with the
// connection, and the connection goes on where it is.
func TestSilentPath(t *testing.T) {
	p, f, home, host := pathsOf(t)
	f.block(host)
	ctx, cancel := context.WithCancelCause(context.Background())
	path, err := p.client.AddPath(host)
	check(t, err)
	probe := func(path *quic.Path) chan error {
		ended := make(chan error, 1)
		go func() { ended <- path.Probe(ctx) }()
		for sent := f.of(host); f.of(host) == sent; {
			time.Sleep(time.Millisecond)
		}
		return ended
	}
	ended := probe(path)
	wantErr(t, "Switch", path.Switch(), quic.ErrPathNotValidated)
	cancel(io.ErrNoProgress)
	wantErr(t, "Probe", <-ended, io.ErrNoProgress)
	p.pass(t, 100_000)
	p.wantAt(t, home)

	ctx = within(t)
	ended = probe(path)
	check(t, path.Close())
	wantErr(t, "Probe", <-ended, quic.ErrPathClosed)

	path, err = p.client.AddPath(host)
	check(t, err)
	ended = probe(path)
	f.block(nil) // Probe tries again
	check(t, <-ended)
	f.block(host)
	path, err = p.client.AddPath(host)
	check(t, err)
	ended = probe(path)
	check(t, p.client.CloseWithError(3, ""))
	for what, err := range map[string]error{"Probe": <-ended, "Switch": path.Switch()} {
		if e, ok := errors.AsType[*quic.ApplicationError](err); !ok || e.ErrorCode != 3 {
			t.Errorf("%s after the end of the connection: %v", what, err)
		}
	}
	if _, err = p.client.AddPath(host); err == nil {
		t.Error("AddPath after the end of the connection")
	}
}

// TestServerPrefersAddress: a server that is not where it was when the path was first probed answers
// there, too.
func TestServerPrefersAddress(t *testing.T) {
	s, c := tlsConfigs(t)
	at := listenUDP(t)
	first, preferred := forward(t, at.LocalAddr()), forward(t, at.LocalAddr())
	socket, err := udpio.Wrap(at, nil)
	check(t, err)
	server, err := loop.New(&loop.Config{Endpoint: conn.EndpointConfig{Server: &conn.Config{
		TLS: s, PreferredAddress4: preferred.front.LocalAddr().(*net.UDPAddr).AddrPort(),
	}}}, socket)
	check(t, err)
	defer server.Close()

	first.setMute(true) // the handshake is not confirmed, so the client stays there
	home, host := &quic.Transport{Conn: listenUDP(t)}, &quic.Transport{Conn: listenUDP(t)}
	defer home.Close()
	defer host.Close()
	client, err := home.Dial(within(t), first.front.LocalAddr(), c, nil)
	check(t, err)
	path, err := client.AddPath(host)
	check(t, err)
	none, cancel := context.WithCancel(context.Background())
	cancel()
	wantErr(t, "Probe", path.Probe(none), context.Canceled)
	first.setMute(false)
	for moved := within(t); client.RemoteAddr().String() != preferred.front.LocalAddr().String(); time.Sleep(time.Millisecond) {
		check(t, moved.Err())
	}
	check(t, path.Probe(within(t)))
	check(t, path.Switch())
	stream, err := client.OpenStream()
	check(t, err)
	_, err = stream.Write([]byte("from there"))
	check(t, err)
	check(t, stream.Close())
	accepted, err := server.Accept(within(t))
	check(t, err)
	peer, err := accepted.AcceptStream(within(t))
	check(t, err)
	got, err := io.ReadAll(peer)
	check(t, err)
	if string(got) != "from there" || preferred.of(host) == 0 {
		t.Errorf("%q came, and %d datagrams on the path", got, preferred.of(host))
	}
}

// TestPathsWithoutClose: a connection does not keep what a program has only added.
func TestPathsWithoutClose(t *testing.T) {
	p, _, _, host := pathsOf(t)
	objects := func() int {
		runtime.GC()
		runtime.GC() // what the first one has only found
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapObjects)
	}
	add := func(n int) {
		for range n {
			_, err := p.client.AddPath(host)
			check(t, err)
		}
	}
	add(10)
	before := objects()
	const paths = 5000
	add(paths)
	if left := objects() - before; left > paths/2 {
		t.Errorf("%d objects of %d paths are left", left, paths)
	}
}

// TestProbesTakeTurns: a path that leads nowhere does not keep another one from being probed.
func TestProbesTakeTurns(t *testing.T) {
	p, f, _, host := pathsOf(t)
	f.block(host)
	silent, err := p.client.AddPath(host)
	check(t, err)
	ended := make(chan error, 1)
	go func() { ended <- silent.Probe(context.Background()) }()
	for f.of(host) == 0 {
		time.Sleep(time.Millisecond)
	}
	other := &quic.Transport{Conn: listenUDP(t)}
	defer other.Close()
	path, err := p.client.AddPath(other)
	check(t, err)
	check(t, path.Probe(within(t)))
	check(t, silent.Close())
	wantErr(t, "Probe", <-ended, quic.ErrPathClosed)
}

// TestHostCloses: a Transport that closes ends the connections that are there, and no others.
func TestHostCloses(t *testing.T) {
	p, _, home, host := pathsOf(t)
	path, err := p.client.AddPath(host)
	check(t, err)
	check(t, path.Probe(within(t)))
	check(t, host.Close())
	p.pass(t, 100_000)
	_, err = p.client.AddPath(host)
	wantErr(t, "AddPath", err, quic.ErrTransportClosed)
	wantErr(t, "Switch", path.Switch(), quic.ErrTransportClosed)
	p.pass(t, 100_000)
	p.wantAt(t, home)

	other := &quic.Transport{Conn: listenUDP(t)}
	path, err = p.client.AddPath(other)
	check(t, err)
	check(t, path.Probe(within(t)))
	check(t, path.Switch())
	p.pass(t, 100_000)
	check(t, other.Close())
	<-p.client.Context().Done()
	wantErr(t, "the connection", context.Cause(p.client.Context()), quic.ErrTransportClosed)
	check(t, home.Close())
}

// TestNoPaths: who may not migrate.
func TestNoPaths(t *testing.T) {
	p, _, home, host := pathsOf(t)
	if _, err := p.server.AddPath(host); err == nil || err.Error() != "server cannot initiate connection migration" {
		t.Errorf("of a server: %v", err)
	}
	at := &quic.Transport{Conn: home.Conn}
	if _, err := p.client.AddPath(at); err == nil {
		t.Error("from another Transport with the same socket")
	}
	at.Close()
}

// TestTwoGuests: two Transports have connections with the same server, which visit a third one,
// with its own connection to that server.
func TestTwoGuests(t *testing.T) {
	s, c := tlsConfigs(t)
	l, err := quic.ListenAddr("127.0.0.1:0", s, nil)
	check(t, err)
	defer l.Close()
	key := quic.StatelessResetKey{1} // all have one, as a restarted program would
	host := &quic.Transport{Conn: listenUDP(t), StatelessResetKey: &key}
	defer host.Close()
	var pairs []pair
	for range 3 {
		home := host
		if len(pairs) > 0 {
			home = &quic.Transport{Conn: listenUDP(t), StatelessResetKey: &key}
			defer home.Close()
		}
		var p pair
		p.client, err = home.Dial(within(t), l.Addr(), c, nil)
		check(t, err)
		p.server, err = l.Accept(within(t))
		check(t, err)
		defer p.client.CloseWithError(0, "")
		path, err := p.client.AddPath(host)
		check(t, err)
		check(t, path.Probe(within(t)))
		check(t, path.Switch())
		pairs = append(pairs, p)
	}
	for range 3 {
		for _, p := range pairs {
			p.pass(t, 300_000)
			p.wantAt(t, host)
		}
	}
}
