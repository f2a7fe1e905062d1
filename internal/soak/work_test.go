package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A worker makes traffic until ctx is done, and checks what comes back. It counts what
// it has done with done.
type worker func(ctx context.Context, s *server, rng *rand.Rand, done func()) error

// keepAlive is after how much silence a client that only receives shows the server
// that it has another address.
const keepAlive = idleTimeout / 10

// handshakeTimeout is how long clients wait for a server on a machine that has much else to do.
const handshakeTimeout = time.Minute

// pause lets other traffic pass for up to d.
func pause(ctx context.Context, rng *rand.Rand, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(rng.Int64N(int64(d)))):
	}
}

// patience bounds what takes milliseconds on an idle machine.
func patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 2*time.Minute)
}

// requests makes HTTP/3 requests, some of which it gives up in the middle.
func requests(ctx context.Context, s *server, rng *rand.Rand, done func()) error {
	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS(), QUICConfig: &conn.Config{KeepAlive: keepAlive, HandshakeTimeout: handshakeTimeout}}
	defer tr.Close()
	base := fmt.Sprintf("https://%v", s.addr)
	if err := s.undisturbed(func() error { return get(tr, base, 1, 1) }); err != nil {
		return err
	}
	for ctx.Err() == nil {
		var err error
		switch n := rng.IntN(300_000); rng.IntN(4) {
		case 0:
			err = post(tr, base, n)
		case 1:
			err = get(tr, base, n, rng.IntN(n+1))
		default:
			err = get(tr, base, n, n)
		}
		if err != nil {
			return err
		}
		done()
		pause(ctx, rng, 10*time.Millisecond)
	}
	return nil
}

// get asks for n bytes, and reads the first of them.
func get(tr http.RoundTripper, base string, n, first int) error {
	ctx, cancel := patience()
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/bytes/%d", base, n), nil)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("GET: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(new(pattern), resp.Body, int64(first)); err != nil {
		return fmt.Errorf("GET, body: %w", err)
	}
	return nil
}

func post(tr http.RoundTripper, base string, n int) error {
	ctx, cancel := patience()
	defer cancel()
	body := io.LimitReader(new(pattern), int64(n))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/echo", body)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("POST: %w", err)
	}
	defer resp.Body.Close()
	if got, err := io.Copy(new(pattern), resp.Body); err != nil || got != int64(n) {
		return fmt.Errorf("POST of %d bytes: %d came back: %w", n, got, err)
	}
	return nil
}

// A client is a Group with one connection for echo.
type client struct {
	g    *loop.Group
	sock *udpio.Socket
	c    *loop.Conn
}

func dial(s *server) (*client, error) {
	sock, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		return nil, err
	}
	g, err := loop.New(nil, sock)
	if err != nil {
		return nil, err
	}
	c := &client{g: g, sock: sock}
	if err := c.redial(s); err != nil {
		g.Close()
		return nil, err
	}
	return c, nil
}

// redial makes another connection.
func (c *client) redial(s *server) error {
	return s.undisturbed(func() (err error) {
		ctx, cancel := patience()
		defer cancel()
		c.c, err = c.g.Dial(ctx, s.addr.String(), &conn.Config{TLS: clientTLS(), MaxDatagramFrameSize: 65535, KeepAlive: keepAlive, HandshakeTimeout: handshakeTimeout})
		if err != nil {
			return err
		}
		return echoOnce(c.c, 1, false) // the server has the end of the handshake, too
	})
}

// streams sends bytes and takes them back, on streams of which some are reset.
func streams(ctx context.Context, s *server, rng *rand.Rand, done func()) error {
	c, err := dial(s)
	if err != nil {
		return err
	}
	defer c.g.Close()
	for ctx.Err() == nil {
		if err := echoOnce(c.c, rng.IntN(200_000), rng.IntN(5) == 0); err != nil {
			return err
		}
		done()
	}
	return nil
}

// echoOnce opens a stream for n bytes, and resets it on the way if it is to be abandoned.
func echoOnce(c *loop.Conn, n int, abandon bool) error {
	ctx, cancel := patience()
	defer cancel()
	st, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	defer st.Close()
	deadline, _ := ctx.Deadline()
	st.SetDeadline(deadline)
	sent := make(chan error, 1)
	go func() {
		_, err := io.CopyN(st, new(pattern), int64(n))
		st.CloseWrite()
		sent <- err
	}()
	if abandon {
		_, err := io.CopyN(new(pattern), st, int64(n/2))
		st.Reset(7)
		st.StopSending(7)
		<-sent
		return err
	}
	got, err := io.Copy(new(pattern), st)
	if err := errors.Join(err, <-sent); err != nil || got != int64(n) {
		return fmt.Errorf("stream of %d bytes: %d came back: %w", n, got, err)
	}
	return nil
}

// datagrams sends numbered datagrams. Of those that come back, each is one that was sent.
func datagrams(ctx context.Context, s *server, rng *rand.Rand, done func()) error {
	c, err := dial(s)
	if err != nil {
		return err
	}
	defer c.g.Close()
	received := make(chan error, 1)
	go func() {
		b := make([]byte, 1500)
		for {
			n, err := c.c.ReceiveDatagram(ctx, b)
			if err != nil {
				received <- err
				return
			}
			if n < 1 || !bytes.Equal(b[:n], bytes.Repeat(b[:1], n)) {
				received <- fmt.Errorf("datagram with other bytes: %x", b[:n])
				return
			}
			done()
		}
	}()
	for i := 0; ctx.Err() == nil; i++ {
		b := bytes.Repeat([]byte{byte(i)}, 1+rng.IntN(1000))
		if err := c.c.SendDatagram(ctx, b, 0); err != nil && ctx.Err() == nil {
			return fmt.Errorf("datagram: %w", err)
		}
		if i%8 == 0 {
			pause(ctx, rng, 4*time.Millisecond)
		}
	}
	if err := <-received; !errors.Is(err, ctx.Err()) {
		return err
	}
	return nil
}

// migrations moves a connection from socket to socket while a stream is in use.
func migrations(ctx context.Context, s *server, rng *rand.Rand, done func()) error {
	c, err := dial(s)
	if err != nil {
		return err
	}
	defer c.g.Close()
	used := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := echoOnce(c.c, 50_000, false); err != nil {
				used <- err
				return
			}
		}
		used <- nil
	}()
	other, err := c.sock.AddLocal("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	for at, to := c.sock.LocalAddr(), other; ctx.Err() == nil; pause(ctx, rng, 300*time.Millisecond) {
		if err := c.c.Migrate(ctx, to); err != nil {
			continue // no ID is left for another path, or the answers were lost
		}
		at, to = to, at
		done()
	}
	return <-used
}

// churn makes connections and closes them, or, now and then, forgets them.
func churn(ctx context.Context, s *server, rng *rand.Rand, done func()) error {
	for ctx.Err() == nil {
		if err := churnOne(ctx, s, rng, done); err != nil {
			return err
		}
	}
	return nil
}

// churnOne makes connections from one socket until it closes that without a word.
func churnOne(ctx context.Context, s *server, rng *rand.Rand, done func()) error {
	c, err := dial(s)
	if err != nil {
		return err
	}
	defer c.g.Close()
	for range 1 + rng.IntN(60) {
		if err := echoOnce(c.c, 1000, false); err != nil {
			return err
		}
		if rng.IntN(2) == 0 {
			err = c.c.Close(5, "churn")
		} else {
			err = shutdown(c.c)
		}
		if err == nil {
			err = c.redial(s)
		}
		if err != nil {
			return err
		}
		done()
		if ctx.Err() != nil {
			return nil
		}
	}
	return c.sock.Close()
}

func shutdown(c *loop.Conn) error {
	ctx, cancel := patience()
	defer cancel()
	return c.Shutdown(ctx, 0, "")
}

// rebinds makes the server see all clients at other ports.
func rebinds(ctx context.Context, s *server, rng *rand.Rand, done func()) error {
	for ; ctx.Err() == nil; pause(ctx, rng, 6*time.Second) {
		s.handshakes.Lock()
		err := s.relay.Rebind(netip.Addr{})
		s.handshakes.Unlock()
		if err != nil {
			return err
		}
		done()
	}
	return nil
}
