package programs

import (
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestMigration moves a connection from one interface to another while a stream is open.
func TestMigration(t *testing.T) {
	ctx := testContext(t)
	server, client := protos("echo")
	g := listen(t, 2, &loop.Config{Endpoint: conn.EndpointConfig{Server: &conn.Config{TLS: server}}})
	go echo(ctx, g)

	wifi, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	first := wifi.LocalAddr()
	own, err := loop.New(nil, wifi)
	require.NoError(t, err)
	defer own.Close()
	c, err := own.Dial(ctx, g.LocalAddr().String(), &conn.Config{TLS: client})
	require.NoError(t, err)
	s, err := c.OpenStream(ctx, conn.Bidi)
	require.NoError(t, err)
	say(t, s, "on Wi-Fi")

	lte, err := wifi.AddLocal("udp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, c.Migrate(ctx, lte))
	require.Equal(t, lte, c.LocalAddr())
	require.NoError(t, wifi.RemoveLocal(first))
	say(t, s, "on LTE")
	require.EqualValues(t, 1, c.Stats().PathChanges)
}
