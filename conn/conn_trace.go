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

// tracePacket tells of a packet of a lane that was sent or received. Its header is not protected
// any more, or not yet.
func (l *lane) tracePacket(kind TraceKind, typ PacketType, pn uint64, raw, payload []byte) {
	l.conn.trace(&TraceEvent{
		Kind: kind, Packet: typ, Path: PathID(l.id), Number: pn, Size: len(raw), Payload: payload,
	}, raw)
}
