package main

import (
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
)

// rewrite makes the request that a backend gets. httputil.ReverseProxy has removed fields of the
// connection, and the forwarding fields that the client sent.
func rewrite(pr *httputil.ProxyRequest) {
	pr.Out.Host = pr.In.Host
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery // it is for the backend to judge
	pr.Out.Trailer = pr.In.Trailer           // which fills while the body is read
	forward(pr.Out.Header, pr.In)
	// RFC 9110, Section 7.6.3
	pr.Out.Header.Add("Via", strings.TrimPrefix(pr.In.Proto, "HTTP/")+" edge")
}

// forward says in h whom a request came from, and for what.
func forward(h http.Header, in *http.Request) {
	client := clientOf(in)
	h.Set("X-Forwarded-For", client)
	h.Set("X-Forwarded-Host", in.Host)
	h.Set("X-Forwarded-Proto", "https")
	h.Set("Forwarded", "for="+forwardedNode(client)+`;host="`+quoted(in.Host)+`";proto=https`)
}

// clientOf returns the IP address of the client.
func clientOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// forwardedNode writes an address as RFC 7239, Section 6 has it.
func forwardedNode(ip string) string {
	if strings.Contains(ip, ":") {
		return `"[` + ip + `]"`
	}
	return ip
}

// quoted escapes what must not be in a quoted string as it is (RFC 9110, Section 5.6.4).
func quoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}
