package interop

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/quic-go/quic-go"
)

// TestCloseCodes closes connections with a code and a reason from either side.
func TestCloseCodes(t *testing.T) {
	ctx := testContext(t)
	server, client := tlsConfigs(t, alpn)
	t.Run("ByForeignClient", func(t *testing.T) {
		closed := make(chan error, 1)
		g := ownServer(t, conn.EndpointConfig{Server: ownConfig(server)}, func(ctx context.Context, c *loop.Conn) {
			ownEcho(ctx, c)
			<-c.Context().Done()
			closed <- context.Cause(c.Context())
		})
		c, err := foreignTransport(t).Dial(ctx, net.UDPAddrFromAddrPort(g.LocalAddr()), client, foreignConfig())
		require.NoError(t, err)
		foreignExchange(ctx, t, c, 1, 1000)
		require.NoError(t, c.CloseWithError(0x1234, "enough"))
		var ours *conn.ApplicationError
		require.ErrorAs(t, <-closed, &ours)
		require.Equal(t, conn.ApplicationError{Code: 0x1234, Reason: "enough", Remote: true}, *ours)
	})
	t.Run("ByOwnServer", func(t *testing.T) {
		g := ownServer(t, conn.EndpointConfig{Server: ownConfig(server)}, func(ctx context.Context, c *loop.Conn) {
			c.Close(0x4321, "no more")
		})
		c, err := foreignTransport(t).Dial(ctx, net.UDPAddrFromAddrPort(g.LocalAddr()), client, foreignConfig())
		require.NoError(t, err)
		requireForeignClosed(t, c, 0x4321, "no more")
	})
	t.Run("ByOwnClient", func(t *testing.T) {
		accepted := make(chan *quic.Conn, 1)
		addr := foreignServer(t, foreignTransport(t), server, func(_ context.Context, c *quic.Conn) { accepted <- c })
		c := ownDial(ctx, t, addr, ownConfig(client))
		require.NoError(t, c.Close(7, "bye"))
		requireForeignClosed(t, <-accepted, 7, "bye")
	})
	t.Run("ByForeignServer", func(t *testing.T) {
		addr := foreignServer(t, foreignTransport(t), server, func(_ context.Context, c *quic.Conn) {
			c.CloseWithError(8, "go away")
		})
		c := ownDial(ctx, t, addr, ownConfig(client))
		<-c.Context().Done()
		var ours *conn.ApplicationError
		require.ErrorAs(t, context.Cause(c.Context()), &ours)
		require.Equal(t, conn.ApplicationError{Code: 8, Reason: "go away", Remote: true}, *ours)
	})
}

// requireForeignClosed waits until c is closed, and fails unless this side closed it with code and
// reason.
func requireForeignClosed(t testing.TB, c *quic.Conn, code uint64, reason string) {
	t.Helper()
	<-c.Context().Done()
	var theirs *quic.ApplicationError
	require.ErrorAs(t, context.Cause(c.Context()), &theirs)
	require.Equal(t, quic.ApplicationErrorCode(code), theirs.ErrorCode)
	require.Equal(t, reason, theirs.ErrorMessage)
	require.True(t, theirs.Remote)
}

// TestHandshakeRefused has both sides disagree on the application protocol, in both roles.
func TestHandshakeRefused(t *testing.T) {
	const noApplicationProtocol = 0x100 + 120 // RFC 9001, Section 4.8; RFC 7301
	ctx := testContext(t)
	server, client := tlsConfigs(t, alpn)
	client.NextProtos = []string{"other"}
	t.Run("ByOwnServer", func(t *testing.T) {
		g := ownServer(t, conn.EndpointConfig{Server: ownConfig(server)}, ownEcho)
		_, err := foreignTransport(t).Dial(ctx, net.UDPAddrFromAddrPort(g.LocalAddr()), client, foreignConfig())
		var theirs *quic.TransportError
		require.ErrorAs(t, err, &theirs)
		require.Equal(t, quic.TransportErrorCode(noApplicationProtocol), theirs.ErrorCode)
		require.True(t, theirs.Remote)
	})
	t.Run("ByForeignServer", func(t *testing.T) {
		addr := foreignServer(t, foreignTransport(t), server, foreignEcho)
		_, err := loop.Dial(ctx, addr.String(), ownConfig(client))
		var ours *conn.TransportError
		require.ErrorAs(t, err, &ours)
		require.Equal(t, uint64(noApplicationProtocol), ours.Code)
		require.True(t, ours.Remote)
	})
}

// TestStreamReset resets and stops streams, from either side.
func TestStreamReset(t *testing.T) {
	ctx := testContext(t)
	server, client := tlsConfigs(t, alpn)
	type ends struct {
		read, write error
	}
	theirs := make(chan ends, 1)
	addr := foreignServer(t, foreignTransport(t), server, func(ctx context.Context, c *quic.Conn) {
		s, err := c.AcceptStream(ctx)
		if !orError(t, err) {
			return
		}
		var e ends
		_, e.read = io.Copy(io.Discard, s)
		_, e.write = io.Copy(s, payload(1, 1<<40))
		theirs <- e
		s, err = c.AcceptStream(ctx)
		if !orError(t, err) {
			return
		}
		s.CancelWrite(77)
		s.CancelRead(88)
	})
	c := ownDial(ctx, t, addr, ownConfig(client))

	s, err := c.OpenStream(ctx, conn.Bidi)
	require.NoError(t, err)
	_, err = s.Write([]byte("hello"))
	require.NoError(t, err)
	s.Reset(55)
	s.StopSending(66)
	got := <-theirs
	requireStreamError(t, got.read, 55)
	requireStreamError(t, got.write, 66)

	s, err = c.OpenStream(ctx, conn.Bidi)
	require.NoError(t, err)
	_, err = s.Write([]byte("hello"))
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, s)
	var reset *conn.StreamError
	require.ErrorAs(t, err, &reset)
	require.Equal(t, conn.StreamError{ID: s.ID(), Code: 77, Remote: true}, *reset)
	_, err = io.Copy(s, payload(1, 1<<40))
	require.ErrorAs(t, err, &reset)
	require.Equal(t, conn.StreamError{ID: s.ID(), Code: 88, Remote: true}, *reset)
}

func requireStreamError(t testing.TB, err error, code uint64) {
	t.Helper()
	var theirs *quic.StreamError
	require.ErrorAs(t, err, &theirs)
	require.Equal(t, quic.StreamErrorCode(code), theirs.ErrorCode)
	require.True(t, theirs.Remote)
}

// TestStatelessResetSent forgets a connection that quic-go still has.
func TestStatelessResetSent(t *testing.T) {
	ctx := testContext(t)
	server, client := tlsConfigs(t, alpn)
	cfg := conn.EndpointConfig{Server: &conn.Config{TLS: server}, ResetKey: [32]byte{1}}
	h := newByHand(t, cfg, handleEcho)
	c, err := foreignTransport(t).Dial(ctx, h.sock.LocalAddr(), client, foreignConfig())
	require.NoError(t, err)
	foreignExchange(ctx, t, c, 1, 1000)

	restarted := make(chan error, 1)
	h.do(func(time.Time) {
		cfg.Rand = h.rand()
		e, err := conn.NewEndpoint(&cfg)
		h.Endpoint.Close() // sends nothing
		h.Endpoint = e
		restarted <- err
	})
	require.NoError(t, <-restarted)
	// A late acknowledgement may have brought the reset already: then these fail.
	if s, err := c.OpenStream(); err == nil {
		s.Write([]byte("is anybody there?"))
	}
	<-c.Context().Done()
	var reset *quic.StatelessResetError
	require.ErrorAs(t, context.Cause(c.Context()), &reset)
}

// A muteConn sends nothing once muted.
type muteConn struct {
	net.PacketConn
	mute atomic.Bool
}

func (c *muteConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.mute.Load() {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

// TestStatelessResetReceived has quic-go forget a connection that this side still has.
func TestStatelessResetReceived(t *testing.T) {
	ctx := testContext(t)
	server, client := tlsConfigs(t, alpn)
	sock := udpSocket(t)
	before := &muteConn{PacketConn: sock}
	key := quic.StatelessResetKey{1}
	tr := &quic.Transport{Conn: before, StatelessResetKey: &key}
	addr := foreignServer(t, tr, server, foreignEcho)
	c := ownDial(ctx, t, addr, ownConfig(client))
	ownExchange(ctx, t, c, 1, 1000)

	before.mute.Store(true)
	require.NoError(t, tr.Close())
	require.NoError(t, sock.SetReadDeadline(time.Time{}))
	after := &quic.Transport{Conn: sock, StatelessResetKey: &key}
	t.Cleanup(func() { after.Close() })
	_, err := after.Listen(server, foreignConfig())
	require.NoError(t, err)

	// A late acknowledgement may have brought the reset already: then these fail.
	if s, err := c.OpenStream(ctx, conn.Bidi); err == nil {
		s.Write([]byte("is anybody there?"))
	}
	<-c.Context().Done()
	require.True(t, errors.Is(context.Cause(c.Context()), conn.ErrStatelessReset), "%v", context.Cause(c.Context()))
}
