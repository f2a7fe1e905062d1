package edge

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/lazoquic/lazo/internal/interop/internal/selfsigned"
	"github.com/lazoquic/lazo/internal/require"
)

// build makes the program once for all tests.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "edge-")
	if err != nil {
		return "", err
	}
	c := exec.Command("go", "build", "-o", filepath.Join(dir, "edge"), "./examples/edge")
	c.Dir = filepath.Join("..", "..", "..")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return filepath.Join(dir, "edge"), nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := build(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(status)
}

// A program is an edge that runs.
type program struct {
	addr  string
	trust *tls.Config
	leaf  *x509.Certificate
	cmd   *exec.Cmd
	log   *bufio.Scanner
}

// start runs the program with pools and routes in YAML.
func start(t *testing.T, text string) *program {
	t.Helper()
	path, err := build()
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	p := &program{leaf: certify(t, cert, key)}
	roots := x509.NewCertPool()
	roots.AddCert(p.leaf)
	p.trust = &tls.Config{RootCAs: roots, ServerName: "localhost"}
	file := filepath.Join(dir, "edge.yaml")
	text = fmt.Sprintf("listen: 127.0.0.1:0\ncertificates: [{cert: %q, key: %q}]\n%s", cert, key, text)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	p.cmd = exec.Command(path, "-config", file)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	log, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	p.log = bufio.NewScanner(log)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	p.addr = strings.TrimSuffix(strings.TrimPrefix(line, "serving https://"), "/\n")
	return p
}

// terminate asks the program to end, and waits until its log says that it drains.
func (p *program) terminate(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	for p.log.Scan() {
		if strings.Contains(p.log.Text(), `"draining"`) {
			return
		}
	}
	t.Fatal("the log ends")
}

// certify writes a self-signed certificate and its key, and returns the certificate.
func certify(t *testing.T, cert, key string) *x509.Certificate {
	t.Helper()
	certPEM, keyPEM, err := selfsigned.PEM()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cert, certPEM, 0o600))
	require.NoError(t, os.WriteFile(key, keyPEM, 0o600))
	block, _ := pem.Decode(certPEM)
	leaf, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return leaf
}

// keyHash returns what Chromium calls the key of the certificate.
func (p *program) keyHash() string {
	hash := sha256.Sum256(p.leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(hash[:])
}

// A line is what the log says of a request.
type line struct {
	Msg, Proto, Path string
	Whole            bool
}

// requests reads the log from now on. The function returns the requests that have ended so far.
func (p *program) requests() (soFar func() []line) {
	var mu sync.Mutex
	var all []line
	go func() {
		for p.log.Scan() {
			var l line
			if json.Unmarshal(p.log.Bytes(), &l) == nil && l.Msg == "request" {
				mu.Lock()
				all = append(all, l)
				mu.Unlock()
			}
		}
	}()
	return func() []line {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// drainLog reads the log, so that the program does not wait for a reader.
func (p *program) drainLog() {
	go func() {
		for p.log.Scan() {
		}
	}()
}
