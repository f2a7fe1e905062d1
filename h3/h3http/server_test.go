package h3http

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// newCert makes a certificate for the addresses of tests.
func newCert(serial int64) (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), // synctest starts in 2000
		NotAfter:     time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.IPv4(10, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool, nil
}

// testCert is what tests serve with.
var testCert = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	cert, pool, err := newCert(1)
	if err != nil {
		panic(err)
	}
	return cert, pool
})

func serverConfig() *tls.Config {
	cert, _ := testCert()
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

func clientConfig() *tls.Config {
	_, pool := testCert()
	return &tls.Config{RootCAs: pool}
}

// A logBuffer is what a test looks at for log lines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, nil))
}

// A pair is a server on a loopback socket and a client for it.
type pair struct {
	t   *testing.T
	srv *Server
	tr  *Transport
	c   *http.Client
	url string
	log *logBuffer
}

// newPair serves h. The functions may change the Server and the Transport before.
func newPair(t *testing.T, h http.Handler, change ...func(p *pair)) *pair {
	t.Helper()
	p := &pair{t: t, log: new(logBuffer)}
	p.srv = &Server{Handler: h, TLSConfig: serverConfig(), Logger: p.log.logger()}
	p.tr = &Transport{TLSClientConfig: clientConfig()}
	p.c = &http.Client{Transport: p.tr, Timeout: time.Minute}
	for _, f := range change {
		f(p)
	}
	p.url = serveLoopback(t, p.srv, p.tr)
	return p
}

// serveLoopback serves s on a loopback socket until the test ends, and then closes tr
// and s.
func serveLoopback(t testing.TB, s *Server, tr *Transport) (url string) {
	t.Helper()
	sock, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(loop.Backend(sock)) }()
	t.Cleanup(func() {
		require.NoError(t, tr.Close())
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return "https://" + sock.LocalAddr().String()
}

func (p *pair) request(method, path string, body io.Reader) *http.Request {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	p.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, p.url+path, body)
	require.NoError(p.t, err)
	return r
}

// do sends a request and returns its response with the body.
func (p *pair) do(r *http.Request) (*http.Response, string) {
	p.t.Helper()
	resp, err := p.c.Do(r)
	require.NoError(p.t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	require.NoError(p.t, resp.Body.Close())
	return resp, string(b)
}

func (p *pair) get(path string) (*http.Response, string) {
	p.t.Helper()
	return p.do(p.request("GET", path, nil))
}

// awaitIdle waits until no request of the Transport is in progress. The last one is over a moment
// after its body was closed.
func (p *pair) awaitIdle() {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return p.tr.inProgress() == 0 }, time.Minute, time.Millisecond, "requests of the Transport")
}

// closeIdle closes the connections of the Transport, once they are idle.
func (p *pair) closeIdle() {
	p.t.Helper()
	p.awaitIdle()
	p.tr.CloseIdleConnections()
}

func TestGet(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello "+r.URL.Path+" over "+r.Proto)
	}))
	resp, body := p.get("/world")
	require.Equal(t, "hello /world over HTTP/3.0", body)
	require.Equal(t, "HTTP/3.0", resp.Proto)
	require.Equal(t, int64(len(body)), resp.ContentLength)
	require.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
	require.NotEmpty(t, resp.Header.Get("Date"))
	require.NotNil(t, ConnOf(resp.Request))
}
