package h3http

import (
	"net/textproto"
	"strings"
)

// canonicalName returns name, which is in lower case, in the form of the keys of an http.Header.
// For common names it need not look at each letter.
func canonicalName(name string) string {
	switch name {
	case "accept":
		return "Accept"
	case "accept-encoding":
		return "Accept-Encoding"
	case "accept-language":
		return "Accept-Language"
	case "accept-ranges":
		return "Accept-Ranges"
	case "alt-svc":
		return "Alt-Svc"
	case "alt-used":
		return "Alt-Used"
	case "authorization":
		return "Authorization"
	case "cache-control":
		return "Cache-Control"
	case "connection":
		return "Connection"
	case "content-disposition":
		return "Content-Disposition"
	case "content-encoding":
		return "Content-Encoding"
	case "content-length":
		return "Content-Length"
	case "content-type":
		return "Content-Type"
	case "cookie":
		return "Cookie"
	case "date":
		return "Date"
	case "etag":
		return "Etag"
	case "expect":
		return "Expect"
	case "host":
		return "Host"
	case "if-modified-since":
		return "If-Modified-Since"
	case "if-none-match":
		return "If-None-Match"
	case "if-range":
		return "If-Range"
	case "last-modified":
		return "Last-Modified"
	case "location":
		return "Location"
	case "origin":
		return "Origin"
	case "priority":
		return "Priority"
	case "range":
		return "Range"
	case "referer":
		return "Referer"
	case "sec-fetch-dest":
		return "Sec-Fetch-Dest"
	case "sec-fetch-mode":
		return "Sec-Fetch-Mode"
	case "sec-fetch-site":
		return "Sec-Fetch-Site"
	case "server":
		return "Server"
	case "set-cookie":
		return "Set-Cookie"
	case "te":
		return "Te"
	case "trailer":
		return "Trailer"
	case "traceparent":
		return "Traceparent"
	case "upgrade-insecure-requests":
		return "Upgrade-Insecure-Requests"
	case "user-agent":
		return "User-Agent"
	case "vary":
		return "Vary"
	case "x-forwarded-for":
		return "X-Forwarded-For"
	case "x-request-id":
		return "X-Request-Id"
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

// lowerName returns key in lower case. It allocates nothing for common names.
func lowerName(key string) string {
	switch key {
	case "Accept":
		return "accept"
	case "Accept-Encoding":
		return "accept-encoding"
	case "Accept-Language":
		return "accept-language"
	case "Accept-Ranges":
		return "accept-ranges"
	case "Access-Control-Allow-Origin":
		return "access-control-allow-origin"
	case "Alt-Svc":
		return "alt-svc"
	case "Authorization":
		return "authorization"
	case "Cache-Control":
		return "cache-control"
	case "Content-Encoding":
		return "content-encoding"
	case "Content-Length":
		return "content-length"
	case "Content-Type":
		return "content-type"
	case "Cookie":
		return "cookie"
	case "Date":
		return "date"
	case "Etag":
		return "etag"
	case "Last-Modified":
		return "last-modified"
	case "Location":
		return "location"
	case "Range":
		return "range"
	case "Referer":
		return "referer"
	case "Server":
		return "server"
	case "Set-Cookie":
		return "set-cookie"
	case "Vary":
		return "vary"
	}
	return strings.ToLower(key) // RFC 9114, Section 4.2 [1]
}
