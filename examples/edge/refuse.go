package main

import (
	"net/http"
	"slices"
	"strings"
)

// refuse answers a request that no backend must see, and reports whether it did. The servers
// themselves refuse malformed HTTP before that, such as two lengths.
func refuse(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.Method == http.MethodConnect && !isWebSocket(r):
		// A tunnel to wherever the client wants (RFC 9110, Section 9.3.6) is no task of an edge.
		http.Error(w, "no tunnels here", http.StatusNotImplemented)
	case r.Host == "":
		http.Error(w, "no host", http.StatusBadRequest)
	case slices.Contains(strings.FieldsFunc(r.URL.Path, isSlash), ".."):
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

func isSlash(c rune) bool   { return c == '/' || c == '\\' }
func isControl(c rune) bool { return c < ' ' || c == 0x7f }

// hasAlias reports whether a field looks like one that says where a message ends, but is spelled
// with _ for -. Some servers treat both the same, and would see another end.
func hasAlias(h http.Header) bool {
	for name := range h {
		switch strings.ToLower(name) {
		case "content_length", "transfer_encoding":
			return true
		}
	}
	return false
}
