package masque

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestNextHop: the address of a target with a name is the next-hop of the first member. Nothing
// that only looks like a next-hop counts.
func TestNextHop(t *testing.T) {
	const unknown = "192.0.0.8:443"
	for _, c := range []struct {
		status []string
		want   string
	}{
		{nil, unknown},
		{[]string{""}, unknown},
		{[]string{`x`}, unknown},
		{[]string{`x; next-hop="elsewhere"`}, unknown},
		{[]string{`x; next-hop="[2001:db8::1]:443"; y`}, "[2001:db8::1]:443"},
		{[]string{`lazo;next-hop="192.0.2.1:443"`}, "192.0.2.1:443"},
		{[]string{`"a proxy";next-hop="192.0.2.1:443"`, "b"}, "192.0.2.1:443"},
		{[]string{`a;next-hop="192.0.2.1:443", b;next-hop="192.0.2.2:443"`}, "192.0.2.1:443"},
		{[]string{`a;next-hop="192.0.2.2:443";next-hop="192.0.2.1:443"`}, "192.0.2.1:443"},
		// another parameter, another member, and the text of a String
		{[]string{`a;x-next-hop="192.0.2.1:443"`}, unknown},
		{[]string{`a;x-next-hop="192.0.2.2:443";next-hop="192.0.2.1:443"`}, "192.0.2.1:443"},
		{[]string{`a, b;next-hop="192.0.2.1:443"`}, unknown},
		{[]string{`a;details="next-hop=\"192.0.2.1:443\""`}, unknown},
		// other types
		{[]string{`a;next-hop`}, unknown},
		{[]string{`a;next-hop=192`}, unknown},
		{[]string{`a;next-hop=a.test:443`}, unknown},
		{[]string{`(a);next-hop="192.0.2.1:443"`}, unknown},
		// not a List
		{[]string{`a;next-hop="192.0.2.1:443`}, unknown},
		{[]string{`a;next-hop="192.0.2.1:443",`}, unknown},
		{[]string{`a;next-hop="192.0.2.1:443";;`}, unknown},
		{[]string{`a;next-hop="192.0.2.1:443"`, strings.Repeat("a", maxStatus)}, unknown},
	} {
		h := http.Header{headerStatus: c.status}
		require.Equal(t, c.want, remoteAddr("a.test:443", h).String(), "%q", c.status)
		require.Equal(t, "192.0.2.9:443", remoteAddr("192.0.2.9:443", h).String(), "%q", c.status)
	}
}

// TestStatusField: a name and details may be any text.
func TestStatusField(t *testing.T) {
	for name, want := range map[string]string{
		"":             `lazo;error=dns_error;details="no \"host\"? \\"`,
		"a":            `"a";error=dns_error;details="no \"host\"? \\"`,
		"a \"b\\":      `"a \"b\\";error=dns_error;details="no \"host\"? \\"`,
		"é\n\x7f\xff~": `"????~";error=dns_error;details="no \"host\"? \\"`,
	} {
		no := &refusal{kind: "dns_error", details: "no \"host\"\x00 \\"}
		require.Equal(t, want, no.field(name), "%q", name)
	}
	target := netip.MustParseAddrPort("[2001:db8::1]:443")
	require.Equal(t, `lazo;next-hop="[2001:db8::1]:443"`, nextHopField("", target))
	addr, ok := nextHop(http.Header{headerStatus: {nextHopField(`"é,`, target)}})
	require.True(t, ok)
	require.Equal(t, target, addr)
}
