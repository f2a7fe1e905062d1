package soak

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/masque"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A visitor makes traffic through the edge until ctx is done, and checks what comes back. It tells
// done how long a piece of it took.
type visitor func(ctx context.Context, d *deployment, rng *rand.Rand, done func(took time.Duration)) error

func (d *deployment) base() string { return fmt.Sprintf("https://%v", d.addr) }

func newTransport() *h3http.Transport {
	return &h3http.Transport{
		TLSClientConfig: conntest.ClientTLS(), DisableCompression: true,
		QUICConfig: &conn.Config{KeepAlive: keepAlive, HandshakeTimeout: handshakeTimeout},
	}
}

// h3TLS is for connections that no Transport makes.
func h3TLS() *tls.Config {
	tc := conntest.ClientTLS()
	tc.NextProtos = []string{"h3"}
	return tc
}

// visitRequests asks for little, of the servers that speak HTTP/1.1.
func visitRequests(ctx context.Context, d *deployment, rng *rand.Rand, done func(time.Duration)) error {
	tr := newTransport()
	defer tr.Close()
	return askFor(ctx, tr, d.base(), rng, done)
}

// visitOverTCP is visitRequests over HTTP/2: nothing of it passes through QUIC. It is the reference
// for how long requests take on a machine that has other work too.
func visitOverTCP(ctx context.Context, d *deployment, rng *rand.Rand, done func(time.Duration)) error {
	tr := &http.Transport{TLSClientConfig: conntest.ClientTLS(), ForceAttemptHTTP2: true, DisableCompression: true}
	defer tr.CloseIdleConnections()
	return askFor(ctx, tr, d.base(), rng, done)
}

// visitBehind is visitRequests of the server behind the edge that speaks HTTP/3.
func visitBehind(ctx context.Context, d *deployment, rng *rand.Rand, done func(time.Duration)) error {
	tr := newTransport()
	defer tr.Close()
	return askFor(ctx, tr, d.base()+"/h3", rng, done)
}

func askFor(ctx context.Context, tr http.RoundTripper, base string, rng *rand.Rand, done func(time.Duration)) error {
	for ctx.Err() == nil {
		began := time.Now()
		n := rng.IntN(2000)
		if err := get(tr, base, n, n); err != nil {
			return err
		}
		done(time.Since(began))
		pause(ctx, rng, 500*time.Millisecond)
	}
	return nil
}

// visitDownloads asks for much, and breaks some of it off.
func visitDownloads(ctx context.Context, d *deployment, rng *rand.Rand, done func(time.Duration)) error {
	tr := newTransport()
	defer tr.Close()
	for ctx.Err() == nil {
		began := time.Now()
		n := rng.IntN(2 << 20)
		first := n
		if rng.IntN(10) == 0 {
			first = rng.IntN(n + 1)
		}
		if err := get(tr, d.base(), n, first); err != nil {
			return err
		}
		done(time.Since(began))
		pause(ctx, rng, 2*time.Second)
	}
	return nil
}

// visitUploads sends bodies and takes them back.
func visitUploads(ctx context.Context, d *deployment, rng *rand.Rand, done func(time.Duration)) error {
	tr := newTransport()
	defer tr.Close()
	for ctx.Err() == nil {
		began := time.Now()
		if err := post(tr, d.base()+[]string{"", "/h3"}[rng.IntN(2)], rng.IntN(300_000)); err != nil {
			return err
		}
		done(time.Since(began))
		pause(ctx, rng, time.Second)
	}
	return nil
}

// visitDatagrams sends UDP datagrams through a tunnel. Each that comes back is one that was sent.
func visitDatagrams(ctx context.Context, d *deployment, rng *rand.Rand, done func(time.Duration)) error {
	tr := newTransport()
	defer tr.Close()
	c := &masque.Client{Transport: tr, Proxy: d.base()}
	for ctx.Err() == nil {
		if err := visitTunnel(ctx, c, d.echo, rng, done); err != nil {
			return err
		}
	}
	return nil
}

func visitTunnel(ctx context.Context, c *masque.Client, target string, rng *rand.Rand, done func(time.Duration)) error {
	opening, cancel := patience()
	defer cancel()
	tunnel, err := c.Dial(opening, target)
	if err != nil {
		return fmt.Errorf("tunnel: %w", err)
	}
	defer tunnel.Close()
	b := make([]byte, 1500)
	for i := 0; i < 100 && ctx.Err() == nil; i++ {
		began := time.Now()
		sent := bytes.Repeat([]byte{byte(i)}, 1+rng.IntN(1000))
		if _, err := tunnel.Write(sent); err != nil {
			return fmt.Errorf("tunnel: %w", err)
		}
		tunnel.SetReadDeadline(began.Add(time.Second))
		n, err := tunnel.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue // lost
		}
		if err != nil {
			return fmt.Errorf("tunnel: %w", err)
		}
		if !bytes.Equal(b[:n], bytes.Repeat(b[:1], n)) {
			return fmt.Errorf("tunnel: other bytes: %x", b[:n])
		}
		done(time.Since(began))
		pause(ctx, rng, 50*time.Millisecond)
	}
	return nil
}

// visitSessions opens WebTransport sessions through tunnels: the edge carries their packets.
func visitSessions(ctx context.Context, d *deployment, rng *rand.Rand, done func(time.Duration)) error {
	tr := newTransport()
	defer tr.Close()
	c := &masque.Client{Transport: tr, Proxy: d.base()}
	dialer := &webtransport.Dialer{TLSClientConfig: conntest.ClientTLS(), NewConn: c.DialQUIC}
	defer dialer.Close()
	for ctx.Err() == nil {
		began := time.Now()
		if err := visitSession(ctx, dialer, d.h3, rng); err != nil {
			return err
		}
		done(time.Since(began))
		pause(ctx, rng, 2*time.Second)
	}
	return nil
}

func visitSession(ctx context.Context, dialer *webtransport.Dialer, addr string, rng *rand.Rand) error {
	opening, cancel := patience()
	defer cancel()
	s, _, err := dialer.Dial(opening, "https://"+addr+"/session", nil)
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}
	defer s.Close()
	for i := 0; i < 5 && ctx.Err() == nil; i++ {
		st, err := s.OpenStream(opening, conn.Bidi)
		if err != nil {
			return fmt.Errorf("session: %w", err)
		}
		n := rng.IntN(50_000)
		wrote := make(chan error, 1)
		go func() {
			_, err := io.CopyN(st, new(pattern), int64(n))
			wrote <- errors.Join(err, st.CloseWrite())
		}()
		got, err := io.Copy(new(pattern), st)
		if err := errors.Join(err, <-wrote); err != nil || got != int64(n) {
			return fmt.Errorf("session: %d bytes of %d came back: %w", got, n, err)
		}
		if err := s.SendDatagram(opening, []byte("x"), 0); err != nil {
			return fmt.Errorf("session: datagram: %w", err)
		}
	}
	return nil
}

// visitBriefly makes a connection for each request. Some of them it forgets.
func visitBriefly(ctx context.Context, d *deployment, rng *rand.Rand, done func(time.Duration)) error {
	for ctx.Err() == nil {
		socket, err := udpio.Listen("udp", "127.0.0.1:0", nil)
		if err != nil {
			return err
		}
		g, err := loop.New(nil, socket)
		if err != nil {
			return err
		}
		tr := newTransport()
		tr.Dial = g.Dial
		began := time.Now()
		err = get(tr, d.base(), 1000, 1000)
		done(time.Since(began))
		if rng.IntN(10) == 0 {
			socket.Close() // nobody hears of the end
		}
		tr.Close()
		g.Close()
		if err != nil {
			return err
		}
		pause(ctx, rng, time.Second)
	}
	return nil
}

// visitMoving downloads, and moves its connections from socket to socket meanwhile.
func visitMoving(ctx context.Context, d *deployment, rng *rand.Rand, done func(time.Duration)) error {
	socket, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		return err
	}
	g, err := loop.New(nil, socket)
	if err != nil {
		return err
	}
	defer g.Close()
	other, err := socket.AddLocal("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	locals := []netip.AddrPort{other, socket.LocalAddr()}
	for ctx.Err() == nil {
		if err := visitMovingOne(ctx, d, rng, g, locals, done); err != nil {
			return err
		}
		pause(ctx, rng, 2*time.Second)
	}
	return nil
}

func visitMovingOne(ctx context.Context, d *deployment, rng *rand.Rand, g *loop.Group, locals []netip.AddrPort, done func(time.Duration)) error {
	dialing, cancel := patience()
	defer cancel()
	c, err := g.Dial(dialing, d.addr.String(), &conn.Config{TLS: h3TLS(), KeepAlive: keepAlive, HandshakeTimeout: handshakeTimeout, MaxDatagramFrameSize: 65535})
	if err != nil {
		return err
	}
	tr := newTransport()
	defer tr.Close()
	over, err := tr.Attach(dialing, c, false)
	if err != nil {
		return err
	}
	defer c.Close(0x100, "")
	loaded := make(chan error, 1)
	go func() { loaded <- get(over, d.base(), 1<<20, 1<<20) }()
	for i := 0; ; i++ {
		select {
		case err := <-loaded:
			return err
		case <-time.After(time.Duration(rng.IntN(20)) * time.Millisecond):
		}
		began := time.Now()
		if err := c.Migrate(dialing, locals[i%2]); err == nil { // or no ID is left for another path
			done(time.Since(began))
		}
	}
}
