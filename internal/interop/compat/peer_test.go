package compat

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestPeers builds one program twice: against quic-go and against compat/quic-go. Each is a client
// and a server of itself and of the other.
func TestPeers(t *testing.T) { pair(t, "peer") }

// TestHTTP3Peers is TestPeers with a program of package http3.
func TestHTTP3Peers(t *testing.T) { pair(t, "peer3") }

// pair builds a program of compat/quic-go/internal against both, and runs all pairs.
func pair(t *testing.T, program string) {
	dir := t.TempDir()
	programs := map[string]string{"quic-go": filepath.Join(dir, "theirs"), "Lazo": filepath.Join(dir, "ours")}
	sources, err := filepath.Glob(filepath.Join(module, "internal", program, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, sources)
	build := func(where, program string, args ...string) {
		c := exec.Command("go", append([]string{"build", "-o", program}, args...)...)
		c.Dir = where
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	build(".", programs["quic-go"], sources...) // with the requirements of this module
	build(module, programs["Lazo"], "./internal/"+program)
	for server := range programs {
		for client := range programs {
			t.Run(client+" to "+server, func(t *testing.T) { talk(t, programs[client], programs[server]) })
		}
	}
}

// talk runs a server, and a client that talks to it.
func talk(t *testing.T, client, server string) {
	s := exec.Command(server, "serve")
	s.Stderr = t.Output()
	out, err := s.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.Start())
	defer s.Process.Kill()
	lines := bufio.NewReader(out)
	addr, err := lines.ReadString('\n')
	require.NoError(t, err)
	c := exec.Command(client, append([]string{"call"}, strings.Fields(addr)...)...)
	c.Stderr = t.Output()
	got, err := c.Output()
	require.NoError(t, err)
	require.Equal(t, "ok\n", string(got))
	last, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ok\n", last)
	require.NoError(t, s.Wait())
}
