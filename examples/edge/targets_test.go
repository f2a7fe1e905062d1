package main

import (
	"net/netip"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestTargets has a table of what tunnels may lead to.
func TestTargets(t *testing.T) {
	ts, err := parseTargets([]string{
		"example.org:443", "*.example.org:8443", "10.1.0.0/16:22", "[fd00::/8]:22", "192.0.2.7:*", "[fd00::1]:80", "*:853",
	})
	require.NoError(t, err)
	for _, c := range []struct {
		host, addr string
		want       bool
	}{
		{"example.org", "1.1.1.1:443", true},
		{"example.org", "1.1.1.1:80", false},
		{"example.org", "10.0.0.1:443", false},
		{"example.org", "127.0.0.1:443", false},
		{"example.org", "[::ffff:127.0.0.1]:443", false},
		{"example.org", "[64:ff9b::7f00:1]:443", false},
		{"a.example.org", "1.1.1.1:443", false},
		{"a.b.example.org", "1.1.1.1:8443", true},
		{"example.org", "1.1.1.1:8443", false},
		{"badexample.org", "1.1.1.1:8443", false},
		{"any.name", "10.1.2.3:22", true},
		{"any.name", "10.2.2.3:22", false},
		{"10.1.2.3", "10.1.2.3:22", true},
		{"fd12::1", "[fd12::1]:22", true},
		{"fd12::1", "[fd12::1]:23", false},
		{"192.0.2.7", "192.0.2.7:65535", true},
		{"fd00::1", "[fd00::1]:80", true},
		{"1.1.1.1", "1.1.1.1:853", true},
		{"10.0.0.1", "10.0.0.1:853", false},
		{"localhost", "[::1]:853", false},
	} {
		to := netip.MustParseAddrPort(c.addr)
		require.Equal(t, c.want, ts.lead(c.host, to), c)
		if c.want {
			require.True(t, ts.mayLead(c.host, to.Port()), c)
		}
	}
	few := ts[:3]
	require.False(t, few.mayLead("example.org", 80))
	require.False(t, few.mayLead("10.0.0.1", 443))
	require.True(t, few.mayLead("any.name", 22), "it may have an address of the block")
}

func TestTargetErrors(t *testing.T) {
	for _, text := range []string{"", "a", "a:", "a:0", "a:65536", "a:x", ":443", "*.:1", "a*:1", "*.*:1", "a b:1", "a/b:1", "[::1:1", "fe80::1:2:3%a:x"} {
		_, err := parseTarget(text)
		require.Error(t, err, text)
	}
	for _, text := range []string{"a", "a:0", ":1", "a:1:2", "*:443", "[fe80::1%eth0]:443"} {
		_, _, ok := splitTarget(text)
		require.False(t, ok, text)
	}
	host, port, ok := splitTarget("Example.ORG.:443")
	require.True(t, ok)
	require.Equal(t, "example.org", host)
	require.Equal(t, uint16(443), port)
}
