package conn_test

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// Layers above keep bytes of connections: Conn.Hold. After each step CheckMemory checks that they
// are in the account, and that all together keep to the limit.

// What a layer above keeps counts for its connection until that ends, and not beyond.
func TestHoldCounts(t *testing.T) {
	h := newHoard(t, 4<<20)
	c, server := h.dial()
	before := h.server.Stats()
	server.Hold(100_000)
	server.Hold(-40_000)
	h.RunFor(time.Second)
	st := h.server.Stats()
	require.Equal(t, int64(60_000), st.Held-before.Held)
	require.Equal(t, int64(60_000), st.HeldBy.Above-before.HeldBy.Above)
	require.Equal(t, st.Held, h.server.Held())

	server.Hold(-100_000) // more than there is
	h.RunFor(time.Second)
	require.Equal(t, before.Held, h.server.Stats().Held)

	server.Hold(70_000)
	c.Close(0, "")
	h.RunFor(time.Minute)
	server.Hold(70_000)
	require.Zero(t, h.server.Stats().Held)
	require.Zero(t, h.server.Stats().HeldBy.Above)

	h.server.Endpoint.Hold(5000) // what is kept beyond the end
	h.RunFor(time.Second)
	require.Equal(t, int64(5000), h.server.Stats().Held)
	h.server.Endpoint.Hold(-5000)
	h.RunFor(time.Second)
}

// What layers above keep takes room from what connections may hold, and from the buffers of those
// layers.
func TestHoldTakesRoom(t *testing.T) {
	const most = 1 << 20
	h := newHoard(t, most)
	client, server := h.dial()
	require.Equal(t, 256<<10, h.server.BufferRoom(256<<10, 4096))
	server.Hold(most*3/8 - h.server.Held())
	require.Equal(t, 128<<10, h.server.BufferRoom(256<<10, 4096))
	server.Hold(most / 4)
	require.Equal(t, 4096, h.server.BufferRoom(256<<10, 4096))
	require.Equal(t, 0, h.server.BufferRoom(256<<10, 0))
	require.Equal(t, 100, h.server.BufferRoom(100, 4096))

	server.Hold(most*15/16 - h.server.Held() - 20<<10)
	s, err := client.OpenStream(conn.Bidi)
	require.NoError(t, err)
	s.Write(make([]byte, 256<<10))
	h.RunFor(time.Second)
	require.Positive(t, h.server.Stats().DroppedLimit, "what the peer sends finds no room")
	require.LessOrEqual(t, h.server.Held(), int64(most))
	require.NoError(t, server.Err())
}

// Hold cannot be refused. If it goes beyond the limit, the connection that holds most ends, and the
// others go on.
func TestHoldKeepsToMaxBuffered(t *testing.T) {
	const most = 1 << 20
	h := newHoard(t, most)
	_, first := h.dial()
	_, second := h.dial()
	c, honest := h.dial()
	h.honest = honest
	for first.Err() == nil {
		first.Hold(20_000)
		second.Hold(10_000)
		h.server.HandleTimeout(h.Now()) // a verb
		require.LessOrEqual(t, h.server.Held()-h.server.Leaving(), int64(most))
	}
	h.RunFor(time.Second)
	require.ErrorContains(t, first.Err(), "holds most")
	require.NoError(t, second.Err())
	s, err := c.OpenStream(conn.Uni)
	require.NoError(t, err)
	s.Write(numbered(50_000))
	h.RunUntil(10*time.Second, func() bool { return h.got == 50_000 })
}
