package main

import "net/http"

// refuse answers a request that no backend must see, and reports whether it did.
func refuse(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.Method == http.MethodConnect:
		// A tunnel to wherever the client wants (RFC 9110, Section 9.3.6) is no task of an edge.
		http.Error(w, "no tunnels here", http.StatusNotImplemented)
	case r.Host == "":
		http.Error(w, "no host", http.StatusBadRequest)
	default:
		return false
	}
	return true
}
