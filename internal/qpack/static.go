package qpack

import "strings"

// A staticEntry is an entry of the static table. Entries with the same name form
// a chain through next, which is 0 at its end: no chain leads back to entry 0.
type staticEntry struct {
	name, value string
	next        uint8
}

// staticTable is the static table (RFC 9204, Appendix A).
var staticTable = [...]staticEntry{
	0:  {":authority", "", 0},
	1:  {":path", "/", 0},
	2:  {"age", "0", 0},
	3:  {"content-disposition", "", 0},
	4:  {"content-length", "0", 0},
	5:  {"cookie", "", 0},
	6:  {"date", "", 0},
	7:  {"etag", "", 0},
	8:  {"if-modified-since", "", 0},
	9:  {"if-none-match", "", 0},
	10: {"last-modified", "", 0},
	11: {"link", "", 0},
	12: {"location", "", 0},
	13: {"referer", "", 0},
	14: {"set-cookie", "", 0},
	15: {":method", "CONNECT", 16},
	16: {":method", "DELETE", 17},
	17: {":method", "GET", 18},
	18: {":method", "HEAD", 19},
	19: {":method", "OPTIONS", 20},
	20: {":method", "POST", 21},
	21: {":method", "PUT", 0},
	22: {":scheme", "http", 23},
	23: {":scheme", "https", 0},
	24: {":status", "103", 25},
	25: {":status", "200", 26},
	26: {":status", "304", 27},
	27: {":status", "404", 28},
	28: {":status", "503", 63},
	29: {"accept", "*/*", 30},
	30: {"accept", "application/dns-message", 0},
	31: {"accept-encoding", "gzip, deflate, br", 0},
	32: {"accept-ranges", "bytes", 0},
	33: {"access-control-allow-headers", "cache-control", 34},
	34: {"access-control-allow-headers", "content-type", 75},
	35: {"access-control-allow-origin", "*", 0},
	36: {"cache-control", "max-age=0", 37},
	37: {"cache-control", "max-age=2592000", 38},
	38: {"cache-control", "max-age=604800", 39},
	39: {"cache-control", "no-cache", 40},
	40: {"cache-control", "no-store", 41},
	41: {"cache-control", "public, max-age=31536000", 0},
	42: {"content-encoding", "br", 43},
	43: {"content-encoding", "gzip", 0},
	44: {"content-type", "application/dns-message", 45},
	45: {"content-type", "application/javascript", 46},
	46: {"content-type", "application/json", 47},
	47: {"content-type", "application/x-www-form-urlencoded", 48},
	48: {"content-type", "image/gif", 49},
	49: {"content-type", "image/jpeg", 50},
	50: {"content-type", "image/png", 51},
	51: {"content-type", "text/css", 52},
	52: {"content-type", "text/html; charset=utf-8", 53},
	53: {"content-type", "text/plain", 54},
	54: {"content-type", "text/plain;charset=utf-8", 0},
	55: {"range", "bytes=0-", 0},
	56: {"strict-transport-security", "max-age=31536000", 57},
	57: {"strict-transport-security", "max-age=31536000; includesubdomains", 58},
	58: {"strict-transport-security", "max-age=31536000; includesubdomains; preload", 0},
	59: {"vary", "accept-encoding", 60},
	60: {"vary", "origin", 0},
	61: {"x-content-type-options", "nosniff", 0},
	62: {"x-xss-protection", "1; mode=block", 0},
	63: {":status", "100", 64},
	64: {":status", "204", 65},
	65: {":status", "206", 66},
	66: {":status", "302", 67},
	67: {":status", "400", 68},
	68: {":status", "403", 69},
	69: {":status", "421", 70},
	70: {":status", "425", 71},
	71: {":status", "500", 0},
	72: {"accept-language", "", 0},
	73: {"access-control-allow-credentials", "FALSE", 74},
	74: {"access-control-allow-credentials", "TRUE", 0},
	75: {"access-control-allow-headers", "*", 0},
	76: {"access-control-allow-methods", "get", 77},
	77: {"access-control-allow-methods", "get, post, options", 78},
	78: {"access-control-allow-methods", "options", 0},
	79: {"access-control-expose-headers", "content-length", 0},
	80: {"access-control-request-headers", "content-type", 0},
	81: {"access-control-request-method", "get", 82},
	82: {"access-control-request-method", "post", 0},
	83: {"alt-svc", "clear", 0},
	84: {"authorization", "", 0},
	85: {"content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'", 0},
	86: {"early-data", "1", 0},
	87: {"expect-ct", "", 0},
	88: {"forwarded", "", 0},
	89: {"if-range", "", 0},
	90: {"origin", "", 0},
	91: {"purpose", "prefetch", 0},
	92: {"server", "", 0},
	93: {"timing-allow-origin", "*", 0},
	94: {"upgrade-insecure-requests", "1", 0},
	95: {"user-agent", "", 0},
	96: {"x-forwarded-for", "", 0},
	97: {"x-frame-options", "deny", 98},
	98: {"x-frame-options", "sameorigin", 0},
}

// staticName returns the index of the first entry of the static table with the name, or -1. It is a
// switch, because the compiler turns that into a search by length and content. It needs no map and
// no hash.
func staticName(name string) int {
	switch {
	case strings.HasPrefix(name, ":"):
		return staticPseudo(name)
	case strings.HasPrefix(name, "access-control-"):
		return staticAccessControl(name)
	}
	switch name {
	case "age":
		return 2
	case "content-disposition":
		return 3
	case "content-length":
		return 4
	case "cookie":
		return 5
	case "date":
		return 6
	case "etag":
		return 7
	case "if-modified-since":
		return 8
	case "if-none-match":
		return 9
	case "last-modified":
		return 10
	case "link":
		return 11
	case "location":
		return 12
	case "referer":
		return 13
	case "set-cookie":
		return 14
	case "accept":
		return 29
	case "accept-encoding":
		return 31
	case "accept-ranges":
		return 32
	case "cache-control":
		return 36
	case "content-encoding":
		return 42
	case "content-type":
		return 44
	case "range":
		return 55
	case "strict-transport-security":
		return 56
	case "vary":
		return 59
	case "x-content-type-options":
		return 61
	case "x-xss-protection":
		return 62
	case "accept-language":
		return 72
	case "alt-svc":
		return 83
	case "authorization":
		return 84
	case "content-security-policy":
		return 85
	case "early-data":
		return 86
	case "expect-ct":
		return 87
	case "forwarded":
		return 88
	case "if-range":
		return 89
	case "origin":
		return 90
	case "purpose":
		return 91
	case "server":
		return 92
	case "timing-allow-origin":
		return 93
	case "upgrade-insecure-requests":
		return 94
	case "user-agent":
		return 95
	case "x-forwarded-for":
		return 96
	case "x-frame-options":
		return 97
	}
	return -1
}

func staticPseudo(name string) int {
	switch name {
	case ":authority":
		return 0
	case ":path":
		return 1
	case ":method":
		return 15
	case ":scheme":
		return 22
	case ":status":
		return 24
	}
	return -1
}

func staticAccessControl(name string) int {
	switch name {
	case "access-control-allow-headers":
		return 33
	case "access-control-allow-origin":
		return 35
	case "access-control-allow-credentials":
		return 73
	case "access-control-allow-methods":
		return 76
	case "access-control-expose-headers":
		return 79
	case "access-control-request-headers":
		return 80
	case "access-control-request-method":
		return 81
	}
	return -1
}

// staticFind returns the index of the entry with the name and the value, or else
// of the first one with the name. Both are -1 if there is none.
func staticFind(name, value string) (field, nameOnly int) {
	first := staticName(name)
	if first < 0 {
		return -1, -1
	}
	for i := first; ; {
		if staticTable[i].value == value {
			return i, first
		}
		i = int(staticTable[i].next)
		if i == 0 {
			return -1, first
		}
	}
}
