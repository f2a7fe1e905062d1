package conn

// packetTypeOf returns the type of a packet of a space; early tells 0-RTT packets.
func packetTypeOf(id spaceID, early bool) PacketType {
	switch {
	case id == spaceInitial:
		return PacketInitial
	case id == spaceHandshake:
		return PacketHandshake
	case early:
		return Packet0RTT
	}
	return Packet1RTT
}

// tracePacket tells of a packet that was sent or received. Its header is not protected any more, or not yet.
func (c *Conn) tracePacket(kind TraceKind, typ PacketType, pn uint64, raw, payload []byte) {
	c.trace(&TraceEvent{Kind: kind, Packet: typ, Number: pn, Size: len(raw), Payload: payload}, raw)
}

// sendNewToken gives the client a token for its next connection (RFC 9000, Section 8.1.3).
func (c *Conn) sendNewToken() {
	var nonce [tokenNonceLen]byte
	c.e.random(nonce[:])
	c.control.token = c.e.tokens.seal(nil, nonce, tokenContent{
		kind: TokenNewToken, time: c.e.wall(c.e.now), remote: c.path.remote, version: c.version,
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
