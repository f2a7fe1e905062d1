package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/examples/internal/usage"
	"github.com/lazoquic/lazo/examples/internal/yamlfile"
	"github.com/lazoquic/lazo/internal/require"
)

// TestConfigErrors: each mistake is told with file, line and key.
func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, (&demo{dir: dir}).writeCertificate())
	file := filepath.Join(dir, "edge.yaml")
	short := filepath.Join(dir, "short")
	require.NoError(t, os.WriteFile(short, []byte("short"), 0o600))
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	const pool = "pools: {p: {backends: ['http://a']}}\n"
	const good = pool + "routes: [{pool: p}]\n"
	for _, c := range []struct{ text, want string }{
		{good + "lisen: :443\n", `5: "lisen": unknown field "lisen"`},
		{good + "drain: soon\n", `5: "soon": want a time such as 1m30s`},
		{good + "drain: 5\n", `5: "5": want a time`},
		{good + "drain: -1s\n", `5: drain: must be at least 0`},
		{good + "drain_delay: -1s\n", `5: drain_delay: must be at least 0`},
		{good + "timeouts:\n  header: 5s\n  idle: -1s\n", `7: timeouts.idle: must be greater than 0`},
		{good + "timeouts:\n  header: -5s\n", `6: timeouts.header: must be greater than 0`},
		{good + "timeouts: {stall: -1s}\n", `5: timeouts.stall: must be greater than 0`},
		{good + "timeouts: {body: -1s}\n", `5: timeouts.body: must be greater than 0`},
		{good + "retry_above: -1\n", `5: retry_above: must be at least 0`},
		{good + "admin: nowhere\n", `5: admin: "nowhere" is not HOST:PORT`},
		{good + "drain: 1s\ndrain: 2s\n", `6: "drain": mapping key "drain" already defined at [5:1]`},
		{good + " x: [\n", `5: `},
		{good + "trusted: [10.0.0.1]\n", `5: trusted[0]: "10.0.0.1" is not ADDRESS/BITS`},
		{good + "ech: [" + file + "]\n", `5: ech[0]: ` + file + `: the file needs a block PRIVATE KEY and a block ECHCONFIG`},
		{good + "ech: [" + filepath.Join(dir, "key.pem") + "]\n", `5: ech[0]: ` + dir + `/key.pem: the private key is not an X25519 key`},
		{good + "secrets: [missing]\n", `5: secrets[0]: open missing`},
		{good + "secrets: [" + short + "]\n", `5: secrets[0]: ` + short + `: has 5 bytes, needs at least 16`},
		{good + "reset_secret: " + short + "\n", `5: reset_secret: ` + short + `: has 5 bytes, needs at least 16`},
		{good + "katran: {version: 4, server_id: 01}\n", `5: katran: quiclb: version 4 of Katran's layout is not 1 to 3`},
		{good + "katran: {version: 1, server_id: 10000}\n", `5: katran: quiclb: server ID 65536 is not 1 to 65535`},
		{good + "katran: {version: 1, server_id: one}\n", `5: katran: "one" is not a server ID in hexadecimal`},
		{good + "quic_lb: {}\nkatran: {version: 1, server_id: 1}\n", `6: katran: give either katran or quic_lb`},
		{good + "quic_lb: {formats: [{nonce: 4}]}\n", `5: quic_lb.server_id: give either server_id or server_id_env`},
		{good + "quic_lb: {server_id: 01, server_id_env: A, formats: [{nonce: 4}]}\n", `5: quic_lb.server_id: give either`},
		{good + "quic_lb:\n  server_id: one\n", `6: quic_lb.server_id: "one" is neither pairs of hexadecimal digits nor`},
		{good + "quic_lb:\n  server_id: [10]\n", `6: "[": want text`},
		{good + "quic_lb:\n  server_id: 10\n", `6: quic_lb.formats: must not be empty`},
		{good + "quic_lb:\n  server_id_env: EDGE_TEST_NONE\n", `6: quic_lb.server_id_env: the environment variable EDGE_TEST_NONE is empty`},
		{good + "quic_lb:\n  server_id: 10\n  formats:\n    - id: 7\n", `8: quic_lb.formats[0]: the ID 7 is not 0 to 6`},
		{good + "quic_lb:\n  server_id: 10\n  formats:\n    - nonce: 3\n", `8: quic_lb.formats[0]: quiclb: nonce of 3 bytes is shorter than 4`},
		{good + "quic_lb:\n  server_id: 10\n  formats:\n    - {nonce: 4, key: missing}\n", `8: quic_lb.formats[0]: open missing`},
		{good + "quic_lb:\n  server_id: 10\n  formats:\n    - {nonce: 4, key: " + short + "}\n", `8: quic_lb.formats[0]: ` + short + `: a key has 16 bytes, or 32`},
		{good + "quic_lb:\n  server_id: 10\n  formats: [{nonce: 4}, {nonce: 5}]\n", `7: quic_lb.formats: quiclb: two configurations have the ID 0`},
		{pool, `1: routes: must not be empty`},
		{"routes: [{pool: p}]\n", `3: routes[0].pool: there is no pool "p"`},
		{pool + "routes:\n  - host: a\n", `5: routes[0].pool: must not be empty`},
		{pool + "routes:\n  - pool: p\n  - pool: p\n    path: x\n", `7: routes[1].path: "x" does not start with /`},
		{pool + "routes:\n  - pool: p\n    host: a.*\n", `6: routes[0].host: "a.*" is neither a name`},
		{pool + "routes:\n  - pool: p\n    host: a:443\n", `6: routes[0].host: "a:443" is neither a name`},
		{pool + "routes:\n  - {path: /a, connect: ['a:1']}\n", `5: routes[0].connect: does not go with a path`},
		{pool + "routes:\n  - {path: /a, connect_udp: ['a:1']}\n", `5: routes[0].connect_udp: goes with a path that takes /.well-known/masque`},
		{pool + "routes:\n  - connect: ['a:1', a]\n", `5: routes[0].connect[1]: "a" has no port`},
		{pool + "routes:\n  - connect_udp: ['a:x']\n", `5: routes[0].connect_udp[0]: "a:x": the port is neither`},
		{pool + "routes:\n  - connect: []\n", `5: routes[0].pool: must not be empty`},
		{good + "timeouts: {tunnel: -1s}\n", `5: timeouts.tunnel: must be greater than 0`},
		{"pools: {'a b': {}}\n", `3: pools: "a b": the name of a pool has letters`},
		{"pools:\n  p:\n    balance: hash-client\n", `5: pools.p.backends: must not be empty`},
		{"pools:\n  p:\n    backends:\n      - http://a\n      - ftp://a\n", `7: pools.p.backends[1]: "ftp://a": the scheme is not one of`},
		{"pools:\n  p:\n    backends: [\"http://a/x\"]\n", `5: pools.p.backends[0]: "http://a/x" is not SCHEME://HOST`},
		{"pools:\n  p:\n    backends: [\"http://a\"]\n    balance: fair\n", `6: pools.p.balance: "fair" is not one of round-robin,`},
		{"pools:\n  p:\n    backends: [\"http://a\"]\n    balance: hash-header\n", `5: pools.p.hash_header: goes together`},
		{"pools:\n  p:\n    backends: [\"http://a\"]\n    timeouts: {connect: -1s}\n", `6: pools.p.timeouts.connect: must be greater than 0`},
		{"pools:\n  p:\n    backends: [\"http://a\"]\n    ca: missing\n", `6: pools.p.ca: open missing`},
		{"pools:\n  p:\n    backends: [\"http://a\"]\n    tiemouts: {}\n", `6: "tiemouts": unknown field "tiemouts"`},
		{"pools:\n  p:\n    backends: [\"http://a\"]\n    health: {path: x}\n", `6: pools.p.health.path: "x" does not start with /`},
		{"pools:\n  p:\n    backends: [\"http://a\"]\n    health:\n      path: /\n      healthy: -1\n", `8: pools.p.health.healthy: must be greater than 0`},
		{"pools:\n  p:\n    backends: [\"http://a\"]\n    eject: {for: -1s}\n", `6: pools.p.eject.for: must be greater than 0`},
		{"pools:\n  p:\n    backends: [\"http://a\"]\n    retries: {max: -1}\n", `6: pools.p.retries.max: must be at least 0`},
		{"pools:\n  p:\n    backends: [\"http://a\"]\n    retries: {budget: 1.5}\n", `6: pools.p.retries.budget: must be from 0 to 1`},
		{"pools:\n  p:\n    backends: [\"http://a\"]\n    retries: {statuses: [200]}\n", `6: pools.p.retries.statuses[0]: must be from 500`},
	} {
		text := withBasics(dir, c.text)
		_, err := parseConfig(file, []byte(text))
		require.Error(t, err, c.text)
		require.True(t, strings.HasPrefix(err.Error(), file+":"+c.want), "%q\n%v", c.text, err)
		require.NotContains(t, err.Error(), "\n")

		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		var out bytes.Buffer
		require.EqualError(t, run(t.Context(), []string{"-check", "-config", file}, &out, io.Discard), err.Error())
		require.Empty(t, out.String())
	}
	_, err := parseConfig(file, []byte(strings.Replace(withBasics(dir, good), "key.pem", "none.pem", 1)))
	require.ErrorContains(t, err, file+":2: certificates[0]: open "+dir+"/none.pem")
}

func TestConfigDefaults(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, (&demo{dir: dir}).writeCertificate())
	c, err := parseConfig("x", []byte(withBasics(dir, "pools: {p: {backends: ['http://a'], timeouts: {header: 7s}}}\nroutes: [{pool: p}]\n")))
	require.NoError(t, err)
	require.Equal(t, yamlfile.Span(30*time.Second), c.Drain)
	require.Equal(t, yamlfile.Span(0), *c.DrainDelay, "nobody can ask /readyz")
	require.Equal(t, poolTimeouts{Connect: yamlfile.Span(5 * time.Second), Header: yamlfile.Span(7 * time.Second), Idle: yamlfile.Span(90 * time.Second)}, c.Pools["p"].Timeouts)
	require.Equal(t, "round-robin", c.Pools["p"].Balance)
	c, err = parseConfig("x", []byte(withBasics(dir, "admin: ':0'\n"+onePool("http://a"))))
	require.NoError(t, err)
	require.Equal(t, yamlfile.Span(5*time.Second), *c.DrainDelay)
}

// TestMistakeBeforeListening checks that a mistake in the file is found before the edge listens.
// Its address is in use, which would be the error otherwise.
func TestMistakeBeforeListening(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	d := &demo{dir: t.TempDir()}
	require.NoError(t, d.writeCertificate())
	text := strings.Replace(withBasics(d.dir, onePool("http://a")), "127.0.0.1:0", ln.Addr().String(), 1)
	for _, c := range []struct {
		text, want string
		mistake    bool
	}{{text, "address already in use", false}, {text + "drain: soon\n", `edge.yaml:5: "soon"`, true}} {
		require.NoError(t, os.WriteFile(d.config(), []byte(c.text), 0o600))
		err := run(t.Context(), []string{"-config", d.config()}, io.Discard, io.Discard)
		require.ErrorContains(t, err, c.want)
		var mistake *usage.Error
		require.Equal(t, c.mistake, errors.As(err, &mistake))
	}
}
