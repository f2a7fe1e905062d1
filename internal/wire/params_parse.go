package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Limits of parameters (RFC 9000, Section 18.2).
const (
	minMaxUDPPayload    = 1200
	maxAckDelayExponent = 20
	maxMaxAckDelay      = 1 << 14 // in milliseconds
	maxMaxStreams       = 1 << 60

	// maxIdleTimeout is 73 years. A longer idle timeout is read as this one. Adding it to a time in
	// nanoseconds then does not overflow.
	maxIdleTimeout = 1 << 61 / uint64(time.Millisecond)
)

var (
	errMalformed  = errors.New("malformed")
	errOutOfRange = errors.New("out of range")
	errClientSent = errors.New("sent by a client")
)

// ParseParams parses the parameters of a peer, which is a server if fromServer. The error says
// which parameter is wrong: duplicate (any, also unknown), malformed, out of range
// (ack_delay_exponent > 20, max_ack_delay >= 2^14, max_udp_payload_size < 1200,
// active_connection_id_limit < 2, initial_max_streams > 2^60, min_ack_delay > max_ack_delay,
// initial_max_path_id >= 2^32), or
// sent by a client that must not (original_destination_connection_id, preferred_address,
// retry_source_connection_id, stateless_reset_token). Each is a TRANSPORT_PARAMETER_ERROR. Whether
// parameters are missing is for the caller. Slices are copied. A MinAckDelay of 0 on the wire is
// read as 1ns, to tell it from none.
// RFC 9000, Section 18.2 [10].
func ParseParams(b []byte, fromServer bool) (Params, error) {
	p := paramsParser{Params: DefaultParams()}
	var room [32]uint64 // more than peers send
	ids := room[:0]
	c := cursor{b: b}
	for c.off < len(b) {
		id := c.varint()
		v := c.bytes(c.varint())
		if c.bad {
			return Params{}, errors.New("wire: truncated transport parameters")
		}
		ids = append(ids, id)
		err := p.parse(id, v)
		if err == nil && !fromServer {
			err = checkFromClient(id)
		}
		if err != nil {
			return Params{}, fmt.Errorf("wire: transport parameter %#x: %w", id, err)
		}
	}
	// A peer may send thousands of unknown parameters. Sorting bounds the work.
	slices.Sort(ids)
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] { // RFC 9000, Section 7.4 [3]
			return Params{}, fmt.Errorf("wire: duplicate transport parameter %#x", ids[i])
		}
	}
	return p.finish(fromServer)
}

// checkFromClient reports parameters that only servers send (RFC 9000, Section 18.2).
func checkFromClient(id uint64) error {
	switch id {
	case paramOriginalDCID, paramPreferredAddress, paramRetrySCID, paramResetToken:
		return errClientSent
	}
	return nil
}

// A paramsParser collects Params, and values that finish compares.
type paramsParser struct {
	Params
	minAckDelay uint64 // in microseconds
}

// parse parses the parameter id with the content v. It ignores unknown parameters (RFC 9000,
// Section 7.4.2).
// RFC 9000, Section 7.4.2 [1].
func (p *paramsParser) parse(id uint64, v []byte) (err error) {
	switch id {
	case paramOriginalDCID:
		p.OriginalDCID, err = paramConnID(v)
	case paramInitialSCID:
		p.InitialSCID, err = paramConnID(v)
	case paramRetrySCID:
		p.RetrySCID, err = paramConnID(v)
	case paramResetToken:
		if len(v) != len(p.ResetToken) {
			return errMalformed
		}
		p.ResetToken = (*[16]byte)(slices.Clone(v))
	case paramDisableActiveMigration:
		p.DisableActiveMigration, err = paramFlag(v)
	case paramGreaseQUICBit:
		p.GreaseQUICBit, err = paramFlag(v)
	case paramResetStreamAt, paramResetStreamAtOld:
		p.ResetStreamAt, err = paramFlag(v)
	case paramPreferredAddress:
		p.Preferred, err = parsePreferredAddress(v)
	case paramVersionInformation:
		err = p.parseVersions(v)
	case paramMaxIdleTimeout, paramMaxUDPPayload, paramMaxData, paramMaxStreamDataBidiLocal,
		paramMaxStreamDataBidiRemote, paramMaxStreamDataUni, paramMaxStreamsBidi, paramMaxStreamsUni,
		paramAckDelayExponent, paramMaxAckDelay, paramActiveConnIDLimit, paramMaxDatagramFrame, paramMinAckDelay,
		paramInitialMaxPathID:
		i, n := ParseVarint(v)
		if n == 0 || n != len(v) {
			return errMalformed
		}
		return p.setInt(id, i)
	}
	return err
}

// setInt stores the parameter id, whose value is an integer.
// RFC 9000, Section 7.4 [1]; RFC 9000, Section 18.2 [8]; RFC 9000, Section 19.11 [1].
func (p *paramsParser) setInt(id, v uint64) error {
	ok := true
	switch id {
	case paramMaxIdleTimeout:
		p.MaxIdleTimeout = time.Duration(min(v, maxIdleTimeout)) * time.Millisecond
	case paramMaxUDPPayload:
		p.MaxUDPPayload, ok = v, v >= minMaxUDPPayload
	case paramMaxData:
		p.MaxData = v
	case paramMaxStreamDataBidiLocal:
		p.MaxStreamDataBidiLocal = v
	case paramMaxStreamDataBidiRemote:
		p.MaxStreamDataBidiRemote = v
	case paramMaxStreamDataUni:
		p.MaxStreamDataUni = v
	case paramMaxStreamsBidi:
		p.MaxStreamsBidi, ok = v, v <= maxMaxStreams // RFC 9000, Section 4.6 [1]
	case paramMaxStreamsUni:
		p.MaxStreamsUni, ok = v, v <= maxMaxStreams
	case paramAckDelayExponent:
		p.AckDelayExponent, ok = uint8(v), v <= maxAckDelayExponent
	case paramMaxAckDelay:
		p.MaxAckDelay, ok = time.Duration(v)*time.Millisecond, v < maxMaxAckDelay
	case paramActiveConnIDLimit:
		p.ActiveConnIDLimit, ok = v, v >= defaultActiveConnIDLimit
	case paramMaxDatagramFrame:
		p.MaxDatagramFrame = v
	case paramInitialMaxPathID: // draft-ietf-quic-multipath-21, Section 2.1 [2]
		p.InitialMaxPathID, ok = int64(v), v <= MaxPathID
	case paramMinAckDelay:
		// This may overflow: finish refuses durations above max_ack_delay.
		p.minAckDelay, p.MinAckDelay = v, max(time.Duration(v)*time.Microsecond, 1)
	}
	if !ok {
		return errOutOfRange
	}
	return nil
}

// finish checks values that depend on more than one parameter.
func (p *paramsParser) finish(fromServer bool) (Params, error) {
	if p.MinAckDelay != 0 && p.minAckDelay > uint64(p.MaxAckDelay/time.Microsecond) {
		return Params{}, fmt.Errorf("wire: transport parameter %#x: above max_ack_delay", uint64(paramMinAckDelay))
	}
	// RFC 9368, Section 3: a client's Chosen Version is one of its Available Versions.
	// RFC 9368, Section 4 [6].
	if !fromServer && p.ChosenVersion != 0 && !slices.Contains(p.AvailableVersions, p.ChosenVersion) {
		return Params{}, fmt.Errorf("wire: transport parameter %#x: chosen version not available", paramVersionInformation)
	}
	return p.Params, nil
}

// paramConnID copies a connection ID; an empty one is not nil.
func paramConnID(v []byte) ([]byte, error) {
	if len(v) > maxConnIDLen {
		return nil, errMalformed
	}
	return append([]byte{}, v...), nil
}

// paramFlag parses a parameter that has no content: its presence is its value.
// RFC 9287, Section 3 [1].
func paramFlag(v []byte) (bool, error) {
	if len(v) != 0 {
		return false, errMalformed
	}
	return true, nil
}

// parseVersions parses version_information (RFC 9368, Section 3).
// RFC 9368, Section 4 [3, 4, 5].
func (p *paramsParser) parseVersions(v []byte) error {
	if len(v) < 4 || len(v)%4 != 0 {
		return errMalformed
	}
	p.ChosenVersion = binary.BigEndian.Uint32(v)
	p.AvailableVersions = make([]uint32, 0, len(v)/4-1)
	for i := 4; i < len(v); i += 4 {
		p.AvailableVersions = append(p.AvailableVersions, binary.BigEndian.Uint32(v[i:]))
	}
	if p.ChosenVersion == 0 || slices.Contains(p.AvailableVersions, 0) {
		return errOutOfRange
	}
	return nil
}

// parsePreferredAddress parses preferred_address. A zero-length connection ID is
// an error (RFC 9000, Section 18.2).
func parsePreferredAddress(v []byte) (*PreferredAddress, error) {
	c := cursor{b: v}
	v4, port4 := c.bytes(4), c.bytes(2)
	v6, port6 := c.bytes(16), c.bytes(2)
	id := c.idWithLen()
	token := c.bytes(16)
	if c.bad || c.off != len(v) || len(id) == 0 || len(id) > maxConnIDLen {
		return nil, errMalformed
	}
	return &PreferredAddress{
		V4:         addrPort(netip.AddrFrom4([4]byte(v4)), port4),
		V6:         addrPort(netip.AddrFrom16([16]byte(v6)), port6),
		ID:         slices.Clone(id),
		ResetToken: [16]byte(token),
	}, nil
}

// addrPort makes an AddrPort. Zeros mean that there is no address.
func addrPort(ip netip.Addr, port []byte) netip.AddrPort {
	ap := netip.AddrPortFrom(ip, binary.BigEndian.Uint16(port))
	if ip.IsUnspecified() && ap.Port() == 0 {
		return netip.AddrPort{}
	}
	return ap
}
