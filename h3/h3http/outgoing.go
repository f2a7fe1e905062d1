package h3http

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"

	"github.com/lazoquic/lazo/h3"
)

const userAgent = "lazo-h3http/1"

// prepare checks the request, and makes its header section, for the body that r has.
func (c *call) prepare() error {
	c.length = -1
	if c.body == nil {
		c.length = 0
	} else if c.r.ContentLength > 0 {
		c.length = c.r.ContentLength
	}
	c.expect = c.body != nil && httpguts.HeaderValuesContainsToken(c.r.Header["Expect"], "100-continue")
	return c.prepareHeader()
}

// prepareHeader checks the request, and makes its header section, for a body of c.length.
func (c *call) prepareHeader() error {
	r := c.r
	switch {
	case r.URL == nil:
		return errors.New("h3http: nil Request.URL")
	case r.Header == nil:
		return errors.New("h3http: nil Request.Header")
	case r.URL.Scheme != "https":
		return fmt.Errorf("h3http: unsupported protocol scheme %q: HTTP/3 is for https", r.URL.Scheme)
	case r.URL.Host == "":
		return errors.New("h3http: no Host in request URL")
	case r.Method != "" && !validMethod(r.Method):
		return fmt.Errorf("h3http: invalid method %q", r.Method)
	}
	if err := checkHeader(r.Header); err != nil {
		return err
	}
	if err := c.checkProxy(); err != nil {
		return err
	}
	addr, err := dialAddr(r.URL)
	if err != nil {
		return err
	}
	c.target.origin = addr
	c.fields, err = c.requestFields()
	return err
}

// checkProxy refuses a request that is to go through a proxy.
func (c *call) checkProxy() error {
	if c.t.Proxy == nil {
		return nil
	}
	u, err := c.t.Proxy(c.r)
	if u != nil && err == nil {
		err = fmt.Errorf("h3http: HTTP/3 does not go through proxy %s: %w", u.Redacted(), errors.ErrUnsupported)
	}
	return err
}

// checkHeader returns an error if h has fields that cannot be sent. Fields of HTTP/1.1 that ask for
// nothing but what HTTP/3 does anyway are left out later.
func checkHeader(h http.Header) error {
	for key, values := range h {
		if key == ":protocol" {
			continue
		}
		if !httpguts.ValidHeaderFieldName(key) {
			return fmt.Errorf("h3http: invalid header field name %q", key)
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				// the message leaves out the value, which may be a secret
				return fmt.Errorf("h3http: invalid header field value for %q", key)
			}
		}
	}
	if v := first(h["Upgrade"]); v != "" {
		return fmt.Errorf("h3http: Upgrade %q does not exist in HTTP/3: use extended CONNECT", v)
	}
	if v := h["Transfer-Encoding"]; len(v) > 0 && (len(v) > 1 || v[0] != "" && v[0] != "chunked") {
		return fmt.Errorf("h3http: Transfer-Encoding %q does not exist in HTTP/3", v)
	}
	return nil
}

// dialAddr returns the host:port of u, in lower case and ASCII.
func dialAddr(u *url.URL) (string, error) {
	if plain, hasPort := isPlainHost(u.Host); plain && hasPort {
		return u.Host, nil
	}
	name, port := u.Hostname(), u.Port()
	if port == "" {
		port = "443"
	}
	host, err := asciiHost(name)
	if err != nil {
		return "", fmt.Errorf("h3http: host %q: %w", name, err)
	}
	return net.JoinHostPort(strings.ToLower(host), port), nil
}

// isPlainHost reports whether a host is in the form that dialAddr returns, maybe without a port:
// lower-case letters, digits, hyphens and dots, and then a colon and digits.
func isPlainHost(host string) (plain, hasPort bool) {
	for i := range len(host) {
		switch c := host[i]; {
		case '0' <= c && c <= '9':
		case c == ':' && i > 0 && !hasPort:
			hasPort = true
		case hasPort, c != '-' && c != '.' && (c < 'a' || c > 'z'):
			return false, false
		}
	}
	return host != "" && host[len(host)-1] != ':', hasPort
}

// asciiHost returns a host, with or without a port, in the form in which names are looked up (RFC
// 5891, Section 5).
func asciiHost(hostport string) (string, error) {
	if strings.IndexFunc(hostport, func(r rune) bool { return r > unicode.MaxASCII }) < 0 {
		return hostport, nil
	}
	host, port, hasPort := strings.Cut(hostport, ":")
	host, err := idna.Lookup.ToASCII(host)
	if hasPort {
		host += ":" + port
	}
	return host, err
}

// requestFields returns the header section of the request (RFC 9114, Section 4.3.1).
func (c *call) requestFields() ([]h3.Field, error) {
	r := c.r
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	if plain, _ := isPlainHost(host); !plain {
		var err error
		if host, err = asciiHost(host); err != nil {
			return nil, fmt.Errorf("h3http: host %q: %w", host, err)
		}
		if !httpguts.ValidHostHeader(host) {
			return nil, fmt.Errorf("h3http: invalid host %q", host)
		}
	}
	c.room = c.t.rooms.get()
	fields, err := appendPseudo(c.room[:0], r, host)
	if err != nil {
		return nil, err
	}
	agent := userAgent
	fields = appendHeader(fields, r.Header, func(key, name string) bool {
		switch name {
		case "host", "content-length", "trailer":
			return true
		case "user-agent":
			// only the first value, as in net/http; no field if it is empty
			agent = first(r.Header[key])
			return true
		}
		return false
	})
	if agent != "" {
		fields = append(fields, h3.Field{Name: "user-agent", Value: agent})
	}
	if c.target.alt != "" { // RFC 7838, Section 5
		fields = append(fields, h3.Field{Name: "alt-used", Value: c.target.alt})
	}
	if c.wantsGzip() {
		c.gzip = true
		fields = append(fields, h3.Field{Name: "accept-encoding", Value: "gzip"})
	}
	if c.length > 0 || c.length == 0 && (r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH") {
		fields = append(fields, h3.Field{Name: "content-length", Value: strconv.FormatInt(c.length, 10)})
	}
	return appendTrailerNames(fields, r.Trailer)
}

func appendPseudo(fields []h3.Field, r *http.Request, host string) ([]h3.Field, error) {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	fields = append(fields, h3.Field{Name: ":method", Value: method})
	protocol := r.Header[":protocol"]
	if method == http.MethodConnect && len(protocol) == 0 {
		return append(fields, h3.Field{Name: ":authority", Value: host}), nil
	}
	path := r.URL.RequestURI()
	if !strings.HasPrefix(path, "/") && path != "*" {
		// An opaque URL, for example https:host/path, may name the host.
		path = strings.TrimPrefix(path, r.URL.Scheme+"://"+host)
		if !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("h3http: invalid request path %q", path)
		}
	}
	fields = append(fields,
		h3.Field{Name: ":scheme", Value: "https"},
		h3.Field{Name: ":authority", Value: host}, // RFC 9114, Section 4.3.1 [3]
		h3.Field{Name: ":path", Value: path})
	switch {
	case len(protocol) > 1 || len(protocol) == 1 && method != http.MethodConnect:
		return nil, errors.New("h3http: :protocol is for one protocol and for CONNECT")
	case len(protocol) == 1:
		fields = append(fields, h3.Field{Name: ":protocol", Value: protocol[0]})
	}
	return fields, nil
}

// appendTrailerNames appends a Trailer field that announces the trailer section.
func appendTrailerNames(fields []h3.Field, trailer http.Header) ([]h3.Field, error) {
	if len(trailer) == 0 {
		return fields, nil
	}
	names := make([]string, 0, len(trailer))
	for key, values := range trailer {
		if !httpguts.ValidHeaderFieldName(key) || !httpguts.ValidTrailerHeader(key) {
			return nil, fmt.Errorf("h3http: invalid trailer field name %q", key)
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return nil, fmt.Errorf("h3http: invalid trailer field value for %q", key)
			}
		}
		names = append(names, lowerName(key))
	}
	slices.Sort(names)
	return append(fields, h3.Field{Name: "trailer", Value: strings.Join(names, ",")}), nil
}

// first returns the first value of a field, or "" if there is none.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// wantsGzip reports whether to ask for gzip and decompress the response, as [http.Transport] does.
func (c *call) wantsGzip() bool {
	h := c.r.Header
	return !c.t.DisableCompression && !c.connect && first(h["Accept-Encoding"]) == "" && first(h["Range"]) == "" &&
		c.r.Method != http.MethodHead && c.r.Method != http.MethodConnect
}
