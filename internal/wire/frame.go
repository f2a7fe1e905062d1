package wire

import "encoding/binary"

// Frame types (RFC 9000, Section 19; RFC 9221; draft-ietf-quic-ack-frequency;
// draft-ietf-quic-reliable-stream-reset; draft-ietf-quic-multipath-21, Section 4).
//
// A Parse function takes the frame from its type on, and returns its fields and its length n. The
// caller has checked that the type is minimally encoded. All types are one byte long, except
// FrameAckFrequency and those from FramePathAbandon on, which have two.
const (
	FramePadding            = 0x00
	FramePing               = 0x01
	FrameAck                = 0x02
	FrameAckECN             = 0x03
	FrameResetStream        = 0x04
	FrameStopSending        = 0x05
	FrameCrypto             = 0x06
	FrameNewToken           = 0x07
	FrameStream             = 0x08 // to 0x0f: OFF 0x04, LEN 0x02, FIN 0x01
	FrameMaxData            = 0x10
	FrameMaxStreamData      = 0x11
	FrameMaxStreamsBidi     = 0x12
	FrameMaxStreamsUni      = 0x13
	FrameDataBlocked        = 0x14
	FrameStreamDataBlocked  = 0x15
	FrameStreamsBlockedBidi = 0x16
	FrameStreamsBlockedUni  = 0x17
	FrameNewConnectionID    = 0x18
	FrameRetireConnectionID = 0x19
	FramePathChallenge      = 0x1a
	FramePathResponse       = 0x1b
	FrameConnectionClose    = 0x1c
	FrameApplicationClose   = 0x1d
	FrameHandshakeDone      = 0x1e
	FrameImmediateAck       = 0x1f
	FrameResetStreamAt      = 0x24
	FrameDatagram           = 0x30
	FrameDatagramLen        = 0x31
	FramePathAck            = 0x3e
	FramePathAckECN         = 0x3f
	FrameAckFrequency       = 0xaf

	FramePathAbandon            = 0x3e75
	FramePathStatusBackup       = 0x3e76
	FramePathStatusAvailable    = 0x3e77
	FramePathNewConnectionID    = 0x3e78
	FramePathRetireConnectionID = 0x3e79
	FrameMaxPathID              = 0x3e7a
	FramePathsBlocked           = 0x3e7b
	FramePathCIDsBlocked        = 0x3e7c
)

// frameAt returns a cursor on the fields of the frame at the start of b, behind a type of one byte.
func frameAt(b []byte) cursor {
	if len(b) == 0 {
		return cursor{bad: true}
	}
	return cursor{b: b, off: 1}
}

// wideFrameAt is frameAt for a frame whose type takes two bytes.
func wideFrameAt(b []byte) cursor {
	c := cursor{b: b}
	c.varint()
	return c
}

// ParsePadding returns how many PADDING frames follow one another at the start of b, which begins
// with one.
func ParsePadding(b []byte) int {
	n := 1
	// There are some 900 in most datagrams with an Initial, and 1,400 in a probe of the path MTU.
	for n+8 <= len(b) && binary.LittleEndian.Uint64(b[n:]) == 0 {
		n += 8
	}
	for n < len(b) && b[n] == FramePadding {
		n++
	}
	return n
}
