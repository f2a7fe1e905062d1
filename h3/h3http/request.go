package h3http

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/lazoquic/lazo/h3"
)

// newRequest converts the header section of a request. If end, no body follows;
// otherwise the caller sets Body. It fails where RFC 9114, Section 4.1.2 calls a
// request malformed.
func newRequest(fields []h3.Field, end bool) (*http.Request, error) {
	s, err := parseSection(fields, inRequest)
	if err != nil {
		return nil, err
	}
	host, err := requestHost(s)
	if err != nil {
		return nil, err
	}
	target, err := requestURL(s)
	if err != nil {
		return nil, err
	}
	length, err := contentLength(s.header)
	if err != nil {
		return nil, err
	}
	if end {
		if length > 0 {
			return nil, errLength
		}
		length = 0
	}
	r := &http.Request{
		Method:        s.method,
		URL:           target,
		Proto:         "HTTP/3.0",
		ProtoMajor:    3,
		Header:        s.header,
		Body:          http.NoBody,
		ContentLength: length,
		Host:          host,
		RequestURI:    s.path,
	}
	if s.protocol != "" {
		s.header[":protocol"] = []string{s.protocol}
	}
	if s.path == "" {
		r.RequestURI = host
	}
	delete(s.header, "Host")
	r.Trailer = declaredTrailer(s.header)
	return r, nil
}

// requestHost checks which pseudo-header fields there are (RFC 9114, Section 4.3.1,
// and RFC 9220, Section 3), and returns the authority.
func requestHost(s *section) (string, error) {
	want := inRequest &^ (pseudoAuthority | pseudoProtocol)
	if s.method == http.MethodConnect {
		if s.has&pseudoProtocol == 0 {
			if s.has != pseudoMethod|pseudoAuthority || s.authority == "" {
				return "", messageError("pseudo-header fields of CONNECT")
			}
			return s.authority, nil
		}
	} else if s.has&pseudoProtocol != 0 {
		return "", messageError(":protocol without CONNECT")
	}
	if s.has&want != want || s.path == "" || !validMethod(s.method) {
		return "", messageError("missing pseudo-header field")
	}
	host := s.header["Host"]
	switch {
	case len(host) > 1:
		return "", messageError("repeated host")
	case len(host) == 1 && s.has&pseudoAuthority != 0 && host[0] != s.authority:
		return "", messageError("host differs from :authority")
	case len(host) == 1:
		s.authority = host[0]
	}
	if s.authority == "" && (s.scheme == "https" || s.scheme == "http") {
		return "", messageError("no authority")
	}
	if !httpguts.ValidHostHeader(s.authority) || strings.Contains(s.authority, "@") {
		return "", messageError("invalid authority")
	}
	return s.authority, nil
}

func requestURL(s *section) (*url.URL, error) {
	if s.method == http.MethodConnect && s.protocol == "" {
		return &url.URL{Host: s.authority}, nil
	}
	if s.path[0] != '/' && (s.path != "*" || s.method != http.MethodOptions) {
		return nil, messageError("invalid :path")
	}
	u, err := url.ParseRequestURI(s.path)
	if err != nil {
		return nil, messageError("invalid :path")
	}
	return u, nil
}

// validMethod reports whether method is a token (RFC 9110, Section 9.1).
func validMethod(method string) bool {
	return method != "" && strings.IndexFunc(method, func(r rune) bool { return !httpguts.IsTokenRune(r) }) < 0
}

// takeExpect removes "Expect: 100-continue" and reports whether there was one.
func takeExpect(h http.Header) bool {
	if !httpguts.HeaderValuesContainsToken(h["Expect"], "100-continue") {
		return false
	}
	delete(h, "Expect")
	return true
}
