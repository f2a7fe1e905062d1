package programs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/udpio"
)

// site serves files, an API and uploads, and gives each visitor a cookie.
func site(dir string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /files/", http.StripPrefix("/files/", http.FileServer(http.Dir(dir))))
	mux.HandleFunc("GET /api/stats", func(w http.ResponseWriter, r *http.Request) {
		c := h3http.ConnOf(r)
		if c == nil {
			http.Error(w, "not HTTP/3", http.StatusNotFound)
			return
		}
		st := c.Stats()
		json.NewEncoder(w).Encode(map[string]any{"id": c.ID().String(), "cwnd": st.CongestionWindow})
	})
	mux.HandleFunc("POST /upload", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v", b, err)
	})
	mux.HandleFunc("GET /visit", func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("seen"); err == nil {
			fmt.Fprint(w, "again ", c.Value)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "before"})
		fmt.Fprint(w, "first")
	})
	return mux
}

// serveSite serves over TCP and UDP at one address, with a certificate that may change
// at any time, until the test ends.
func serveSite(t *testing.T, cert *atomic.Pointer[tls.Certificate], h http.Handler) (*h3http.Server, string) {
	t.Helper()
	tlsc := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil }}
	h3 := &h3http.Server{Handler: h, TLSConfig: tlsc}
	ln, sock := listenBoth(t)
	// net/http writes to its own
	tcp := &http.Server{Handler: h3.AltSvc(h), TLSConfig: tlsc.Clone()}
	ended := make(chan error, 2)
	go func() { ended <- h3.Serve(sock) }()
	go func() { ended <- tcp.ServeTLS(ln, "", "") }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, h3.Shutdown(ctx))
		require.NoError(t, tcp.Shutdown(ctx))
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	return h3, "https://" + ln.Addr().String()
}

// listenBoth listens on a port that is free for TCP and for UDP.
func listenBoth(t *testing.T) (ln net.Listener, sock *udpio.Socket) {
	t.Helper()
	for range 20 {
		var err error
		ln, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		sock, err = udpio.Listen("udp", ln.Addr().String(), nil)
		if err == nil {
			return ln, sock
		}
		require.NoError(t, ln.Close())
		require.ErrorIs(t, err, syscall.EADDRINUSE)
	}
	t.Fatal("every port is taken")
	return nil, nil
}

func TestWebSite(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.txt"), []byte("a file"), 0o600))
	var cert atomic.Pointer[tls.Certificate]
	cert.Store(&conntest.ServerTLS().Certificates[0])
	_, url := serveSite(t, &cert, site(dir))
	roots := conntest.ClientTLS().RootCAs

	overTCP := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	defer overTCP.CloseIdleConnections()
	resp, body := get(t, overTCP, url+"/files/a.txt")
	require.Equal(t, 2, resp.ProtoMajor)
	require.Equal(t, "a file", body)
	require.Contains(t, resp.Header.Get("Alt-Svc"), "h3=")

	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	tr := &h3http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(64)},
		QUICConfig:      &conn.Config{HandshakeTimeout: 20 * time.Second},
	}
	defer tr.Close()
	c := &http.Client{Transport: tr, Jar: jar, Timeout: time.Minute}
	resp, body = get(t, c, url+"/files/a.txt")
	require.Equal(t, 3, resp.ProtoMajor)
	require.Equal(t, "a file", body)
	_, body = get(t, c, url+"/visit")
	require.Equal(t, "first", body)
	_, body = get(t, c, url+"/visit")
	require.Equal(t, "again before", body)
	resp, body = get(t, c, url+"/api/stats")
	var stats struct {
		ID   string
		Cwnd uint64
	}
	require.NoError(t, json.Unmarshal([]byte(body), &stats))
	require.NotZero(t, stats.Cwnd)
	require.Equal(t, h3http.ConnOf(resp.Request).ID().String(), stats.ID)
	streamUp(t, c, url)
}

// streamUp sends a body that is being written while it travels.
func streamUp(t *testing.T, c *http.Client, url string) {
	t.Helper()
	pr, pw := io.Pipe()
	go func() {
		for range 3 {
			fmt.Fprint(pw, "streaming ")
		}
		pw.Close()
	}()
	resp, err := c.Post(url+"/upload", "text/plain", pr)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "streaming streaming streaming  <nil>", string(b))
}

// TestUnknownAuthority finds the cause of a failed handshake in an error of all layers.
func TestUnknownAuthority(t *testing.T) {
	var cert atomic.Pointer[tls.Certificate]
	cert.Store(&conntest.ServerTLS().Certificates[0])
	_, url := serveSite(t, &cert, site(t.TempDir()))
	tr := &h3http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
	defer tr.Close()
	_, err := (&http.Client{Transport: tr}).Get(url + "/visit")
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
	var te *conn.TransportError
	require.ErrorAs(t, err, &te)
	require.False(t, te.Remote)
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return resp, string(b)
}
