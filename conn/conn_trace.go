package conn

// packetTypeOf returns the type of packets that a space sends.
func packetTypeOf(id spaceID) PacketType {
	switch id {
	case spaceInitial:
		return PacketInitial
	case spaceHandshake:
		return PacketHandshake
	}
	return Packet1RTT
}

// tracePacket tells Config.Trace of a packet.
func (c *Conn) tracePacket(kind TraceKind, id spaceID, pn uint64, size int, payload []byte) {
	c.cfg.Trace(&TraceEvent{
		Kind: kind, Packet: packetTypeOf(id), Time: c.e.wall(c.e.now), Conn: c, Number: pn, Size: size, Payload: payload,
	})
}

// sendNewToken gives the client a token for its next connection (RFC 9000, Section 8.1.3).
func (c *Conn) sendNewToken() {
	var nonce [tokenNonceLen]byte
	c.e.random(nonce[:])
	c.control.token = c.e.tokens.seal(nil, nonce, tokenContent{
		kind: TokenNewToken, time: c.e.wall(c.e.now), remote: c.path.remote,
	})
	c.control.newToken, c.control.any = true, true
}

// A bufferPool lends buffers of the size of a datagram.
type bufferPool struct{ buf []byte }

// get returns a buffer with room for n bytes; one at a time is lent without allocation.
func (p *bufferPool) get(n int) []byte {
	b := p.buf
	p.buf = nil
	if cap(b) < n {
		b = make([]byte, 0, n)
	}
	return b[:0]
}

func (p *bufferPool) put(b []byte) { p.buf = b }
