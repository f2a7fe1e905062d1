package debug

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// A world is a server and a client on a simulated network, in virtual time.
type world struct {
	t              *testing.T
	pages          *Pages // about the server
	server, client *loop.Group
}

func run(t *testing.T, change func(*conn.Config, *loop.Config), f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		n := looptest.New(t, 1, conntest.Link{Delay: 10 * time.Millisecond})
		w := &world{t: t, pages: new(Pages)}
		sc := conntest.ServerConfig()
		cfg := &loop.Config{Endpoint: conn.EndpointConfig{Server: sc}}
		if change != nil {
			change(sc, cfg)
		}
		w.pages.Observe(cfg)
		var err error
		w.server, err = loop.New(cfg, n.Listen("10.0.0.1:443"))
		require.NoError(t, err)
		w.client, err = loop.New(nil, n.Listen("10.0.0.2:5000"))
		require.NoError(t, err)
		defer w.server.Close()
		defer w.client.Close()
		w.pages.AddGroup(w.server)
		f(t, w)
	})
}

func (w *world) dial() (client, server *loop.Conn) {
	w.t.Helper()
	client, err := w.client.Dial(w.t.Context(), "10.0.0.1:443", conntest.ClientConfig())
	require.NoError(w.t, err)
	server, err = w.server.Accept(w.t.Context())
	require.NoError(w.t, err)
	return client, server
}

// get asks the pages.
func get(t *testing.T, h http.Handler, query string) (status int, body string) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/debug/quic/"+query, nil))
	return rec.Code, rec.Body.String()
}

// decode asks the pages for JSON.
func decode[T any](t *testing.T, h http.Handler, query string) (v T) {
	t.Helper()
	status, body := get(t, h, query)
	require.Equal(t, http.StatusOK, status, "%s", body)
	require.NoError(t, json.Unmarshal([]byte(body), &v), "%s", body)
	return v
}

// A whole is a connection with all that its page has.
type whole struct {
	connection
	more
}

// TestConnection: the page of a connection shows its state by construction: a stream that waits for
// the limit of the peer, round trips of 20 ms, and how long nothing has happened.
func TestConnection(t *testing.T) {
	run(t, func(sc *conn.Config, _ *loop.Config) {
		sc.InitialMaxStreamData, sc.MaxStreamData, sc.KeepAlive = 10_000, 10_000, 0
	}, func(t *testing.T, w *world) {
		c, server := w.dial()
		other := new(Pages)
		other.AddGroup(w.client)
		s, err := c.OpenStream(t.Context(), conn.Uni)
		require.NoError(t, err)
		go s.Write([]byte(strings.Repeat("payload", 5000)))
		time.Sleep(5 * time.Second)

		l := decode[list](t, w.pages, "?format=json")
		require.Equal(t, 1, l.Total)
		require.Len(t, l.Connections, 1)
		got := l.Connections[0]
		require.Equal(t, c.ID().String(), got.ID)
		require.Equal(t, []string{"server", "handshake_confirmed", "0x1", "10.0.0.1:443", "10.0.0.2:5000"},
			[]string{got.Side, got.State, got.Version, got.Local, got.Remote})
		require.Equal(t, 1, got.Streams)
		require.InDelta(t, 0.02, got.MinRTT, 0.001)
		require.Greater(t, got.Held, 10_000)
		require.Nil(t, got.more)
		st := server.Stats()
		require.Equal(t, []uint64{st.PacketsSent, st.PacketsReceived, st.BytesSent, st.BytesReceived, st.CongestionWindow},
			[]uint64{got.PacketsSent, got.PacketsReceived, got.BytesSent, got.BytesReceived, got.Window})

		id := fmt.Sprintf("?format=json&conn=%v", c.ID())
		mine := decode[whole](t, other, id+"&side=client")
		require.Equal(t, "client", mine.Side)
		require.InDelta(t, 5, mine.Age, 0.5)
		require.Greater(t, mine.Quiet, 3.0)
		require.EqualValues(t, 1, mine.Blocks.Stream)
		require.Len(t, mine.StreamList, 1)
		require.Equal(t, "ready", mine.StreamList[0].SendState)
		require.Equal(t, "", mine.StreamList[0].ReceiveState)
		require.Equal(t, []uint64{2, 10_000, 10_000}, []uint64{mine.StreamList[0].ID, mine.StreamList[0].Sent, mine.StreamList[0].SendLimit})
		require.True(t, mine.StreamList[0].Blocked)
		require.EqualValues(t, 10_000, mine.DataSent)
		require.Len(t, mine.Paths, 1)
		require.True(t, mine.Paths[0].InUse && mine.Paths[0].Validated, "%+v", mine.Paths)
		theirs := decode[whole](t, w.pages, id)
		require.EqualValues(t, 10_000, theirs.StreamList[0].Received)
		require.False(t, theirs.StreamList[0].Blocked)

		for _, query := range []string{"", "?format=json", id, strings.Replace(id, "format=json&", "", 1)} {
			status, body := get(t, w.pages, query)
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, body, c.ID().String())
			require.NotContains(t, body, "payload")
		}
		status, _ := get(t, w.pages, id+"&side=client")
		require.Equal(t, http.StatusNotFound, status)
	})
}

// TestWaits: the list says what data waits for, here the limit of the connection.
func TestWaits(t *testing.T) {
	run(t, func(sc *conn.Config, _ *loop.Config) { sc.InitialMaxData, sc.MaxData = 10_000, 10_000 }, func(t *testing.T, w *world) {
		c, _ := w.dial()
		s, err := c.OpenStream(t.Context(), conn.Uni)
		require.NoError(t, err)
		go s.Write(make([]byte, 30_000))
		time.Sleep(time.Second)
		require.Equal(t, "connection_flow_control", decode[list](t, Handler(w.client), "?format=json").Connections[0].Waits)
		require.Equal(t, "", decode[list](t, w.pages, "?format=json").Connections[0].Waits)
	})
}

// TestPagination: the pages of the list have each connection once, up to the bound.
func TestPagination(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		const n = 2*perPage + 30
		for range n {
			w.dial()
		}
		seen := map[string]bool{}
		for page, want := range []int{perPage, perPage, 30, 0} {
			l := decode[list](t, w.pages, fmt.Sprintf("?format=json&page=%d", page))
			require.Equal(t, []int{n, 3, page}, []int{l.Total, l.Pages, l.Page})
			require.Len(t, l.Connections, want)
			require.False(t, l.More)
			for _, c := range l.Connections {
				require.False(t, seen[c.ID], "twice")
				seen[c.ID] = true
			}
		}
		_, body := get(t, w.pages, "?page=1")
		require.Contains(t, body, `<a href="?page=0">previous</a>`)
		require.Contains(t, body, `<a href="?page=2">next</a>`)

		// Two Groups follow each other: the second begins in the middle of a page.
		both := new(Pages)
		both.AddGroup(w.server)
		both.AddGroup(w.client)
		l := decode[list](t, both, "?format=json&page=2")
		require.Equal(t, []int{2 * n, 5, 2}, []int{l.Total, l.Pages, l.Loops})
		sides := map[string]int{}
		for _, c := range l.Connections {
			sides[c.Side]++
		}
		require.Equal(t, map[string]int{"server": 30, "client": perPage - 30}, sides)

		w.pages.most = 50
		l = decode[list](t, w.pages, "?format=json")
		require.Equal(t, []int{50, 1}, []int{l.Total, l.Pages})
		require.Len(t, l.Connections, 50)
		require.True(t, l.More)
		for _, query := range []string{"?page=-1", "?page=x", "?page=99999999999999999999"} {
			status, _ := get(t, w.pages, query)
			require.Equal(t, http.StatusOK, status, "%s", query)
		}
	})
}

// told counts what an Observer is told.
type told struct{ done, closed, rtts, turns int }

func (o *told) HandshakeDone(*conn.Conn, time.Duration)     { o.done++ }
func (o *told) ConnClosed(*conn.Conn, error, time.Duration) { o.closed++ }
func (o *told) RTTSample(*conn.Conn, time.Duration)         { o.rtts++ }
func (o *told) TurnDone(time.Duration, time.Duration)       { o.turns++ }

// TestEnded: the list remembers the connections that ended last, the peer's reason is text, and an
// Observer that was there is told as before.
func TestEnded(t *testing.T) {
	const evil = `</td><script>alert("x")</script>`
	before := new(told)
	observe := func(_ *conn.Config, cfg *loop.Config) { cfg.Observe = func(int) loop.Observer { return before } }
	run(t, observe, func(t *testing.T, w *world) {
		for i := range maxEnded + 5 {
			c, _ := w.dial()
			c.Close(uint64(i), evil)
			time.Sleep(time.Second)
		}
		l := decode[list](t, w.pages, "?format=json")
		require.Equal(t, 0, l.Total)
		require.Len(t, l.Ended, maxEnded)
		for i, e := range l.Ended {
			require.Contains(t, e.Error, fmt.Sprintf("%#x", maxEnded+4-i))
			require.Contains(t, e.Error, evil)
			require.Equal(t, "10.0.0.2:5000", e.Remote)
		}
		_, body := get(t, w.pages, "")
		require.NotContains(t, body, "<script>alert")
		require.Contains(t, body, "&lt;script&gt;alert")
		require.NoError(t, w.server.Close())
		require.Equal(t, maxEnded+5, before.done)
		require.Equal(t, maxEnded+5, before.closed)
		require.Positive(t, before.rtts)
		require.Positive(t, before.turns)
	})
}

// TestAnswers: what the handler answers where there is nothing to show.
func TestAnswers(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		c, _ := w.dial()
		for _, query := range []string{"?conn=x", "?conn=%00%ff", "?conn=" + strings.Repeat("a", 10_000)} {
			status, body := get(t, w.pages, query)
			require.Equal(t, http.StatusNotFound, status)
			require.Less(t, len(body), 200)
		}
		rec := httptest.NewRecorder()
		w.pages.ServeHTTP(rec, httptest.NewRequest("POST", "/", nil))
		require.Equal(t, http.StatusMethodNotAllowed, rec.Code)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		busy := make(chan struct{})
		w.server.Loops()[0].Post(func(time.Time) { <-busy }) // a Loop that does not answer
		rec = httptest.NewRecorder()
		w.pages.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		require.Equal(t, http.StatusServiceUnavailable, rec.Code)
		close(busy)

		require.NoError(t, w.server.Close())
		l := decode[list](t, w.pages, "?format=json")
		require.Equal(t, []int{0, 1, 1}, []int{l.Total, l.Loops, l.Stopped})
		status, _ := get(t, w.pages, fmt.Sprintf("?conn=%v", c.ID()))
		require.Equal(t, http.StatusNotFound, status)
	})
}
