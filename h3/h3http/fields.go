package h3http

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/lazoquic/lazo/h3"
)

// A messageError says why a message is malformed (RFC 9114, Section 4.1.2).
type messageError string

func (e messageError) Error() string { return "h3http: malformed message: " + string(e) }

// A section is a field section in the terms of net/http.
type section struct {
	method, scheme, authority, path, protocol, status string

	has    pseudo // those that are there
	header http.Header
}

// pseudo is a set of pseudo-header fields (RFC 9114, Section 4.3).
type pseudo uint8

const (
	pseudoMethod pseudo = 1 << iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoProtocol // RFC 9220
	pseudoStatus

	inRequest  = pseudoMethod | pseudoScheme | pseudoAuthority | pseudoPath | pseudoProtocol
	inResponse = pseudoStatus
	inTrailer  = pseudo(0)
)

// parseSection checks fields by RFC 9114, Section 4.2 and 4.3, and converts them.
func parseSection(fields []h3.Field, allowed pseudo) (*section, error) {
	s := &section{header: make(http.Header, len(fields))}
	values := make([]string, 0, len(fields)) // backs the slices of header
	regular := false
	for _, f := range fields {
		if strings.HasPrefix(f.Name, ":") {
			if regular {
				return nil, messageError("pseudo-header field after a regular one")
			}
			if err := s.setPseudo(f, allowed); err != nil {
				return nil, err
			}
			continue
		}
		regular = true
		if err := checkField(f); err != nil {
			return nil, err
		}
		key := textproto.CanonicalMIMEHeaderKey(f.Name)
		switch old := s.header[key]; {
		case old == nil:
			values = append(values, f.Value)
			s.header[key] = values[len(values)-1 : len(values) : len(values)]
		case key == "Cookie": // RFC 9114, Section 4.2.1
			old[0] += "; " + f.Value
		default:
			s.header[key] = append(old, f.Value)
		}
	}
	return s, nil
}

func (s *section) setPseudo(f h3.Field, allowed pseudo) error {
	var to *string
	var bit pseudo
	switch f.Name {
	case ":method":
		to, bit = &s.method, pseudoMethod
	case ":scheme":
		to, bit = &s.scheme, pseudoScheme
	case ":authority":
		to, bit = &s.authority, pseudoAuthority
	case ":path":
		to, bit = &s.path, pseudoPath
	case ":protocol":
		to, bit = &s.protocol, pseudoProtocol
	case ":status":
		to, bit = &s.status, pseudoStatus
	}
	switch {
	case bit&allowed == 0:
		return messageError("unexpected " + strconv.Quote(f.Name))
	case bit&s.has != 0:
		return messageError("repeated " + strconv.Quote(f.Name))
	case !httpguts.ValidHeaderFieldValue(f.Value):
		return messageError("invalid value of " + strconv.Quote(f.Name))
	}
	*to = f.Value
	s.has |= bit
	return nil
}

// checkField checks a regular field.
func checkField(f h3.Field) error {
	if !validName(f.Name) {
		return messageError("invalid field name " + strconv.Quote(f.Name))
	}
	if !httpguts.ValidHeaderFieldValue(f.Value) {
		return messageError("invalid value of " + strconv.Quote(f.Name))
	}
	// RFC 9114, Section 4.2
	if connectionSpecific(f.Name) || f.Name == "te" && f.Value != "trailers" {
		return messageError("connection-specific field " + strconv.Quote(f.Name))
	}
	return nil
}

// validName reports whether name is a token without upper-case letters.
func validName(name string) bool {
	for i := range len(name) {
		if c := name[i]; 'A' <= c && c <= 'Z' || !httpguts.IsTokenRune(rune(c)) {
			return false
		}
	}
	return name != ""
}

// connectionSpecific reports whether a field has no place in HTTP/3.
func connectionSpecific(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// sectionSize returns the size of a field section as RFC 9114, Section 4.2.2 counts it.
func sectionSize(fields []h3.Field) int64 {
	n := int64(0)
	for _, f := range fields {
		n += int64(len(f.Name)) + int64(len(f.Value)) + 32
	}
	return n
}

// appendHeader appends the fields of h, sorted, without the connection-specific ones
// and those for which skip is true. Fields that are not valid are left out.
func appendHeader(to []h3.Field, h http.Header, skip func(key string) bool) []h3.Field {
	keys := make([]string, 0, len(h))
	for key := range h {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if skip != nil && skip(key) || !httpguts.ValidHeaderFieldName(key) {
			continue
		}
		name := lowerName(key)
		if connectionSpecific(name) {
			continue
		}
		for _, value := range h[key] {
			if httpguts.ValidHeaderFieldValue(value) && (name != "te" || value == "trailers") {
				to = append(to, h3.Field{Name: name, Value: value, Sensitive: sensitive(name)})
			}
		}
	}
	return to
}

// sensitive reports whether a field must not get into the tables of intermediaries,
// where others could find it by guessing (RFC 9204, Section 7.1.3).
func sensitive(name string) bool {
	return name == "authorization" || name == "proxy-authorization"
}

// trailerHeader returns the fields of a trailer section. It leaves out those which
// must not be in one (RFC 9110, Section 6.5.1).
func trailerHeader(fields []h3.Field) (http.Header, error) {
	s, err := parseSection(fields, inTrailer)
	if err != nil {
		return nil, err
	}
	for key := range s.header {
		if !httpguts.ValidTrailerHeader(key) {
			delete(s.header, key)
		}
	}
	return s.header, nil
}

// declaredTrailer takes the Trailer field out of h and returns what it announces,
// with nil values, as net/http does.
func declaredTrailer(h http.Header) http.Header {
	var trailer http.Header
	for _, value := range h["Trailer"] {
		for name := range strings.SplitSeq(value, ",") {
			key := textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			if !httpguts.ValidHeaderFieldName(key) || !httpguts.ValidTrailerHeader(key) {
				continue
			}
			if trailer == nil {
				trailer = make(http.Header)
			}
			trailer[key] = nil
		}
	}
	delete(h, "Trailer")
	return trailer
}

// contentLength returns the length that h declares, or -1. It removes repetitions of
// it (RFC 9110, Section 8.6).
func contentLength(h http.Header) (int64, error) {
	values := h["Content-Length"]
	if len(values) == 0 {
		return -1, nil
	}
	for _, other := range values[1:] {
		if other != values[0] {
			return 0, messageError("content-length differs from content-length")
		}
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil {
		return 0, messageError("invalid content-length " + strconv.Quote(values[0]))
	}
	h["Content-Length"] = values[:1]
	return int64(n), nil
}

// errLength says that a body was not as long as its content-length.
var errLength = errors.New("h3http: body does not have its content-length")

// statusCode returns the status code of a response.
func statusCode(s *section) (int, error) {
	code, err := strconv.Atoi(s.status)
	if err != nil || len(s.status) != 3 || code < 100 {
		return 0, messageError(fmt.Sprintf("status %q", s.status))
	}
	return code, nil
}

// lowerName returns key in lower case, without allocating for the usual ones.
func lowerName(key string) string {
	switch key {
	case "Accept-Ranges":
		return "accept-ranges"
	case "Access-Control-Allow-Origin":
		return "access-control-allow-origin"
	case "Alt-Svc":
		return "alt-svc"
	case "Cache-Control":
		return "cache-control"
	case "Content-Encoding":
		return "content-encoding"
	case "Content-Length":
		return "content-length"
	case "Content-Type":
		return "content-type"
	case "Date":
		return "date"
	case "Etag":
		return "etag"
	case "Last-Modified":
		return "last-modified"
	case "Location":
		return "location"
	case "Server":
		return "server"
	case "Set-Cookie":
		return "set-cookie"
	case "Vary":
		return "vary"
	}
	return strings.ToLower(key)
}
