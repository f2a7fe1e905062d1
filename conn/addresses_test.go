package conn

import (
	"net/netip"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// A connection knows its peer by the address that datagrams from there have, however
// it was dialed.
func TestDialedAddress(t *testing.T) {
	for dialed, want := range map[string]string{
		"0.0.0.0:443":             "127.0.0.1:443",
		"[::]:443":                "[::1]:443",
		"[::%eth0]:443":           "[::1]:443",
		"[::ffff:0.0.0.0]:443":    "127.0.0.1:443",
		"[::ffff:10.0.0.1]:443":   "10.0.0.1:443",
		"[::ffff:10.0.0.1%1]:443": "10.0.0.1:443",
		"[::1%lo]:443":            "[::1]:443",
		"[2001:db8::1%eth0]:443":  "[2001:db8::1]:443",
		"[fe80::1%eth0]:443":      "[fe80::1%eth0]:443",
		"[ff02::1%eth0]:443":      "[ff02::1%eth0]:443",
		"[2001:db8::1]:443":       "[2001:db8::1]:443",
		"198.51.100.1:443":        "198.51.100.1:443",
	} {
		require.Equal(t, netip.MustParseAddrPort(want), canonicalRemote(netip.MustParseAddrPort(dialed)), dialed)
	}
}
