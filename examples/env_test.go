package examples

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/examples/internal/selfsigned"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// A connecting is a way to run a program so that it makes connections.
type connecting struct {
	line string // HOST:PORT in it is a server
	env  string // variables
	// alpn is the protocol with which the test connects to the program, at the first address that
	// it prints. If it is empty, the program makes connections by itself.
	alpn string
	side string // whose qlogs there are: server or client
	root bool   // the program needs root, and devices that not every machine has
}

// connects has all programs that make connections. DIR has files for them.
var connects = map[string][]connecting{
	"byhand":   {{line: "-addr 127.0.0.1:0", alpn: "echo", side: "server"}},
	"cost":     {{line: "-runs 1 roundtrips", side: "client", root: true}, {line: "-runs 1 roundtrips", side: "server", root: true}},
	"edge":     {{line: "-addr 127.0.0.1:0", alpn: "h3", side: "server"}},
	"h3client": {{line: "-insecure https://HOST:PORT/", side: "client"}},
	"h3server": {{line: "-addr 127.0.0.1:0", alpn: "h3", side: "server"}},
	"holb":     {{side: "client", root: true}, {side: "server", root: true}},
	"interop": {
		{line: "-addr 127.0.0.1:0 -www DIR -certs DIR", env: "ROLE=server TESTCASE=handshake", alpn: "hq-interop", side: "server"},
		{line: "-addr 127.0.0.1:0 -www DIR -certs DIR", env: "ROLE=server TESTCASE=http3", alpn: "h3", side: "server"},
		{line: "-downloads DIR", env: "ROLE=client TESTCASE=handshake REQUESTS=https://HOST:PORT/a", side: "client"},
		{line: "-downloads DIR", env: "ROLE=client TESTCASE=http3 REQUESTS=https://HOST:PORT/a", side: "client"},
	},
	"lb":      {{line: "-demo", side: "client"}, {line: "-demo", side: "server"}},
	"linklab": {{side: "client"}, {side: "server"}},
	"multipath": {
		{line: "-for 300ms", side: "client"},
		{line: "-for 300ms", side: "server"},
	},
	"perf": {
		{line: "server -listen 127.0.0.1:0", alpn: "perf", side: "server"},
		{line: "client -mode download -connect HOST:PORT", side: "client"},
	},
	"realtime": {
		{line: "-addr 127.0.0.1:0 -page 127.0.0.1:0 -bots 2", side: "server"},
		{line: "-addr 127.0.0.1:0 -page 127.0.0.1:0 -bots 2", side: "client"},
	},
	"webtransport": {
		{line: "-addr 127.0.0.1:0 -page 127.0.0.1:0", alpn: "h3", side: "server"},
		{line: "-insecure -connect https://HOST:PORT/echo", side: "client"},
	},
}

// testEnvironment checks that every program that makes connections honours SSLKEYLOGFILE, with a
// warning, and QLOGDIR.
func testEnvironment(t *testing.T, bin string) {
	server := accepting(t)
	for _, program := range slices.Sorted(maps.Keys(wrong)) {
		if !linksConn(t, program) {
			require.Empty(t, connects[program], "%s does not make connections", program)
			continue
		}
		require.NotEmpty(t, connects[program], "%s has no line here that makes it connect", program)
		for _, c := range connects[program] {
			t.Run(strings.Join([]string{program, c.env, c.line, c.side}, " "), func(t *testing.T) {
				if c.root && !hasDevices() {
					t.Skip("needs root and TUN devices")
				}
				t.Parallel()
				c.check(t, filepath.Join(bin, program), server)
			})
		}
	}
}

// hasDevices reports whether this process may make TUN devices.
func hasDevices() bool {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return os.Geteuid() == 0
}

// linksConn reports whether package conn is part of a program.
func linksConn(t *testing.T, program string) bool {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "./"+program).Output()
	require.NoError(t, err)
	return slices.Contains(strings.Fields(string(out)), "github.com/lazoquic/lazo/conn")
}

// accepting returns the address of a server that accepts connections of all protocols, and does
// nothing with them.
func accepting(t *testing.T) string {
	t.Helper()
	cfg := conntest.ServerConfig()
	cfg.TLS.NextProtos = []string{"h3", "hq-interop", "perf"}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, &loop.Config{Endpoint: conn.EndpointConfig{Server: cfg}})
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	return g.LocalAddr().String()
}

// address is what programs print of where they serve UDP.
var address = regexp.MustCompile(`(?:https://|echo on |listening on |ready )(127\.0\.0\.1:\d+)`)

// check runs the program until the logs are there.
func (c *connecting) check(t *testing.T, path, server string) {
	dir := t.TempDir()
	keys, logs := filepath.Join(dir, "keys"), filepath.Join(dir, "logs")
	writeCertificate(t, dir)
	fill := strings.NewReplacer("HOST:PORT", server, "DIR", dir).Replace
	cmd := exec.Command(path, strings.Fields(fill(c.line))...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SSLKEYLOGFILE="+keys, "QLOGDIR="+logs, "LAZO_QLOG=", "ROLE=", "TESTCASE=", "TMPDIR="+dir)
	cmd.Env = append(cmd.Env, strings.Fields(fill(c.env))...)
	said := filepath.Join(dir, "said")
	out, err := os.Create(said)
	require.NoError(t, err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		ended <- nil
	})
	// wait waits until something is so, unless the program has ended before.
	wait := func(so func() bool) bool {
		for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if so() {
				return true
			}
			select {
			case err := <-ended:
				ended <- err
				return so()
			default:
			}
		}
		return false
	}
	if c.alpn != "" {
		var at []byte
		require.True(t, wait(func() bool {
			if m := address.FindSubmatch(read(said)); m != nil {
				at = m[1]
			}
			return at != nil
		}), "it does not serve: %s", read(said))
		connect(t, string(at), c.alpn)
	}
	for _, want := range []struct {
		what string
		so   func() bool
	}{
		{"a warning", func() bool {
			return bytes.Contains(read(said), []byte("WARN")) && bytes.Contains(read(said), []byte(keys))
		}},
		{"keys", func() bool { return bytes.Contains(read(keys), []byte("CLIENT_TRAFFIC_SECRET_0 ")) }},
		{"a qlog of the " + c.side, func() bool { return logged(logs, c.side) }},
	} {
		require.True(t, wait(want.so), "there is no %s: %s", want.what, read(said))
	}
}

// read returns what is in a file by now.
func read(name string) []byte {
	b, _ := os.ReadFile(name)
	return b
}

// logged reports whether a directory has a qlog of a side, with a packet.
func logged(dir, side string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "*_"+side+"*.sqlog"))
	return slices.ContainsFunc(files, func(name string) bool {
		return bytes.Contains(read(name), []byte(`"vantage_point":{"type":"`+side+`"}`)) &&
			bytes.Contains(read(name), []byte(`"name":"quic:packet_sent"`))
	})
}

// connect makes a connection and ends it.
func connect(t *testing.T, addr, alpn string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	g, err := loop.Open("udp", "127.0.0.1:0", 1, nil)
	require.NoError(t, err)
	defer g.Close()
	tc := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{alpn}}
	c, err := g.Dial(ctx, addr, &conn.Config{TLS: tc})
	require.NoError(t, err)
	require.NoError(t, c.Close(0, ""))
}

// writeCertificate makes cert.pem and priv.key.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	cert, err := selfsigned.Certificate()
	require.NoError(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, "priv.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
}
