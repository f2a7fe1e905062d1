package h3

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/lazoquic/lazo/internal/qpack"
	"github.com/lazoquic/lazo/internal/wire"
)

// Settings that [Conn.PeerSettings] may have (RFC 9114, Section 7.2.4.1; RFC 9204,
// Section 5; RFC 9220, Section 3; RFC 9297, Section 2.1.1).
const (
	SettingQPACKTableCapacity  = 0x01
	SettingMaxFieldSectionSize = 0x06
	SettingQPACKBlockedStreams = 0x07
	SettingExtendedConnect     = 0x08
	SettingDatagrams           = 0x33
)

const (
	defaultMaxFieldSectionSize  = 64 << 10
	defaultQPACKEncoderCapacity = 4096
	defaultMaxCancels           = 1000
	maxQPACKCapacity            = 1 << 30
	maxQPACKBlockedStreams      = 1 << 16

	// maxPseudoFields is how many pseudo-header fields a message can have (RFC 9114, Section 4.3.1;
	// RFC 9220, Section 3).
	maxPseudoFields = 5

	// maxSettingsFrame and maxSettings bound the cost of a peer's SETTINGS. Real ones have at most
	// a dozen identifiers and 100 bytes.
	maxSettingsFrame = 4096
	maxSettings      = 256
)

// A Config configures a [Conn]. Zero fields take the documented defaults, and a
// negative limit means none. It is not changed, and may be shared.
// RFC 9114, Section 10.5 [2].
type Config struct {
	// MaxFieldSectionSize limits the fields of a message, and again its trailers, in bytes: names,
	// values, and 32 a field (RFC 9114, Section 4.2.2). Default 64 KiB. A server answers requests
	// that exceed it with status 431 by itself. Other messages that exceed it end in an
	// [EventCanceled] with ExcessiveLoad.
	MaxFieldSectionSize int64

	// MaxFields limits how many fields a message has, and again its trailers. Pseudo-header fields
	// do not count. Default 1,000. What exceeds it is treated as what exceeds MaxFieldSectionSize.
	MaxFields int

	// QPACKTableCapacity is how many bytes the decoder's dynamic table may have (RFC 9204, Section
	// 3.2.3), and QPACKBlockedStreams how many requests may wait for it. Default 0 for both: peers
	// then send fields that refer to no table.
	QPACKTableCapacity  int64
	QPACKBlockedStreams int64

	// QPACKEncoderCapacity is how many bytes the encoder's dynamic table has if the
	// peer allows so many. Default 4096.
	QPACKEncoderCapacity int64

	// MaxCancels is how many requests a client may cancel, or send malformed or too large, in one
	// burst. Each request that is answered to the end allows one more, and every 30 seconds allow
	// MaxCancels more. A server closes the connection with ExcessiveLoad when there are more.
	// Default 1000.
	MaxCancels int64

	ExtendedConnect bool              // of servers (RFC 9220)
	Datagrams       bool              // RFC 9297; conn.Config.MaxDatagramFrameSize must be set
	Settings        map[uint64]uint64 // additional settings

	// StreamTypes are types of streams that the caller takes, for example those of WebTransport:
	// types of unidirectional streams (RFC 9114, Section 6.2), or the first varint of bidirectional
	// ones. See [EventStream]. Unknown unidirectional streams of other types are stopped. No frames
	// may have these types.
	StreamTypes []uint64
}

// withDefaults returns a copy of cfg, checked and with the defaults filled in.
func (cfg *Config) withDefaults() (Config, error) {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	c.Settings = maps.Clone(c.Settings)
	c.StreamTypes = slices.Clone(c.StreamTypes)
	if c.MaxFieldSectionSize == 0 {
		c.MaxFieldSectionSize = defaultMaxFieldSectionSize
	}
	c.MaxFieldSectionSize = min(c.MaxFieldSectionSize, wire.MaxVarint)
	switch {
	case c.MaxFields == 0:
		c.MaxFields = qpack.MaxFields
	case c.MaxFields < 0:
		c.MaxFields = math.MaxInt
	}
	c.MaxFields = min(c.MaxFields, math.MaxInt-maxPseudoFields)
	if c.QPACKEncoderCapacity == 0 {
		c.QPACKEncoderCapacity = defaultQPACKEncoderCapacity
	}
	c.QPACKEncoderCapacity = max(c.QPACKEncoderCapacity, 0)
	if c.MaxCancels == 0 {
		c.MaxCancels = defaultMaxCancels
	}
	if max(c.QPACKTableCapacity, c.QPACKEncoderCapacity) > maxQPACKCapacity || c.QPACKTableCapacity < 0 ||
		c.QPACKBlockedStreams < 0 || c.QPACKBlockedStreams > maxQPACKBlockedStreams {
		return c, errors.New("h3: QPACK limits out of range")
	}
	for id, v := range c.Settings {
		// RFC 9114, Section 7.2.4.1 [3].
		if isHTTP2Setting(id) || isOwnSetting(id) || id > wire.MaxVarint || v > wire.MaxVarint {
			return c, fmt.Errorf("h3: setting %#x cannot be set to %d", id, v)
		}
	}
	for _, typ := range c.StreamTypes {
		if typ <= streamQPACKDecoder || isKnownFrame(typ) || isHTTP2Frame(typ) {
			return c, fmt.Errorf("h3: stream type %#x is taken", typ)
		}
	}
	return c, nil
}

// isOwnSetting reports whether a field of Config has the setting.
func isOwnSetting(id uint64) bool {
	switch id {
	case SettingQPACKTableCapacity, SettingMaxFieldSectionSize, SettingQPACKBlockedStreams,
		SettingExtendedConnect, SettingDatagrams:
		return true
	}
	return false
}

// isHTTP2Setting reports whether id is a setting that HTTP/2 has and HTTP/3 has not (RFC 9114,
// Sections 7.2.4.1 and 11.2.2).
func isHTTP2Setting(id uint64) bool { return id == 0x00 || id >= 0x02 && id <= 0x05 }

// appendSettings appends a SETTINGS frame. It adds the nth reserved setting, which the peer must
// ignore (RFC 9114, Section 7.2.4.1).
// RFC 9114, Section 7.2.4 [3, 5]; RFC 9114, Section 7.2.4.1 [1].
func (cfg *Config) appendSettings(b []byte, n uint64) []byte {
	m := cfg.settings()
	if _, taken := m[reserved(n)]; !taken {
		m[reserved(n)] = n
	}
	p := appendPairs(nil, m)
	b = appendFrameHeader(b, frameSettings, uint64(len(p)))
	return append(b, p...)
}

// settings returns the settings that do not have their default values.
// RFC 9114, Section 7.2.4.2 [10].
func (cfg *Config) settings() map[uint64]uint64 {
	m := make(map[uint64]uint64, len(cfg.Settings)+6)
	maps.Copy(m, cfg.Settings)
	set := func(id uint64, v int64) {
		if v > 0 {
			m[id] = uint64(v)
		}
	}
	set(SettingQPACKTableCapacity, cfg.QPACKTableCapacity)
	set(SettingMaxFieldSectionSize, cfg.MaxFieldSectionSize)
	set(SettingQPACKBlockedStreams, cfg.QPACKBlockedStreams)
	if cfg.ExtendedConnect {
		m[SettingExtendedConnect] = 1
	}
	if cfg.Datagrams {
		m[SettingDatagrams] = 1 // RFC 9297, Section 2.1.1 [1]
	}
	return m
}

// appendPairs appends settings in the order of their identifiers.
func appendPairs(b []byte, m map[uint64]uint64) []byte {
	ids := slices.AppendSeq(make([]uint64, 0, len(m)), maps.Keys(m))
	slices.Sort(ids)
	for _, id := range ids {
		b = wire.AppendPair(b, id, m[id])
	}
	return b
}

// parseSettings parses the payload of a SETTINGS frame (RFC 9114, Section 7.2.4).
// RFC 9114, Section 7.2.4 [5, 6]; RFC 9114, Section 7.2.4.1 [2].
func parseSettings(b []byte) (map[uint64]uint64, *Error) {
	m := make(map[uint64]uint64)
	for len(b) > 0 {
		id, v, n := wire.ParsePair(b)
		if n == 0 {
			return nil, frameError("SETTINGS cut short")
		}
		b = b[n:]
		if _, twice := m[id]; twice {
			return nil, &Error{SettingsError, fmt.Sprintf("setting %#x twice", id)}
		}
		if isHTTP2Setting(id) {
			// RFC 9114, Section 7.2.4.1 [4].
			return nil, &Error{SettingsError, fmt.Sprintf("setting %#x of HTTP/2", id)}
		}
		// RFC 9220, Section 3; RFC 9297, Section 2.1.1.
		// RFC 9297, Section 2.1.1 [2].
		if (id == SettingExtendedConnect || id == SettingDatagrams) && v > 1 {
			return nil, &Error{SettingsError, fmt.Sprintf("setting %#x is %d", id, v)}
		}
		if len(m) == maxSettings {
			return nil, &Error{ExcessiveLoad, "too many settings"}
		}
		m[id] = v
	}
	return m, nil
}

// peerLimits are the limits in the peer's settings. Until these come, the defaults hold.
type peerLimits struct {
	maxFieldSectionSize uint64
	extendedConnect     bool
	datagrams           bool
}

// limits returns the limits in m.
// RFC 9114, Section 7.2.4.2 [2, 7].
func limits(m map[uint64]uint64) peerLimits {
	l := peerLimits{
		maxFieldSectionSize: wire.MaxVarint,
		extendedConnect:     m[SettingExtendedConnect] == 1,
		datagrams:           m[SettingDatagrams] == 1,
	}
	if v, ok := m[SettingMaxFieldSectionSize]; ok {
		l.maxFieldSectionSize = v
	}
	return l
}
