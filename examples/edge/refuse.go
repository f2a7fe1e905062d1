package main

import (
	"net/http"
	"slices"
	"strings"
)

// refuse answers a request that no backend must see, and reports whether it did. The servers refuse
// most malformed requests before that.
func refuse(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.Host == "":
		http.Error(w, "no host", http.StatusBadRequest)
	case strings.ContainsFunc(r.Host, endsHost):
		http.Error(w, "malformed host", http.StatusBadRequest)
	case r.ProtoMajor > 1 && !isConnect(r) && !isOrigin(r), r.URL.Opaque != "", strings.ContainsFunc(r.RequestURI, isSpace):
		// A target such as x:@b/ would go on as @b/.
		http.Error(w, "malformed target", http.StatusBadRequest)
	case !clearLength(r.Header["Content-Length"]):
		http.Error(w, "malformed length", http.StatusBadRequest)
	case slices.ContainsFunc(strings.FieldsFunc(r.URL.Path, isSlash), isParent):
		// A backend that resolves it would serve what is below another route.
		http.Error(w, "no dot segments here", http.StatusBadRequest)
	case strings.ContainsFunc(r.URL.Path, isControl):
		http.Error(w, "no control characters here", http.StatusBadRequest)
	case hasAlias(r.Header):
		http.Error(w, "no such fields here", http.StatusBadRequest)
	default:
		return false
	}
	return true
}

// endsHost reports whether c cannot be part of a host. Some readers of a URL would see the end of
// the host there, or its beginning (RFC 3986, Section 3.2). The server of HTTP/2 does not check.
func endsHost(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`/\?#@"<>^|{}`, c) || c == '`'
}

// isOrigin reports whether the target is a path, and not a URL with a host of its own (RFC 9113,
// Section 8.3.1). Extended CONNECT has a path, too.
func isOrigin(r *http.Request) bool {
	return strings.HasPrefix(r.RequestURI, "/") || r.RequestURI == "*" && r.Method == http.MethodOptions
}

// clearLength reports whether there is one valid length, or none. The server of HTTP/2 would take
// the first of several lengths, and 0 if the length is not a number.
func clearLength(values []string) bool {
	return len(values) == 0 || len(values) == 1 && values[0] != "" && strings.Trim(values[0], "0123456789") == ""
}

// isParent reports whether a segment of a path is "..", with or without parameters. Some servers,
// such as Tomcat, cut those off before they look for dot segments (RFC 3986, Section 3.3).
func isParent(segment string) bool {
	name, _, _ := strings.Cut(segment, ";")
	return name == ".."
}

func isSpace(c rune) bool   { return c <= ' ' || c == 0x7f }
func isSlash(c rune) bool   { return c == '/' || c == '\\' }
func isControl(c rune) bool { return c < ' ' || c == 0x7f }

// hasAlias reports whether a field looks like one that says where a message ends, but is spelled
// with _ for -. Some servers treat both the same, and would see another end.
func hasAlias(h http.Header) bool {
	for name := range h {
		if !strings.Contains(name, "_") {
			continue
		}
		switch strings.ToLower(name) {
		case "content_length", "transfer_encoding":
			return true
		}
	}
	return false
}
