package h3http

import (
	"errors"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/lazoquic/lazo/h3"
)

// A section is a header section in the terms of net/http.
// RFC 9114, Section 4.3.1 [4].
type section struct {
	method, scheme, authority, path, protocol, status string

	header http.Header
}

// parseSection converts fields. Package h3 has checked them (RFC 9114, Sections 4.2 and 4.3).
// values is empty memory for the slices in the header, or nil.
func parseSection(fields []h3.Field, values []string) (s section) {
	for len(fields) > 0 && strings.HasPrefix(fields[0].Name, ":") { // they come first
		s.setPseudo(fields[0])
		fields = fields[1:]
	}
	s.header = make(http.Header, len(fields))
	if cap(values) < len(fields) {
		values = make([]string, 0, len(fields))
	}
	cookies := 0
	for _, f := range fields {
		key := canonicalName(f.Name)
		if key == "Cookie" {
			cookies++
		}
		if old := s.header[key]; old != nil {
			s.header[key] = append(old, f.Value)
			continue
		}
		values = append(values, f.Value)
		s.header[key] = values[len(values)-1 : len(values) : len(values)]
	}
	if cookies > 1 { // RFC 9114, Section 4.2.1 [1]
		s.header["Cookie"] = []string{strings.Join(s.header["Cookie"], "; ")}
	}
	return s
}

func (s *section) setPseudo(f h3.Field) {
	switch f.Name {
	case ":method":
		s.method = f.Value
	case ":scheme":
		s.scheme = f.Value
	case ":authority":
		s.authority = f.Value
	case ":path":
		s.path = f.Value
	case ":protocol":
		s.protocol = f.Value
	case ":status":
		s.status = f.Value
	}
}

// connectionSpecific reports whether a field is not allowed in HTTP/3.
func connectionSpecific(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// appendHeader appends the fields of h in sorted order. It leaves out connection-specific fields,
// fields for which skip is true, and fields that are not valid. skip gets the key, which may be in
// any case, and the name in lower case.
// RFC 9114, Section 4.2 [6].
func appendHeader(to []h3.Field, h http.Header, skip func(key, name string) bool) []h3.Field {
	var room [roomForFields]string
	keys := room[:0]
	for key := range h {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if !httpguts.ValidHeaderFieldName(key) {
			continue
		}
		name := lowerName(key)
		if connectionSpecific(name) || skip != nil && skip(key, name) {
			continue
		}
		for _, value := range h[key] {
			// RFC 9110, Section 5.5: a value with white space around it would be malformed
			value = textproto.TrimString(value)
			if httpguts.ValidHeaderFieldValue(value) && (name != "te" || value == "trailers") {
				to = append(to, h3.Field{Name: name, Value: value, Sensitive: sensitive(name)})
			}
		}
	}
	return to
}

// sensitive reports whether a field must not get into the tables of intermediaries. Others could
// find it there by guessing (RFC 9204, Section 7.1.3).
func sensitive(name string) bool {
	return name == "authorization" || name == "proxy-authorization"
}

// notInTrailer is a skip for appendHeader. It reports whether no trailer section may have the field
// (RFC 9110, Section 6.5.1).
func notInTrailer(key, _ string) bool { return !httpguts.ValidTrailerHeader(key) }

// trailerHeader returns the fields of a trailer section. It leaves out those that are not allowed
// in one (RFC 9110, Section 6.5.1).
func trailerHeader(fields []h3.Field) http.Header {
	h := parseSection(fields, nil).header
	for key := range h {
		if !httpguts.ValidTrailerHeader(key) {
			delete(h, key)
		}
	}
	return h
}

// maxDeclared is how many names of trailer fields declaredTrailer returns. A name takes much more
// memory in a map than in the field that announces it, and no trailer section has more fields than
// the default of [h3.Config.MaxFields].
const maxDeclared = 1000

// declaredTrailer removes the Trailer field from h and returns the names that it announces, with
// nil values, as net/http does.
func declaredTrailer(h http.Header) http.Header {
	var trailer http.Header
	for _, value := range h["Trailer"] {
		for name := range strings.SplitSeq(value, ",") {
			if len(trailer) == maxDeclared {
				break
			}
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

// contentLength returns the length that h declares, or -1. It removes repeated values (RFC 9110,
// Section 8.6).
func contentLength(h http.Header) int64 {
	values := h["Content-Length"]
	if len(values) == 0 {
		return -1
	}
	h["Content-Length"] = values[:1]
	n, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// errLength says that a body was not as long as its content-length.
var errLength = errors.New("h3http: body does not have its content-length")
