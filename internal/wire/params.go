package wire

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Identifiers of transport parameters. They are from RFC 9000, Section 18.2, unless a line says
// otherwise.
const (
	paramOriginalDCID            = 0x00
	paramMaxIdleTimeout          = 0x01
	paramResetToken              = 0x02
	paramMaxUDPPayload           = 0x03
	paramMaxData                 = 0x04
	paramMaxStreamDataBidiLocal  = 0x05
	paramMaxStreamDataBidiRemote = 0x06
	paramMaxStreamDataUni        = 0x07
	paramMaxStreamsBidi          = 0x08
	paramMaxStreamsUni           = 0x09
	paramAckDelayExponent        = 0x0a
	paramMaxAckDelay             = 0x0b
	paramDisableActiveMigration  = 0x0c
	paramPreferredAddress        = 0x0d
	paramActiveConnIDLimit       = 0x0e
	paramInitialSCID             = 0x0f
	paramRetrySCID               = 0x10
	paramVersionInformation      = 0x11 // RFC 9368, Section 3
	// draft-ietf-quic-reliable-stream-reset, Section 3
	paramResetStreamAt    = 0x1d
	paramMaxDatagramFrame = 0x20             // RFC 9221, Section 3
	paramInitialMaxPathID = 0x3e             // draft-ietf-quic-multipath-21, Section 2.1
	paramGreaseQUICBit    = 0x2ab2           // RFC 9287, Section 3
	paramMinAckDelay      = 0xff04de1b       // draft-ietf-quic-ack-frequency, Section 3
	paramResetStreamAtOld = 0x17f7586d2cb571 // draft-ietf-quic-reliable-stream-reset-07
)

// Values of parameters that are absent (RFC 9000, Section 18.2).
const (
	defaultMaxUDPPayload     = 65527
	defaultAckDelayExponent  = 3
	defaultMaxAckDelay       = 25 * time.Millisecond
	defaultActiveConnIDLimit = 2
)

// Params are transport parameters (RFC 9000, Section 18.2; RFC 9221; RFC 9287; RFC 9368;
// draft-ietf-quic-ack-frequency; draft-ietf-quic-reliable-stream-reset; draft-ietf-quic-multipath).
// Start from DefaultParams: zero is a value like others for some.
type Params struct {
	// server only; nil if absent
	OriginalDCID []byte
	// nil if absent; empty but not nil if zero-length
	InitialSCID []byte
	// server only; nil if absent
	RetrySCID  []byte
	ResetToken *[16]byte
	// 0: none
	MaxIdleTimeout time.Duration
	// default 65527
	MaxUDPPayload                                                              uint64
	MaxData, MaxStreamDataBidiLocal, MaxStreamDataBidiRemote, MaxStreamDataUni uint64
	MaxStreamsBidi, MaxStreamsUni                                              uint64
	// default 3
	AckDelayExponent uint8
	// default 25ms
	MaxAckDelay            time.Duration
	DisableActiveMigration bool
	// server only
	Preferred *PreferredAddress
	// default 2
	ActiveConnIDLimit uint64
	// RFC 9221; 0: none
	MaxDatagramFrame uint64
	// RFC 9287
	GreaseQUICBit bool
	// draft-ietf-quic-ack-frequency (0xff04de1b, microseconds); 0: absent
	MinAckDelay time.Duration
	// draft-ietf-quic-reliable-stream-reset (0x1d, or 0x17f7586d2cb571 of earlier drafts)
	ResetStreamAt bool
	// draft-ietf-quic-multipath-21 (0x3e); default -1: absent
	InitialMaxPathID int64
	// version_information (RFC 9368, 0x11); 0: absent
	ChosenVersion     uint32
	AvailableVersions []uint32
}

// A PreferredAddress is the parameter of that name (RFC 9000, Section 18.2).
// An address family that the server leaves out is the zero AddrPort.
type PreferredAddress struct {
	V4, V6     netip.AddrPort
	ID         []byte // 1 to 20 bytes
	ResetToken [16]byte
}

// DefaultParams returns Params with the defaults that RFC 9000 gives to absent ones.
func DefaultParams() Params {
	return Params{
		MaxUDPPayload:     defaultMaxUDPPayload,
		AckDelayExponent:  defaultAckDelayExponent,
		MaxAckDelay:       defaultMaxAckDelay,
		ActiveConnIDLimit: defaultActiveConnIDLimit,
		InitialMaxPathID:  -1,
	}
}

// AppendParams appends the encoding of p, without what has its default value. Times are rounded up
// to the milliseconds of the wire, MinAckDelay down to microseconds. grease is a random number,
// from which a reserved parameter (31*N+27) with random content is made, so that peers stay used to
// unknown ones (RFC 9000, Section 18.1); 0 adds none.
// RFC 9000, Section 7.4 [2].
func AppendParams(b []byte, p *Params, grease uint64) []byte {
	b = appendParamBytes(b, paramOriginalDCID, p.OriginalDCID)
	b = appendParamBytes(b, paramInitialSCID, p.InitialSCID)
	b = appendParamBytes(b, paramRetrySCID, p.RetrySCID)
	if p.ResetToken != nil {
		b = appendParamBytes(b, paramResetToken, p.ResetToken[:])
	}
	b = appendParamInt(b, paramMaxIdleTimeout, milliseconds(p.MaxIdleTimeout), 0)
	b = appendParamInt(b, paramMaxUDPPayload, p.MaxUDPPayload, defaultMaxUDPPayload)
	b = appendParamInt(b, paramMaxData, p.MaxData, 0)
	b = appendParamInt(b, paramMaxStreamDataBidiLocal, p.MaxStreamDataBidiLocal, 0)
	b = appendParamInt(b, paramMaxStreamDataBidiRemote, p.MaxStreamDataBidiRemote, 0)
	b = appendParamInt(b, paramMaxStreamDataUni, p.MaxStreamDataUni, 0)
	b = appendParamInt(b, paramMaxStreamsBidi, p.MaxStreamsBidi, 0)
	b = appendParamInt(b, paramMaxStreamsUni, p.MaxStreamsUni, 0)
	b = appendParamInt(b, paramAckDelayExponent, uint64(p.AckDelayExponent), defaultAckDelayExponent)
	b = appendParamInt(b, paramMaxAckDelay, milliseconds(p.MaxAckDelay), milliseconds(defaultMaxAckDelay))
	b = appendParamFlag(b, paramDisableActiveMigration, p.DisableActiveMigration)
	if p.Preferred != nil {
		b = appendPreferredAddress(b, p.Preferred)
	}
	b = appendParamInt(b, paramActiveConnIDLimit, p.ActiveConnIDLimit, defaultActiveConnIDLimit)
	b = appendParamInt(b, paramMaxDatagramFrame, p.MaxDatagramFrame, 0)
	b = appendParamFlag(b, paramGreaseQUICBit, p.GreaseQUICBit)
	if p.MinAckDelay != 0 {
		v := uint64(p.MinAckDelay / time.Microsecond)
		b = appendParamHeader(b, paramMinAckDelay, VarintLen(v))
		b = AppendVarint(b, v)
	}
	b = appendParamFlag(b, paramResetStreamAt, p.ResetStreamAt)
	// some peers know only this one, some only the other
	b = appendParamFlag(b, paramResetStreamAtOld, p.ResetStreamAt)
	if p.InitialMaxPathID >= 0 {
		v := uint64(p.InitialMaxPathID)
		b = appendParamHeader(b, paramInitialMaxPathID, VarintLen(v))
		b = AppendVarint(b, v)
	}
	if p.ChosenVersion != 0 {
		b = appendParamHeader(b, paramVersionInformation, 4+4*len(p.AvailableVersions))
		b = binary.BigEndian.AppendUint32(b, p.ChosenVersion)
		for _, v := range p.AvailableVersions {
			b = binary.BigEndian.AppendUint32(b, v)
		}
	}
	if grease != 0 {
		b = appendGrease(b, grease)
	}
	return b
}

// milliseconds returns d in milliseconds, rounded up: a timeout of less than one millisecond must
// not become 0, which means none.
func milliseconds(d time.Duration) uint64 {
	ms := d / time.Millisecond
	if d%time.Millisecond > 0 {
		ms++
	}
	return uint64(ms)
}

func appendParamHeader(b []byte, id uint64, length int) []byte {
	b = AppendVarint(b, id)
	return AppendVarint(b, uint64(length))
}

// appendParamBytes appends a parameter unless it is nil.
func appendParamBytes(b []byte, id uint64, v []byte) []byte {
	if v == nil {
		return b
	}
	b = appendParamHeader(b, id, len(v))
	return append(b, v...)
}

// appendParamInt appends a parameter unless it has its default value.
func appendParamInt(b []byte, id uint64, v, absent uint64) []byte {
	if v == absent {
		return b
	}
	b = appendParamHeader(b, id, VarintLen(v))
	return AppendVarint(b, v)
}

// appendParamFlag appends a parameter without content if v is set.
func appendParamFlag(b []byte, id uint64, v bool) []byte {
	if !v {
		return b
	}
	return appendParamHeader(b, id, 0)
}

func appendPreferredAddress(b []byte, p *PreferredAddress) []byte {
	b = appendParamHeader(b, paramPreferredAddress, 4+2+16+2+1+len(p.ID)+len(p.ResetToken))
	v4, v6 := netip.IPv4Unspecified().As4(), netip.IPv6Unspecified().As16()
	if p.V4.IsValid() {
		v4 = p.V4.Addr().As4()
	}
	if p.V6.IsValid() {
		v6 = p.V6.Addr().As16()
	}
	b = append(b, v4[:]...)
	b = binary.BigEndian.AppendUint16(b, p.V4.Port())
	b = append(b, v6[:]...)
	b = binary.BigEndian.AppendUint16(b, p.V6.Port())
	b = append(b, byte(len(p.ID)))
	b = append(b, p.ID...)
	return append(b, p.ResetToken[:]...)
}

// appendGrease appends a reserved parameter of 0 to 7 bytes. The low three bits of grease are their
// number. The other bits make the identifier and the content.
func appendGrease(b []byte, grease uint64) []byte {
	const maxN = (MaxVarint - 27) / 31
	n := int(grease & 7)
	b = appendParamHeader(b, 31*(grease>>3%maxN)+27, n)
	var content [8]byte
	binary.BigEndian.PutUint64(content[:], grease)
	return append(b, content[:n]...)
}
