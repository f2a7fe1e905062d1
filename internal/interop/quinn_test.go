package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// zeros is a body of many zeros.
var zeros = make([]byte, 10_000_000)

// TestQuinn asks a server of h3-quinn.
func TestQuinn(t *testing.T) {
	base := "https://" + quinnPeer.serve(t, "server", "--listen", "127.0.0.1:0", "--early")
	sessions := &countedSessions{ClientSessionCache: tls.NewLRUClientSessionCache(0), put: make(chan struct{}, 1)}
	c := quinnClient(t, sessions)
	t.Run("download", func(t *testing.T) { askQuinn(t, c, base, len(zeros)) })
	t.Run("upload", func(t *testing.T) {
		resp, err := c.Post(base+"/", "application/octet-stream", bytes.NewReader(zeros))
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Equal(t, 3, resp.ProtoMajor)
	})
	t.Run("300 at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 300 { // it has 128 streams
			wg.Go(func() { askQuinn(t, c, base, 1000+i) })
		}
		wg.Wait()
	})
	t.Run("cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", base+"/1000000000", nil)
		require.NoError(t, err)
		resp, err := c.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		_, err = io.ReadFull(resp.Body, make([]byte, 100_000))
		require.NoError(t, err)
		cancel()
		_, err = io.Copy(io.Discard, resp.Body)
		require.ErrorIs(t, err, context.Canceled)
		askQuinn(t, c, base, 1000)
	})
	t.Run("broken off", func(t *testing.T) {
		resp, err := c.Get(base + "/broken")
		if err == nil { // the header has come before the reset
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		var broken *conn.StreamError
		require.ErrorAs(t, err, &broken)
		require.Equal(t, uint64(h3.InternalError), broken.Code)
		askQuinn(t, c, base, 1000)
	})
	t.Run("0-RTT", func(t *testing.T) {
		<-sessions.put
		c := askQuinn(t, quinnClient(t, sessions), base, 1000)
		require.NotNil(t, c)
		require.True(t, c.TLS().DidResume)
		require.True(t, c.EarlyDataAccepted())
	})
}

// quinnClient returns a client without connections. It trusts any certificate: that of the server
// is its own.
func quinnClient(t *testing.T, sessions tls.ClientSessionCache) *http.Client {
	tr := &h3http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: sessions},
		QUICConfig:      &conn.Config{Enable0RTT: true},
	}
	t.Cleanup(func() { tr.Close() })
	return &http.Client{Transport: tr, Timeout: 2 * time.Minute}
}

// countedSessions says when there is a session.
type countedSessions struct {
	tls.ClientSessionCache
	put chan struct{}
}

func (c *countedSessions) Put(key string, s *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, s)
	if s != nil {
		select {
		case c.put <- struct{}{}:
		default:
		}
	}
}

// askQuinn asks for n bytes, which are zeros, and returns the connection that they came over.
func askQuinn(t *testing.T, c *http.Client, base string, n int) *loop.Conn {
	resp, err := c.Get(fmt.Sprintf("%s/%d", base, n))
	if err != nil {
		t.Error(err)
		return nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(b, zeros[:n]) {
		t.Errorf("%d bytes of %d: %v", len(b), n, err)
	}
	return h3http.ConnOf(resp.Request)
}

// TestQuinnClient has a client of h3-quinn ask this side.
func TestQuinnClient(t *testing.T) {
	id := newIdentity(t, "h3")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.PathValue("n"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		for n > 0 {
			k, err := w.Write(zeros[:min(n, 1<<16)])
			if err != nil {
				return
			}
			n -= k
		}
	})
	mux.HandleFunc("GET /early", func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.DidResume {
			io.WriteString(w, "early")
		}
	})
	mux.HandleFunc("GET /broken", func(w http.ResponseWriter, r *http.Request) {
		w.Write(zeros[:1000])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, n)
	})
	srv := &h3http.Server{Handler: mux, TLSConfig: id.server, QUICConfig: &conn.Config{Enable0RTT: true}}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig())
	require.NoError(t, err)
	defer g.Close()
	require.Equal(t, []string{"download", "upload", "many at once", "cancel", "broken off", "0-RTT"},
		quinnPeer.visit(t, "client", g.LocalAddr().String(), id.certFile))
	require.EqualValues(t, 2, g.Stats().Accepted)
}
