package main

import (
	"net/http"
	"strconv"
)

// isLast answers a TRACE or OPTIONS that is to go no further than here, and reports whether it did.
// Otherwise it counts the step to the backend (RFC 9110, Section 7.6.2).
func isLast(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodTrace && r.Method != http.MethodOptions {
		return false
	}
	steps, err := strconv.ParseUint(r.Header.Get("Max-Forwards"), 10, 63)
	switch {
	case err != nil: // there is none, or nobody can count it down
		return false
	case steps > 0:
		r.Header.Set("Max-Forwards", strconv.FormatUint(steps-1, 10))
		return false
	case r.Method == http.MethodOptions:
		w.Header().Set("Content-Length", "0")
	default: // the edge itself has no TRACE
		http.Error(w, "no TRACE here", http.StatusNotImplemented)
	}
	return true
}
