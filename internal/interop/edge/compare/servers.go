package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/lazoquic/lazo/internal/interop/edge"
	"github.com/lazoquic/lazo/internal/interop/internal/compare"
	"github.com/lazoquic/lazo/internal/interop/internal/selfsigned"
)

// A site is what the servers have in common.
type site struct {
	dir       string
	cert, key string // files
	trust     *tls.Config
	backend   netip.AddrPort
}

// newSite starts the backend, whose responses have size bytes.
func newSite(size int) (*site, error) {
	dir, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return nil, err
	}
	s := &site{dir: dir, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	cert, key, err := selfsigned.PEM()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.cert, cert, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.key, key, 0o600); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	s.trust = &tls.Config{RootCAs: roots, ServerName: "localhost"}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.backend = ln.Addr().(*net.TCPAddr).AddrPort()
	body := bytes.Repeat([]byte("x"), size)
	go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(body)
	}))
	return s, nil
}

// A server is one of those that are compared.
type server struct {
	name string
	addr string
	*compare.Program
}

// start runs a program with a configuration in file.
func (s *site) start(name string, program func(file string) []string, config func(addr string) string, addr string) (*server, error) {
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file, []byte(config(addr)), 0o600); err != nil {
		return nil, err
	}
	p, err := compare.Start(program(file), "XDG_DATA_HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir)
	return &server{strings.TrimSuffix(name, filepath.Ext(name)), addr, p}, err
}

// startAll builds and starts all servers.
func (s *site) startAll(envoy string) ([]*server, error) {
	program := filepath.Join(s.dir, "edge")
	if err := compare.Build("./examples/edge", program); err != nil {
		return nil, err
	}
	var all []*server
	for _, c := range []struct {
		name    string
		program func(file string) []string
		config  func(addr string) string
	}{
		{"edge.yaml", func(file string) []string { return []string{program, "-config", file} }, s.edgeConfig},
		{"caddy.conf", func(file string) []string {
			return []string{"caddy", "run", "--adapter", "caddyfile", "--config", file}
		}, s.caddyConfig},
		{"envoy.yaml", func(file string) []string {
			return []string{envoy, "-c", file, "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"}
		}, s.envoyConfig},
	} {
		addr, err := compare.FreeAddr("tcp")
		if err != nil {
			return all, err
		}
		srv, err := s.start(c.name, c.program, c.config, addr)
		if err != nil {
			return all, err
		}
		all = append(all, srv)
	}
	return all, nil
}

func (s *site) edgeConfig(addr string) string {
	return fmt.Sprintf("listen: %s\naccess_log: false\ncertificates: [{cert: %q, key: %q}]\n"+
		"pools: {p: {backends: ['http://%v']}}\nroutes: [{pool: p}]\n", addr, s.cert, s.key, s.backend)
}

func (s *site) caddyConfig(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf("{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n"+
		"https://localhost:%s {\n\tbind 127.0.0.1\n\ttls %s %s\n\treverse_proxy %v\n}\n", port, s.cert, s.key, s.backend)
}

func (s *site) envoyConfig(addr string) string {
	return edge.EnvoyConfig(netip.MustParseAddrPort(addr), s.cert, s.key, s.backend)
}
