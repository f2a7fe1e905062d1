package interop

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// picoquic returns a command of peers/picoquic, which speaks multipath by picoquic, a QUIC in C. It
// is killed when the test ends.
func picoquic(t *testing.T, ctx context.Context, args ...string) *exec.Cmd {
	t.Helper()
	python := os.Getenv("LAZO_PICOQUIC")
	if python == "" {
		t.Skip("LAZO_PICOQUIC does not name a Python that has aiopquic")
	}
	cmd := exec.CommandContext(ctx, python, append([]string{"peers/picoquic/peer.py"}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// TestPicoquicServer: a client of Lazo uses paths to picoquic.
func TestPicoquicServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cert, key := certificateFiles(t)
	s := serve(t, ctx, picoquic(t, ctx, "server", "127.0.0.1:0", cert, key))
	s.exercise("0", "0")
}

// TestPicoquicServerChooses: a path is the backup of both sides, whichever of them says so.
func TestPicoquicServerChooses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cert, key := certificateFiles(t)
	s := serve(t, ctx, picoquic(t, ctx, "server", "127.0.0.1:0", cert, key))
	second := s.add("127.0.0.2")
	for _, way := range []struct {
		use conn.PathID
		say func() // that the other one is the backup
	}{
		{second, func() {
			require.NoError(t, s.c.SetPathBackup(second, false))
			require.Equal(t, "0", s.ask("backup 0"))
		}},
		{0, func() {
			require.Equal(t, "0", s.ask("available 0"))
			// picoquic forgets it when the other path is late.
			require.NoError(t, s.c.SetPathBackup(second, false))
			require.NoError(t, s.c.SetPathBackup(second, true))
		}},
	} {
		s.until(func() bool {
			way.say()
			sent, received := s.carried(way.use)
			s.transfer()
			sent2, received2 := s.carried(way.use)
			return min(sent2-sent, received2-received) > transferSize*9/10
		})
		for _, p := range s.c.Paths() {
			require.Equal(t, p.ID != way.use, p.Backup, "path %d", p.ID)
		}
	}
}

// TestPicoquicClient: picoquic opens paths to a server of Lazo.
func TestPicoquicClient(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out := use(t, ctx, picoquic(t, ctx, "client"))
	for _, want := range []string{
		"opened 1\n", "keys 0\n", "backup 0 0\n", "carried 1\n", "carried 0\n", "done\n",
	} {
		require.Contains(t, out, want)
	}
	require.Equal(t, 5, strings.Count(out, "abandon 0\n"), out)
	for size, least := range map[int]int{transferSize: 6, transferSize / 8: 4} {
		require.GreaterOrEqual(t, strings.Count(out, fmt.Sprintf("got %d\n", size)), least, out)
		require.GreaterOrEqual(t, strings.Count(out, fmt.Sprintf("echoed %d\n", size)), least, out)
	}
}

// certificateFiles writes the certificate and the key of a server.
func certificateFiles(t *testing.T) (cert, key string) {
	t.Helper()
	server, _ := tlsConfigs(t)
	der, err := x509.MarshalPKCS8PrivateKey(server.Certificates[0].PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	for name, b := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: server.Certificates[0].Certificate[0]},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: der},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600))
	}
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}
