package conn

import (
	"errors"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// localParams returns the encoded transport parameters of this side (RFC 9000, Section 18).
// RFC 9000, Section 18.2 [1, 7, 9].
func (c *Conn) localParams(version uint32) []byte {
	cfg := c.cfg
	p := wire.DefaultParams()
	p.InitialSCID = c.local.ids[0].id.bytes() // RFC 9000, Section 7.3 [1]
	if p.InitialSCID == nil {
		p.InitialSCID = []byte{}
	}
	if c.server {
		p.OriginalDCID = c.origin.bytes()
		if c.retried {
			p.RetrySCID = c.retrySCID.bytes() // RFC 9369, Section 4.1 [3]
		}
		t := c.e.resetToken(c.local.ids[0].id)
		p.ResetToken = &t
		p.Preferred = c.preferredAddress()
	}
	p.MaxIdleTimeout = cfg.MaxIdleTimeout
	p.MaxData = uint64(cfg.InitialMaxData)
	p.MaxStreamDataBidiLocal = uint64(cfg.InitialMaxStreamData)
	p.MaxStreamDataBidiRemote = uint64(cfg.InitialMaxStreamData)
	p.MaxStreamDataUni = uint64(cfg.InitialMaxStreamData)
	p.MaxStreamsBidi = c.streams.limit[Bidi]
	p.MaxStreamsUni = c.streams.limit[Uni]
	p.MaxUDPPayload = uint64(cfg.MaxUDPPayloadSize)
	p.AckDelayExponent = ackDelayExponent
	p.MaxAckDelay = maxAckDelay
	p.DisableActiveMigration = cfg.DisableActiveMigration
	p.ActiveConnIDLimit = activeConnIDs
	p.MaxDatagramFrame = uint64(cfg.MaxDatagramFrameSize)
	p.ResetStreamAt = !cfg.DisableResetStreamAt
	p.GreaseQUICBit = !cfg.DisableGreaseBit
	if c.offersMultipath() {
		p.InitialMaxPathID = int64(cfg.MaxPaths - 1)
	}
	if !cfg.DisableAckFrequency {
		p.MinAckDelay = minAckDelay
	}
	if len(cfg.Versions) > 1 || version != Version1 { // RFC 9368, Sections 4 and 8
		// RFC 9368, Section 3 [2]; RFC 9369, Section 4 [2].
		p.ChosenVersion, p.AvailableVersions = version, cfg.Versions
	}
	return wire.AppendParams(make([]byte, 0, 192), &p, c.rand())
}

// peerParams takes in the transport parameters of the peer.
func (c *Conn) peerParams(b []byte) error {
	p, err := wire.ParseParams(b, !c.server)
	if err != nil {
		return &TransportError{Code: errTransportParameter, Reason: err.Error()}
	}
	if err := c.checkIDs(&p); err != nil {
		return &TransportError{Code: errTransportParameter, Reason: err.Error()}
	}
	if err := c.negotiateVersion(&p); err != nil {
		return err
	}
	if err := c.checkMultipath(&p); err != nil {
		return err
	}
	c.peer, c.hasPeer = p, true
	if d := p.MaxIdleTimeout; d > 0 && (c.idle == 0 || d < c.idle) {
		c.idle = d
	}
	c.path.mtu.limitTo(int(min(p.MaxUDPPayload, maxUDPPayload)))
	c.path.cc.OnMTU(c.path.mtu.current)
	if p.ResetToken != nil {
		c.remote.ids[0].token, c.remote.ids[0].hasToken = *p.ResetToken, true
		c.watchResets()
	}
	if p.Preferred != nil {
		if err := c.takePreferredID(p.Preferred); err != nil {
			return err
		}
	}
	c.flow.sendMax = p.MaxData
	c.streams.peerLimit[Bidi] = p.MaxStreamsBidi
	c.streams.peerLimit[Uni] = p.MaxStreamsUni
	c.streams.raiseLimits(c)
	return nil
}

// checkIDs authenticates the connection IDs of the handshake (RFC 9000, Section 7.3).
// RFC 9000, Section 7.3 [2, 3, 4]; RFC 9000, Section 18.2 [6].
func (c *Conn) checkIDs(p *wire.Params) error {
	same := func(b []byte, id ConnID) bool { return b != nil && id.equal(b) }
	switch {
	case !same(p.InitialSCID, c.remote.handshake):
		return errors.New("initial_source_connection_id is missing or wrong")
	case c.server:
		return nil
	case !same(p.OriginalDCID, c.origin):
		return errors.New("original_destination_connection_id is missing or wrong")
	case c.retried && !same(p.RetrySCID, c.retrySCID), !c.retried && p.RetrySCID != nil:
		return errors.New("retry_source_connection_id is missing or wrong")
	case p.Preferred != nil && c.remote.handshake.n == 0: // RFC 9000, Section 18.2
		return errors.New("preferred_address of a server with an empty connection ID")
	}
	return nil
}

// peerMaxAckDelay returns how long the peer may delay acknowledgements.
func (c *Conn) peerMaxAckDelay() time.Duration {
	if c.ackFreq.sent {
		return max(c.peer.MaxAckDelay, c.ackFreq.delay)
	}
	return c.peer.MaxAckDelay
}
