package h3

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lazoquic/lazo/conn"
)

// Early data (0-RTT) relies on the settings of an earlier connection (RFC 9114, Section 7.2.4.2). A
// client remembers them with the session. A server puts them into its tickets, so that it can
// refuse early data that relies on settings which no longer hold.

// TicketData returns what a server with cfg has for [conn.Config.TicketData]. A nil
// cfg is the zero one.
func (cfg *Config) TicketData() []byte {
	c, err := cfg.withDefaults()
	if err != nil {
		return nil // NewConn returns the error
	}
	return appendPairs(nil, c.settings())
}

// AcceptEarlyData reports whether the settings of cfg still are what ticketData
// promised. It serves as [conn.Config.AcceptEarlyData].
// RFC 9297, Section 2.1.1 [4]; RFC 9114, Section 7.2.4.2 [8, 9].
func (cfg *Config) AcceptEarlyData(ticketData []byte) bool {
	c, err := cfg.withDefaults()
	if err != nil {
		return false
	}
	was, herr := parseSettings(ticketData)
	if herr != nil {
		return false
	}
	now := c.settings()
	for id, v := range was {
		if !isOwnSetting(id) && now[id] != v {
			return false // a setting of an extension, whose rules are not known here
		}
	}
	return compatible(was, now) == nil
}

// remember applies the settings that a client remembers, if its early data may be accepted.
// RFC 9114, Section 7.2.4.2 [6].
func (c *Conn) remember() {
	early := c.out[outControl].qs != nil && !c.q.HandshakeComplete()
	if c.server || !early {
		return
	}
	if m, err := parseSettings(c.q.TicketData()); err == nil {
		c.remembered, c.peer = m, limits(m)
		if c.log != nil {
			c.log.restored(m)
		}
	}
}

// appendRemembered appends the settings that are worth remembering. Reserved ones are not (RFC
// 9114, Section 7.2.4.1).
func appendRemembered(b []byte, m map[uint64]uint64) []byte {
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(id, _ uint64) bool { return id >= 0x21 && (id-0x21)%0x1f == 0 })
	return appendPairs(b, m)
}

// compatible reports whether a server may have the settings now after it promised the settings was.
// It must not take back anything that early data may have used (RFC 9114, Section 7.2.4.2; RFC
// 9204, Section 3.2.3; RFC 9220, Section 3; RFC 9297, Section 2.1.1).
// RFC 9114, Section 7.2.4.2 [11].
func compatible(was, now map[uint64]uint64) *Error {
	before, after := limits(was), limits(now)
	capacity := was[SettingQPACKTableCapacity]
	switch {
	case capacity != 0 && now[SettingQPACKTableCapacity] != capacity:
		// RFC 9204, Section 3.2.3 [2]
		return &Error{QPACKDecoderStreamError, "the table that early data relied on has changed"}
	case leavesOut(was, now), after.maxFieldSectionSize < before.maxFieldSectionSize,
		before.extendedConnect && !after.extendedConnect,
		before.datagrams && !after.datagrams, // RFC 9297, Section 2.1.1 [5]
		now[SettingQPACKBlockedStreams] < was[SettingQPACKBlockedStreams]:
		return &Error{SettingsError, fmt.Sprintf("settings that early data relied on have changed: %v, then %v", was, now)}
	}
	return nil
}

// restart begins again after the server has rejected early data. The streams have ended, and new
// streams get their IDs. The application has to make the requests again.
func (c *Conn) restart() {
	for _, id := range slices.Sorted(maps.Keys(c.streams)) {
		s := c.streams[id]
		s.recvErr, s.sendErr = conn.ErrEarlyDataRejected, conn.ErrEarlyDataRejected
		s.out = s.out[:0]
		if s.flow != nil {
			s.flow.Close()
			s.flow = nil
		}
		s.report(RequestRejected, conn.ErrEarlyDataRejected)
	}
	clear(c.streams)
	c.remembered, c.peer = nil, limits(nil)
	c.prepare()
	c.openCritical()
}

// leavesOut reports whether a setting that this package knows is not in now, though it is in was,
// and so was not the default. No limit may be gone, not even for a larger one.
// RFC 9114, Section 7.2.4.2 [12].
func leavesOut(was, now map[uint64]uint64) bool {
	for _, id := range [...]uint64{SettingMaxFieldSectionSize, SettingExtendedConnect, SettingDatagrams, SettingQPACKBlockedStreams} {
		_, before := was[id]
		if _, after := now[id]; before && !after {
			return true
		}
	}
	return false
}
