package conn

import (
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// Frames by the packets that may carry them (RFC 9000, Section 12.4, Table 3). Bit t is set for
// frame type t.
const (
	// framesHandshake may be in Initial and Handshake packets too.
	framesHandshake = 1<<wire.FramePadding | 1<<wire.FramePing | 1<<wire.FrameAck | 1<<wire.FrameAckECN |
		1<<wire.FrameCrypto | 1<<wire.FrameConnectionClose
	// framesNotEarly may not be in 0-RTT packets (RFC 9000, Section 12.5; RFC 9001, Section 8.3
	// [2]).
	framesNotEarly = 1<<wire.FrameAck | 1<<wire.FrameAckECN | 1<<wire.FrameCrypto | 1<<wire.FrameHandshakeDone |
		1<<wire.FrameNewToken | 1<<wire.FramePathResponse | 1<<wire.FrameRetireConnectionID
	// framesKnown are those that are spoken, negotiated or not; see knowsFrame for those of ACK
	// frequency.
	framesKnown = 1<<(wire.FrameHandshakeDone+1) - 1 | 1<<wire.FrameResetStreamAt | 1<<wire.FrameDatagram | 1<<wire.FrameDatagramLen
	// framesProbing are those of probing packets (RFC 9000, Section 9.1).
	framesProbing = 1<<wire.FramePadding | 1<<wire.FrameNewConnectionID | 1<<wire.FramePathChallenge | 1<<wire.FramePathResponse
	// framesQuiet do not ask for an acknowledgement.
	framesQuiet = 1<<wire.FramePadding | 1<<wire.FrameAck | 1<<wire.FrameAckECN | 1<<wire.FramePathAck | 1<<wire.FramePathAckECN |
		1<<wire.FrameConnectionClose | 1<<wire.FrameApplicationClose
)

// handleFrames handles the frames of a packet.
func (c *Conn) handleFrames(p *received) error {
	for b := p.payload; len(b) > 0 && !c.closed; {
		typ := uint64(b[0])
		var n int
		var err error
		if typ&^7 == wire.FrameStream && p.space.id == spaceApp {
			// Most bytes come in these frames, which frameType would let pass.
			p.eliciting, p.nonProbe = true, true
			n, err = c.handleStream(p, b)
		} else if typ, err = c.frameType(p, b); err == nil {
			n, err = c.handleFrame(p, typ, b)
		}
		if err == errNoRoom {
			p.refused, err = true, nil
		}
		if err != nil {
			return err
		}
		if n <= 0 {
			return violation(errFrameEncoding, typ, "malformed frame")
		}
		b = b[n:]
	}
	return nil
}

// frameType returns the type of the frame at the start of b, and notes what it says of the packet.
// It returns an error if the packet must not carry the frame.
// RFC 9000, Section 12.4 [3, 4]; RFC 9000, Section 17.2.4 [1].
func (c *Conn) frameType(p *received, b []byte) (uint64, error) {
	typ := uint64(b[0])
	if typ >= 0x40 {
		// RFC 9000, Section 12.4: the type must be encoded in as few bytes as possible.
		v, n := wire.ParseVarint(b)
		if n == 0 {
			return 0, violation(errFrameEncoding, 0, "frame type cut short")
		}
		if n != wire.VarintLen(v) {
			return 0, violation(errProtocolViolation, v, "frame type is not in its shortest encoding")
		}
		typ = v
	}
	if (typ > 63 || uint64(framesKnown)>>typ&1 == 0) && !c.knowsFrame(typ) {
		// RFC 9000, Section 12.4: in any packet.
		return 0, violation(errFrameEncoding, typ, "unknown frame")
	}
	if p.space.id != spaceApp && (typ > 63 || framesHandshake>>typ&1 == 0) {
		return 0, violation(errProtocolViolation, typ, "frame is not allowed in Initial and Handshake packets")
	}
	if p.early && typ <= 63 && framesNotEarly>>typ&1 != 0 {
		return 0, violation(errProtocolViolation, typ, "frame is not allowed in 0-RTT packets")
	}
	if typ > 63 || uint64(framesQuiet)>>typ&1 == 0 { // RFC 9000, Section 19.21 [4]
		p.eliciting = true
	}
	if typ > 63 || framesProbing>>typ&1 == 0 {
		p.nonProbe = true
	}
	return typ, nil
}

// knowsFrame reports whether the connection speaks a frame type that is not in framesKnown. Where
// it offers multipath, those frames are known from the start: elsewhere than in 1-RTT packets they
// are a PROTOCOL_VIOLATION (draft-ietf-quic-multipath-21, Section 4).
func (c *Conn) knowsFrame(typ uint64) bool {
	if isMultipath(typ) {
		return c.multi != nil || c.cfg.MaxPaths > 1 && c.state == stateHandshake
	}
	return (typ == wire.FrameAckFrequency || typ == wire.FrameImmediateAck) && !c.cfg.DisableAckFrequency
}

// handleFrame handles the frame at the start of b, other than STREAM, and returns its length. A
// malformed frame has a length of 0 or less.
// RFC 9000, Section 19.20 [2].
func (c *Conn) handleFrame(p *received, typ uint64, b []byte) (int, error) {
	switch typ {
	case wire.FramePadding:
		return wire.ParsePadding(b), nil
	case wire.FramePing:
		return 1, nil
	case wire.FrameAck, wire.FrameAckECN:
		return c.handleAck(p, b)
	case wire.FrameCrypto:
		return c.handleCrypto(p, b)
	case wire.FrameResetStream, wire.FrameResetStreamAt, wire.FrameStopSending, wire.FrameMaxStreamData, wire.FrameStreamDataBlocked:
		return c.handleStreamControl(typ, b)
	case wire.FrameMaxData, wire.FrameDataBlocked, wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni,
		wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni:
		return c.handleLimit(typ, b)
	case wire.FrameNewConnectionID, wire.FrameRetireConnectionID, wire.FramePathChallenge, wire.FramePathResponse:
		return c.handlePath(p, typ, b)
	case wire.FrameNewToken:
		return c.handleNewToken(p, b)
	case wire.FrameConnectionClose, wire.FrameApplicationClose:
		return c.handleClose(b)
	case wire.FrameHandshakeDone:
		if c.server {
			return 0, violation(errProtocolViolation, typ, "HANDSHAKE_DONE from a client")
		}
		if c.state != stateHandshake {
			c.confirm()
		}
		return 1, nil
	case wire.FrameDatagram, wire.FrameDatagramLen:
		return c.handleDatagram(b)
	case wire.FrameAckFrequency, wire.FrameImmediateAck:
		return c.handleAckFrequency(p, typ, b)
	}
	if isMultipath(typ) {
		return c.handleMultipath(p, typ, b)
	}
	return 0, violation(errFrameEncoding, typ, "unknown frame")
}

// handleCrypto takes in CRYPTO data (RFC 9000, Section 19.6).
// RFC 9000, Section 19.6 [1].
func (c *Conn) handleCrypto(p *received, b []byte) (int, error) {
	off, data, n := wire.ParseCrypto(b)
	if n <= 0 {
		return n, nil
	}
	r := &p.space.crypto().cryptoIn
	switch {
	case off+uint64(len(data)) > r.Offset()+maxCryptoBuffer, r.Gaps() > maxCryptoGaps:
		// RFC 9000, Section 7.5 [2].
		return 0, violation(errCryptoBufferExceeded, wire.FrameCrypto, "CRYPTO data at %d", off)
	case off+uint64(len(data)) <= r.Offset()+uint64(r.Ready()):
		if p.space.id == spaceInitial && c.server {
			c.hurry(p.now)
		}
		return n, nil // nothing new
	case c.tls.q == nil:
		// A server got it after the handshake (RFC 9001, Section 6 bars KeyUpdate, and nothing else
		// may come).
		return 0, violation(errCrypto+10, wire.FrameCrypto, "unexpected TLS message")
	case spaceOf(c.tls.level) > p.space.id:
		// RFC 9001, Section 4.1.3 [2]: new data at a level that TLS has left.
		return 0, violation(errProtocolViolation, wire.FrameCrypto, "CRYPTO data at a past encryption level")
	}
	if !c.mayHold(len(data)) {
		return n, errNoRoom
	}
	r.Write(&c.chunks, off, data)
	c.stepTLS()
	return n, nil
}

// handleStreamControl handles the frames of one stream without data (RFC 9000, Sections 19.4, 19.5,
// 19.10, 19.13).
func (c *Conn) handleStreamControl(typ uint64, b []byte) (int, error) {
	switch typ {
	case wire.FrameResetStream:
		id, code, size, n := wire.ParseResetStream(b)
		if n <= 0 {
			return n, nil
		}
		s, err := c.streams.receiving(c, StreamID(id), typ)
		if s == nil || err != nil {
			return n, err
		}
		return n, s.handleReset(typ, code, size)
	case wire.FrameResetStreamAt:
		if c.cfg.DisableResetStreamAt { // RFC 9000, Section 12.4: a type that was not negotiated
			return 0, violation(errFrameEncoding, typ, "frame was not negotiated")
		}
		id, code, size, upTo, n := wire.ParseResetStreamAt(b)
		if n <= 0 {
			return n, nil
		}
		s, err := c.streams.receiving(c, StreamID(id), typ)
		if s == nil || err != nil {
			return n, err
		}
		return n, s.handleResetAt(code, size, upTo)
	case wire.FrameStopSending:
		id, code, n := wire.ParseStopSending(b)
		if n <= 0 {
			return n, nil
		}
		s, err := c.streams.sending(c, StreamID(id), typ)
		if s != nil && err == nil {
			s.handleStopSending(code)
		}
		return n, err
	case wire.FrameMaxStreamData:
		id, limit, n := wire.ParseTwo(b)
		if n <= 0 {
			return n, nil
		}
		s, err := c.streams.sending(c, StreamID(id), typ)
		if s != nil && err == nil && limit > s.sendMax { // RFC 9000, Section 4.1 [3]
			if c.traced && s.blockedAt == s.sendMax+1 {
				s.traceBlocked(false)
			}
			s.sendMax = limit
			s.schedule()
		}
		return n, err
	default: // STREAM_DATA_BLOCKED says nothing that we do not know
		id, _, n := wire.ParseTwo(b)
		if n <= 0 {
			return n, nil
		}
		_, err := c.streams.receiving(c, StreamID(id), typ)
		return n, err
	}
}

// handleLimit handles the frames of connection limits (RFC 9000, Sections 19.9, 19.11, 19.12,
// 19.14).
// RFC 9000, Section 19.14 [2]; RFC 9000, Section 19.11 [1, 2].
func (c *Conn) handleLimit(typ uint64, b []byte) (int, error) {
	v, n := wire.ParseOne(b)
	if n <= 0 {
		return n, nil
	}
	switch typ {
	case wire.FrameMaxData:
		if c.flow.raise(v) {
			c.streams.send.unblock()
		}
	case wire.FrameDataBlocked:
		if v >= c.flow.recvMax {
			c.peerWaits()
		}
	case wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni:
		if v > maxStreamCount {
			// RFC 9000, Section 4.6 [1].
			return 0, violation(errFrameEncoding, typ, "stream limit above 1<<60")
		}
		dir := Dir(typ - wire.FrameMaxStreamsBidi)
		if v > c.streams.peerLimit[dir] { // RFC 9000, Section 4.6 [4]
			c.streams.peerLimit[dir] = v
			c.eventOnce(EventStreamsAvailable)
		}
	case wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni:
		if v > maxStreamCount {
			return 0, violation(errFrameEncoding, typ, "stream limit above 1<<60")
		}
	}
	return n, nil
}

// handlePath handles the frames of connection IDs and paths (RFC 9000, Sections 19.15 to 19.18).
func (c *Conn) handlePath(p *received, typ uint64, b []byte) (int, error) {
	if err := c.suspect(p.now, typ); err != nil {
		return 0, err
	}
	switch typ {
	case wire.FrameNewConnectionID:
		seq, prior, id, token, n := wire.ParseNewConnectionID(b)
		if n <= 0 {
			return n, nil
		}
		return n, c.newRemoteID(seq, prior, id, token)
	case wire.FrameRetireConnectionID:
		seq, n := wire.ParseOne(b)
		if n <= 0 {
			return n, nil
		}
		return n, c.retireLocal(seq, p.dcid)
	}
	data, n := wire.ParsePath(b)
	if n <= 0 {
		return n, nil
	}
	if typ == wire.FramePathResponse {
		return n, c.responded(data)
	}
	p.space.lane.challenged(p, data)
	return n, nil
}

// maxTokens is how many tokens of one packet count.
const maxTokens = 8

// handleNewToken handles NEW_TOKEN (RFC 9000, Section 19.7).
// RFC 9000, Section 19.7 [2, 4].
func (c *Conn) handleNewToken(p *received, b []byte) (int, error) {
	tok, n := wire.ParseNewToken(b)
	if n <= 0 {
		return n, nil
	}
	if c.server {
		return 0, violation(errProtocolViolation, wire.FrameNewToken, "NEW_TOKEN from a client")
	}
	if err := c.suspect(p.now, wire.FrameNewToken); err != nil {
		return 0, err
	}
	if p.tokens++; p.tokens > maxTokens {
		return n, nil
	}
	if c.cfg.Tokens != nil && len(tok) <= maxPeerToken { // takeToken uses no longer one
		c.cfg.Tokens.PutToken(c.tokenKey(), append([]byte(nil), tok...))
	}
	if c.pendingEvents&(1<<EventNewToken) == 0 { // one at a time is kept
		c.pendingEvents |= 1 << EventNewToken
		c.event(Event{Kind: EventNewToken, Data: append([]byte(nil), tok...)})
	}
	return n, nil
}

// handleClose handles CONNECTION_CLOSE (RFC 9000, Section 19.19).
func (c *Conn) handleClose(b []byte) (int, error) {
	app, code, frame, reason, n := wire.ParseConnectionClose(b)
	if n <= 0 {
		return n, nil
	}
	if app {
		c.drain(&ApplicationError{Code: code, Reason: string(reason), Remote: true})
	} else {
		c.drain(&TransportError{Code: code, Frame: frame, Reason: string(reason), Remote: true})
	}
	return n, nil
}

// An ackFrequency is the state of draft-ietf-quic-ack-frequency.
type ackFrequency struct {
	// What the peer asked of us.
	received   bool
	seq        uint64
	threshold  int // ack-eliciting packets that call for an ACK
	maxDelay   time.Duration
	reordering uint64

	// What we asked of the peer.
	sent     bool
	nextSeq  uint64
	asked    int // threshold
	delay    time.Duration
	due      bool
	decideAt instant
}

// handleAckFrequency handles ACK_FREQUENCY and IMMEDIATE_ACK.
func (c *Conn) handleAckFrequency(p *received, typ uint64, b []byte) (int, error) {
	if typ == wire.FrameImmediateAck {
		p.space.recv.ackNow = true
		return 1, nil
	}
	seq, threshold, delay, reordering, n := wire.ParseAckFrequency(b)
	if n <= 0 {
		return n, nil
	}
	d := time.Duration(min(delay, 1<<24)) * time.Microsecond
	if d < minAckDelay {
		return 0, violation(errProtocolViolation, typ, "delay below min_ack_delay")
	}
	f := &c.ackFreq
	if !f.received || seq > f.seq {
		f.received, f.seq = true, seq
		f.threshold = int(min(threshold, 1<<16)) + 1
		f.maxDelay, f.reordering = d, reordering
	}
	return n, nil
}
