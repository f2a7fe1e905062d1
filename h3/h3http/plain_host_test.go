package h3http

import (
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"github.com/lazoquic/lazo/internal/require"
)

// TestPlainHost: a host that counts as plain needs none of the changes and checks that others get.
func TestPlainHost(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	hosts := []string{"", "lazo.test", "lazo.test:443", "127.0.0.1:80", "[::1]:443", "::1", "a:", ":1", "a:1:2", "Lazo.test:1", "a_b:1", "ä.test:1"}
	for range 10000 {
		b := make([]byte, r.IntN(8))
		for i := range b {
			const of = "az09-.::::AZ_[]%/ \x80"
			b[i] = of[r.IntN(len(of))]
		}
		hosts = append(hosts, string(b))
	}
	plain := 0
	for _, host := range hosts {
		ok, hasPort := isPlainHost(host)
		if !ok {
			continue
		}
		plain++
		u := &url.URL{Host: host}
		name, err := asciiHost(u.Hostname())
		require.NoError(t, err, host)
		require.Equal(t, hasPort, u.Port() != "", host)
		if hasPort {
			require.Equal(t, host, net.JoinHostPort(strings.ToLower(name), u.Port()))
			addr, err := dialAddr(u)
			require.NoError(t, err)
			require.Equal(t, host, addr)
		} else {
			require.Equal(t, host, strings.ToLower(name))
		}
		require.True(t, httpguts.ValidHostHeader(host), host)
	}
	require.Greater(t, plain, 100)
}
