// Package varint reads and writes the variable-length integers of QUIC (RFC 9000, Section 16), for
// protocols on top that have them in their streams and datagrams.
package varint

import "github.com/lazoquic/lazo/internal/wire"

// Max is the largest integer.
const Max = wire.MaxVarint

// Append appends v in the shortest encoding, 1 to 8 bytes. It panics if v is above Max.
func Append(b []byte, v uint64) []byte { return wire.AppendVarint(b, v) }

// Parse returns the integer at the start of b, in whatever encoding, and its length. The length is
// 0 if b is too short.
func Parse(b []byte) (v uint64, n int) { return wire.ParseVarint(b) }
