package conn

import (
	"net/netip"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
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

// A client moves to an address as received datagrams have it, however it was spelled.
func TestMigrateToOtherSpellings(t *testing.T) {
	for spelled, want := range map[string]string{
		"10.0.0.77:5555":                "10.0.0.77:5555",
		"[::ffff:10.0.0.77]:5555":       "10.0.0.77:5555",
		"[::ffff:10.0.0.77%eth0]:5555":  "10.0.0.77:5555",
		"[2001:db8::77%eth0]:5555":      "[2001:db8::77]:5555",
		"[fe80::77%eth0]:5555":          "[fe80::77%eth0]:5555",
		"[::1%1]:5555":                  "[::1]:5555",
		"[2001:db8:0:0:0:0:0:77]:55555": "[2001:db8::77]:55555",
	} {
		tc := newTestConn(t, false)
		local := netip.MustParseAddrPort(want)
		tc.must(tc.c.Probe(netip.MustParseAddrPort(spelled)))
		data, _ := tc.challengeOf("the new path is challenged")
		require.Equal(t, local, tc.current.burst.Local, spelled)
		tc.must(tc.c.Migrate(local)) // the same path
		tc.ignore(wire.FrameAck)
		tc.wantIdle("one challenge is enough")
		tc.write(responseFrame(data))
		require.Equal(t, local, tc.wantEvent("the path works, and is used", EventPathChanged).Local, spelled)
		require.Equal(t, local, tc.c.LocalAddr(), spelled)
	}
}

// What a server may prefer (RFC 9000, Section 9.6).
// RFC 9000, Section 21.5.6 [2].
func TestCanPrefer(t *testing.T) {
	for address, want := range map[string]bool{
		"198.51.100.1:443": true, "[2001:db8::1]:443": true, "[fe80::1%eth0]:443": true, "169.254.0.1:443": true,
		"198.51.100.1:0": false, "0.0.0.0:443": false, "224.0.0.1:443": false, "[::]:443": false, "[ff02::1%eth0]:443": false,
		"[fe80::1]:443": false, "[::ffff:198.51.100.1]:443": false,
	} {
		require.Equal(t, want, canPrefer(netip.MustParseAddrPort(address)), address)
	}
	require.False(t, canPrefer(netip.AddrPort{}))
}
