package conn_test

import (
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// Simulations of EndpointConfig.MaxBuffered. After each step of every one, CheckMemory checks that
// no more is held, and that the account is right.

// A hoard is a server that reads only from honest clients.
type hoard struct {
	*simulation
	server, client *conntest.Node
	honest         *conn.Conn // the server's side
	got            int64      // bytes from the honest client, each as it should be
	closed         int
}

func newHoard(t *testing.T, most int64) *hoard {
	h := &hoard{simulation: simulate(t, 1)}
	h.Default = conntest.Link{Delay: 10 * time.Millisecond, Rate: 100e6, Queue: 1 << 20}
	rnd := conntest.Seed(t, 1)
	cfg := conntest.ServerConfig()
	cfg.MaxDatagramFrameSize = 1500
	h.server = h.Add("10.0.0.1:443", &conn.EndpointConfig{Server: cfg, Rand: rnd, MaxBuffered: most})
	h.client = h.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	h.server.OnEvent, h.client.OnEvent = h.event, discard
	return h
}

func (h *hoard) event(_ time.Time, ev conn.Event) {
	switch {
	case ev.Kind == conn.EventClosed:
		h.closed++
	case ev.Kind == conn.EventStreamReadable && ev.Conn == h.honest:
		b := make([]byte, 5000)
		for {
			n, err := ev.Stream.Read(b)
			for _, x := range b[:n] {
				if x != byte(h.got%251) {
					h.t.Fatalf("byte %d is wrong", h.got)
				}
				h.got++
			}
			if err != nil {
				return
			}
		}
	}
}

// dial connects a client, and returns both sides.
func (h *hoard) dial() (client, server *conn.Conn) {
	h.t.Helper()
	cfg := conntest.ClientConfig()
	cfg.UnsentBytes = 2 << 20
	c, err := h.client.Dial(h.Now(), conn.Target{Remote: h.server.Addr}, cfg)
	require.NoError(h.t, err)
	h.RunUntil(10*time.Second, c.HandshakeComplete)
	h.RunFor(100 * time.Millisecond)
	for s := range h.server.Conns() {
		server = s // the last one
	}
	return c, server
}

// fill connects n greedy clients. Each sends a whole window, and nobody reads it.
func (h *hoard) fill(n int) {
	h.t.Helper()
	var greedy []*conn.Conn
	for range n {
		c, _ := h.dial()
		greedy = append(greedy, c)
	}
	for _, c := range greedy {
		for range 4 {
			s, err := c.OpenStream(conn.Uni)
			require.NoError(h.t, err)
			s.Write(make([]byte, 256<<10))
		}
	}
	h.RunFor(time.Second)
}

// numbered returns the bytes that an honest client sends.
func numbered(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// Sixteen connections may send a window of 1 MiB each, and the server keeps 1 MiB of all. An honest
// one is served all the same.
func TestConnsTogetherKeepToMaxBuffered(t *testing.T) {
	const most = 1 << 20
	h := newHoard(t, most)
	c, honest := h.dial()
	h.honest = honest
	h.fill(16)
	st := h.server.Stats()
	require.LessOrEqual(t, st.Held, int64(most))
	require.Greater(t, st.Held, int64(most/2))
	require.Positive(t, st.DroppedLimit)

	for range 20 {
		s, err := c.OpenStream(conn.Uni)
		require.NoError(t, err)
		h.got = 0
		data := numbered(100_000)
		for len(data) > 0 {
			n, _ := s.Write(data)
			data = data[n:]
			h.RunFor(20 * time.Millisecond)
		}
		s.CloseWrite()
		s.Release()
		h.RunUntil(20*time.Second, func() bool { return h.got == 100_000 })
	}
	require.NoError(t, c.Err())
	require.NoError(t, honest.Err())
	require.Positive(t, h.closed, "those that hold most have ended")
}

// What the memory had no room for is not lost: it comes once there is some.
// RFC 9000, Section 13.1 [1].
func TestRefusedDataComesAgain(t *testing.T) {
	h := newHoard(t, 200<<10)
	c, server := h.dial()
	var in *conn.Stream
	h.server.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind == conn.EventStreamOpened && ev.Conn == server {
			in = ev.Stream
		}
	}
	s, err := c.OpenStream(conn.Uni)
	require.NoError(t, err)
	want := numbered(250 << 10)
	n, _ := s.Write(want)
	require.Equal(t, len(want), n)
	s.CloseWrite()
	h.RunFor(5 * time.Second)
	require.Positive(t, h.server.Stats().DroppedLimit)
	require.LessOrEqual(t, h.server.Stats().Held, int64(200<<10))

	var got []byte
	b := make([]byte, 10_000)
	for range 100 {
		n, err := in.Read(b)
		got = append(got, b[:n]...)
		if err == io.EOF {
			break
		}
		h.RunFor(time.Second)
	}
	require.Equal(t, want, got)
	require.NoError(t, c.Err())
}

// Unread datagrams count, and those that find no room are dropped.
func TestUnreadDatagramsKeepToMaxBuffered(t *testing.T) {
	const most = 256 << 10
	h := newHoard(t, most)
	var all []*conn.Conn
	for range 4 {
		c, _ := h.dial()
		all = append(all, c)
	}
	for _, c := range all {
		for range 300 {
			c.SendDatagram(make([]byte, c.MaxDatagramSize()), conn.DatagramOptions{})
			h.RunFor(time.Millisecond)
		}
	}
	h.RunFor(time.Second)
	st := h.server.Stats()
	require.LessOrEqual(t, st.Held, int64(most))
	require.Greater(t, st.Held, int64(most/2))
	dropped := uint64(0)
	for c := range h.server.Conns() {
		dropped += c.Stats().DatagramsDropped
	}
	require.Positive(t, dropped)
}

// Thousands of streams that one frame opens count, too.
func TestStreamsKeepToMaxBuffered(t *testing.T) {
	const most = 1 << 20
	h := newHoard(t, most)
	cfg := conntest.ServerConfig()
	cfg.InitialMaxStreamsUni = 1e6
	h.server = h.Add("10.0.0.3:443", &conn.EndpointConfig{Server: cfg, Rand: conntest.Seed(t, 2), MaxBuffered: most})
	h.server.OnEvent = discard
	c, _ := h.dial()
	var last *conn.Stream
	for range 4000 {
		s, err := c.OpenStream(conn.Uni)
		require.NoError(t, err)
		last = s
	}
	last.Write([]byte("x"))
	h.RunFor(time.Second)
	require.LessOrEqual(t, h.server.Stats().Held, int64(most))
	require.Positive(t, h.server.Stats().DroppedLimit)
	require.NoError(t, c.Err())
}

// Who found no room to write is told when there is some.
func TestWriteWaitsForRoom(t *testing.T) {
	h := newHoard(t, 300<<10)
	_, server := h.dial()
	h.fill(2)
	h.honest = server
	s, err := server.OpenStream(conn.Uni)
	require.NoError(t, err)
	total, writable := 0, 0
	write := func() {
		for {
			n, err := s.Write(make([]byte, 1000))
			total += n
			if err != nil {
				return
			}
		}
	}
	write()
	require.LessOrEqual(t, h.server.Stats().Held, int64(300<<10))
	h.server.OnEvent = func(now time.Time, ev conn.Event) {
		if ev.Kind == conn.EventStreamWritable && ev.Stream == s {
			writable++
			if total < 500_000 {
				write()
			}
		}
	}
	h.RunFor(time.Minute)
	require.Positive(t, writable)
	require.GreaterOrEqual(t, total, 500_000)
}
