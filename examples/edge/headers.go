package main

import (
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
)

// rewrite makes the request that a backend gets. httputil.ReverseProxy has removed fields of the
// connection, and the forwarding fields that the client sent.
func (t trust) rewrite(pr *httputil.ProxyRequest) {
	pr.Out.Host = pr.In.Host
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery // it is for the backend to judge
	pr.Out.Trailer = pr.In.Trailer           // the server fills it while it reads the body
	sift(pr.Out.Trailer)                     // the names that were announced
	if pr.Out.Trailer != nil && pr.Out.Body != nil {
		pr.Out.Body = &trailed{pr.Out.Body, pr.Out.Trailer}
	}
	t.forward(pr.Out.Header, pr.In)
	if tripOf(pr.In).early {
		pr.Out.Header.Set("Early-Data", "1") // RFC 8470, Section 5.1
	}
}

// forwarding are fields that the edge alone sets.
var forwarding = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// addresses are fields by which other proxies say who the client is, and which backends believe.
// The edge does not set them.
var addresses = []string{
	"Cf-Connecting-Ip", "Client-Ip", "Fastly-Client-Ip", "Fly-Client-Ip", "Forwarded-For", "True-Client-Ip", "X-Azure-Clientip", "X-Client-Ip",
	"X-Cluster-Client-Ip", "X-Envoy-External-Address", "X-Forwarded", "X-Original-Forwarded-For", "X-Originating-Ip", "X-Real-Ip",
	"X-Remote-Addr", "X-Remote-Ip",
}

// claims reports whether a field says where a request came from. Many backends treat
// X_Forwarded_For like X-Forwarded-For.
func claims(name string) bool {
	name = dashed(name)
	return strings.HasPrefix(name, "X-Forwarded-") || slices.Contains(forwarding, name) || slices.Contains(addresses, name)
}

// notTrailers are fields that decide where a request goes, what it may do, and how it is read. They
// must not be trailers (RFC 9110, Section 6.5.1).
var notTrailers = []string{
	"Authorization", "Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type", "Cookie",
	"Early-Data", "Expect", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Max-Forwards",
	"Pragma", "Proxy-Authorization", "Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Via",
}

// A trailed is a request body. At its end, when the trailers have come, it removes those that a
// backend must not get.
type trailed struct {
	io.ReadCloser
	trailer http.Header
}

func (b *trailed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		sift(b.trailer)
	}
	return n, err
}

// sift removes the trailers that a backend must not get.
func sift(trailer http.Header) {
	for name := range trailer {
		if claims(name) || slices.Contains(notTrailers, dashed(name)) {
			delete(trailer, name)
		}
	}
}

// forward sets the fields of h that say where a request came from, and for which host. Values from
// a trusted peer stay.
func (t trust) forward(h http.Header, in *http.Request) {
	peer := peerOf(in)
	trusted := t.trusts(peer)
	for name := range h {
		if claims(name) && (!trusted || slices.Contains(forwarding, dashed(name))) {
			delete(h, name)
		}
	}
	if trusted {
		for _, name := range forwarding {
			if prior := in.Header[name]; len(prior) > 0 {
				h[name] = []string{strings.Join(prior, ", ")}
			}
		}
	}
	add(h, "X-Forwarded-For", peer)
	add(h, "Forwarded", "for="+forwardedNode(peer)+`;host="`+quoted(in.Host)+`";proto=https`)
	if h.Get("X-Forwarded-Host") == "" {
		h.Set("X-Forwarded-Host", in.Host)
	}
	if h.Get("X-Forwarded-Proto") == "" {
		h.Set("X-Forwarded-Proto", "https")
	}
	// RFC 9110, Section 7.6.3
	add(h, "Via", strings.TrimPrefix(in.Proto, "HTTP/")+" edge")
}

// dashed returns what name is for those who take _ for -.
func dashed(name string) string {
	return http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// add appends to a field that is a list.
func add(h http.Header, name, value string) {
	if before := h[name]; len(before) > 0 {
		value = strings.Join(before, ", ") + ", " + value
	}
	h[name] = []string{value}
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
	if !strings.ContainsAny(s, `\"`) {
		return s
	}
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}
