package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
)

// Defaults and bounds of a [Config].
const (
	minMTU           = 1200  // RFC 9000, Section 14: every path carries it
	maxUDPPayload    = 65527 // RFC 9000, Section 18.2
	maxPacket        = 16383 // what two-byte Length fields hold
	maxStreamCount   = 1 << 60
	maxAckDelay      = 25 * time.Millisecond
	ackDelayExponent = 3
	minAckDelay      = time.Millisecond // the least that ACK_FREQUENCY frames may ask for
	activeConnIDs    = 4                // connection IDs of the peer that we hold
)

// withDefaults returns a copy of c with every default filled in, and every "none" as 0.
func (c *Config) withDefaults() (*Config, error) {
	if c == nil || c.TLS == nil {
		return nil, errors.New("conn: Config.TLS is required")
	}
	// RFC 9001, Section 8.1 [1]
	if len(c.TLS.NextProtos) == 0 && c.TLS.GetConfigForClient == nil && !c.NoALPN {
		return nil, errors.New("conn: Config.TLS.NextProtos is required (RFC 9001, Section 8.1)")
	}
	if c.TLS.MaxVersion != 0 && c.TLS.MaxVersion < tls.VersionTLS13 {
		return nil, errors.New("conn: Config.TLS.MaxVersion is below TLS 1.3 (RFC 9001, Section 4.2)")
	}
	d := *c
	if d.Context == nil {
		d.Context = context.Background()
	}
	if len(d.Versions) == 0 {
		d.Versions, d.noFavourite = []uint32{Version1, Version2}, true // RFC 9369, Section 4 [1]
	}
	for _, v := range d.Versions {
		if !knownVersion(v) {
			return nil, fmt.Errorf("conn: Config.Versions: version %#x is not supported", v)
		}
	}
	setDuration(&d.MaxIdleTimeout, 30*time.Second)
	setDuration(&d.HandshakeTimeout, 10*time.Second)
	setDuration(&d.KeepAlive, 0)
	setDuration(&d.InitialRTT, initialRTT)
	d.InitialRTT = max(d.InitialRTT, timerGranularity)
	setLimit(&d.InitialMaxData, 1<<20)
	setCap(&d.MaxData, 48<<20)
	setLimit(&d.InitialMaxStreamData, 256<<10)
	setCap(&d.MaxStreamData, 32<<20)
	// RFC 9114, Section 6.1 [1, 2]; RFC 9000, Section 7.4.1 [7].
	setLimit(&d.InitialMaxStreamsBidi, 100)
	// RFC 9114, Section 6.2 [1, 2].
	setLimit(&d.InitialMaxStreamsUni, 100) // HTTP/3 needs three (RFC 9204, Section 4.2 [5])
	d.MaxData = max(d.MaxData, d.InitialMaxData)
	d.MaxStreamData = max(d.MaxStreamData, d.InitialMaxStreamData)
	if d.InitialMaxStreamsBidi > maxStreamCount || d.InitialMaxStreamsUni > maxStreamCount {
		return nil, errors.New("conn: Config.InitialMaxStreams is above 1<<60")
	}
	if d.UnsentBytes < 0 { // as much as a stream may hold: see unsentLimit
		d.UnsentBytes = math.MaxInt
	}
	setInt(&d.UnsentBytes, 256<<10)
	setInt(&d.DatagramSendQueue, 128)
	setInt(&d.DatagramReceiveQueue, 256)
	if d.MaxSuspiciousFrames < 0 {
		d.MaxSuspiciousFrames = math.MaxInt
	}
	setInt(&d.MaxSuspiciousFrames, 1000)
	if d.MaxDatagramFrameSize < 0 {
		d.MaxDatagramFrameSize = 0
	}
	d.MaxDatagramFrameSize = min(d.MaxDatagramFrameSize, 65535)
	if d.MaxPaths > maxPaths { // draft-ietf-quic-multipath-21, Section 2.1 [1]
		return nil, fmt.Errorf("conn: Config.MaxPaths is above %d", maxPaths)
	}
	if d.DatagramPolicy > DatagramDropNewest || d.QLogFormat > QLog03 {
		return nil, errors.New("conn: Config.DatagramPolicy or QLogFormat is none of the constants")
	}
	if d.Congestion == nil {
		d.Congestion = congestion.NewCubic
	}
	setInt(&d.MaxMTU, 1452)
	setInt(&d.InitialMTU, minMTU)
	if min(d.InitialMTU, d.MaxMTU) < minMTU || max(d.InitialMTU, d.MaxMTU) > maxPacket {
		return nil, fmt.Errorf("conn: Config.InitialMTU and MaxMTU must be from %d to %d", minMTU, maxPacket)
	}
	d.MaxMTU = max(d.MaxMTU, d.InitialMTU)
	setInt(&d.MaxUDPPayloadSize, 2048)
	if d.MaxUDPPayloadSize < minMTU || d.MaxUDPPayloadSize > maxUDPPayload {
		return nil, fmt.Errorf("conn: Config.MaxUDPPayloadSize must be from %d to %d", minMTU, maxUDPPayload)
	}
	return &d, nil
}

// setDuration fills in a default; a negative duration means none, which is 0 from here on.
func setDuration(d *time.Duration, def time.Duration) {
	if *d == 0 {
		*d = def
	}
	*d = max(*d, 0)
}

// maxLimit stands for no limit: it is the largest variable-length integer.
const maxLimit = 1<<62 - 1

func setLimit(v *int64, def int64) {
	switch {
	case *v == 0:
		*v = def
	case *v < 0:
		*v = 0
	}
	*v = min(*v, maxLimit)
}

// setCap is setLimit for upper bounds: none means that there is no bound.
func setCap(v *int64, def int64) {
	if *v < 0 {
		*v = maxLimit
	}
	setLimit(v, def)
}

func setInt(v *int, def int) {
	switch {
	case *v == 0:
		*v = def
	case *v < 0:
		*v = 0
	}
}

// withDefaults returns a copy of c with every default filled in.
func (c *EndpointConfig) withDefaults() (EndpointConfig, error) {
	if c == nil || c.Rand == nil {
		return EndpointConfig{}, errors.New("conn: EndpointConfig.Rand is required")
	}
	d := *c
	if d.TakeTicket == nil {
		d.TakeTicket = new(TicketFilter).First
	}
	if d.Server != nil {
		s, err := d.Server.withDefaults()
		if err != nil {
			return d, err
		}
		d.Server = s
	}
	setDuration(&d.RetryTokenLife, retryTokenLife)
	setDuration(&d.NewTokenLife, newTokenLife)
	setInt(&d.MaxHandshakes, 1024)
	// admission multiplies it
	if most := math.MaxInt / 8; c.MaxHandshakes < 0 || c.MaxHandshakes > most {
		d.MaxHandshakes = most
	}
	if d.MaxBuffered == 0 {
		d.MaxBuffered = DefaultMaxBuffered
	} else if d.MaxBuffered < 0 {
		d.MaxBuffered = maxLimit
	}
	if d.ResetKey == ([32]byte{}) {
		if _, err := io.ReadFull(d.Rand, d.ResetKey[:]); err != nil {
			return d, fmt.Errorf("conn: EndpointConfig.Rand: %w", err)
		}
	}
	d.TokenKeys = slices.Clone(d.TokenKeys)
	if len(d.TokenKeys) == 0 {
		d.TokenKeys = make([][32]byte, 1)
		if _, err := io.ReadFull(d.Rand, d.TokenKeys[0][:]); err != nil {
			return d, fmt.Errorf("conn: EndpointConfig.Rand: %w", err)
		}
	}
	return d, nil
}
