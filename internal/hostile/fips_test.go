package hostile

import (
	"crypto/fips140"
	"crypto/rand"
	"os"
	"os/exec"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// withFIPS runs tests of this package in another process, with a setting of fips140.
func withFIPS(t *testing.T, setting, run string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run="+run, "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140="+setting)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: ")
}

// TestFIPS: with fips140=on, connections are what they are without. With fips140=only there are
// none: RFC 9001 makes the nonces of AES-GCM itself, and that setting forbids it. A program is told
// so when it makes an Endpoint.
func TestFIPS(t *testing.T) {
	if fips140.Enforced() { // in the process of "only"
		for _, server := range []*conn.Config{nil, conntest.ServerConfig()} {
			_, err := conn.NewEndpoint(&conn.EndpointConfig{Rand: rand.Reader, Server: server})
			require.ErrorContains(t, err, "FIPS 140-only mode")
		}
		return
	}
	t.Run("on", func(t *testing.T) { withFIPS(t, "on", "^TestCore$/^(a_client_that|DATA_before|1,000_PATH|a_packet)") })
	t.Run("only", func(t *testing.T) { withFIPS(t, "only", "^TestFIPS$") })
}
