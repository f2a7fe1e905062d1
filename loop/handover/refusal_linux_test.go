package handover_test

import (
	"crypto/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/handover"
)

func serverConfig() *loop.Config {
	return &loop.Config{Endpoint: conn.EndpointConfig{Server: conntest.ServerConfig()}}
}

func open(t *testing.T, path string) *handover.Handover {
	t.Helper()
	h, err := handover.Open(t.Context(), &handover.Config{Path: path})
	require.NoError(t, err)
	t.Cleanup(func() { h.Close() })
	return h
}

// TestMistakes: what does not fit the predecessor is an error before anything changes there.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := handover.Open(t.Context(), &handover.Config{Path: file})
	require.ErrorContains(t, err, "is no socket")
	_, err = handover.Open(t.Context(), new(handover.Config))
	require.ErrorContains(t, err, "Path is empty")

	path := filepath.Join(dir, "path")
	first := open(t, path)
	require.True(t, first.First())
	require.ErrorContains(t, first.Ready(t.Context()), "Ready before Group")
	g, err := first.Group("udp", "127.0.0.1:0", 1, serverConfig())
	require.NoError(t, err)
	defer g.Close()
	require.NoError(t, first.Ready(t.Context()))

	other := open(t, path)
	require.True(t, !other.First())
	_, err = other.Group("udp", "127.0.0.1:1", 1, serverConfig())
	require.ErrorContains(t, err, "the predecessor serves udp 127.0.0.1:0, not udp 127.0.0.1:1")
	other.Close()

	longer := serverConfig()
	src, err := quiclb.NewSource(quiclb.Config{ServerID: []byte("server"), NonceLen: 8}, rand.Reader)
	require.NoError(t, err)
	longer.Endpoint.ConnIDs = src
	other = open(t, path)
	_, err = other.Group("udp", "127.0.0.1:0", 1, longer)
	require.ErrorContains(t, err, "connection IDs of 15 bytes, the predecessor has 8")
	other.Close()

	require.Equal(t, "ok", visit(t, g))
	require.NoError(t, first.Close())
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestGarbage: a process that speaks something else changes nothing.
func TestGarbage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "path")
	h := open(t, path)
	g, err := h.Group("udp", "127.0.0.1:0", 1, serverConfig())
	require.NoError(t, err)
	defer g.Close()
	require.NoError(t, h.Ready(t.Context()))
	for _, message := range []string{"?", "s", "yyyy"} {
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
		require.NoError(t, err)
		c.Write([]byte(message))
		b := make([]byte, 1<<16)
		for err == nil {
			_, err = c.Read(b) // the offer, and then the end
		}
		c.Close()
	}
	require.Equal(t, "ok", visit(t, g))
}

// visit connects to g.
func visit(t *testing.T, g *loop.Group) string {
	t.Helper()
	client, err := loop.Open("udp", "127.0.0.1:0", 1, nil)
	require.NoError(t, err)
	defer client.Close()
	_, err = client.Dial(t.Context(), g.LocalAddr().String(), conntest.ClientConfig())
	require.NoError(t, err)
	return "ok"
}

// TestOtherUser: a process of another user gets nothing, also where the file lets it connect.
func TestOtherUser(t *testing.T) {
	if path := os.Getenv("HANDOVER_TEST_STRANGER"); path != "" {
		_, err := handover.Open(t.Context(), &handover.Config{Path: path})
		require.ErrorContains(t, err, "handover: refused: handover: the other process is of user 65534")
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can run a process of another user")
	}
	dir, err := os.MkdirTemp("", "handover")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.Chmod(dir, 0o777))
	path := filepath.Join(dir, "path")
	h := open(t, path)
	g, err := h.Group("udp", "127.0.0.1:0", 1, serverConfig())
	require.NoError(t, err)
	defer g.Close()
	require.NoError(t, h.Ready(t.Context()))
	require.NoError(t, os.Chmod(path, 0o777))
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestOtherUser$", "-test.v")
	cmd.Env = append(os.Environ(), "HANDOVER_TEST_STRANGER="+path)
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}, "/"
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestOtherUser")
}
