package masque

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
)

// RFC 9298, Section 3.5 [2]; RFC 9298, Section 6 [1, 2].
func TestTunnel(t *testing.T) {
	p := newPair(t)
	target := newEcho(t)
	c := p.dial(target)
	require.Equal(t, target, c.RemoteAddr().String())
	require.Equal(t, "127.0.0.1", c.LocalAddr().(*net.UDPAddr).IP.String())
	for i := range 100 {
		exchange(t, c, []byte(strings.Repeat("x", i*10)))
	}
	st := c.Stats()
	require.EqualValues(t, 100, st.Sent)
	require.EqualValues(t, 100, st.Received)
	require.EqualValues(t, 49500, st.SentBytes)
	want := ProxyStats{Stats: Stats{Sent: 100, SentBytes: 49500, Received: 100, ReceivedBytes: 49500}, Tunnels: 1, Opened: 1}
	require.Eventually(t, func() bool { return p.proxy.Stats() == want }, soon, time.Millisecond, "what was sent is counted afterwards")

	require.NoError(t, c.Close())
	require.ErrorIs(t, c.Close(), net.ErrClosed)
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = c.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	require.Eventually(t, func() bool { return p.proxy.Stats().Tunnels == 0 }, soon, time.Millisecond)
}

// TestQUICThroughTunnel runs HTTP/3 over QUIC through the proxy.
func TestQUICThroughTunnel(t *testing.T) {
	for name, change := range map[string]func(*pair){
		"datagrams": func(*pair) {},
		"capsules":  noDatagrams,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, change)
			getThrough(t, p.client.DialQUIC, newOrigin(t), 10)
			require.Eventually(t, func() bool { return p.proxy.Stats().Tunnels == 0 }, soon, time.Millisecond,
				"the tunnel ends with the connection")
			st := p.proxy.Stats()
			require.Greater(t, st.ReceivedBytes, uint64(1000))
			require.Greater(t, st.SentBytes, uint64(5_500_000))
			if name == "capsules" {
				require.Equal(t, st.Received, st.CapsulesReceived)
				require.Equal(t, st.Sent, st.CapsulesSent)
			} else {
				require.Less(t, st.CapsulesSent, st.Sent/10, "for the time before the path MTU is known")
			}
		})
	}
}

// TestQUICThroughBadNetwork: the network between the client and the proxy loses, delays and
// reorders.
func TestQUICThroughBadNetwork(t *testing.T) {
	p := newPair(t)
	bad := netrelay.Link{Delay: 5 * time.Millisecond, Loss: 0.02, Reorder: 0.01}
	relay, err := netrelay.New(netrelay.Config{Server: mustParse(p.url[len("https://"):]), Up: bad, Down: bad, Seed: 1})
	require.NoError(t, err)
	defer relay.Close()
	p.client.Proxy = "https://" + relay.Addr().String()
	getThrough(t, p.client.DialQUIC, newOrigin(t), 3)
	require.EqualValues(t, 1, p.proxy.Stats().Opened)
}

func TestTargetOverIPv6(t *testing.T) {
	p := newPair(t)
	c := p.dial(newEchoOn(t, "[::1]:0"))
	exchange(t, c, []byte("x"))
	require.Equal(t, "::1", c.RemoteAddr().(*net.UDPAddr).IP.String())
}

// TestAnswersOfOthers: datagrams that do not come from the target stay out of the tunnel.
// RFC 9298, Section 3.1 [4, 5].
func TestAnswersOfOthers(t *testing.T) {
	p := newPair(t)
	target, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer target.Close()
	c := p.dial(target.LocalAddr().String())
	_, err = c.Write([]byte("hello"))
	require.NoError(t, err)
	b := make([]byte, 100)
	_, from, err := target.ReadFrom(b)
	require.NoError(t, err)
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer other.Close()
	_, err = other.WriteTo([]byte("spoofed"), from)
	require.NoError(t, err)
	_, err = target.WriteTo([]byte("hello, too"), from)
	require.NoError(t, err)
	n, err := c.Read(b)
	require.NoError(t, err)
	require.Equal(t, "hello, too", string(b[:n]))
}

// TestManyTunnels: many tunnels share one connection to the proxy.
func TestManyTunnels(t *testing.T) {
	p := newPair(t)
	target := newEcho(t)
	var conns []*Conn
	for range 20 {
		conns = append(conns, p.dial(target))
	}
	for i, c := range conns {
		exchange(t, c, fmt.Appendf(nil, "tunnel %d", i))
	}
	require.Equal(t, 20, p.proxy.Stats().Tunnels)
}

// RFC 9298, Section 5 [2].
func TestPayloadSizes(t *testing.T) {
	p := newPair(t, func(p *pair) { p.client.CapsuleLimit, p.proxy.CapsuleLimit = 1300, 1300 })
	c := p.dial(newEcho(t))
	exchange(t, c, nil)
	exchange(t, c, make([]byte, 1300)) // perhaps in a capsule, before the path MTU is known
	require.Eventually(t, func() bool { return c.MaxPayload() > 1350 }, soon, time.Millisecond)
	// The proxy finds the path MTU by itself, perhaps later.
	large, before := make([]byte, 1310), c.Stats().Received
	for came, end := false, time.Now().Add(soon); !came; {
		require.True(t, time.Now().Before(end), "the proxy has no room")
		refused := p.proxy.Stats().TooLarge
		_, err := c.Write(large)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			came = c.Stats().Received > before
			return came || p.proxy.Stats().TooLarge > refused
		}, soon, time.Millisecond)
	}
	n, err := c.Read(make([]byte, maxPayload))
	require.NoError(t, err)
	require.Len(t, large, n)
	for _, n := range []int{c.MaxPayload() + 1, 9000, maxPayload, maxPayload + 1, 1 << 20} {
		_, err := c.Write(make([]byte, n))
		var tooLarge *dgram.TooLargeError
		require.ErrorAs(t, err, &tooLarge)
		require.Equal(t, dgram.TooLargeError{Len: n, Max: c.MaxPayload()}, *tooLarge)
		require.ErrorIs(t, err, conn.ErrTooLarge)
		require.ErrorIs(t, err, syscall.EMSGSIZE)
	}
	require.EqualValues(t, 5, c.Stats().TooLarge)
	exchange(t, c, []byte("still alive"))
}

// TestLongestPayload: the longest payload goes in capsules, because the proxy takes no datagrams.
func TestLongestPayload(t *testing.T) {
	p := newPair(t, noDatagrams)
	c := p.dial(newEcho(t))
	require.Zero(t, c.MaxPayload())
	const most = 65507 // of UDP over IPv4
	exchange(t, c, make([]byte, most))
	_, err := c.Write(make([]byte, most+1)) // the proxy's socket refuses
	require.NoError(t, err)
	exchange(t, c, []byte("x"))
	require.EqualValues(t, 1, p.proxy.Stats().Dropped)
	_, err = c.Write(make([]byte, maxPayload+1))
	require.ErrorIs(t, err, syscall.EMSGSIZE)
}

// TestDeadlines checks what nettest.TestConn would check of deadlines. That test needs a stream of
// bytes that all arrive. A tunnel carries payloads, which have borders and may be lost.
func TestDeadlines(t *testing.T) {
	p := newPair(t)
	c := p.dial(newEcho(t))
	b := make([]byte, 100)
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Millisecond)))
	_, err := c.Read(b)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	exchange(t, c, []byte("again"))

	read := make(chan error)
	go func() {
		_, err := c.Read(b)
		read <- err
	}()
	require.NoError(t, c.SetReadDeadline(time.Unix(1, 0)), "a deadline moves for those who wait")
	require.ErrorIs(t, <-read, os.ErrDeadlineExceeded)
	_, _, err = c.ReadFrom(b)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	exchange(t, c, []byte("and again"))

	go func() {
		_, err := c.Read(b)
		read <- err
	}()
	c.Close()
	require.ErrorIs(t, <-read, net.ErrClosed)
}

// TestWriteDeadline: a Write waits in a capsule that the peer does not read.
func TestWriteDeadline(t *testing.T) {
	blocked := make(chan struct{})
	p := newPair(t, noDatagrams, func(p *pair) {
		p.server.Handler = takeStream(func(s *h3http.Stream) { <-blocked })
	})
	defer close(blocked)
	c := p.dial("127.0.0.1:9")
	require.NoError(t, c.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
	var err error
	for err == nil {
		_, err = c.Write(make([]byte, 10_000))
	}
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestPacketConn(t *testing.T) {
	p := newPair(t)
	target := newEcho(t)
	var c net.PacketConn = p.dial(target)
	addr := net.UDPAddrFromAddrPort(mustParse(target))
	n, err := c.WriteTo([]byte("hello"), addr)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	b := make([]byte, 3)
	n, from, err := c.ReadFrom(b)
	require.NoError(t, err)
	require.Equal(t, "hel", string(b[:n]), "the rest is lost")
	require.Equal(t, target, from.String())
	addr.Port++
	_, err = c.WriteTo([]byte("x"), addr)
	require.Error(t, err)
}

// RFC 9298, Section 3.1 [8].
func TestIdleTunnelEnds(t *testing.T) {
	p := newPair(t, func(p *pair) { p.proxy.IdleTimeout = 50 * time.Millisecond })
	c := p.dial(newEcho(t))
	_, err := c.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	_, err = c.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	require.Eventually(t, func() bool { return p.proxy.Stats().Idle == 1 }, soon, time.Millisecond)

	p = newPair(t, func(p *pair) { p.proxy.IdleTimeout = -1 })
	exchange(t, p.dial(newEcho(t)), []byte("x"))
	require.Equal(t, 2*time.Minute, new(Proxy).idleTimeout()) // RFC 9298, Section 3.1 [9]
}

// TestUnusableSocket: an ICMP message says that nobody listens.
// RFC 9298, Section 3.1 [7].
func TestUnusableSocket(t *testing.T) {
	// A socket that is connected is closed to others, and keeps the port from them.
	nobody, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
	require.NoError(t, err)
	defer nobody.Close()
	p := newPair(t)
	c := p.dial(nobody.LocalAddr().String())
	_, err = c.Write([]byte("x"))
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	var reset *conn.StreamError
	require.ErrorAs(t, err, &reset)
	require.Equal(t, h3.ConnectError, h3.ErrorCode(reset.Code))
	require.Eventually(t, func() bool { return p.proxy.Stats().Tunnels == 0 }, soon, time.Millisecond)
}

// TestProxyClose: after Close of the Proxy, the server can shut down.
func TestProxyClose(t *testing.T) {
	p := newPair(t)
	c := p.dial(newEcho(t))
	exchange(t, c, []byte("x"))
	require.NoError(t, p.proxy.Close())
	_, err := c.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	_, err = p.client.Dial(t.Context(), newEcho(t))
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 503, refused.StatusCode)
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	require.NoError(t, p.server.Shutdown(ctx))
}

// TestReadAfterClose: payloads that have come can be read after the proxy has ended the tunnel.
// After Close by the user of the Conn they are gone.
func TestReadAfterClose(t *testing.T) {
	for _, change := range []func(*pair){func(*pair) {}, noDatagrams} {
		p := newPair(t, change)
		fill := func() *Conn {
			c := p.dial(newEcho(t))
			for range 3 {
				_, err := c.Write([]byte("payload"))
				require.NoError(t, err)
			}
			require.Eventually(t, func() bool { return c.Stats().Received == 3 }, soon, time.Millisecond)
			return c
		}
		b := make([]byte, 100)
		ours := fill()
		require.NoError(t, ours.Close())
		_, err := ours.Read(b)
		require.ErrorIs(t, err, net.ErrClosed)
		_, _, err = ours.ReadFrom(b)
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, ours.SetDeadline(time.Unix(1, 0)))
		_, err = ours.Read(b)
		require.ErrorIs(t, err, net.ErrClosed, "whatever the deadline: who tries again after it would never end")
		_, err = ours.Write(b)
		require.ErrorIs(t, err, net.ErrClosed)

		theirs := fill()
		require.NoError(t, p.proxy.Close())
		for range 3 {
			n, err := theirs.Read(b)
			require.NoError(t, err)
			require.Equal(t, "payload", string(b[:n]))
		}
		_, err = theirs.Read(b)
		require.Equal(t, io.EOF, err)
		require.NoError(t, theirs.Close())
		_, err = theirs.Read(b)
		require.ErrorIs(t, err, net.ErrClosed, "whatever ended it before")
	}
}

// TestInboxDropsTheOldest floods a Conn from which nobody reads.
func TestInboxDropsTheOldest(t *testing.T) {
	dropped, held := 0, 0
	q := newInbox(func() { dropped++ }, func(n int) { held += n })
	for i := range inboxPayloads + 10 {
		q.push([]byte{byte(i)})
	}
	require.Equal(t, 10, dropped)
	b := make([]byte, 1<<16)
	n, err := q.read(b, newDeadline())
	require.NoError(t, err)
	require.Equal(t, []byte{10}, b[:n])
	for range 10 {
		q.push(make([]byte, 1<<16))
	}
	require.LessOrEqual(t, q.bytes, inboxBytes)
	require.LessOrEqual(t, len(q.queue)+len(q.free), inboxPayloads)
	memory := 0
	for _, b := range slices.Concat(q.queue, q.free) {
		memory += cap(b)
	}
	require.Equal(t, memory, held, "what counts is what is there")
	require.GreaterOrEqual(t, held, q.bytes)
	q.end(io.EOF, false)
	q.end(io.EOF, true)
	for {
		if n, err = q.read(b, newDeadline()); err != nil {
			break
		}
		require.Equal(t, 1<<16, n)
	}
	require.Equal(t, io.EOF, err)
	require.Zero(t, q.bytes)
	q.close()
	require.Zero(t, held)
}
