package conn_test

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// TestSnapshot: snapshots follow a connection from its first packet to its end, and change nothing.
func TestSnapshot(t *testing.T) {
	run := func(t *testing.T, look func(n *conntest.Network, c *conn.Conn, state string, check func(conn.Snapshot))) [32]byte {
		rnd := conntest.Seed(t, 7)
		n := conntest.New(t, 7)
		n.Default = conntest.Link{Delay: 10 * time.Millisecond}
		sc := conntest.ServerConfig()
		sc.InitialMaxStreamsUni = 20
		server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
		client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
		c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
		require.NoError(t, err)
		look(n, c, "attempted", func(s conn.Snapshot) { require.Zero(t, s.StreamCount) })
		n.RunUntil(time.Second, c.HandshakeComplete)
		look(n, c, "handshake_complete", func(conn.Snapshot) {})
		n.RunFor(time.Second)
		for range 20 {
			s, err := c.OpenStream(conn.Uni)
			require.NoError(t, err)
			s.Write(make([]byte, 1000))
		}
		n.RunFor(time.Second)
		look(n, c, "handshake_confirmed", func(s conn.Snapshot) {
			require.Equal(t, 20, s.StreamCount)
			require.Len(t, s.Streams, 5)
			for i, st := range s.Streams {
				require.True(t, i == 0 || st.ID > s.Streams[i-1].ID, "in order")
				require.Equal(t, []uint64{1000, 1000, 0}, []uint64{st.Written, st.Sent, st.Received})
				require.False(t, st.Blocked)
			}
			require.EqualValues(t, 20_000, s.Sent)
			require.Positive(t, s.Held)
			require.InDelta(t, 2.02, s.Age.Seconds(), 0.1)
			require.Greater(t, s.Quiet, 500*time.Millisecond)
		})
		c.Close(5, "bye")
		n.RunFor(time.Minute)
		look(n, c, "closed", func(s conn.Snapshot) {
			require.ErrorContains(t, s.Err, "bye")
			require.Zero(t, len(s.Streams))
		})
		return n.Transcript()
	}
	with := run(t, func(n *conntest.Network, c *conn.Conn, state string, check func(conn.Snapshot)) {
		s := c.Snapshot(n.Now(), 5)
		require.Equal(t, state, s.State)
		require.Equal(t, c.Stats(), s.Stats)
		require.True(t, len(s.Paths) == 1 && s.Paths[0].InUse && s.Paths[0].Remote == c.RemoteAddr(), "%+v", s.Paths)
		check(s)
	})
	without := run(t, func(*conntest.Network, *conn.Conn, string, func(conn.Snapshot)) {})
	require.Equal(t, with, without)
}
