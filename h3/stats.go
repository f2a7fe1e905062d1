package h3

// Stats are the counters of a [Conn].
type Stats struct {
	Requests  uint64 // that were opened, or whose fields came
	Rejected  uint64 // requests that came after GoAway
	Malformed uint64 // messages
	// field sections above Config.MaxFieldSectionSize, or too many incomplete ones
	TooLarge       uint64
	Canceled       uint64 // streams that the peer canceled in a direction
	Floods         uint64 // 1 if Config.MaxCancels has ended the connection
	HeaderTimeouts uint64 // requests that ExpireRequests has ended
	// received HTTP Datagrams without a request, or that were not read in time
	Dropped    uint64
	Open       int // requests that have begun and not ended
	FieldBytes int // bytes of incomplete field sections now
}

// Stats returns a snapshot of the counters.
func (c *Conn) Stats() Stats {
	st := c.stats
	st.Open, st.FieldBytes = len(c.streams)-c.silent, c.partial
	if c.mux != nil {
		st.Dropped = c.mux.Dropped()
	}
	return st
}
