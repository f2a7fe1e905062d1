package wire

// AppendRetry appends a Retry packet without its integrity tag (RFC 9000, Section 17.2.5). dcid is
// the client's source ID, scid the ID that the server chose; token must not be empty.
func AppendRetry(b []byte, version uint32, dcid, scid, token []byte) []byte {
	b = append(b, formLong|FixedBit|longBits(TypeRetry, version))
	b = appendInvariant(b, version, dcid, scid)
	return append(b, token...)
}

// parseRetry parses the rest of a Retry packet, which always extends to the end of the datagram.
// RFC 9000, Section 17.2.5 [1]; RFC 9000, Section 17.2.5.2 [4].
func parseRetry(h Long, c *cursor) (Long, bool) {
	rest := len(c.b) - c.off
	if rest <= RetryTagLen {
		return Long{}, false // RFC 9000, Section 17.2.5.2: a Retry with an empty token is discarded
	}
	h.Token = c.bytes(uint64(rest - RetryTagLen))
	h.PNOff = c.off
	h.End = len(c.b)
	return h, true
}
