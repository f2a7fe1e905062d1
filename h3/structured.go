package h3

import (
	"strings"
	"unicode/utf8"
)

// The functions here cut one part of a structured field from the start of a string. They refuse
// what the grammar does not allow there (RFC 9651, Section 4.2). They are written by hand because a
// server parses a Priority field with each request. They allocate nothing. The module httpsfv would
// allocate 7 to 11 times for one field.

// cutKey cuts a key from the start of s (RFC 9651, Section 4.2.3.3).
func cutKey(s string) (key, rest string, ok bool) {
	n := 0
	for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] == '*' ||
		n > 0 && (isDigit(s[n]) || strings.IndexByte("_-.", s[n]) >= 0)) {
		n++
	}
	return s[:n], s[n:], n > 0
}

// cutMember cuts the value of a key in a Dictionary, which follows "=", without its parameters. The
// value is an Item or an Inner List (RFC 9651, Section 4.2.1.1).
func cutMember(s string) (member, rest string, ok bool) {
	if strings.HasPrefix(s, "(") {
		return cutInnerList(s)
	}
	return cutItem(s)
}

// cutInnerList cuts an Inner List from the start of s, which is "(" (RFC 9651, Section 4.2.1.2).
func cutInnerList(s string) (list, rest string, ok bool) {
	rest = s[1:]
	for {
		rest = strings.TrimLeft(rest, " ")
		if strings.HasPrefix(rest, ")") {
			return s[:len(s)-len(rest)+1], rest[1:], true
		}
		if _, rest, ok = cutItem(rest); !ok {
			return "", "", false
		}
		if rest, ok = skipParameters(rest); !ok {
			return "", "", false
		}
		if rest == "" || rest[0] != ' ' && rest[0] != ')' {
			return "", "", false
		}
	}
}

// skipParameters skips the parameters at the start of s (RFC 9651, Section 4.2.3.2).
func skipParameters(s string) (rest string, ok bool) {
	for strings.HasPrefix(s, ";") {
		_, s, ok = cutKey(strings.TrimLeft(s[1:], " "))
		if !ok {
			return "", false
		}
		if strings.HasPrefix(s, "=") {
			if _, s, ok = cutItem(s[1:]); !ok {
				return "", false
			}
		}
	}
	return s, true
}

// cutItem cuts a bare Item from the start of s (RFC 9651, Section 4.2.3.1).
func cutItem(s string) (item, rest string, ok bool) {
	if s == "" {
		return "", "", false
	}
	n := 0
	switch c := s[0]; {
	case c == '"':
		n = stringLen(s)
	case c == ':':
		n = byteSequenceLen(s)
	case c == '?': // Boolean, Section 4.2.8
		if len(s) > 1 && (s[1] == '0' || s[1] == '1') {
			n = 2
		}
	case c == '@': // Date, Section 4.2.9: an Integer
		var integer bool
		if n, integer = numberLen(s[1:]); !integer {
			return "", "", false
		}
		n++
	case c == '%':
		n = displayStringLen(s)
	case c == '-' || isDigit(c):
		n, _ = numberLen(s)
	case c == '*' || isAlpha(c): // Token, Section 4.2.6
		for n < len(s) && isTokenChar(s[n]) {
			n++
		}
	}
	return s[:n], s[n:], n > 0
}

// numberLen returns the length of an Integer or a Decimal at the start of s, and whether it is an
// Integer. If there is neither, it returns 0 and false (RFC 9651, Section 4.2.4).
func numberLen(s string) (n int, integer bool) {
	if strings.HasPrefix(s, "-") {
		n = 1
	}
	whole := digitsLen(s[n:])
	n += whole
	if n == len(s) || s[n] != '.' {
		if whole == 0 || whole > 15 {
			return 0, false
		}
		return n, true
	}
	fraction := digitsLen(s[n+1:])
	if whole == 0 || whole > 12 || fraction == 0 || fraction > 3 {
		return 0, false
	}
	return n + 1 + fraction, false
}

// digitsLen returns how many digits s begins with.
func digitsLen(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// stringLen returns the length of a String at the start of s, which is a quote; 0 if there is none
// (RFC 9651, Section 4.2.5).
func stringLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c < ' ' || c > '~':
			return 0
		case c == '\\':
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return 0
			}
		}
	}
	return 0
}

// byteSequenceLen returns the length of a Byte Sequence at the start of s, which is a colon; 0 if
// there is none. It may come without padding (RFC 9651, Section 4.2.7).
func byteSequenceLen(s string) int {
	n := 1
	for n < len(s) && (isAlpha(s[n]) || isDigit(s[n]) || s[n] == '+' || s[n] == '/') {
		n++
	}
	data := n - 1
	for n < len(s) && s[n] == '=' {
		n++
	}
	padding := n - 1 - data
	if n == len(s) || s[n] != ':' || data%4 == 1 || padding > 0 && (padding > 2 || (data+padding)%4 != 0) {
		return 0
	}
	return n + 1
}

// displayStringLen returns the length of a Display String at the start of s, which is a percent
// sign; 0 if there is none (RFC 9651, Section 4.2.10).
func displayStringLen(s string) int {
	if len(s) < 2 || s[1] != '"' {
		return 0
	}
	var buf [maxPriorityField]byte
	text := buf[:0]
	for i := 2; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			if !utf8.Valid(text) {
				return 0
			}
			return i + 1
		case c < ' ' || c > '~':
			return 0
		case c == '%':
			if i+2 >= len(s) || !isLowerHex(s[i+1]) || !isLowerHex(s[i+2]) {
				return 0
			}
			text = append(text, fromHex(s[i+1])<<4|fromHex(s[i+2]))
			i += 2
		default:
			text = append(text, c)
		}
	}
	return 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isLowerHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' }

func fromHex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c - 'a' + 10
}

// isTokenChar reports whether a Token may have c after its first character (RFC 9651, Section
// 3.3.4).
func isTokenChar(c byte) bool {
	return isAlpha(c) || isDigit(c) || strings.IndexByte("!#$%&'*+-.^_`|~:/", c) >= 0
}
