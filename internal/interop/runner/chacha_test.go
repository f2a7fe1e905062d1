package runner

import (
	"crypto/tls"
	"os"
	"os/exec"
	"slices"
	"strings"
	_ "unsafe" // for linkname

	"github.com/lazoquic/lazo/internal/require"
)

// These are the cipher suites that crypto/tls offers in TLS 1.3. A tls.Config cannot choose among
// them, but crypto/tls lets linkname reach them.

//go:linkname tls13Suites crypto/tls.defaultCipherSuitesTLS13
var tls13Suites []uint16

//go:linkname tls13SuitesNoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var tls13SuitesNoAES []uint16

// classical are the groups with short key shares.
var classical = []tls.CurveID{tls.X25519}

// chacha20 runs in a process of its own, because the lists of suites hold for the whole process.
func chacha20(r *run) {
	const inside = "LAZO_RUNNER_CHACHA20"
	if os.Getenv(inside) == "" {
		name := strings.Split(r.Name(), "/")
		for i := range name {
			name[i] = "^" + name[i] + "$"
		}
		cmd := exec.Command(os.Args[0], "-test.v", "-test.run="+strings.Join(name, "/"))
		cmd.Env = append(os.Environ(), inside+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(r, err, "%s", out)
		require.Contains(r, string(out), "--- PASS: "+r.Name())
		return
	}
	only := []uint16{tls.TLS_CHACHA20_POLY1305_SHA256}
	tls13Suites, tls13SuitesNoAES = only, only
	r.begin(simple(), serverConfig{})
	s := r.one(r.download(r.files.add(3 * mb)))
	offered, ok := s.clientHello()
	require.True(r, ok)
	require.Equal(r, only, offered.suites)
	chosen, ok := s.serverHello()
	require.True(r, ok)
	require.Equal(r, only, chosen.suites)
	require.True(r, slices.Equal(only, []uint16{s.suite}), "packets are protected by suite %#x", s.suite)
}
