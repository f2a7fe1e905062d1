package h3

import (
	"errors"
	"strings"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/wire"
)

const (
	// maxPriorityField is how long a priority field may be, in bytes. A longer one
	// is ignored: the two parameters that matter take 6.
	maxPriorityField = 256

	// maxEarlyPriorities is how many PRIORITY_UPDATE frames are kept whose requests
	// have not come (RFC 9218, Section 7).
	maxEarlyPriorities = 64
)

// An earlyPriority is a priority for a request that has not come.
type earlyPriority struct {
	id       conn.StreamID
	priority conn.Priority
}

// defaultUrgency is what conn.Priority counts from (RFC 9218, Section 4.1).
const defaultUrgency = 3

// parsePriority sets p to the priority field value s, a Dictionary of structured
// fields (RFC 9218, Section 4). Unknown parameters and impossible values are
// ignored. It reports false, and leaves p alone, if s is no Dictionary.
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
			value, rest, ok = cutItem(rest[1:])
			if !ok {
				return false
			}
		}
		if rest, ok = skipParameters(rest); !ok {
			return false
		}
		switch {
		case key == "u" && len(value) == 1 && value[0] >= '0' && value[0] <= '7':
			got.Urgency = int8(value[0]-'0') - defaultUrgency
		case key == "i" && (value == "?0" || value == "?1"):
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

// cutKey cuts a key from the start of s (RFC 9651, Section 4.2.3.3).
func cutKey(s string) (key, rest string, ok bool) {
	n := 0
	for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] == '*' ||
		n > 0 && (s[n] >= '0' && s[n] <= '9' || strings.IndexByte("_-.", s[n]) >= 0)) {
		n++
	}
	return s[:n], s[n:], n > 0
}

// cutItem cuts a bare item or an inner list from the start of s. It finds the end
// of each, and does not check all that is between.
func cutItem(s string) (item, rest string, ok bool) {
	if s == "" {
		return "", "", false
	}
	n := 0
	switch s[0] {
	case '"': // String, RFC 9651, Section 3.3.3
		for n = 1; n < len(s) && s[n] != '"'; n++ {
			if s[n] == '\\' {
				n++
			}
		}
		n++
	case ':': // Byte Sequence, Section 3.3.5
		n = strings.IndexByte(s[1:], ':') + 2
		if n < 2 {
			return "", "", false
		}
	case '(': // Inner List, Section 3.1.1
		return cutInnerList(s)
	case '?': // Boolean, Section 3.3.6
		n = 2
	default: // Integer, Decimal, Token
		for n < len(s) && s[n] > ' ' && s[n] < 0x7f && strings.IndexByte(",;()\"=", s[n]) < 0 {
			n++
		}
	}
	if n == 0 || n > len(s) {
		return "", "", false
	}
	return s[:n], s[n:], true
}

// cutInnerList cuts an inner list from the start of s.
func cutInnerList(s string) (list, rest string, ok bool) {
	rest = s[1:]
	for {
		rest = strings.TrimLeft(rest, " ")
		if strings.HasPrefix(rest, ")") {
			return s[:len(s)-len(rest)+1], rest[1:], true
		}
		if strings.HasPrefix(rest, "(") { // lists do not nest
			return "", "", false
		}
		if _, rest, ok = cutItem(rest); !ok {
			return "", "", false
		}
		if rest, ok = skipParameters(rest); !ok {
			return "", "", false
		}
	}
}

// skipParameters skips the parameters at the start of s (RFC 9651, Section 3.1.2).
func skipParameters(s string) (rest string, ok bool) {
	for strings.HasPrefix(s, ";") {
		_, s, ok = cutKey(strings.TrimLeft(s[1:], " "))
		if !ok {
			return "", false
		}
		if strings.HasPrefix(s, "=") {
			if _, s, ok = cutItem(s[1:]); !ok {
				return "", false
			}
		}
	}
	return s, true
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
		return &Error{IDError, "PRIORITY_UPDATE for no request"}
	}
	var p conn.Priority
	if !parsePriority(&p, string(b[n:])) {
		return nil // as a field that cannot be parsed is
	}
	sid := conn.StreamID(id)
	if s := c.streams[sid]; s != nil {
		s.updated = true
		s.prioritize(p)
		return nil
	}
	if sid < c.nextRequest {
		return nil // it has come and gone
	}
	for i := range c.early {
		if c.early[i].id == sid {
			c.early[i].priority = p
			return nil
		}
	}
	if len(c.early) < maxEarlyPriorities {
		c.early = append(c.early, earlyPriority{sid, p})
	}
	return nil
}

// takeEarlyPriority removes and returns what a PRIORITY_UPDATE said of a request
// that has come now.
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

// prioritize applies what the client said of the response, and reports it if the
// caller knows the request already. A field or frame that leaves a parameter out asks
// for its default, urgency 3 or not incremental, and so does one that is empty (RFC
// 9218, Section 4). A client that sends neither, or nothing that can be parsed, asks
// for nothing: then responses take turns, or else all would wait for the first long
// one. A server may choose so (Section 10).
func (s *Stream) prioritize(p conn.Priority) {
	s.priority, s.prioritized = p, true
	s.qs.SetPriority(p)
	if s.visible {
		s.push(EventPriority)
	}
}

// RequestPriority tells the server in which order to send the response, at any
// time after OpenRequest (PRIORITY_UPDATE, RFC 9218, Section 7.2). Before, the
// field "priority" of the request serves. Clients only.
func (s *Stream) RequestPriority(p conn.Priority) error {
	if s.c.server {
		return errors.New("h3: a server asks for no priority")
	}
	var buf [32]byte
	payload := wire.AppendVarint(buf[:0], uint64(s.id))
	payload = appendPriority(payload, p)
	b := appendFrameHeader(make([]byte, 0, 48), framePriorityUpdateRequest, uint64(len(payload)))
	return s.c.out[outControl].write(append(b, payload...))
}
