package loop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A tunnel is one end of a way for datagrams that is not a socket. Here it has a channel each way.
type tunnel struct {
	addr   netip.AddrPort
	far    *tunnel
	in     chan []byte   // what came
	woken  chan struct{} // has a token after Wake
	room   chan struct{} // has a token when a full far end takes datagrams again
	full   atomic.Bool   // the far end was full when WriteBatch met it
	closed chan struct{}
	once   sync.Once
}

// newTunnel returns both ends.
func newTunnel(a, b netip.AddrPort) (*tunnel, *tunnel) {
	ends := [2]*tunnel{{addr: a}, {addr: b}}
	for i, t := range ends {
		t.far = ends[1-i]
		t.in = make(chan []byte, 64)
		t.woken, t.room, t.closed = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	}
	return ends[0], ends[1]
}

// ReadBatch waits for datagrams, a Wake, room for what WriteBatch left, or the deadline.
func (t *tunnel) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	if n := t.take(ms); n > 0 {
		return n, nil // whatever the deadline: one in the past means "what is there"
	}
	var passed <-chan time.Time // never, for the zero deadline
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		passed = timer.C
	}
	select {
	case b := <-t.in:
		ms[0] = t.message(b)
		return 1 + t.take(ms[1:]), nil
	case <-t.woken:
	case <-t.room:
	case <-passed:
	case <-t.closed:
		return 0, net.ErrClosed
	}
	return 0, nil
}

// take returns what is there. The loop may use the memory until the next ReadBatch.
func (t *tunnel) take(ms []udpio.Message) (n int) {
	defer func() {
		if t.far.full.CompareAndSwap(true, false) {
			token(t.far.room)
		}
	}()
	for n < len(ms) {
		select {
		case b := <-t.in:
			ms[n] = t.message(b)
			n++
		default:
			return n
		}
	}
	return n
}

func (t *tunnel) message(b []byte) udpio.Message {
	return udpio.Message{Buf: b, Remote: t.far.addr, Local: t.addr}
}

// WriteBatch does not block. What there is no room for stays with the loop.
func (t *tunnel) WriteBatch(ms []udpio.Message) (int, error) {
	for i := range ms {
		switch err := t.send(&ms[i]); {
		case errors.Is(err, errFull):
			return i, nil
		case err != nil:
			return i, err
		}
	}
	return len(ms), nil
}

var errFull = errors.New("full")

func (t *tunnel) send(m *udpio.Message) error {
	if m.Remote != t.far.addr {
		return fmt.Errorf("no tunnel leads to %v", m.Remote) // the loop drops this one and goes on
	}
	b := append([]byte(nil), m.Buf...) // the loop uses its memory again
	for range 2 {
		select {
		case <-t.closed:
			return net.ErrClosed
		case t.far.in <- b:
			return nil
		default:
			t.full.Store(true) // before the second try: whoever takes from now on sees it
		}
	}
	return errFull
}

// Wake has the current or the next ReadBatch return. Any goroutine may call it.
func (t *tunnel) Wake() { token(t.woken) }

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // there is one
	}
}

// Caps: a message is one datagram, and has no ECN.
func (t *tunnel) Caps() udpio.Caps { return udpio.Caps{MaxSegments: 1, LocalAddr: true} }

func (t *tunnel) LocalAddr() netip.AddrPort { return t.addr }

func (t *tunnel) Close() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

// A Backend of one's own carries QUIC over what is no socket.
func ExampleBackend() {
	ctx := context.Background()
	near, far := newTunnel(netip.MustParseAddrPort("10.0.0.1:5000"), netip.MustParseAddrPort("10.0.0.2:443"))
	server, err := loop.New(&loop.Config{
		Endpoint: conn.EndpointConfig{Server: conntest.ServerConfig()},
	}, far)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go func() {
		c, err := server.Accept(ctx)
		if err != nil {
			return
		}
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		defer s.Close()
		io.Copy(s, s)
	}()

	client, err := loop.New(nil, near)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	c, err := client.Dial(ctx, "10.0.0.2:443", conntest.ClientConfig())
	if err != nil {
		log.Fatal(err)
	}
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		s.Write(make([]byte, 1_000_000))
		s.CloseWrite()
	}()
	b, err := io.ReadAll(s)
	fmt.Println(len(b), err)
	c.Shutdown(ctx, 0, "")
	// Output: 1000000 <nil>
}
