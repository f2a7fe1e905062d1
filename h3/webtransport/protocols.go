package webtransport

import (
	"net/http"
	"slices"
	"strings"
)

// Header fields that negotiate the protocol of a session
// (draft-ietf-webtrans-http3-15, Section 3.3).
const (
	headerAvailable = "Wt-Available-Protocols" // a List of Strings
	headerProtocol  = "Wt-Protocol"            // a String
)

// maxProtocols bounds how many protocols of a peer are looked at.
const maxProtocols = 64

// available returns the protocols that a client offers, in its order; none if the field
// is absent or malformed.
func available(h http.Header) []string {
	names, ok := parseStrings(strings.Join(h[headerAvailable], ","))
	if !ok {
		return nil
	}
	return names
}

// choose returns the first of theirs that is among ours.
func choose(theirs, ours []string) (string, bool) {
	i := slices.IndexFunc(theirs, func(name string) bool { return slices.Contains(ours, name) })
	if i < 0 {
		return "", false
	}
	return theirs[i], true
}

// chosen returns the protocol that a server chose; ok is false if the field is absent or
// malformed.
func chosen(h http.Header) (name string, ok bool) {
	names, ok := parseStrings(strings.Join(h[headerProtocol], ","))
	if !ok || len(names) != 1 {
		return "", false
	}
	return names[0], true
}

// formatStrings formats a List of Strings (RFC 9651, Section 4.1). It reports false for
// what a String cannot have: characters other than those of ASCII that are printed.
func formatStrings(names []string) (string, bool) {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('"')
		for _, c := range []byte(name) {
			if c < ' ' || c > '~' {
				return "", false
			}
			if c == '"' || c == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
		b.WriteByte('"')
	}
	return b.String(), true
}

// parseStrings parses a List of Strings (RFC 9651, Section 4.2). Parameters are ignored.
// It reports false if s is anything else.
func parseStrings(s string) (names []string, ok bool) {
	s = strings.Trim(s, " \t")
	for len(names) < maxProtocols {
		var name string
		if name, s, ok = parseString(s); !ok {
			return nil, false
		}
		names = append(names, name)
		if s, ok = skipParameters(s); !ok {
			return nil, false
		}
		if s = strings.TrimLeft(s, " \t"); s == "" {
			return names, true
		}
		if s[0] != ',' {
			return nil, false
		}
		s = strings.TrimLeft(s[1:], " \t")
	}
	return nil, false
}

// parseString parses a String at the start of s.
func parseString(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		return "", s, false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case c == '\\' || c < ' ' || c > '~':
			return "", s, false
		default:
			b.WriteByte(c)
		}
	}
	return "", s, false
}

// skipParameters skips what may follow a value: ;key or ;key=value.
func skipParameters(s string) (rest string, ok bool) {
	for strings.HasPrefix(s, ";") {
		s = strings.TrimLeft(s[1:], " ")
		value := strings.TrimLeft(s, "abcdefghijklmnopqrstuvwxyz0123456789_-.*")
		if len(value) == len(s) {
			return s, false
		}
		s = value
		if !strings.HasPrefix(s, "=") {
			continue
		}
		if s = s[1:]; strings.HasPrefix(s, `"`) {
			if _, s, ok = parseString(s); !ok {
				return s, false
			}
			continue
		}
		n := strings.IndexAny(s+",", " \t;,\"")
		if n == 0 {
			return s, false
		}
		s = s[n:]
	}
	return s, true
}
