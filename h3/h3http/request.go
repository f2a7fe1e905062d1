package h3http

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/lazoquic/lazo/h3"
)

// newRequest converts the header section of a request. If there is a body, the caller sets it.
func newRequest(fields []h3.Field) (r http.Request, err error) {
	s := parseSection(fields)
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
	if s.method == http.MethodConnect && s.protocol == "" {
		r.URL = &url.URL{Host: s.authority}
		r.RequestURI = s.authority
		return r, nil
	}
	u, err := url.ParseRequestURI(s.path)
	if err != nil {
		return r, fmt.Errorf("h3http: invalid :path: %w", err)
	}
	r.URL = u
	return r, nil
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
