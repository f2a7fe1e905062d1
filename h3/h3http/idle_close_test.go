package h3http

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// hasSocket reports whether t has its default socket.
func (t *Transport) hasSocket() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.group != nil
}

// TestCloseIdleConnections: the socket and its goroutine end with the last connection. They come
// back with the next request.
func TestCloseIdleConnections(t *testing.T) {
	release := make(chan struct{})
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-release
		}
		io.WriteString(w, "hello")
	}))
	p.tr.CloseIdleConnections() // there is no connection yet
	for range 3 {
		p.get("/")
		require.True(t, p.tr.hasSocket())
		p.tr.mu.Lock()
		ended := p.tr.group
		p.tr.mu.Unlock()
		p.closeIdle()
		require.NoError(t, ended.Wait()) // the loop has stopped, and closed its socket
		require.False(t, p.tr.hasSocket())
	}
	resp, err := p.c.Get(p.url + "/slow")
	require.NoError(t, err)
	p.tr.CloseIdleConnections() // one connection is in use
	require.True(t, p.tr.hasSocket())
	close(release)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(b))
	require.True(t, p.tr.hasSocket())
	resp.Body.Close()
	for deadline := time.Now().Add(time.Minute); p.tr.hasSocket(); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline))
		p.tr.CloseIdleConnections()
	}
}

// TestOnlyCachedConn: a request that must not dial fails unless there is a connection.
func TestOnlyCachedConn(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	try := func() error {
		r, err := http.NewRequestWithContext(OnlyCachedConn(context.Background()), "GET", p.url, nil)
		require.NoError(t, err)
		resp, err := p.tr.RoundTrip(r)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	require.ErrorIs(t, try(), ErrNoCachedConn)
	require.False(t, p.tr.hasSocket())
	require.Empty(t, p.tr.hosts)
	p.get("/")
	require.NoError(t, try())
	p.closeIdle()
	for deadline := time.Now().Add(time.Minute); p.tr.hasSocket(); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline))
	}
	require.ErrorIs(t, try(), ErrNoCachedConn)
}
