package h3http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

func TestAltSvc(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	header := func(s *Server, major int) []string {
		r := httptest.NewRequest("GET", "https://x/", nil)
		r.ProtoMajor = major
		w := httptest.NewRecorder()
		s.AltSvc(ok).ServeHTTP(w, r)
		return w.Header()["Alt-Svc"]
	}
	require.Equal(t, []string{`h3=":443"; ma=86400`}, header(new(Server), 2))
	require.Equal(t, []string{`h3=":8443"; ma=86400`}, header(&Server{Addr: "1.2.3.4:8443"}, 1))
	require.Equal(t, []string{`h3=":443"; ma=86400`}, header(&Server{Addr: ":https"}, 1))
	require.Equal(t, []string{`h3=":443"; ma=60`}, header(&Server{AltSvcMaxAge: time.Minute}, 2))
	require.Empty(t, header(&Server{Addr: "127.0.0.1:0"}, 2), "the port is not known yet")
	require.Empty(t, header(&Server{Addr: "nonsense"}, 2))
	require.Empty(t, header(new(Server), 3))

	p := newPair(t, ok)
	p.get("/")
	require.Equal(t, []string{`h3="` + p.url[len("https://127.0.0.1"):] + `"; ma=86400`}, header(p.srv, 2))
	require.NoError(t, p.srv.Shutdown(context.Background()))
	require.Empty(t, header(p.srv, 2))
}

// writeCert writes the certificate of the tests to files.
func writeCert(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	cert, _ := testCert()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(block), 0o600))
	}
	return certFile, keyFile
}

// TestListenAndServeTLS follows Alt-Svc from HTTP/2 to HTTP/3, at one address.
func TestListenAndServeTLS(t *testing.T) {
	certFile, keyFile := writeCert(t)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })
	over2 := &http.Transport{TLSClientConfig: clientConfig(), ForceAttemptHTTP2: true}
	defer over2.CloseIdleConnections()
	addr, resp := serveOnFreePort(t, over2, func(addr string) error { return ListenAndServeTLS(addr, certFile, keyFile, h) })
	b, _ := io.ReadAll(resp.Body)
	require.Equal(t, "HTTP/2.0", string(b))
	_, port, _ := net.SplitHostPort(addr)
	require.Equal(t, `h3=":`+port+`"; ma=86400`, resp.Header.Get("Alt-Svc"))

	tr := &Transport{TLSClientConfig: clientConfig()}
	defer tr.Close()
	resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get("https://" + addr)
	require.NoError(t, err)
	b, _ = io.ReadAll(resp.Body)
	require.Equal(t, "HTTP/3.0", string(b))

	// The second one finds the port taken.
	require.ErrorContains(t, ListenAndServeTLS(addr, certFile, keyFile, h), "address already in use")
	require.Error(t, ListenAndServeTLS(addr, "/nonexistent", keyFile, h))
}

// serveOnFreePort makes serve listen on a port that was free a moment before. It returns the
// address and the first response to tr. If another program was faster, it tries another port.
func serveOnFreePort(t *testing.T, tr http.RoundTripper, serve func(addr string) error) (string, *http.Response) {
	for range 20 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addr := ln.Addr().String()
		ln.Close()
		served := make(chan error, 1)
		go func() { served <- serve(addr) }()
		for ended := false; !ended; {
			resp, err := (&http.Client{Transport: tr}).Get("https://" + addr)
			if err == nil {
				return addr, resp
			}
			select {
			case err := <-served:
				require.ErrorContains(t, err, "address already in use")
				ended = true
			case <-time.After(10 * time.Millisecond): // it is about to listen
			}
		}
	}
	t.Fatal("every port is taken")
	return "", nil
}

// TestServerTLS checks how a configuration for a TCP server is adapted.
func TestServerTLS(t *testing.T) {
	own := &tls.Config{NextProtos: []string{"h2"}, MaxVersion: tls.VersionTLS12, ServerName: "own"}
	asked := 0
	tc := &tls.Config{NextProtos: []string{"h2", "http/1.1"}, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if asked++; asked == 1 {
			return own, nil
		}
		return nil, nil
	}}
	outer := serverTLS(tc)
	require.Equal(t, []string{"h3"}, outer.NextProtos)
	first, err := outer.GetConfigForClient(nil)
	require.NoError(t, err)
	require.Equal(t, "own", first.ServerName)
	require.Equal(t, []string{"h3"}, first.NextProtos)
	require.Zero(t, first.MaxVersion)
	require.EqualValues(t, tls.VersionTLS13, first.MinVersion)
	second, err := outer.GetConfigForClient(nil)
	require.NoError(t, err)
	require.Nil(t, second, "then the outer one holds")
	require.Nil(t, serverTLS(own).GetConfigForClient)
	require.Equal(t, []string{"h2", "http/1.1"}, tc.NextProtos, "the caller's must not change")
	require.Equal(t, []string{"h2"}, own.NextProtos)
}

// TestCertificateReload changes the certificate between two connections.
func TestCertificateReload(t *testing.T) {
	first, _ := testCert()
	second, _, err := newCert(2)
	require.NoError(t, err)
	var current atomic.Pointer[tls.Certificate]
	current.Store(&first)
	p := newPair(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(p *pair) {
		p.srv.TLSConfig = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return current.Load(), nil
		}}
		p.tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	})
	for _, cert := range []tls.Certificate{first, second} {
		current.Store(&cert)
		resp, _ := p.get("/")
		require.Equal(t, cert.Leaf.SerialNumber, resp.TLS.PeerCertificates[0].SerialNumber)
		p.closeIdle()
	}
}

// TestCertificateFiles serves with a certificate of two files.
func TestCertificateFiles(t *testing.T) {
	certFile, keyFile := writeCert(t)
	srv := &Server{Addr: "127.0.0.1:0", Loops: 1, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	served := make(chan error, 1)
	go func() { served <- srv.ListenAndServeTLS(certFile, keyFile) }()
	var ports []uint16
	for ports = srv.ports(); len(ports) == 0; ports = srv.ports() {
		time.Sleep(time.Millisecond)
	}
	tr := &Transport{TLSClientConfig: clientConfig()}
	defer tr.Close()
	resp, err := (&http.Client{Transport: tr}).Get(fmt.Sprintf("https://localhost:%d/", ports[0]))
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.NoError(t, srv.Close())
	require.ErrorIs(t, <-served, http.ErrServerClosed)
	require.Nil(t, srv.TLSConfig, "the caller's must not change")
}
