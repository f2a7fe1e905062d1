package h3http

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/lazoquic/lazo/h3"
)

// A requestMemory is memory for parts of a Request. It is no part of the exchange: a handler may
// keep a URL or a Header for long, and that must not keep the connection.
type requestMemory struct {
	url    url.URL
	values [roomForValues]string // of the header
}

// roomForValues is how many fields there are in most messages, without pseudo-header fields.
const roomForValues = 8

// newRequest converts the header section of a request. If there is a body, the caller sets it.
func newRequest(fields []h3.Field, m *requestMemory) (r http.Request, err error) {
	s := parseSection(fields, m.values[:0])
	r = http.Request{
		Method:        s.method,
		Proto:         "HTTP/3.0",
		ProtoMajor:    3,
		Header:        s.header,
		Body:          http.NoBody,
		ContentLength: contentLength(s.header),
		Host:          s.authority,
		RequestURI:    s.path,
	}
	if r.Host == "" {
		r.Host = s.header.Get("Host")
	}
	if !httpguts.ValidHostHeader(r.Host) {
		return r, fmt.Errorf("h3http: invalid host %q", r.Host)
	}
	delete(s.header, "Host")
	if s.protocol != "" {
		s.header[":protocol"] = []string{s.protocol}
	}
	r.Trailer = declaredTrailer(s.header)
	r.URL = &m.url
	if s.method == http.MethodConnect && s.protocol == "" {
		m.url.Host = s.authority
		r.RequestURI = s.authority
		return r, nil
	}
	if err := parsePath(s.path, &m.url); err != nil {
		return r, fmt.Errorf("h3http: invalid :path: %w", err)
	}
	return r, nil
}

// parsePath is url.ParseRequestURI into u. Most paths need no decoding.
func parsePath(path string, u *url.URL) error {
	if name, query, asked := strings.Cut(path, "?"); isPlain(name) && isPlainQuery(query) && asked == (query != "") {
		*u = url.URL{Path: name, RawQuery: query}
		return nil
	}
	parsed, err := url.ParseRequestURI(path)
	if err == nil {
		*u = *parsed
	}
	return err
}

// isPlain reports whether path is absolute and consists of bytes that mean themselves and are never
// encoded (RFC 3986, Section 2.3).
func isPlain(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', 'A' <= c && c <= 'Z':
		case c == '/', c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return path != "" && path[0] == '/'
}

// isPlainQuery reports whether there are no control characters in query, which stays encoded.
func isPlainQuery(query string) bool {
	for i := range len(query) {
		if c := query[i]; c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// validMethod reports whether method is a token (RFC 9110, Section 9.1).
func validMethod(method string) bool {
	return method != "" && strings.IndexFunc(method, func(r rune) bool { return !httpguts.IsTokenRune(r) }) < 0
}

// takeExpect removes "Expect: 100-continue". It reports whether there was one.
func takeExpect(h http.Header) bool {
	if !httpguts.HeaderValuesContainsToken(h["Expect"], "100-continue") {
		return false
	}
	delete(h, "Expect")
	return true
}
