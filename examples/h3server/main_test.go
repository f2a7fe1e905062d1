package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/selfsigned"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// A server is one that run runs.
type server struct {
	url, hash string
	debug     string // of the pages about connections
	out       *bufio.Reader
	stop      context.CancelFunc
	ended     chan error
}

// start runs the server with args on a port of its own, and reads its hints.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	return startTelling(t, io.Discard, args...)
}

// startTelling is start with a standard error.
func startTelling(t *testing.T, stderr io.Writer, args ...string) *server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	pr, pw := io.Pipe()
	s := &server{out: bufio.NewReader(pr), stop: cancel, ended: make(chan error, 1)}
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), pw, stderr)
		pw.CloseWithError(io.EOF)
		s.ended <- err
	}()
	t.Cleanup(cancel)
	for s.hash == "" {
		line, err := s.out.ReadString('\n')
		require.NoError(t, err)
		if m := regexp.MustCompile(`https://[0-9.:]+/`).FindString(line); m != "" {
			s.url = m
		}
		if m := regexp.MustCompile(`http://.*/debug/quic/`).FindString(line); m != "" {
			s.debug = m
		}
		if _, hash, ok := strings.Cut(line, "(SPKI): "); ok {
			s.hash = strings.TrimSpace(hash)
		}
	}
	go io.Copy(io.Discard, s.out)
	return s
}

// client trusts the key with the hash, as a browser with that flag does.
func (s *server) client(t *testing.T) *http.Client {
	tr := &h3http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true,
		VerifyPeerCertificate: func(certs [][]byte, _ [][]*x509.Certificate) error {
			hash, err := keyHash(tls.Certificate{Certificate: certs})
			require.Equal(t, s.hash, hash)
			return err
		},
	}}
	t.Cleanup(func() { tr.Close() })
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.Get(url)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body.Close()
	return resp, string(b)
}

func TestRoutes(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "hello.txt"), []byte("hello"), 0o600))
	keys := filepath.Join(t.TempDir(), "keys")
	t.Setenv("SSLKEYLOGFILE", keys)
	s := start(t, "-root", root, "-retry", "-cc", "newreno", "-loops", "2")
	c := s.client(t)

	resp, page := get(t, c, s.url)
	require.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"))
	require.Contains(t, page, "<b>HTTP/3.0</b>")
	require.Contains(t, page, h3http.ConnOf(resp.Request).ID().String())
	require.Regexp(t, `Congestion window</dt><dd>[1-9][0-9]+ `, page)
	require.Regexp(t, `Packets received</dt><dd>[1-9]`, page)
	require.Regexp(t, `Round trip</dt><dd>[0-9.]+(µs|ms)`, page)

	resp, body := get(t, c, s.url+"bytes/100000")
	require.Equal(t, int64(100_000), resp.ContentLength)
	require.Len(t, body, 100_000)
	for _, bad := range []string{"bytes/x", "bytes/-1"} {
		resp, _ = get(t, c, s.url+bad)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	}

	r, err := http.NewRequest("GET", s.url+"headers", nil)
	require.NoError(t, err)
	r.Header.Add("X-Test", "1")
	r.Header.Add("X-Test", "2")
	resp, err = c.Do(r)
	require.NoError(t, err)
	var fields http.Header
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&fields))
	require.Equal(t, []string{"1", "2"}, fields["X-Test"])
	require.Equal(t, "https://"+fields.Get("Host")+"/", s.url)

	_, body = get(t, c, s.url+"hello.txt")
	require.Equal(t, "hello", body)
	resp, _ = get(t, c, s.url+"missing.txt")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)

	log, err := os.ReadFile(keys)
	require.NoError(t, err)
	require.Contains(t, string(log), "CLIENT_TRAFFIC_SECRET_0")
}

func TestEcho(t *testing.T) {
	s := start(t)
	c := s.client(t)
	pr, pw := io.Pipe()
	resp, err := c.Post(s.url+"echo", "text/x-test", io.MultiReader(strings.NewReader("first"), pr))
	require.NoError(t, err, "the answer must come before the request is complete")
	defer resp.Body.Close()
	require.Equal(t, "text/x-test", resp.Header.Get("Content-Type"))
	b := make([]byte, 5)
	_, err = io.ReadFull(resp.Body, b)
	require.NoError(t, err)
	require.Equal(t, "first", string(b))
	want := bytes.Repeat([]byte("0123456789"), 100_000)
	go func() {
		pw.Write(want)
		pw.Close()
	}()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
}

func TestGracefulStop(t *testing.T) {
	s := start(t)
	pr, pw := io.Pipe()
	resp, err := s.client(t).Post(s.url+"echo", "", io.MultiReader(strings.NewReader("x"), pr))
	require.NoError(t, err)
	s.stop()
	pw.Write([]byte("still here"))
	pw.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "xstill here", string(b))
	require.NoError(t, <-s.ended)
}

func TestCertificateFiles(t *testing.T) {
	cert, err := selfsigned.Certificate("example.org")
	require.NoError(t, err)
	require.NoError(t, cert.Leaf.VerifyHostname("example.org"))
	require.NoError(t, cert.Leaf.VerifyHostname("127.0.0.1"))
	require.LessOrEqual(t, cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore), 14*24*time.Hour)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
	s := start(t, "-cert", certFile, "-key", keyFile)
	hash, err := keyHash(cert)
	require.NoError(t, err)
	require.Equal(t, hash, s.hash)
	get(t, s.client(t), s.url)
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-cert", "x"}, {"-cc", "fast"}, {"-loops", "0"}, {"extra"}, {"-addr", "nonsense"}, {"-nosuchflag"},
		{"-cert", "/nonexistent", "-key", "/nonexistent"}, {"-versions", "1,3"}, {"-preferred-address", "nonsense"},
		{"-preferred-address", "0.0.0.0:0"},
	} {
		require.Error(t, run(t.Context(), append([]string{"-addr", "127.0.0.1:0"}, args...), io.Discard, io.Discard), "%q", args)
	}
}

// TestConnections updates keys, moves connections and resumes them, and checks the server's output.
func TestConnections(t *testing.T) {
	qlog := t.TempDir()
	told, tell := io.Pipe()
	s := startTelling(t, tell, "-v", "-0rtt", "-retry", "-versions", "2,1", "-preferred-address", "127.0.0.1:0", "-key-update", "1ms", "-qlog", qlog)
	cache := new(loop.SessionCache)
	for i := range 2 {
		c := s.client(t)
		tr := c.Transport.(*h3http.Transport)
		tr.QUICConfig = &conn.Config{Enable0RTT: true, Tokens: cache}
		tr.TLSClientConfig.ClientSessionCache = cache
		resp, body := get(t, c, s.url+"bytes/20000000")
		require.Len(t, body, 20_000_000)
		require.NotEqual(t, strings.TrimSuffix(s.url, "/"), "https://"+h3http.ConnOf(resp.Request).RemoteAddr().String(), "at the preferred address")
		require.NoError(t, tr.Close())
		var lines string
		for range 3 {
			b := make([]byte, 1000)
			n, err := told.Read(b)
			require.NoError(t, err)
			lines += string(b[:n])
			if strings.Contains(lines, "packets: ") {
				break
			}
		}
		again := fmt.Sprint(i > 0)
		require.Regexp(t, `version 0x6b3343cf, resumed: `+again+`, early data: `+again+`, [1-9][0-9]* key updates, 1 path changes`, lines)
	}
	logs, err := filepath.Glob(filepath.Join(qlog, "*_server.sqlog"))
	require.NoError(t, err)
	require.Len(t, logs, 2)
}

// TestToldAtStop: what the server says of a connection that its own end closes is complete, too.
func TestToldAtStop(t *testing.T) {
	told, tell := io.Pipe()
	s := startTelling(t, tell, "-v")
	get(t, s.client(t), s.url)
	s.stop()
	var lines string
	for b := make([]byte, 1000); !strings.Contains(lines, "packets: "); {
		n, err := told.Read(b)
		require.NoError(t, err)
		lines += string(b[:n])
	}
	require.Contains(t, lines, "version 0x1, ")
}

// TestDebug: -debug serves pages about connections, which have nothing of what requests carry.
func TestDebug(t *testing.T) {
	const secret = "hunter2"
	s := start(t, "-debug", "127.0.0.1:0")
	pr, pw := io.Pipe()
	defer pw.Close()
	go io.WriteString(pw, secret)
	r, err := http.NewRequest("POST", s.url+"echo?"+secret, pr)
	require.NoError(t, err)
	r.Header.Set("X-Secret", secret)
	resp, err := s.client(t).Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.ReadFull(resp.Body, make([]byte, len(secret)))
	require.NoError(t, err)

	id := h3http.ConnOf(resp.Request).ID().String()
	for _, query := range []string{"", "?format=json", "?conn=" + id, "?format=json&conn=" + id} {
		resp, page := get(t, http.DefaultClient, s.debug+query)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Contains(t, page, id)
		require.Contains(t, page, "handshake_confirmed")
		require.NotContains(t, page, secret)
		require.NotContains(t, page, "echo")
	}
}
