package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
)

// TestMain runs the program itself if a test has started it.
func TestMain(m *testing.M) {
	if os.Getenv("ROLE") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// directories are those of the runner's containers.
type directories struct{ www, certs, downloads, logs string }

func newDirectories(t *testing.T) *directories {
	t.Helper()
	d := &directories{t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"server"},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	writePEM(t, filepath.Join(d.certs, "cert.pem"), "CERTIFICATE", cert)
	writePEM(t, filepath.Join(d.certs, "priv.key"), "PRIVATE KEY", private)
	return d
}

func writePEM(t *testing.T, name, typ string, der []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}), 0o600))
}

// command is the program in a role.
func (d *directories) command(ctx context.Context, role, testCase string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "ROLE="+role, "TESTCASE="+testCase,
		"SSLKEYLOGFILE="+filepath.Join(d.logs, role+".keys"), "QLOGDIR="+filepath.Join(d.logs, role))
	cmd.Stderr = os.Stderr
	return cmd
}

// serve starts a server, and returns its address.
func (d *directories) serve(t *testing.T, testCase string) string {
	t.Helper()
	cmd := d.command(context.Background(), "server", testCase, "-addr=127.0.0.1:0", "-www="+d.www, "-certs="+d.certs)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait(), "the server's status")
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	require.True(t, ok, "%q", line)
	return addr
}

// slow returns an address at which a server is 50 ms away, so that a handshake takes longer than
// sending early data.
func slow(t *testing.T, server string) string {
	t.Helper()
	link := netrelay.Link{Delay: 50 * time.Millisecond}
	r, err := netrelay.New(netrelay.Config{Server: netip.MustParseAddrPort(server), Up: link, Down: link})
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r.Addr().String()
}

// TestCases runs the client and the server of each test case, as the runner does.
func TestCases(t *testing.T) {
	const kb, mb = 1 << 10, 1 << 20
	for _, test := range []struct {
		server, client string
		sizes          []int
		logged         string // by either
	}{
		{"handshake", "handshake", []int{1 * kb}, `"handshake_done"`},
		{"transfer", "transfer", []int{2 * mb, 3 * mb}, `"max_data"`},
		{"chacha20", "chacha20", []int{1 * mb}, ``},
		{"transfer", "keyupdate", []int{3 * mb}, `key_updated`},
		{"retry", "retry", []int{10 * kb}, ``},
		{"resumption", "resumption", []int{5 * kb, 10 * kb}, ``},
		{"zerortt", "zerortt", []int{32, 32, 32, 32}, `"0RTT"`},
		{"http3", "http3", []int{5 * kb, 10 * kb, 500 * kb}, ``},
		{"multiconnect", "multiconnect", []int{1 * kb, 1 * kb, 1 * kb}, ``},
		{"ecn", "ecn", []int{100 * kb}, `"ect0"`},
		{"v2", "v2", []int{1 * kb}, `6b3343cf`},
		{"connectionmigration", "transfer", []int{2 * mb}, `"path_challenge"`},
	} {
		name := test.client
		if test.server != test.client {
			name += " from " + test.server
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			d := newDirectories(t)
			addr := slow(t, d.serve(t, test.server))
			want := make(map[string][]byte)
			var requests []string
			for i, size := range test.sizes {
				b := make([]byte, size)
				rand.Read(b)
				name := fmt.Sprintf("file%d", i)
				want[name] = b
				require.NoError(t, os.WriteFile(filepath.Join(d.www, name), b, 0o600))
				requests = append(requests, "https://"+addr+"/"+name)
			}
			cmd := d.command(ctx, "client", test.client, "-downloads="+d.downloads)
			cmd.Env = append(cmd.Env, "REQUESTS="+strings.Join(requests, " "))
			require.NoError(t, cmd.Run())
			for name, b := range want {
				got, err := os.ReadFile(filepath.Join(d.downloads, name))
				require.NoError(t, err)
				require.True(t, bytes.Equal(b, got), "%s differs", name)
			}
			keys, err := os.ReadFile(filepath.Join(d.logs, "client.keys"))
			require.NoError(t, err)
			require.Contains(t, string(keys), "CLIENT_TRAFFIC_SECRET_0")
			require.Eventually(t, func() bool { return d.logged(test.logged) }, time.Minute, 10*time.Millisecond)
		})
	}
}

// logged reports whether a qlog of either side has text.
func (d *directories) logged(text string) bool {
	names, _ := filepath.Glob(filepath.Join(d.logs, "*", "*.sqlog"))
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && strings.Contains(string(b), text) {
			return true
		}
	}
	return false
}

// TestStatus checks the status by which the runner tells unsupported test cases from failed ones.
func TestStatus(t *testing.T) {
	d := newDirectories(t)
	for _, test := range []struct {
		role, testCase, requests string
		want                     int
	}{
		{"client", "unheard-of", "", statusUnsupported},
		{"server", "unheard-of", "", statusUnsupported},
		{"proxy", "handshake", "", statusUnsupported},
		{"client", "handshake", "", 1},
		{"client", "handshake", "https://127.0.0.1:0/file", 1},
	} {
		cmd := d.command(t.Context(), test.role, test.testCase, "-addr=127.0.0.1:0", "-www="+d.www, "-certs="+d.certs, "-downloads="+d.downloads)
		cmd.Env = append(cmd.Env, "REQUESTS="+test.requests)
		cmd.Stderr = nil
		err := cmd.Run()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, test.want, exit.ExitCode(), "%+v", test)
	}
}
