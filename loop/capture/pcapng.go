package capture

import (
	"encoding/binary"
	"time"
)

// Types of blocks, and values in them (draft-ietf-opsawg-pcapng, Section 4).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6
	blockSecrets   = 10

	byteOrder   = 0x1a2b3c4d
	linkTypeRaw = 101        // each packet begins with its IP header
	tlsKeyLog   = 0x544c534b // secrets in the format of a key log

	optEnd       = 0
	optTimestamp = 9 // if_tsresol
	optFlags     = 2 // epb_flags
)

// block appends a block with the body that fill appends.
func block(b []byte, typ uint32, fill func([]byte) []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, typ)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = fill(b)
	for (len(b)-start)%4 != 0 {
		b = append(b, 0)
	}
	n := uint32(len(b) - start + 4)
	binary.LittleEndian.PutUint32(b[start+4:], n)
	return binary.LittleEndian.AppendUint32(b, n)
}

func appendSection(b []byte) []byte {
	return block(b, blockSection, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, byteOrder)
		b = binary.LittleEndian.AppendUint16(b, 1) // version 1.0
		b = binary.LittleEndian.AppendUint16(b, 0)
		// the length of the section is not known
		return binary.LittleEndian.AppendUint64(b, 1<<64-1)
	})
}

func appendInterface(b []byte) []byte {
	return block(b, blockInterface, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint16(b, linkTypeRaw)
		b = binary.LittleEndian.AppendUint16(b, 0)
		b = binary.LittleEndian.AppendUint32(b, 0) // no limit on the length of a packet
		b = binary.LittleEndian.AppendUint16(b, optTimestamp)
		b = binary.LittleEndian.AppendUint16(b, 1)
		b = append(b, 9, 0, 0, 0) // nanoseconds
		b = binary.LittleEndian.AppendUint16(b, optEnd)
		return binary.LittleEndian.AppendUint16(b, 0)
	})
}

func appendSecrets(b, line []byte) []byte {
	return block(b, blockSecrets, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, tlsKeyLog)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(line)))
		return append(b, line...)
	})
}

// appendPacket appends an IP packet.
func appendPacket(b []byte, at time.Time, dir direction, packet []byte) []byte {
	return block(b, blockPacket, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, 0) // index of the interface
		ns := uint64(at.UnixNano())
		b = binary.LittleEndian.AppendUint32(b, uint32(ns>>32))
		b = binary.LittleEndian.AppendUint32(b, uint32(ns))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
		b = append(b, packet...)
		for range -len(packet) & 3 {
			b = append(b, 0)
		}
		b = binary.LittleEndian.AppendUint16(b, optFlags)
		b = binary.LittleEndian.AppendUint16(b, 4)
		b = binary.LittleEndian.AppendUint32(b, uint32(dir))
		b = binary.LittleEndian.AppendUint16(b, optEnd)
		return binary.LittleEndian.AppendUint16(b, 0)
	})
}
