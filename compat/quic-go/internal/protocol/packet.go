package protocol

import (
	"crypto/tls"
	"encoding/hex"
	"fmt"
)

// A PacketNumber is the number of a packet in its packet number space.
type PacketNumber int64

// InvalidPacketNumber is the number of no packet.
const InvalidPacketNumber PacketNumber = -1

// A ByteCount counts bytes.
type ByteCount int64

// InvalidByteCount stands for a count that is not known.
const InvalidByteCount ByteCount = -1

// A Perspective says which side of a connection something is.
type Perspective int

// The sides.
const (
	PerspectiveServer Perspective = 1
	PerspectiveClient Perspective = 2
)

// Opposite returns the other side.
func (p Perspective) Opposite() Perspective { return PerspectiveServer + PerspectiveClient - p }

// String names the side.
func (p Perspective) String() string {
	switch p {
	case PerspectiveServer:
		return "server"
	case PerspectiveClient:
		return "client"
	}
	return "invalid perspective"
}

// A StatelessResetToken is the token of a stateless reset (RFC 9000, Section 10.3).
type StatelessResetToken [16]byte

// An ArbitraryLenConnectionID is a connection ID of up to 255 bytes (RFC 8999, Section 5.3).
type ArbitraryLenConnectionID []byte

// Len returns the length in bytes.
func (id ArbitraryLenConnectionID) Len() int { return len(id) }

// Bytes returns the ID itself, and not a copy.
func (id ArbitraryLenConnectionID) Bytes() []byte { return id }

// String returns the ID in hexadecimal.
func (id ArbitraryLenConnectionID) String() string {
	if len(id) == 0 {
		return "(empty)"
	}
	return hex.EncodeToString(id)
}

// An EncryptionLevel says which keys protect a packet.
type EncryptionLevel uint8

// The levels.
const (
	EncryptionInitial EncryptionLevel = iota + 1
	EncryptionHandshake
	Encryption0RTT
	Encryption1RTT
)

// A PacketNumberSpace is a space of packet numbers (RFC 9000, Section 12.3).
type PacketNumberSpace uint8

// The spaces.
const (
	PacketNumberSpaceInitial PacketNumberSpace = iota
	PacketNumberSpaceHandshake
	PacketNumberSpaceAppData
)

// PacketNumberSpace returns the space of packets of this level. It panics if there is no such level.
func (e EncryptionLevel) PacketNumberSpace() PacketNumberSpace {
	switch e {
	case EncryptionInitial:
		return PacketNumberSpaceInitial
	case EncryptionHandshake:
		return PacketNumberSpaceHandshake
	case Encryption0RTT, Encryption1RTT:
		return PacketNumberSpaceAppData
	}
	panic(fmt.Sprintf("quic: encryption level %d", uint8(e)))
}

// ToTLSEncryptionLevel returns the level of crypto/tls. It panics if there is no such level.
func (e EncryptionLevel) ToTLSEncryptionLevel() tls.QUICEncryptionLevel {
	switch e {
	case EncryptionInitial:
		return tls.QUICEncryptionLevelInitial
	case EncryptionHandshake:
		return tls.QUICEncryptionLevelHandshake
	case Encryption0RTT:
		return tls.QUICEncryptionLevelEarly
	case Encryption1RTT:
		return tls.QUICEncryptionLevelApplication
	}
	panic(fmt.Sprintf("quic: encryption level %d", uint8(e)))
}

// String names the level.
func (e EncryptionLevel) String() string {
	switch e {
	case EncryptionInitial:
		return "Initial"
	case EncryptionHandshake:
		return "Handshake"
	case Encryption0RTT:
		return "0-RTT"
	case Encryption1RTT:
		return "1-RTT"
	}
	return "unknown"
}

// A KeyPhase counts the updates of 1-RTT keys.
type KeyPhase uint64

// Bit returns the bit that packets of the phase carry.
func (p KeyPhase) Bit() KeyPhaseBit {
	if p%2 == 0 {
		return KeyPhaseZero
	}
	return KeyPhaseOne
}

// A KeyPhaseBit is the Key Phase bit of a short header (RFC 9000, Section 17.3.1).
type KeyPhaseBit uint8

// The values of the bit. Packets with a long header have none.
const (
	KeyPhaseUndefined KeyPhaseBit = iota
	KeyPhaseZero
	KeyPhaseOne
)

// String returns the bit.
func (b KeyPhaseBit) String() string {
	switch b {
	case KeyPhaseZero:
		return "0"
	case KeyPhaseOne:
		return "1"
	}
	return "undefined"
}

// A StreamType says whether a stream has one direction or two.
type StreamType uint8

// The types.
const (
	StreamTypeUni StreamType = iota
	StreamTypeBidi
)
