package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
)

// A balancerView stands between clients and an edge. It sees the server IDs that a balancer would.
type balancerView struct {
	dec interface { // a *quiclb.Decoder or a quiclb.KatranDecoder
		ServerID(dst, cid []byte) ([]byte, bool)
		Len(b []byte) int
	}
	relay *netrelay.Relay

	formatShift int // of the first byte of an ID

	mu   sync.Mutex
	seen map[string]int // packets with short headers by server ID and format, or "unknown"
}

// newView returns a view that knows configs. Its relay outlives edges that start later. So their
// clients can still tell them that they close.
func newView(t *testing.T, configs ...quiclb.Config) *balancerView {
	t.Helper()
	v := &balancerView{seen: make(map[string]int), formatShift: 5}
	dec, err := quiclb.NewDecoder(configs...)
	require.NoError(t, err)
	v.dec = dec
	t.Cleanup(func() {
		if v.relay != nil {
			v.relay.Close()
		}
	})
	return v
}

// standBefore has new clients of e come through v.
func (v *balancerView) standBefore(e *running) {
	e.t.Helper()
	var err error
	v.relay, err = netrelay.New(netrelay.Config{Server: e.addr().(*net.TCPAddr).AddrPort(), Filter: v.look})
	require.NoError(e.t, err)
	e.at = v.relay.Addr().String()
}

func (v *balancerView) look(p *netrelay.Packet) bool {
	h, ok := conn.ParseHeader(p.Data, v.dec.Len)
	if p.Dir != netrelay.Up || ok && h.Long {
		return true
	}
	what := "unknown"
	if ok {
		if id, ok := v.dec.ServerID(nil, h.DCID); ok {
			what = fmt.Sprintf("%x of format %d", id, h.DCID[0]>>v.formatShift)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen[what]++
	return true
}

// takeSeen returns what has been seen since the last time.
func (v *balancerView) takeSeen() (what []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for w := range v.seen {
		what = append(what, w)
	}
	clear(v.seen)
	return what
}

// lbKey is a key in a file.
var lbKey = [16]byte{0x8f, 0x95, 0xf0, 0x92, 0x45, 0x76, 0x5f, 0x80, 0x25, 0x69, 0x34, 0xe5, 0x0c, 0x66, 0x20, 0x7f}

// TestQUICLB has a balancer read the server ID in the connection IDs of each kind. The access log
// says it, too.
func TestQUICLB(t *testing.T) {
	dir := t.TempDir()
	binary, text := filepath.Join(dir, "binary"), filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(binary, lbKey[:], 0o600))
	require.NoError(t, os.WriteFile(text, []byte(hex.EncodeToString(lbKey[:])+"\n"), 0o600))
	t.Setenv("EDGE_TEST_NODE", "192.0.2.7")
	t.Setenv("EDGE_TEST_AWS", "CgsMDQAAAAE=")
	for _, c := range []struct {
		name, server, format string
		config               quiclb.Config
		want                 string
	}{
		{"in clear", "server_id: a1b2", "{nonce: 6}",
			quiclb.Config{ServerID: make([]byte, 2), NonceLen: 6}, "a1b2 of format 0"},
		{"one pass", "server_id: 192.0.2.7", "{id: 1, nonce: 12, key: " + binary + "}",
			quiclb.Config{ID: 1, ServerID: make([]byte, 4), NonceLen: 12, Key: &lbKey}, "c0000207 of format 1"},
		{"four passes", "server_id_env: EDGE_TEST_NODE", "{id: 6, nonce: 5, key: " + text + "}",
			quiclb.Config{ID: 6, ServerID: make([]byte, 4), NonceLen: 5, Key: &lbKey}, "c0000207 of format 6"},
		{"AWS", "server_id_env: EDGE_TEST_AWS", "{nonce: 7}",
			quiclb.Config{ServerID: make([]byte, 8), NonceLen: 7}, "0a0b0c0d00000001 of format 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newView(t, c.config)
			var log logBuffer
			e := startLogging(t, "quic_lb: {"+c.server+", formats: ["+c.format+"]}\n"+onePool(serveTest(t, saying("hello"))), &log)
			v.standBefore(e)
			e.get(e.client("HTTP/3.0"), "/")
			require.Equal(t, []string{c.want}, v.takeSeen())
			require.Eventually(t, func() bool { return len(log.requests(t)) == 1 }, time.Minute, time.Millisecond)
			id, _, _ := strings.Cut(c.want, " ")
			require.Equal(t, id, log.requests(t)[0]["quic"].(map[string]any)["server_id"].(string))
		})
	}
}

// TestKatran has Katran read the server ID in each version of its layout. The access log says it,
// too, and it cannot change.
func TestKatran(t *testing.T) {
	for version := 1; version <= 3; version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			v := newView(t)
			v.dec, v.formatShift = quiclb.KatranDecoder{}, 6
			routes := onePool(serveTest(t, saying("hello")))
			var log logBuffer
			e := startLogging(t, fmt.Sprintf("katran: {version: %d, server_id: 0402}\n", version)+routes, &log)
			v.standBefore(e)
			e.get(e.client("HTTP/3.0"), "/")
			require.Equal(t, []string{fmt.Sprintf("00000402 of format %d", version)}, v.takeSeen())
			require.Eventually(t, func() bool { return len(log.requests(t)) == 1 }, time.Minute, time.Millisecond)
			require.Equal(t, "0402", log.requests(t)[0]["quic"].(map[string]any)["server_id"].(string))
			for _, text := range []string{routes, "katran: {version: 1, server_id: 0403}\n" + routes} {
				e.configure(text)
				require.ErrorContains(t, e.reload(), "katran: cannot change without a restart")
			}
		})
	}
}

// TestQUICLBRotation changes the format by a reload, and then a key by its file. Requests on an old
// connection go on.
func TestQUICLBRotation(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, lbKey[:], 0o600))
	routes := onePool(serveTest(t, saying("hello")))
	const plain = "{id: 0, nonce: 6}"
	sealed := "{id: 1, nonce: 9, key: " + key + "}"
	with := func(server, formats string) string {
		return "quic_lb: {server_id: " + server + ", formats: [" + formats + "]}\n" + routes
	}
	changed := [16]byte{1}
	clear := quiclb.Config{ServerID: make([]byte, 3), NonceLen: 6}
	encrypted := quiclb.Config{ID: 1, ServerID: make([]byte, 3), NonceLen: 9, Key: &lbKey}
	v := newView(t, clear, encrypted)
	encrypted.Key = &changed
	next := newView(t, clear, encrypted)
	e := start(t, with("a1b2c3", plain))
	v.standBefore(e)
	old := e.client("HTTP/3.0")
	e.get(old, "/")
	require.Equal(t, []string{"a1b2c3 of format 0"}, v.takeSeen())

	for _, text := range []string{routes, with("a1b2c4", plain)} {
		e.configure(text)
		require.ErrorContains(t, e.reload(), "quic_lb: cannot change without a restart")
	}
	e.configure(with("a1b2c3", sealed+", "+plain))
	require.NoError(t, e.reload())
	issues := func(v *balancerView) func() bool {
		return func() bool {
			e.get(e.client("HTTP/3.0"), "/")
			return slices.Contains(v.takeSeen(), "a1b2c3 of format 1")
		}
	}
	require.Eventually(t, issues(v), time.Minute, time.Millisecond)
	e.get(old, "/")

	require.NoError(t, os.WriteFile(key, []byte(hex.EncodeToString(changed[:])), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go e.keepCurrent(ctx, nil, time.Millisecond)
	next.standBefore(e)
	require.Eventually(t, issues(next), time.Minute, time.Millisecond)
	e.get(old, "/")
}

// TestQUICLBCheck looks at a file with all that quic_lb can have.
func TestQUICLBCheck(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, (&demo{dir: dir}).writeCertificate())
	file, key := filepath.Join(dir, "edge.yaml"), filepath.Join(dir, "key")
	require.NoError(t, os.WriteFile(key, lbKey[:], 0o600))
	text := withBasics(dir, fmt.Sprintf("quic_lb: {server_id: 0102, formats: [{id: 3, nonce: 14, key: %q}, {nonce: 17}]}\n%s", key, onePool("http://a")))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	c, err := readConfig(file)
	require.NoError(t, err)
	id, err := c.QUICLB.serverID()
	require.NoError(t, err)
	require.Equal(t, []byte{1, 2}, id)
	require.NoError(t, run(t.Context(), []string{"-check", "-config", file}, io.Discard, io.Discard))
}
