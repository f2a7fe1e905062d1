package qpack

import "golang.org/x/net/http2/hpack"

// maxInt is the largest integer that must be understood (RFC 9204, Section 4.1.1 [1]). Only the
// limit of a section bounds strings further (RFC 9204, Section 7.4 [1]).
const maxInt = 1<<62 - 1

// appendInt appends v as an integer with a prefix of n bits (RFC 7541, Section 5.1). The other bits
// of the first byte are those of first.
func appendInt(b []byte, first byte, n uint8, v uint64) []byte {
	limit := uint64(1)<<n - 1
	if v < limit {
		return append(b, first|byte(v))
	}
	b = append(b, first|byte(limit))
	for v -= limit; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// parseInt parses the integer with a prefix of n bits at the start of b, and returns its length.
// The length is 0 if b is too short. It is negative if the integer is above maxInt, or takes more
// bytes than maxInt does. In a field section that is an error of the stream (RFC 9204, Section 7.4
// [2]), which RFC 9114, Section 8, lets h3 treat as one of the connection: an encoder with such a
// fault has others.
func parseInt(b []byte, n uint8) (v uint64, size int) {
	if len(b) == 0 {
		return 0, 0
	}
	limit := uint64(1)<<n - 1
	v = uint64(b[0]) & limit
	if v < limit {
		return v, 1
	}
	for i, shift := 1, 0; i < len(b); i, shift = i+1, shift+7 {
		if shift > 56 {
			return 0, -1
		}
		v += uint64(b[i]&0x7f) << shift
		if v > maxInt {
			return 0, -1
		}
		if b[i]&0x80 == 0 {
			return v, i + 1
		}
	}
	return 0, 0
}

// A literal is a string literal as it was sent (RFC 9204, Section 4.1.2).
type literal struct {
	raw     []byte
	huffman bool
}

// parseLiteral parses the string literal at the start of b. Its length has a prefix of n bits,
// behind the bit that tells Huffman coding. It returns the length of the whole literal. Like that
// of parseInt it is 0 or negative if the literal is not complete or not valid.
func parseLiteral(b []byte, n uint8) (l literal, size int) {
	length, k := parseInt(b, n)
	if k <= 0 {
		return literal{}, k
	}
	if length > uint64(len(b)-k) {
		return literal{}, 0
	}
	size = k + int(length)
	return literal{b[k:size], b[0]&(1<<n) != 0}, size
}

// minLen returns the least length that the string can have. The longest Huffman code has 30 bits.
func (l literal) minLen() int64 {
	if l.huffman {
		return int64(len(l.raw)) * 8 / 30
	}
	return int64(len(l.raw))
}

// An appender collects strings. It is an io.Writer for package hpack.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// add appends the string of l, and reports whether its coding is valid.
func (a *appender) add(l literal) bool {
	if !l.huffman {
		*a = append(*a, l.raw...)
		return true
	}
	_, err := hpack.HuffmanDecode(a, l.raw)
	return err == nil
}

// appendLiteral appends s as a string literal, with Huffman coding where that is shorter. The
// prefix has n bits, and the bit before it tells Huffman coding. The other bits of the first byte
// are those of first.
func appendLiteral(b []byte, first byte, n uint8, s string) []byte {
	if h := hpack.HuffmanEncodeLength(s); h < uint64(len(s)) {
		b = appendInt(b, first|1<<n, n, h)
		return hpack.AppendHuffmanString(b, s)
	}
	b = appendInt(b, first, n, uint64(len(s)))
	return append(b, s...)
}
