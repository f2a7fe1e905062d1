package masque

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// WellKnown is the path of a proxy by default (RFC 9298, Section 2).
const WellKnown = "/.well-known/masque/udp/{target_host}/{target_port}/"

// A template is a URI Template (RFC 6570), as restricted by RFC 9298, Section 2. It has two
// variables between three constant parts. Undefined variables are left out.
// RFC 9298, Section 2 [1].
type template struct {
	parts     [3]string
	hostFirst bool
}

// parseTemplate parses a template that begins with a path.
func parseTemplate(s string) (*template, error) {
	t := new(template)
	found := 0
	add := func(literal string) { t.parts[found] += literal }
	variable := func(name string) error {
		host := name == "target_host"
		switch {
		case !host && name != "target_port":
			return nil
		case found == 2 || found == 1 && host == t.hostFirst:
			return fmt.Errorf("masque: template has {%s} twice", name)
		case found == 0:
			t.hostFirst = host
		}
		found++
		return nil
	}
	if !strings.HasPrefix(s, "/") { // RFC 9298, Section 2 [3]
		return nil, errors.New("masque: the path of a template begins with a slash")
	}
	for s != "" {
		literal, rest, open := strings.Cut(s, "{")
		if strings.ContainsFunc(literal, invalidInTemplate) {
			return nil, fmt.Errorf("masque: template has an invalid character in %q", literal)
		}
		add(literal)
		if !open {
			break
		}
		expression, rest, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errors.New("masque: template has { without }")
		}
		if err := parseExpression(expression, add, variable); err != nil {
			return nil, err
		}
		s = rest
	}
	if found != 2 { // RFC 9298, Section 2 [5]
		return nil, errors.New("masque: template lacks {target_host} or {target_port}")
	}
	return t, nil
}

// invalidInTemplate reports whether r is not allowed outside of expressions. A request has no
// fragment, so # is among them.
// RFC 9298, Section 2 [6].
func invalidInTemplate(r rune) bool { return r <= ' ' || r >= 0x7f || r == '}' || r == '#' }

// parseExpression parses the text between braces. It takes expressions up to level 3.
func parseExpression(s string, add func(string), variable func(string) error) error {
	separator, next := "", ","
	named := false
	switch {
	case s == "":
		return errors.New("masque: template has an empty expression")
	case s[0] == '?', s[0] == '&':
		separator, next, named, s = s[:1], "&", true, s[1:]
	case strings.ContainsRune("+#./;=,!@|", rune(s[0])): // RFC 9298, Section 2 [7]
		return fmt.Errorf("masque: template has the operator %q, which is not for proxies", s[:1])
	}
	for name := range strings.SplitSeq(s, ",") {
		if strings.ContainsFunc(name, notInName) || name == "" {
			return fmt.Errorf("masque: template has an invalid variable %q", name)
		}
		if name != "target_host" && name != "target_port" {
			continue
		}
		add(separator)
		if named {
			add(name + "=")
		}
		separator = next
		if err := variable(name); err != nil {
			return err
		}
	}
	return nil
}

func notInName(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '.' || r == '%')
}

// expand puts values in the place of the variables.
func (t *template) expand(host, port string) string {
	first, second := escape(host), escape(port)
	if !t.hostFirst {
		first, second = second, first
	}
	return t.parts[0] + first + t.parts[1] + second + t.parts[2]
}

// escape escapes all but unreserved characters (RFC 6570, Section 3.2.2).
// RFC 9298, Section 3 [3].
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isUnreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// match finds the variables in a path that a client has expanded. They are still escaped. It
// reports false if s does not match the template.
func (t *template) match(s string) (host, port string, ok bool) {
	if !strings.HasPrefix(s, t.parts[0]) || !strings.HasSuffix(s, t.parts[2]) ||
		len(s) < len(t.parts[0])+len(t.parts[2]) {
		return "", "", false
	}
	s = s[len(t.parts[0]) : len(s)-len(t.parts[2])]
	// A port has only digits, so the separator is the one that stands next to the port.
	i := strings.Index(s, t.parts[1])
	if t.hostFirst {
		i = strings.LastIndex(s, t.parts[1])
	}
	if i < 0 {
		return "", "", false
	}
	host, port = s[:i], s[i+len(t.parts[1]):]
	if !t.hostFirst {
		host, port = port, host
	}
	if strings.ContainsAny(host, "/?&#") {
		return "", "", false
	}
	host, err := url.PathUnescape(host)
	return host, port, err == nil
}
