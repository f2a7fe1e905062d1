package masque

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/script"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// A fuzzScript plays one side of tunnels by the book and has the other do anything: a Proxy whose
// client is a puppet, or a Client whose proxy is one. The input decides what both do, and what
// targets send.
type fuzzScript struct {
	t      *testing.T
	in     *script.Input
	groups [2]*loop.Group
	proxy  *Proxy
	client *Client
	p      *puppet

	conns   []*scriptConn
	mu      sync.Mutex // guards targets, and what they got
	targets []*scriptTarget
}

// A scriptConn is a tunnel of the Client.
type scriptConn struct {
	*Conn
	port uint16
}

// A scriptTarget is where a tunnel leads. Its port tells which tunnel that is.
type scriptTarget struct {
	net.Conn
	port uint16
	got  [][]byte
}

// A datagramSocket is an end of a net.Pipe on which each Read is one Write. Of one that is too long
// the rest is lost.
type datagramSocket struct {
	net.Conn
	buf [maxPayload + 1]byte
}

func (s *datagramSocket) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(s.buf[:])
	return copy(b, s.buf[:n]), err
}

// tagged returns a payload of n bytes. It shows which tunnel it is of.
func tagged(port uint16, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(port)<<5 | byte(i)&31
	}
	return b
}

// bytes returns bytes of the input, as many as the byte before them says, or fewer.
func (f *fuzzScript) bytes() []byte { return f.in.Bytes(int(f.in.Byte()) & 31) }

// size returns the size of a payload: most are small, some fit nowhere.
func (f *fuzzScript) size() int {
	if n := int(f.in.Byte()); n < 240 {
		return 8 * n
	} else {
		return []int{1199, 1200, 1201, 3000, 10_000, maxPayload - 1, maxPayload}[n%7]
	}
}

const (
	scriptDelay = 10 * time.Millisecond // of the network, one way
	soonTime    = 10 * scriptDelay      // some round trips
	maxTunnels  = 7                     // a tag has room for eight
)

func (f *fuzzScript) within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), soonTime)
	f.t.Cleanup(cancel)
	return ctx
}

// dial is the Dial of the proxy.
func (f *fuzzScript) dial(_ context.Context, target netip.AddrPort) (net.Conn, error) {
	socket, end := net.Pipe()
	x := &scriptTarget{Conn: end, port: target.Port()}
	f.mu.Lock()
	f.targets = append(f.targets, x)
	f.mu.Unlock()
	go func() {
		b := make([]byte, maxPayload+1)
		for {
			n, err := end.Read(b)
			if err != nil {
				return
			}
			f.mu.Lock()
			x.got = append(x.got, slices.Clone(b[:n]))
			f.mu.Unlock()
		}
	}()
	return &datagramSocket{Conn: socket}, nil
}

// step does one thing.
func (f *fuzzScript) step() {
	switch op := f.in.Byte(); op % 9 {
	case 0:
		f.open()
	case 1, 2:
		f.p.capsules(f)
	case 3:
		f.p.datagrams(f)
	case 4:
		f.p.end(f)
	case 5:
		time.Sleep(time.Duration(f.in.Byte()) * 10 * time.Millisecond)
	case 6:
		f.p.read(f)
	default:
		if f.proxy != nil {
			f.target(op / 9)
		} else {
			f.call(op / 9)
		}
	}
	synctest.Wait()
	f.check()
}

// open opens a tunnel.
func (f *fuzzScript) open() {
	if f.p.asked == maxTunnels {
		return
	}
	f.p.asked++
	target := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(f.p.asked))
	if f.proxy != nil {
		f.p.ask(f, target)
		return
	}
	if c, err := f.client.Dial(f.within(), target.String()); err == nil {
		f.conns = append(f.conns, &scriptConn{Conn: c, port: target.Port()})
	}
}

// target has a target send a payload, or go.
func (f *fuzzScript) target(op byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.targets) == 0 {
		return
	}
	x := f.targets[int(f.in.Byte())%len(f.targets)]
	if op%8 == 7 {
		f.p.gone = true
		x.Close()
		return
	}
	x.SetWriteDeadline(time.Now().Add(time.Millisecond)) // what nobody takes is dropped
	x.Write(tagged(x.port, f.size()))
}

// call calls a method of a tunnel, as an application might.
func (f *fuzzScript) call(op byte) {
	if len(f.conns) == 0 {
		return
	}
	i := int(f.in.Byte()) % len(f.conns)
	c := f.conns[i]
	c.SetDeadline(time.Now().Add(soonTime))
	switch op % 10 {
	case 0, 1, 2, 3:
		_, err := c.Write(tagged(c.port, f.size()))
		f.known(err)
	case 4, 5, 6:
		b := make([]byte, maxPayload+1)
		n, err := c.Read(b)
		f.known(err)
		if s := f.p.of(c.port); err == nil && (s == nil || !s.muddled) {
			require.Equal(f.t, tagged(c.port, n), b[:n])
		}
	case 7:
		b := make([]byte, 10)
		_, _, err := c.ReadFrom(b)
		f.known(err)
		_, err = c.WriteTo(b, c.RemoteAddr())
		f.known(err)
		f.p.untagged = true
	case 8:
		c.MaxPayload()
		c.Stats()
	default:
		c.Close()
		f.conns = slices.Delete(f.conns, i, i+1)
	}
}

// known fails if err is none that the documentation names.
func (f *fuzzScript) known(err error) {
	switch {
	case err == nil, err == io.EOF, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.EMSGSIZE), errors.Is(err, net.ErrClosed):
	case f.p.knows(err):
	default:
		f.t.Fatalf("%T: %v", err, err)
	}
}

// check checks what holds at any time.
func (f *fuzzScript) check() {
	for _, g := range f.groups {
		require.Less(f.t, g.Stats().Held, int64(8<<20))
	}
	require.NoError(f.t, f.p.lost(), "the connection has ended")
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.targets {
		for _, b := range x.got {
			if s := f.p.of(x.port); s == nil || !s.muddled {
				require.Equal(f.t, tagged(x.port, len(b)), b, "a payload of another tunnel")
			}
		}
		x.got = nil
	}
}

// begin makes both sides.
func (f *fuzzScript) begin(proxies bool) {
	f.p = &puppet{streams: make(chan *puppetStream, maxTunnels)}
	srv := &h3http.Server{TLSConfig: conntest.ServerTLS()}
	if proxies {
		f.proxy = &Proxy{Dial: f.dial, Allow: func(*http.Request, netip.AddrPort) bool { return true }, IdleTimeout: 3 * time.Second}
		f.proxy.Configure(srv)
		srv.Handler = f.proxy
	} else {
		srv.ExtendedConnect = true
		srv.Handler = http.HandlerFunc(f.p.answer)
	}
	n := looptest.New(f.t, 1, conntest.Link{Delay: scriptDelay})
	var err error
	f.groups[0], err = loop.New(srv.LoopConfig(), n.Listen("10.0.0.1:443"))
	require.NoError(f.t, err)
	f.groups[1], err = loop.New(nil, n.Listen("10.0.0.2:5000"))
	require.NoError(f.t, err)
	f.client = &Client{Proxy: "https://10.0.0.1", Transport: &h3http.Transport{TLSClientConfig: conntest.ClientTLS(), Dial: f.groups[1].Dial}}
}

// end ends everything. Nothing is held then.
func (f *fuzzScript) end() {
	time.Sleep(time.Second)
	f.p.read(f)
	f.check()
	for _, c := range f.conns {
		c.Close()
	}
	f.client.Transport.Close()
	time.Sleep(time.Minute)
	if f.proxy != nil {
		require.Zero(f.t, f.proxy.Stats().Tunnels)
	}
	for _, g := range f.groups {
		if st := g.Stats(); st.Conns != 0 || st.Held != 0 {
			f.t.Errorf("%d connections and %d bytes are left over", st.Conns, st.Held)
		}
		g.Close()
	}
	for _, x := range f.targets {
		_, err := x.Write([]byte("x"))
		require.Error(f.t, err, "a socket is left open")
		x.Close()
	}
}

// FuzzScript: a client, or a proxy, opens tunnels and sends capsules, datagrams and any bytes in
// them, resets and closes. Targets and the application send and receive meanwhile. Nothing goes to
// another tunnel, and no tunnel harms the connection. In the end nothing is held.
func FuzzScript(f *testing.F) {
	// a payload to a target in a capsule and in a datagram, and one back
	f.Add([]byte{1, 0, 1, 0, 0, 0, 20, 3, 0, 0, 20, 7, 0, 20, 6, 5, 9, 4, 0, 0})
	// the same of a client
	f.Add([]byte{0, 0, 7, 0, 20, 6, 1, 0, 0, 0, 20, 3, 0, 0, 20, 5, 9, 43, 0, 43, 0, 4, 0, 0})
	// two tunnels, what is unknown, long payloads, a malformed capsule, a target that goes
	f.Add([]byte{1, 0, 0, 1, 0, 3, 0, 250, 1, 30, 3, 9, 2, 40, 3, 1, 1, 20, 7, 1, 245, 1, 1, 0, 5, 70, 0, 5, 9, 6})
	f.Add([]byte{0, 0, 0, 7, 0, 243, 7, 1, 246, 6, 1, 1, 3, 0, 244, 1, 20, 2, 9, 3, 5, 20, 43, 0, 43, 1, 88, 0, 4, 1, 2, 43, 0})
	conntest.ServerTLS() // outside of the bubble
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > 300 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			s := &fuzzScript{t: t, in: script.NewInput(b[1:])}
			s.begin(b[0]&1 != 0)
			for !s.in.Empty() {
				s.step()
			}
			s.end()
		})
	})
}
