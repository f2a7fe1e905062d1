package h3

import (
	"errors"
	"strings"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/wire"
)

const (
	// maxPriorityField is how long a priority field may be, in bytes. A longer one is ignored. The
	// two parameters that matter take 6 bytes.
	maxPriorityField = 256

	// maxEarlyPriorities is how many PRIORITY_UPDATE frames are kept for requests that have not
	// come (RFC 9218, Section 7).
	maxEarlyPriorities = 64
)

// An earlyPriority is a priority for a request that has not come.
type earlyPriority struct {
	id       conn.StreamID
	priority conn.Priority
}

// defaultUrgency is the urgency that conn.Priority counts as 0 (RFC 9218, Section 4.1).
const defaultUrgency = 3

// parsePriority sets p to the priority field value s, a Dictionary of structured fields (RFC 9218,
// Section 4). It ignores unknown parameters. An impossible value counts as the default. If s is no
// Dictionary, it reports false and does not change p.
func parsePriority(p *conn.Priority, s string) bool {
	if len(s) > maxPriorityField {
		return false
	}
	got := *p
	for s = strings.TrimLeft(s, " "); s != ""; {
		key, rest, ok := cutKey(s)
		if !ok {
			return false
		}
		value := "?1" // RFC 9651, Section 3.2: a key alone is true
		if strings.HasPrefix(rest, "=") {
			value, rest, ok = cutMember(rest[1:])
			if !ok {
				return false
			}
		}
		if rest, ok = skipParameters(rest); !ok {
			return false
		}
		switch key { // RFC 9651, Section 4.2.2: the last value of a key counts
		case "u":
			got.Urgency = parseUrgency(value)
		case "i":
			got.Incremental = value == "?1"
		}
		s = strings.TrimLeft(rest, " \t")
		if s == "" {
			break
		}
		if s[0] != ',' {
			return false
		}
		if s = strings.TrimLeft(s[1:], " \t"); s == "" {
			return false // a comma at the end
		}
	}
	*p = got
	return true
}

// parseUrgency returns the value of the parameter u. The value may be any Item or Inner List.
func parseUrgency(item string) int8 {
	digits, negative := strings.CutPrefix(item, "-")
	digits = strings.TrimLeft(digits, "0")
	switch {
	case digits == "": // the Integer 0
		return -defaultUrgency
	case negative || len(digits) != 1 || digits[0] < '1' || digits[0] > '7':
		return 0 // RFC 9218, Section 4 [2]
	}
	return int8(digits[0]-'0') - defaultUrgency
}

// appendPriority appends the priority field value of p.
func appendPriority(b []byte, p conn.Priority) []byte {
	b = append(b, "u="...)
	b = append(b, byte('0'+min(max(p.Urgency+defaultUrgency, 0), 7)))
	if p.Incremental {
		b = append(b, ", i"...)
	}
	return b
}

// handlePriorityUpdate applies a PRIORITY_UPDATE frame for a request (RFC 9218, Section 7.2).
func (c *Conn) handlePriorityUpdate(b []byte) *Error {
	id, n := wire.ParseVarint(b)
	if n == 0 {
		return frameError("PRIORITY_UPDATE cut short")
	}
	if id%4 != 0 {
		return &Error{IDError, "PRIORITY_UPDATE for no request"} // RFC 9218, Section 7.2 [4]
	}
	if c.beyondLimit(conn.StreamID(id)) {
		// RFC 9218, Section 7.2
		// RFC 9218, Section 7.2 [6].
		return &Error{IDError, "PRIORITY_UPDATE for a request that cannot be opened"}
	}
	if len(b)-n > maxPriorityField {
		return nil // it may well be valid, but no parameter that matters needs so much
	}
	var p conn.Priority
	if !parsePriority(&p, string(b[n:])) {
		// RFC 9218, Section 7
		return &Error{GeneralProtocolError, "PRIORITY_UPDATE with a field that is no Dictionary"}
	}
	sid := conn.StreamID(id)
	if s := c.streams[sid]; s != nil {
		s.updated = true
		s.prioritize(p)
		return nil
	}
	if sid < c.nextRequest {
		return nil // the request has come and gone
	}
	for i := range c.early {
		if c.early[i].id == sid {
			c.early[i].priority = p
			return nil
		}
	}
	if len(c.early) < maxEarlyPriorities {
		c.early = append(c.early, earlyPriority{sid, p}) // RFC 9218, Section 7 [1]
	}
	return nil
}

// handlePriorityUpdatePush refuses PRIORITY_UPDATE for a push. No push was ever promised (RFC 9218,
// Section 7.2).
func handlePriorityUpdatePush(b []byte) *Error {
	if _, n := wire.ParseVarint(b); n == 0 {
		return frameError("PRIORITY_UPDATE cut short")
	}
	return &Error{IDError, "PRIORITY_UPDATE for a push"} // RFC 9218, Section 7.2 [8]
}

// takeEarlyPriority removes and returns the priority that a PRIORITY_UPDATE gave to a request
// before that came.
func (c *Conn) takeEarlyPriority(id conn.StreamID) (conn.Priority, bool) {
	for i, e := range c.early {
		if e.id == id {
			last := len(c.early) - 1
			c.early[i] = c.early[last]
			c.early = c.early[:last]
			return e.priority, true
		}
	}
	return conn.Priority{}, false
}

// prioritize applies the priority that the client states for the response. If the caller knows the
// request already, it gets an event. A parameter that a field or frame leaves out has its default:
// urgency 3, and not incremental. So has each parameter of an empty one (RFC 9218, Section 4).
//
// prioritize is not called for a client that states no priority, or none that can be parsed. Its
// responses take turns, because otherwise all would wait for the first long one. A server may
// choose so (Section 10).
func (s *Stream) prioritize(p conn.Priority) {
	if s.c.log != nil {
		s.c.log.prioritized(s, p)
	}
	s.priority, s.prioritized = p, true
	s.qs.SetPriority(p)
	if s.visible {
		s.push(EventPriority)
	}
}

// RequestPriority tells the server in which order to send the response, at any
// time after OpenRequest (PRIORITY_UPDATE, RFC 9218, Section 7.2). Before, the
// field "priority" of the request serves. Clients only.
// RFC 9218, Section 7.2 [1, 3, 5].
func (s *Stream) RequestPriority(p conn.Priority) error {
	if s.c.server {
		return errors.New("h3: a server asks for no priority") // RFC 9218, Section 7.2 [9]
	}
	var buf [32]byte
	payload := wire.AppendVarint(buf[:0], uint64(s.id))
	payload = appendPriority(payload, p)
	if o := &s.c.out[outControl]; s.c.log != nil && o.qs != nil {
		s.c.log.priorityUpdate(true, o.qs.ID(), uint64(s.id), payload[wire.VarintLen(uint64(s.id)):])
	}
	b := appendFrameHeader(make([]byte, 0, 48), framePriorityUpdateRequest, uint64(len(payload)))
	return s.c.out[outControl].write(append(b, payload...))
}
