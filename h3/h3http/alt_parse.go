package h3http

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// An altService says where an origin is served over HTTP/3 (RFC 7838, Section 3).
type altService struct {
	host   string // empty for the host of the origin
	port   string
	maxAge time.Duration
}

// maxMaxAge bounds how long an alternative is remembered.
const maxMaxAge = 365 * 24 * time.Hour

var errAltSvc = errors.New("h3http: malformed Alt-Svc")

// parseAltSvc returns the services for HTTP/3 of an Alt-Svc field, in the server's order of
// preference. The value "clear" has none.
func parseAltSvc(value string) ([]altService, error) {
	if strings.Trim(value, " \t") == "clear" {
		return nil, nil
	}
	var services []altService
	p := altParser{rest: value}
	for {
		p.skip()
		if p.take(",") { // empty elements are allowed (RFC 9110, Section 5.6.1)
			continue
		}
		if p.rest == "" {
			return services, nil
		}
		s, protocol, err := p.alternative()
		if err != nil {
			return nil, err
		}
		if protocol == nextProto {
			services = append(services, s)
		}
		if p.skip(); p.rest != "" && p.rest[0] != ',' {
			return nil, errAltSvc
		}
	}
}

// An altParser is a parser. It holds the rest of an Alt-Svc field.
type altParser struct{ rest string }

// skip drops white space.
func (p *altParser) skip() { p.rest = strings.TrimLeft(p.rest, " \t") }

// take drops s if the rest begins with it.
func (p *altParser) take(s string) bool {
	rest, ok := strings.CutPrefix(p.rest, s)
	p.rest = rest
	return ok
}

// alternative reads one alternative with its parameters.
func (p *altParser) alternative() (s altService, protocol string, err error) {
	protocol = p.token()
	if protocol == "" || !p.take(`="`) {
		return s, "", errAltSvc
	}
	authority, ok := p.quoted()
	if !ok {
		return s, "", errAltSvc
	}
	if s.host, s.port, err = net.SplitHostPort(authority); err != nil {
		return s, "", errAltSvc
	}
	if port, err := strconv.ParseUint(s.port, 10, 16); err != nil || port == 0 || !httpguts.ValidHostHeader(s.host) {
		return s, "", errAltSvc
	}
	s.maxAge = defaultMaxAge
	for p.skip(); p.take(";"); p.skip() {
		name, value, ok := p.parameter()
		if !ok {
			return s, "", errAltSvc
		}
		if strings.EqualFold(name, "ma") { // others are ignored (RFC 7838, Section 3)
			if s.maxAge, ok = parseSeconds(value); !ok {
				return s, "", errAltSvc
			}
		}
	}
	return s, protocol, nil
}

// parseSeconds parses a number of seconds. One that is too large counts as the largest (RFC 9111,
// Section 1.2.2), which here is maxMaxAge.
func parseSeconds(value string) (d time.Duration, ok bool) {
	seconds, err := strconv.ParseUint(value, 10, 32)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return min(time.Duration(seconds)*time.Second, maxMaxAge), true
}

// parameter reads a parameter.
func (p *altParser) parameter() (name, value string, ok bool) {
	p.skip()
	if name = p.token(); name == "" || !p.take("=") {
		return "", "", false
	}
	if p.take(`"`) {
		value, ok = p.quoted()
		return name, value, ok
	}
	value = p.token()
	return name, value, value != ""
}

// token reads a token (RFC 9110, Section 5.6.2), which may be empty.
func (p *altParser) token() string {
	n := 0
	for n < len(p.rest) && httpguts.IsTokenRune(rune(p.rest[n])) {
		n++
	}
	token := p.rest[:n]
	p.rest = p.rest[n:]
	return token
}

// quoted reads the rest of a quoted string (RFC 9110, Section 5.6.4).
func (p *altParser) quoted() (string, bool) {
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
