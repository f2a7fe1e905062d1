package interop

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/quic-go/quic-go"
)

// datagrams is how many of them each test sends. Each is sent after the answer to the one before.
const datagrams = 500

// TestDatagramsServer has quic-go send datagrams, and sends them back.
func TestDatagramsServer(t *testing.T) {
	ctx := testContext(t)
	server, client := tlsConfigs(t, alpn)
	g := ownServer(t, conn.EndpointConfig{Server: ownConfig(server)}, func(ctx context.Context, c *loop.Conn) {
		b := make([]byte, 1500)
		for {
			n, err := c.ReceiveDatagram(ctx, b)
			if err != nil || c.SendDatagram(ctx, b[:n], 0) != nil {
				return
			}
		}
	})
	c, err := foreignTransport(t).Dial(ctx, net.UDPAddrFromAddrPort(g.LocalAddr()), client, foreignConfig())
	require.NoError(t, err)
	for i := range datagrams {
		sent := numbered(i)
		require.NoError(t, c.SendDatagram(sent))
		got, err := c.ReceiveDatagram(ctx)
		require.NoError(t, err, "datagram %d", i)
		require.Equal(t, sent, got)
	}
}

// TestDatagramsClient sends datagrams to quic-go, and they come back.
func TestDatagramsClient(t *testing.T) {
	ctx := testContext(t)
	server, client := tlsConfigs(t, alpn)
	longest := make(chan int, 1) // it may be longer than the datagrams that quic-go sends
	addr := foreignServer(t, foreignTransport(t), server, func(ctx context.Context, c *quic.Conn) {
		for {
			b, err := c.ReceiveDatagram(ctx)
			if err != nil {
				return
			}
			if len(b) > 1100 {
				longest <- len(b)
			} else if c.SendDatagram(b) != nil {
				return
			}
		}
	})
	c := ownDial(ctx, t, addr, ownConfig(client))
	b := make([]byte, 1500)
	for i := range datagrams {
		sent := numbered(i)
		require.NoError(t, c.SendDatagram(ctx, sent, 0))
		n, err := c.ReceiveDatagram(ctx, b)
		require.NoError(t, err, "datagram %d", i)
		require.Equal(t, sent, b[:n])
	}
	require.Eventually(t, func() bool { return c.MaxDatagramSize() > 1350 }, time.Minute, time.Millisecond, "the path MTU is found")
	most := c.MaxDatagramSize()
	require.True(t, errors.Is(c.SendDatagram(ctx, make([]byte, most+1), 0), conn.ErrTooLarge))
	require.NoError(t, c.SendDatagram(ctx, make([]byte, most), 0))
	require.Equal(t, most, <-longest)
}

// numbered returns datagram i. Its length varies with i, and no two are equal.
func numbered(i int) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, i*2), uint64(i))
}
