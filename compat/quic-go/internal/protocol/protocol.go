// Package protocol has the types that several packages of this module share.
package protocol

import (
	"encoding/hex"
	"fmt"
)

// A Version is a QUIC version number.
type Version uint32

// The versions that Lazo speaks.
const (
	Version1 Version = 1
	Version2 Version = 0x6b3343cf // RFC 9369
)

// String names the version.
func (v Version) String() string {
	switch v {
	case Version1:
		return "v1"
	case Version2:
		return "v2"
	case 1<<32 - 1:
		return "unknown"
	}
	return fmt.Sprintf("%#x", uint32(v))
}

// A StreamID is the ID of a stream.
type StreamID int64

// A StreamNum counts streams of one type, from 1.
type StreamNum int64

// StreamNum returns how many streams of the type there are up to this one.
func (id StreamID) StreamNum() StreamNum { return StreamNum(id/4) + 1 }

const maxConnectionIDLen = 20

// A ConnectionID is a connection ID of at most 20 bytes. The zero value is not valid. It differs
// from a valid ID of zero bytes.
type ConnectionID struct {
	b   [maxConnectionIDLen]byte
	len uint8 // the length plus 1; 0 if not valid
}

// ParseConnectionID returns b as a ConnectionID. It panics if b is longer than 20 bytes.
func ParseConnectionID(b []byte) ConnectionID {
	if len(b) > maxConnectionIDLen {
		panic(fmt.Sprintf("quic: a connection ID of %d bytes", len(b)))
	}
	id := ConnectionID{len: uint8(len(b)) + 1}
	copy(id.b[:], b)
	return id
}

// Valid reports whether the ID is set. A valid ID may have zero bytes.
func (id ConnectionID) Valid() bool { return id.len > 0 }

// Len returns the length in bytes.
func (id ConnectionID) Len() int { return max(int(id.len)-1, 0) }

// Bytes returns a copy of the ID.
func (id ConnectionID) Bytes() []byte { return id.b[:id.Len()] }

// String returns the ID in hexadecimal.
func (id ConnectionID) String() string {
	switch id.len {
	case 0:
		return "(invalid)"
	case 1:
		return "(empty)"
	}
	return hex.EncodeToString(id.Bytes())
}

// A TokenProtectorKey seals tokens.
type TokenProtectorKey [32]byte
