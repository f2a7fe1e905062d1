package programs

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A pipe is one end of a Backend in memory. It lends its own buffers to the loop.
type pipe struct {
	local  netip.AddrPort
	peer   *pipe
	wake   chan struct{}
	closed chan struct{}

	mu    sync.Mutex
	queue [][]byte
}

func newPipes() (a, b *pipe) {
	a = &pipe{local: netip.MustParseAddrPort("10.0.0.1:443")}
	b = &pipe{local: netip.MustParseAddrPort("10.0.0.2:443")}
	for _, p := range []*pipe{a, b} {
		p.wake, p.closed = make(chan struct{}, 1), make(chan struct{})
	}
	a.peer, b.peer = b, a
	return a, b
}

func (p *pipe) take(ms []udpio.Message) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; n < len(ms) && len(p.queue) > 0; n++ {
		ms[n] = udpio.Message{Buf: p.queue[0], Remote: p.peer.local, Local: p.local}
		p.queue = p.queue[1:]
	}
	return n
}

func (p *pipe) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	if n := p.take(ms); n > 0 {
		return n, nil
	}
	var late <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-p.wake:
		return p.take(ms), nil
	case <-late:
		return 0, nil
	case <-p.closed:
		return 0, net.ErrClosed
	}
}

func (p *pipe) WriteBatch(ms []udpio.Message) (int, error) {
	p.peer.mu.Lock()
	for _, m := range ms {
		p.peer.queue = append(p.peer.queue, bytes.Clone(m.Buf))
	}
	p.peer.mu.Unlock()
	p.peer.Wake()
	return len(ms), nil
}

func (p *pipe) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pipe) Caps() udpio.Caps          { return udpio.Caps{MaxSegments: 1, LocalAddr: true} }
func (p *pipe) LocalAddr() netip.AddrPort { return p.local }
func (p *pipe) Close() error              { close(p.closed); return nil }

// A lossy wraps a Backend: it counts, and drops every tenth message on the way out.
type lossy struct {
	loop.Backend
	read, written, dropped atomic.Uint64
}

func (l *lossy) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	n, err := l.Backend.ReadBatch(ms, deadline)
	l.read.Add(uint64(n))
	return n, err
}

func (l *lossy) WriteBatch(ms []udpio.Message) (int, error) {
	for i := range ms {
		if l.written.Add(1)%10 == 0 {
			l.dropped.Add(1)
			continue // counts as written
		}
		if n, err := l.Backend.WriteBatch(ms[i : i+1]); n == 0 || err != nil {
			return i, err
		}
	}
	return len(ms), nil
}

// TestBackends runs HTTP/3 over a Backend in memory. Another Backend around it loses messages.
func TestBackends(t *testing.T) {
	a, b := newPipes()
	srv := &h3http.Server{
		TLSConfig: conntest.ServerTLS(),
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }),
	}
	go srv.Serve(a)
	defer srv.Close()
	bad := &lossy{Backend: b}
	g, err := loop.New(nil, bad)
	require.NoError(t, err)
	defer g.Close()
	tr := &h3http.Transport{Dial: g.Dial, TLSClientConfig: conntest.ClientTLS()}
	defer tr.Close()

	body := bytes.Repeat([]byte("over a pipe "), 100_000)
	resp, err := (&http.Client{Transport: tr}).Post("https://10.0.0.1/", "", bytes.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.True(t, bytes.Equal(body, got), "got %d bytes", len(got))
	require.NotZero(t, bad.dropped.Load())
	require.NotZero(t, bad.read.Load())
}

// TestPacketConn runs on a net.PacketConn that hides that it is a UDP socket.
func TestPacketConn(t *testing.T) {
	ctx := testContext(t)
	server, client := protos("echo")
	g := listen(t, 1, &loop.Config{Endpoint: conn.EndpointConfig{Server: &conn.Config{TLS: server}}})
	go echo(ctx, g)

	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	sock, err := udpio.Wrap(struct{ net.PacketConn }{pc}, nil)
	require.NoError(t, err)
	require.Equal(t, 1, sock.Caps().MaxSegments)
	over, err := loop.New(nil, sock)
	require.NoError(t, err)
	defer over.Close()
	c, err := over.Dial(ctx, g.LocalAddr().String(), &conn.Config{TLS: client})
	require.NoError(t, err)
	s, err := c.OpenStream(ctx, conn.Bidi)
	require.NoError(t, err)
	say(t, s, "through a relay")
}
