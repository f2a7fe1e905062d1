package masque

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/dunglas/httpsfv"
)

const headerStatus = "Proxy-Status" // a List (RFC 9209, Section 2)

// maxStatus bounds the Proxy-Status field that a client reads, in bytes. A longer one is ignored
// unparsed: a parsed List takes about 100 times the memory of its shortest text.
const maxStatus = 8 << 10

// statusField returns the Proxy-Status field of a proxy. The default of name is "lazo".
func statusField(name string, params *httpsfv.Params) string {
	item := httpsfv.Item{Value: httpsfv.Token("lazo"), Params: params}
	if name != "" {
		item.Value = printable(name)
	}
	// It fails only for values that are not used here: all Strings are printable.
	s, _ := httpsfv.Marshal(item)
	return s
}

// field returns the Proxy-Status field with the reason why a request fails (RFC 9209, Section 2.1).
func (no *refusal) field(name string) string {
	params := httpsfv.NewParams()
	params.Add("error", httpsfv.Token(no.kind))
	if no.details != "" {
		params.Add("details", printable(no.details))
	}
	return statusField(name, params)
}

// nextHopField returns the Proxy-Status field of an open tunnel to target.
func nextHopField(name string, target netip.AddrPort) string {
	params := httpsfv.NewParams()
	params.Add("next-hop", target.String())
	return statusField(name, params)
}

// nextHop returns the next-hop of a response's Proxy-Status field, if it is an address. Only the
// first member counts. It is from the proxy nearest to the target. The next-hops of others are
// proxies (RFC 9209, Sections 2 and 2.1.2).
func nextHop(h http.Header) (netip.AddrPort, bool) {
	lines := h[headerStatus]
	n := 0
	for _, line := range lines {
		n += len(line) + len(",")
	}
	if n > maxStatus {
		return netip.AddrPort{}, false
	}
	list, err := httpsfv.UnmarshalList(lines)
	if err != nil || len(list) == 0 {
		return netip.AddrPort{}, false
	}
	item, ok := list[0].(httpsfv.Item)
	if !ok {
		return netip.AddrPort{}, false // an Inner List
	}
	hop, _ := item.Params.Get("next-hop")
	// an address is a String: as a Token it could not begin with a digit or a bracket
	s, _ := hop.(string)
	addr, err := netip.ParseAddrPort(s)
	return addr, err == nil
}

// printable returns s with a question mark in place of each character that a String cannot have
// (RFC 9651, Section 3.3.3).
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
