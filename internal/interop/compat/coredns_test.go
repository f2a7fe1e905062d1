package compat

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// corefile is the configuration of a server for DNS over QUIC (RFC 9250) that answers with the
// address of the client.
const corefile = `quic://.:%d {
    bind 127.0.0.1
    tls cert.pem key.pem
    whoami
}
`

// queryCoreDNS asks CoreDNS with kdig, of Knot DNS.
func queryCoreDNS(t *testing.T, dir string) {
	command(t, dir, "go", "build", "-o", "coredns", ".")
	port, s := startCoreDNS(t, filepath.Join(dir, "coredns"))
	defer s.Wait()
	defer s.Process.Kill()
	askDoQ(t, port, "127.0.0.1")
}

// askDoQ asks a server for an address over QUIC (RFC 9250) with kdig, of Knot DNS, twenty times.
// The answer must have want.
func askDoQ(t *testing.T, port int, want string) {
	t.Helper()
	kdig, err := exec.LookPath("kdig")
	require.NoError(t, err, "Debian's package knot-dnsutils has kdig")
	for range 20 {
		got := string(command(t, t.TempDir(), kdig, "+quic", "@127.0.0.1", "-p", fmt.Sprint(port), "lazo.test", "A"))
		for _, want := range []string{"QUIC session", "status: NOERROR", want} {
			require.True(t, strings.Contains(got, want), "kdig says %s", got)
		}
	}
}

// startCoreDNS starts CoreDNS, and returns its port when it has begun to serve.
func startCoreDNS(t *testing.T, binary string) (port int, s *exec.Cmd) {
	t.Helper()
	work := t.TempDir()
	writeCertificate(t, work)
	port = freePort(t)
	require.NoError(t, os.WriteFile(filepath.Join(work, "Corefile"), fmt.Appendf(nil, corefile, port), 0o644))
	s = exec.Command(binary, "-conf", "Corefile")
	s.Dir = work
	s.Stderr = t.Output()
	out, err := s.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "linux/") { // the last line of its start
		t.Log(lines.Text())
	}
	return port, s
}

// freePort returns a port of UDP and TCP that nobody has now.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		port := l.Addr().(*net.TCPAddr).Port
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		l.Close()
		if err == nil {
			c.Close()
			return port
		}
	}
	t.Fatal("no port is free for UDP and TCP")
	return 0
}

// writeCertificate writes cert.pem and key.pem for localhost to dir.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		Subject:   pkix.Name{CommonName: "localhost"}, // kdig needs a subject
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: private},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
}
