package interop

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/interop/internal/selfsigned"
	"github.com/lazoquic/lazo/internal/require"
)

// A crate is a program of the folder peers, which cargo builds from crates.io. The environment says
// where it is.
type crate string

// The programs, and what names them.
const (
	quinnPeer      crate = "LAZO_QUINN"
	s2nPeer        crate = "LAZO_S2N_QUIC"
	wtransportPeer crate = "LAZO_WTRANSPORT"
)

// command returns the command of a program, which is killed when the test ends.
func (c crate) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path := os.Getenv(string(c))
	if path == "" {
		t.Skip("needs " + string(c))
	}
	return exec.CommandContext(testContext(t), path, args...)
}

// serve runs the program as a server, and returns the address that it says it has.
func (c crate) serve(t *testing.T, args ...string) string {
	t.Helper()
	cmd := c.command(t, args...)
	out, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) < 2 || words[0] != "ready" {
		t.Fatalf("%s says %q: %v", c, line, err)
	}
	go io.Copy(os.Stderr, r)
	return words[1]
}

// visit runs the program as a client to its end, which must be a good one, and returns what it says
// it has done.
func (c crate) visit(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := c.command(t, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err, string(out))
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// An identity is a certificate for localhost, as this side and other programs want it.
type identity struct {
	certFile, keyFile string
	server, client    *tls.Config
}

func newIdentity(t *testing.T, protos ...string) identity {
	t.Helper()
	cert, key, err := selfsigned.PEM()
	require.NoError(t, err)
	dir := t.TempDir()
	id := identity{certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	require.NoError(t, os.WriteFile(id.certFile, cert, 0o600))
	require.NoError(t, os.WriteFile(id.keyFile, key, 0o600))
	pair, err := tls.X509KeyPair(cert, key)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	id.server = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: protos}
	id.client = &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: protos}
	return id
}
