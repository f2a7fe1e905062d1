package webtransport

import (
	"net/http"
	"slices"

	"github.com/dunglas/httpsfv"
)

// Header fields that negotiate the protocol of a session
// (draft-ietf-webtrans-http3-15, Section 3.3).
const (
	headerAvailable = "Wt-Available-Protocols" // a List of Strings
	headerProtocol  = "Wt-Protocol"            // a String
)

const (
	// maxProtocols bounds how many protocols a peer may name.
	maxProtocols = 64

	// maxProtocolsField bounds the length in bytes of a field that names protocols. A longer one is
	// ignored without parsing, because a parsed List can take 100 times the memory of its text.
	maxProtocolsField = 8 << 10
)

// available returns the protocols that a client offers, in its order. It returns none if the field
// is absent or malformed. An empty List is the same as no field (RFC 9651, Section 3.1).
func available(h http.Header) []string {
	lines := h[headerAvailable]
	if fieldLen(lines) > maxProtocolsField {
		return nil
	}
	list, err := httpsfv.UnmarshalList(lines)
	if err != nil || len(list) > maxProtocols {
		return nil
	}
	var names []string
	for _, member := range list {
		item, ok := member.(httpsfv.Item)
		if !ok {
			return nil // an Inner List
		}
		name, ok := item.Value.(string)
		if !ok {
			return nil
		}
		names = append(names, name)
	}
	return names
}

// choose returns the first of theirs that ours has too.
func choose(theirs, ours []string) (string, bool) {
	i := slices.IndexFunc(theirs, func(name string) bool { return slices.Contains(ours, name) })
	if i < 0 {
		return "", false
	}
	return theirs[i], true
}

// chosen returns the protocol that a server has chosen. ok is false if the field is absent or
// malformed.
func chosen(h http.Header) (name string, ok bool) {
	lines := h[headerProtocol]
	if fieldLen(lines) > maxProtocolsField {
		return "", false
	}
	item, err := httpsfv.UnmarshalItem(lines)
	if err != nil {
		return "", false
	}
	name, ok = item.Value.(string)
	return name, ok
}

// fieldLen returns the length in bytes of a field in several lines (RFC 9651, Section 4.2).
func fieldLen(lines []string) int {
	n := 0
	for _, line := range lines {
		n += len(line) + len(",")
	}
	return n
}

// formatStrings formats a List of Strings (RFC 9651, Section 4.1). It reports false if a name has a
// character that no String can have: only printable ASCII is allowed.
func formatStrings(names ...string) (string, bool) {
	list := make(httpsfv.List, len(names))
	for i, name := range names {
		list[i] = httpsfv.NewItem(name)
	}
	s, err := httpsfv.Marshal(list)
	return s, err == nil
}
