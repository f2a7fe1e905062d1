package h3

import (
	"strconv"
	"strings"

	"github.com/lazoquic/lazo/conn"
)

// A sectionKind is the kind of a field section. It decides what may be in the section.
type sectionKind uint8

const (
	sectionRequest sectionKind = iota
	sectionResponse
	sectionTrailer
)

// A message is what this package has to know of a header section.
type message struct {
	status        int // of a response
	contentLength int64
	head          bool // the response has no content
	connect       bool
	protocol      bool // the request is an extended CONNECT
	hasPriority   bool
	priority      conn.Priority
}

// interim reports whether a response is followed by another (RFC 9110, Section 15.2).
func (m *message) interim() bool { return m.status/100 == 1 }

// Bits of checker.seen, one for each pseudo-header field.
const (
	seenMethod = 1 << iota
	seenScheme
	seenAuthority
	seenPath
	seenProtocol
	seenStatus
)

// A checker checks a field section (RFC 9114, Sections 4.2 and 4.3).
// RFC 9114, Section 4.1 [5]; RFC 9114, Section 4.2 [2, 3, 4, 5]; RFC 9114, Section 4.3 [1].
type checker struct {
	message
	kind      sectionKind
	seen      uint8
	regular   bool // a regular field has come
	hostSeen  bool
	badPrio   bool
	method    string
	scheme    string
	authority string
	path      string
	host      string
}

// checkFields checks a section, and returns what is to be known of it. The error is a
// [MessageError].
func checkFields(kind sectionKind, fields []Field) (message, *Error) {
	c := checker{kind: kind}
	c.contentLength = -1
	for i := range fields {
		if err := c.field(fields[i].Name, fields[i].Value); err != nil {
			return message{}, err
		}
	}
	var err *Error
	switch kind {
	case sectionRequest:
		err = c.request()
	case sectionResponse:
		err = c.response()
	}
	if c.badPrio {
		c.hasPriority, c.priority = false, conn.Priority{}
	}
	return c.message, err
}

// field checks one field.
func (c *checker) field(name, value string) *Error {
	if !validValue(value) {
		return messageError("invalid field value")
	}
	if strings.HasPrefix(name, ":") {
		return c.pseudo(name, value)
	}
	if !validName(name) {
		return messageError("invalid field name")
	}
	c.regular = true
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return messageError("connection-specific field") // RFC 9114, Section 4.2
	case "te":
		if !strings.EqualFold(value, "trailers") {
			return messageError("te other than trailers")
		}
	case "host":
		if c.hostSeen && c.host != value { // RFC 9112, Section 3.2
			return messageError("two values of host")
		}
		c.host, c.hostSeen = value, true
	case "content-length":
		return c.length(value)
	case "priority":
		if c.kind == sectionRequest {
			c.hasPriority = true
			c.badPrio = c.badPrio || !parsePriority(&c.priority, value)
		}
	}
	return nil
}

// length checks a content-length (RFC 9110, Section 8.6).
func (c *checker) length(value string) *Error {
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil {
		return messageError("invalid content-length")
	}
	if c.contentLength >= 0 && c.contentLength != int64(n) {
		return messageError("two values of content-length")
	}
	c.contentLength = int64(n)
	return nil
}

// pseudo checks a pseudo-header field (RFC 9114, Section 4.3).
func (c *checker) pseudo(name, value string) *Error {
	if c.kind == sectionTrailer {
		return messageError("pseudo-header field in a trailer") // RFC 9114, Section 4.3 [3]
	}
	if c.regular {
		return messageError("pseudo-header field after others") // RFC 9114, Section 4.3 [5, 6]
	}
	var bit uint8
	switch {
	case c.kind == sectionResponse:
		if name == ":status" {
			bit = seenStatus
			if c.status = parseStatus(value); c.status == 0 {
				return messageError("invalid :status")
			}
		}
	case name == ":method":
		bit, c.method = seenMethod, value
	case name == ":scheme":
		bit, c.scheme = seenScheme, value
	case name == ":authority":
		bit, c.authority = seenAuthority, value
	case name == ":path":
		bit, c.path = seenPath, value
	case name == ":protocol":
		bit, c.protocol = seenProtocol, true // RFC 9114, Section 4.3 [2]
		if !validProtocol(value) {
			return messageError("invalid :protocol")
		}
	}
	if bit == 0 {
		return messageError("unknown pseudo-header field") // RFC 9114, Section 4.3 [4]
	}
	if c.seen&bit != 0 {
		return messageError("pseudo-header field twice")
	}
	c.seen |= bit
	return nil
}

// parseStatus returns the status code, or 0 if it is not valid in HTTP/3, which has no 101 (RFC
// 9114, Section 4.5).
func parseStatus(s string) int {
	if len(s) != 3 || s[0] < '1' || s[0] > '9' || s == "101" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}

// request checks a request as a whole (RFC 9114, Sections 4.3.1 and 4.4; RFC 9220, Section 3).
func (c *checker) request() *Error {
	if c.seen&seenMethod == 0 || !validToken(c.method) {
		return messageError("no valid :method")
	}
	c.head = c.method == "HEAD"
	c.connect = c.method == "CONNECT"
	if c.seen&seenProtocol != 0 && !c.connect {
		return messageError(":protocol without CONNECT")
	}
	if c.connect && !c.protocol {
		if c.seen != seenMethod|seenAuthority || c.authority == "" {
			// RFC 9114, Section 4.4 [1].
			return messageError("CONNECT must have an :authority alone")
		}
		return c.sameHost()
	}
	if c.seen&(seenScheme|seenPath) != seenScheme|seenPath {
		return messageError("request without :scheme or :path") // RFC 9114, Section 4.3.1 [6]
	}
	if c.protocol && c.seen&seenAuthority == 0 {
		return messageError("extended CONNECT without :authority")
	}
	if !validScheme(c.scheme) {
		return messageError("invalid :scheme")
	}
	if c.scheme == "http" || c.scheme == "https" {
		if !c.validPath() {
			return messageError("invalid :path")
		}
		if c.authority == "" && c.host == "" {
			return messageError("request without authority") // RFC 9114, Section 4.3.1 [7]
		}
		if strings.Contains(c.authority, "@") {
			return messageError("user information in :authority") // RFC 9114, Section 4.3.1 [1]
		}
	}
	return c.sameHost()
}

// sameHost checks that :authority and host agree (RFC 9114, Section 4.3.1), that they have no
// character that no authority has, and that neither is empty.
// RFC 9114, Section 4.3.1 [8, 9].
func (c *checker) sameHost() *Error {
	hasAuthority := c.seen&seenAuthority != 0
	switch {
	case !validAuthority(c.authority):
		return messageError("invalid :authority")
	case !validAuthority(c.host):
		return messageError("invalid host")
	case !c.hostSeen:
		if hasAuthority && c.authority == "" {
			return messageError("empty :authority")
		}
	case c.host == "":
		return messageError("empty host")
	case hasAuthority && c.host != c.authority && !equalHosts(c.scheme, c.host, c.authority):
		return messageError("host is not :authority")
	}
	return nil
}

// equalHosts reports whether two authorities of URIs of a scheme are the same. The case of letters
// does not matter, nor does the default port (RFC 9110, Section 4.2.3).
func equalHosts(scheme, a, b string) bool {
	return strings.EqualFold(cutDefaultPort(scheme, a), cutDefaultPort(scheme, b))
}

// cutDefaultPort returns an authority without the port if that is empty or the default
// (RFC 3986, Section 6.2.3).
func cutDefaultPort(scheme, authority string) string {
	i := strings.LastIndexByte(authority, ':')
	// a colon inside an IPv6 address is not in front of a port
	if i < strings.LastIndexByte(authority, ']')+1 {
		return authority
	}
	switch port := authority[i+1:]; {
	case port == "", port == "443" && scheme == "https", port == "80" && scheme == "http":
		return authority[:i]
	}
	return authority
}

// validPath reports whether :path is an absolute path without spaces. For OPTIONS it may be an
// asterisk (RFC 9114, Section 4.3.1).
// RFC 9114, Section 4.3.1 [5].
func (c *checker) validPath() bool {
	for i := range len(c.path) {
		if c.path[i] <= ' ' || c.path[i] == 0x7f {
			return false
		}
	}
	return strings.HasPrefix(c.path, "/") || c.path == "*" && c.method == "OPTIONS"
}

// response checks a response as a whole (RFC 9114, Section 4.3.2).
// RFC 9114, Section 4.3.2 [1].
func (c *checker) response() *Error {
	if c.seen&seenStatus == 0 {
		return messageError("response without :status")
	}
	return nil
}

// validValue reports whether a field value has only characters that are allowed, and no white space
// around it (RFC 9110, Section 5.5; RFC 9114, Section 10.3).
// RFC 9114, Section 10.3 [2].
func validValue(s string) bool {
	if s == "" {
		return true
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return !isSpace(s[0]) && !isSpace(s[len(s)-1])
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// Bits of the characters that tokens may have, below 64 and from 64 on (RFC 9110, Section 5.6.2).
const (
	tokenLow  uint64 = 0x03ff6cfa00000000
	tokenHigh uint64 = 0x57ffffffc7fffffe
)

func isToken(c byte) bool {
	switch {
	case c < 64:
		return tokenLow>>c&1 != 0
	case c < 128:
		return tokenHigh>>(c-64)&1 != 0
	}
	return false
}

// validProtocol reports whether s is an upgrade token, which is what :protocol has: a name, and
// maybe a version behind a slash (RFC 8441, Section 4; RFC 9110, Section 7.8).
func validProtocol(s string) bool {
	name, version, hasVersion := strings.Cut(s, "/")
	return validToken(name) && (!hasVersion || validToken(version))
}

// Bits of the characters that authorities may have beside letters and digits, below 64 and from 64
// on: those of a reg-name, of an IP-literal, and the delimiters of user information and of a port
// (RFC 3986, Section 3.2).
const (
	authorityLow uint64 = 1<<'!' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'(' | 1<<')' | 1<<'*' |
		1<<'+' | 1<<',' | 1<<'-' | 1<<'.' | 1<<':' | 1<<';' | 1<<'='
	authorityHigh uint64 = 1<<('@'-64) | 1<<('['-64) | 1<<(']'-64) | 1<<('_'-64) | 1<<('~'-64)
)

// validAuthority reports whether s, which may be empty, has only characters of an authority.
func validAuthority(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case isAlpha(c), isDigit(c):
		case c < 64 && authorityLow>>c&1 != 0:
		case c >= 64 && c < 128 && authorityHigh>>(c-64)&1 != 0:
		default:
			return false
		}
	}
	return true
}

func validToken(s string) bool {
	for i := range len(s) {
		if !isToken(s[i]) {
			return false
		}
	}
	return s != ""
}

// validName reports whether s is a token without upper-case letters (RFC 9114, Section 4.2).
// RFC 9114, Section 10.3 [1].
func validName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isToken(c) || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return s != ""
}

// validScheme reports whether s is a URI scheme (RFC 3986, Section 3.1).
func validScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		letter := c >= 'a' && c <= 'z'
		other := s[i] >= '0' && s[i] <= '9' || s[i] == '+' || s[i] == '-' || s[i] == '.'
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return s != ""
}
