package soak

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// A deployment is examples/edge in front of backends, each in a process of its own.
type deployment struct {
	addr  netip.AddrPort // of the edge
	admin string
	h3    string // the address of the backend for QUIC
	echo  string // of the one for datagrams
}

// edgeConfig has a minute for everything that an honest client waits for, or is busy with, on a
// machine that stands still for some time. Connections of backends that nobody uses end early.
const edgeConfig = `listen: 127.0.0.1:0
admin: %s
access_log: false
certificates: [{cert: %q, key: %q}]
timeouts: {header: 1m, idle: 1m, body: 1m, stall: 1m, tunnel: 1m}
pools:
  web: {backends: ["http://%s", "http://%s"], balance: least-loaded, timeouts: {connect: 1m, idle: 2s}}
  h3: {backends: ["h3://%s"], ca: %[2]q, server_name: lazo.test, timeouts: {connect: 1m, idle: 2s}}
routes:
  - {pool: web}
  - {path: /h3, pool: h3}
  - {path: /.well-known/masque/udp, connect_udp: ["127.0.0.1:*"]}
`

func deploy(t *testing.T) *deployment {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	c := conntest.ServerTLS().Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	require.NoError(t, err)
	writePEM(t, cert, "CERTIFICATE", c.Certificate[0])
	writePEM(t, key, "PRIVATE KEY", private)
	program := filepath.Join(dir, "edge")
	out, err := exec.Command("go", "build", "-o", program, "../../examples/edge").CombinedOutput()
	require.NoError(t, err, string(out))

	web1, web2 := startBackend(t, "web")[0], startBackend(t, "web")[0]
	quic := startBackend(t, "quic")
	d := &deployment{admin: freePort(t), h3: quic[0], echo: quic[1]}
	file := filepath.Join(dir, "edge.yaml")
	text := fmt.Sprintf(edgeConfig, d.admin, cert, key, web1, web2, d.h3)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	edge := exec.Command(program, "-config", file)
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	edge.Stderr = log // it complains of hostile clients
	edge.Env = append(os.Environ(), "GODEBUG="+heapDetail)
	t.Cleanup(func() {
		defer log.Close()
		if b, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the edge's log ends with %s", b[max(0, len(b)-2000):])
		}
	})
	line := startProcess(t, edge)
	addr := strings.TrimSuffix(strings.TrimPrefix(line, "serving https://"), "/")
	d.addr, err = netip.ParseAddrPort(addr)
	require.NoError(t, err, line)
	return d
}

func writePEM(t *testing.T, name, kind string, der []byte) {
	require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// startBackend returns the addresses of a backend.
func startBackend(t *testing.T, kind string) []string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), backendEnv+"="+kind)
	cmd.Stderr = os.Stderr
	return strings.Fields(startProcess(t, cmd))
}

// startProcess returns the first line that the process prints. It ends with the test.
func startProcess(t *testing.T, cmd *exec.Cmd) string {
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		if cmd.Wait(); t.Failed() { // killed here, unless it had ended before
			t.Logf("%s: %v", cmd.Path, cmd.ProcessState)
		}
	})
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	go io.Copy(io.Discard, r)
	return strings.TrimSpace(line)
}

// freePort returns an address that nobody uses.
func freePort(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// A holding is what the edge holds.
type holding struct {
	goroutines, heap, descriptors, connections, requests float64
}

// holds asks the edge what it holds.
func (d *deployment) holds() (h holding, err error) {
	text, err := d.ask("/metrics")
	if err != nil {
		return h, err
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		v, _ := strconv.ParseFloat(value, 64) // 0 for a comment
		switch name {
		case "go_goroutines":
			h.goroutines = v
		case "go_gc_heap_live_bytes":
			h.heap = v
		case "process_open_fds":
			h.descriptors = v
		case "quic_connections":
			h.connections += v
		case "edge_requests_in_progress":
			h.requests = v
		}
	}
	return h, nil
}
