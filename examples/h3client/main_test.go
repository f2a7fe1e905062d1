package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/udpio"
)

// start serves h, and returns the URL and a file with the certificate.
func start(t *testing.T, h http.HandlerFunc, edit ...func(*conn.Config)) (url, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "test server"},
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))

	sock, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	srv := &h3http.Server{
		Handler:   h,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	}
	srv.QUICConfig = new(conn.Config)
	for _, f := range edit {
		f(srv.QUICConfig)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(sock) }()
	t.Cleanup(func() {
		srv.Close()
		<-served
	})
	return "https://" + sock.LocalAddr().String(), ca
}

// client runs the command, and returns what it wrote.
func client(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	err = run(ctx, args, &out, &errs)
	return out.String(), errs.String(), err
}

// report answers with the request that came.
func report(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s host=%s type=%s test=%q length=%d body=%s\n", r.Method, r.URL.Path, r.Host,
		r.Header.Get("Content-Type"), r.Header["X-Test"], r.ContentLength, b)
}

func TestRequests(t *testing.T) {
	url, ca := start(t, report)
	host := strings.TrimPrefix(url, "https://")
	data := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(data, []byte("from a file"), 0o600))
	form := "application/x-www-form-urlencoded"
	for want, args := range map[string][]string{
		"GET /a host=" + host + " type= test=[] length=0 body=\n":                  {url + "/a"},
		"DELETE / host=" + host + " type= test=[] length=0 body=\n":                {"-X", "DELETE", url},
		"POST / host=" + host + " type=" + form + " test=[] length=3 body=a=b\n":   {"-d", "a=b", url},
		"PUT / host=" + host + " type=text/x test=[] length=11 body=from a file\n": {"-X", "PUT", "-H", "content-type: text/x", "-d", "@" + data, url},
		"GET / host=other.example type= test=[\"1\" \"2: 3\"] length=0 body=\n":    {"-H", "Host: other.example", "-H", "x-test: 1", "-H", "X-Test:2: 3", url},
		strings.Repeat("GET / host="+host+" type= test=[] length=0 body=\n", 2):    {url, url},
		"POST / host=" + host + " type=" + form + " test=[] length=0 body=\n":      {"-d", "", url},
	} {
		stdout, _, err := client(t, append([]string{"-ca", ca}, args...)...)
		require.NoError(t, err, "%q", args)
		require.Equal(t, want, stdout)
	}
}

func TestOutputFile(t *testing.T) {
	url, ca := start(t, func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 10<<20)) })
	name := filepath.Join(t.TempDir(), "out")
	stdout, stderr, err := client(t, "-ca", ca, "-o", name, url)
	require.NoError(t, err)
	require.Empty(t, stdout)
	require.Empty(t, stderr, "no bar where there is no terminal")
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.EqualValues(t, 10<<20, info.Size())
}

func TestVerbose(t *testing.T) {
	url, ca := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "Sum")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "no such thing\n")
		w.Header().Set("Sum", "14")
	})
	stdout, stderr, err := client(t, "-ca", ca, "-v", "-H", "X-Test: yes", url+"/x", url+"/y")
	require.NoError(t, err, "a status is not a failure")
	require.Equal(t, "no such thing\nno such thing\n", stdout)
	for _, want := range []string{
		"* TLS 1.3, TLS_", ", ALPN h3\n",
		"* Certificate of CN=test server, issued by CN=test server, valid until ",
		"* Connected to 127.0.0.1:", "* Using the connection to 127.0.0.1:",
		"> :method: GET\n", "> :path: /x\n", "> x-test: yes\n", "> user-agent: h3client/lazo\n", ">\n",
		"< HTTP/3 103 Early Hints\n", "< HTTP/3 404 Not Found\n", "< link: </x>\n", "< content-type: text/plain",
		"* Trailers\n< sum: 14\n", "* Packets: ", "RTT ",
	} {
		require.Contains(t, stderr, want)
	}
	require.NotContains(t, stderr, "not verified")
	_, stderr, err = client(t, "-insecure", "-v", url)
	require.NoError(t, err)
	require.Contains(t, stderr, "* The certificate was not verified\n")
}

func TestFailures(t *testing.T) {
	url, ca := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	for want, args := range map[string][]string{
		"certificate":        {url},
		"H3_INTERNAL_ERROR":  {"-ca", ca, url},
		"no certificate in ": {"-ca", "main.go", url},
	} {
		_, _, err := client(t, args...)
		require.ErrorContains(t, err, want, "%q", args)
	}
}

// TestOutputs checks where the body of each of several URLs goes.
func TestOutputs(t *testing.T) {
	url, ca := start(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL) })
	dir := t.TempDir()
	t.Chdir(dir)
	for _, parallel := range []string{"1", "3"} {
		stdout, _, err := client(t, "-ca", ca, "-parallel", parallel, "-o", "a", "-o", "-", "-o", os.DevNull, "-o", "c", url+"/1", url+"/2", url+"/3", url+"/4")
		require.NoError(t, err)
		require.Equal(t, "/2", stdout)
		requireFiles(t, dir, map[string]string{"a": "/1", "c": "/4"})

		stdout, _, err = client(t, "-ca", ca, "-parallel", parallel, "-O", url+"/x/a?b=c", url+"/%2Fetc%2Fc")
		require.NoError(t, err)
		require.Empty(t, stdout)
		requireFiles(t, dir, map[string]string{"a": "/x/a?b=c", "%2Fetc%2Fc": "/%2Fetc%2Fc"})
	}
	into := t.TempDir()
	_, _, err := client(t, "-ca", ca, "-parallel", "2", "-O", "-output-dir", into, url+"/1", url+"/2")
	require.NoError(t, err)
	requireFiles(t, into, map[string]string{"1": "/1", "2": "/2"})
	requireFiles(t, dir, nil)
}

// requireFiles expects these files in a directory, and removes them.
func requireFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, len(want))
	for name, content := range want {
		name = filepath.Join(dir, name)
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, content, string(got))
		require.NoError(t, os.Remove(name))
	}
}

// TestOneOfSeveralFails checks that the others go on, and that the error names the URL.
func TestOneOfSeveralFails(t *testing.T) {
	url, ca := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, r.URL)
	})
	for _, parallel := range []string{"1", "2"} {
		dir := t.TempDir()
		_, _, err := client(t, "-ca", ca, "-parallel", parallel, "-O", "-output-dir", dir, url+"/bad", url+"/1", url+"/2")
		require.ErrorContains(t, err, "GET "+url+"/bad: ")
		require.Equal(t, 0, strings.Count(strings.TrimSpace(err.Error()), "\n"), "%v", err)
		requireFiles(t, dir, map[string]string{"1": "/1", "2": "/2"})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := run(ctx, []string{"-ca", ca, url + "/1", url + "/2"}, io.Discard, io.Discard)
	require.ErrorContains(t, err, "2 URLs were not fetched")
}

// TestURLWithoutScheme fetches HOST:PORT, as people type it.
func TestURLWithoutScheme(t *testing.T) {
	url, ca := start(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, r.URL.Path) })
	hostPort := strings.TrimPrefix(url, "https://")
	stdout, _, err := client(t, "-ca", ca, hostPort, hostPort+"/a:b")
	require.NoError(t, err)
	require.Equal(t, hostPort+"/"+hostPort+"/a:b", stdout)
}

// TestSessionFile has two runs share a file: the second sends its request with its first packet.
func TestSessionFile(t *testing.T) {
	url, ca := start(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.DidResume) }, func(c *conn.Config) { c.Enable0RTT = true })
	file := filepath.Join(t.TempDir(), "sessions")
	args := []string{"-ca", ca, "-v", "-session-file", file, "-0rtt", url}
	for i := range 3 {
		stdout, stderr, err := client(t, args...)
		require.NoError(t, err)
		again := i > 0
		require.Equal(t, fmt.Sprint(again), stdout)
		require.Equal(t, again, strings.Contains(stderr, ", early data accepted\n"))
	}
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
	_, _, err := client(t, args...)
	require.ErrorContains(t, err, file)
}

// TestChanges moves a connection, and changes its keys, in the middle of a transfer.
func TestChanges(t *testing.T) {
	url, ca := start(t, func(w http.ResponseWriter, r *http.Request) {
		c := h3http.ConnOf(r)
		for {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			if st := c.Stats(); st.PathChanges > 0 && st.KeyUpdates > 1 {
				return
			}
		}
	})
	qlog, keys := t.TempDir(), filepath.Join(t.TempDir(), "keys")
	t.Setenv("SSLKEYLOGFILE", keys)
	for _, move := range []string{"-migrate", "-rebind"} {
		_, stderr, err := client(t, "-ca", ca, "-v", "-qlog", qlog, "-versions", "2,1", "-cc", "newreno", "-key-update", "1ms", move, "5ms", url)
		require.NoError(t, err, "%s", stderr)
		require.Regexp(t, `QUIC version 0x1, [1-9][0-9]* key updates`, stderr)
	}
	logs, err := filepath.Glob(filepath.Join(qlog, "*_client.sqlog"))
	require.NoError(t, err)
	require.Len(t, logs, 2)
	b, err := os.ReadFile(keys)
	require.NoError(t, err)
	require.Contains(t, string(b), "SERVER_TRAFFIC_SECRET_0")
}
