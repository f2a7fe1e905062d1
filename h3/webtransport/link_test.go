package webtransport

import (
	"net/http"
	"sync"
	"testing"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// TestSharedConnection: a Dialer has several sessions on one connection, as many as both sides
// allow. They end one by one, and the connection with the last.
func TestSharedConnection(t *testing.T) {
	change := func(w *world) { w.d.MaxSessionsPerConn, w.up.MaxSessions = 3, 2 }
	run(t, change, func(t *testing.T, w *world) {
		a, sa := w.dial()
		b, sb := w.dial()
		require.Same(t, a.Conn(), b.Conn())
		c, sc := w.dial()
		require.True(t, a.Conn() != c.Conn(), "the server allows two")
		for _, s := range []*Session{sa, sb, sc} {
			go echo(s)
		}
		for i, s := range []*Session{a, b, c} {
			require.NoError(t, exchange(w.ctx(), s, 100<<10))
			require.NoError(t, s.SendDatagram(w.ctx(), []byte{byte(i)}, 0))
		}
		for i, s := range []*Session{a, b, c} {
			got := make([]byte, 2)
			n, err := s.ReceiveDatagram(w.ctx(), got)
			require.NoError(t, err)
			require.Equal(t, []byte{byte(i)}, got[:n])
		}

		require.NoError(t, a.Close())
		w.wait()
		require.Error(t, sa.Context().Err())
		require.NoError(t, exchange(w.ctx(), b, 100<<10))
		d, _ := w.dial() // there is room again
		require.Same(t, b.Conn(), d.Conn())
		require.NoError(t, b.Close())
		require.NoError(t, d.Close())
		<-b.Conn().Context().Done()
		require.NoError(t, c.Conn().Context().Err())
		e, _ := w.dial()
		require.Same(t, c.Conn(), e.Conn())
		c.Conn().Close(0, "")
		<-e.Context().Done()
		f, _ := w.dial()
		require.True(t, c.Conn() != f.Conn())
	})
}

// TestNoSharing: each session has a connection of its own by default, and also if one side has no
// flow control.
func TestNoSharing(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"default": nil,
		"server off": func(w *world) {
			w.d.MaxSessionsPerConn = 3
			w.up.MaxStreamsBidi, w.up.MaxStreamsUni, w.up.MaxData = -1, -1, -1
		},
		"client off": func(w *world) {
			w.d.MaxSessionsPerConn = 3
			w.d.MaxStreamsBidi, w.d.MaxStreamsUni, w.d.MaxData = -1, -1, -1
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, change, func(t *testing.T, w *world) {
				a, _ := w.dial()
				b, _ := w.dial()
				require.True(t, a.Conn() != b.Conn())
			})
		})
	}
}

// TestRefusedOnSharedConnection: where a server rejects the request for another session on a
// connection, Dial makes another connection.
func TestRefusedOnSharedConnection(t *testing.T) {
	change := func(w *world) {
		w.d.MaxSessionsPerConn = 3
		upgrade := w.handler
		var mu sync.Mutex
		seen := make(map[*loop.Conn]bool)
		w.handler = func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			again := seen[h3http.ConnOf(r)]
			seen[h3http.ConnOf(r)] = true
			mu.Unlock()
			if !again {
				upgrade(rw, r)
				return
			}
			s, err := h3http.TakeUnanswered(rw)
			require.NoError(t, err)
			s.Cancel(h3.RequestRejected)
			s.Close()
		}
	}
	run(t, change, func(t *testing.T, w *world) {
		a, _ := w.dial()
		b, _ := w.dial()
		c, _ := w.dial()
		require.True(t, a.Conn() != b.Conn() && a.Conn() != c.Conn() && b.Conn() != c.Conn())
		w.wait()
		for _, s := range []*Session{a, b, c} {
			require.NoError(t, s.Context().Err())
		}
	})
}
