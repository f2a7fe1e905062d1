package qpack

import "strings"

// maxOutstanding is how many sections with references may wait for their acknowledgment. Meanwhile
// later sections use only the static table.
const maxOutstanding = 128

// An Encoder encodes the field sections of one connection.
type Encoder struct {
	table       table
	limit       uint64 // bytes that this side spends on the table
	maxCapacity uint64 // bytes that the peer allows
	maxBlocked  uint64
	known       uint64 // the Known Received Count (RFC 9204, Section 2.1.4)
	sections    []section
	partial     []byte // an instruction of the decoder stream that is not complete
	out         []byte // instructions to send
	seen        history

	// The section that is being encoded.
	lines   []byte
	current section
	base    uint64
	mayRef  bool // it may refer to the table
	mayRisk bool // it may refer to entries that may not have arrived
}

// A section is an encoded section with references that is not acknowledged.
type section struct {
	stream   uint64
	required uint64 // its Required Insert Count
	oldest   uint64 // the absolute index of the oldest entry it refers to
}

// NewEncoder returns an Encoder that spends at most limit bytes on a dynamic
// table. It has none until SetLimits.
func NewEncoder(limit uint64) *Encoder { return &Encoder{limit: limit} }

// SetLimits sets what the peer's settings allow: the capacity of the table and
// the number of streams that may be blocked. Call it once.
func (e *Encoder) SetLimits(capacity, blocked uint64) {
	e.maxCapacity, e.maxBlocked = capacity, blocked
	if c := min(capacity, e.limit); c >= fieldOverhead { // RFC 9204, Section 3.2.3 [3]: not 0
		e.table.setCapacity(c)
		// RFC 9204, Section 3.2.3 [1] and RFC 9204, Section 4.3.1 [1]
		e.out = appendInt(e.out, 0x20, 5, c)
	}
}

// Instructions returns what is to be sent on the encoder stream, and forgets it.
// Send it before the section that End returned. The slice is reused by the next
// call of any method.
func (e *Encoder) Instructions() []byte {
	b := e.out
	e.out = e.out[:0]
	return b
}

// Begin begins the field section of a stream.
func (e *Encoder) Begin(stream uint64) {
	e.lines = e.lines[:0]
	e.current = section{stream: stream, oldest: maxInt}
	e.base = e.table.inserted
	e.mayRef = e.table.capacity > 0 && len(e.sections) < maxOutstanding
	e.mayRisk = e.mayRef && e.mayBlock(stream)
}

// mayBlock reports whether another section of the stream may be blocked (RFC 9204, Section 2.1.2
// [1]).
func (e *Encoder) mayBlock(stream uint64) bool {
	if e.atRisk(stream, len(e.sections)) {
		return true
	}
	n := uint64(0)
	for i, s := range e.sections {
		if n >= e.maxBlocked {
			return false
		}
		if s.required > e.known && !e.atRisk(s.stream, i) {
			n++
		}
	}
	return n < e.maxBlocked
}

// atRisk reports whether one of the first n sections of the stream may be blocked.
func (e *Encoder) atRisk(stream uint64, n int) bool {
	for _, s := range e.sections[:n] {
		if s.stream == stream && s.required > e.known {
			return true
		}
	}
	return false
}

// Field adds a field line (RFC 9204, Section 4.5) behind those before it (RFC 9204, Section 2.1
// [1]).
func (e *Encoder) Field(f Field) {
	field, name := staticFind(f.Name, f.Value)
	if f.Sensitive {
		// RFC 9204, Section 4.5.4 [1] and RFC 9204, Section 7.1.3 [1, 2]: a literal, so that no
		// later hop puts it into a table
		e.literal(f, name, noEntry)
		return
	}
	if field >= 0 { // Indexed Field Line, Section 4.5.2
		e.lines = appendInt(e.lines, 0xc0, 6, uint64(field))
		return
	}
	if !e.mayRef {
		e.literal(f, name, noEntry)
		return
	}
	m := e.find(f)
	switch {
	case m.field != noEntry:
		e.indexed(e.refresh(m.field))
		return
	case !m.exists && e.worthInserting(f) && e.insert(f, name, m.anyName) && e.mayRisk:
		e.indexed(e.table.inserted - 1)
		return
	}
	if m.name < e.table.dropped {
		m.name = noEntry // the insertion evicted it; the field serves the next section
	}
	e.literal(f, name, m.name)
}

// literal adds a line with a literal value, and the name of a static entry, a
// dynamic one, or neither.
func (e *Encoder) literal(f Field, static int, dynamic uint64) {
	var never byte
	if f.Sensitive {
		never = 1
	}
	switch {
	case static >= 0: // Literal Field Line with Name Reference, Section 4.5.4
		e.lines = appendInt(e.lines, 0x50|never<<5, 4, uint64(static))
	case dynamic == noEntry: // Literal Field Line with Literal Name, Section 4.5.6
		e.lines = appendLiteral(e.lines, 0x20|never<<4, 3, f.Name)
	case dynamic < e.base:
		e.refer(dynamic)
		e.lines = appendInt(e.lines, 0x40|never<<5, 4, e.base-1-dynamic)
	default: // Literal Field Line with Post-Base Name Reference, Section 4.5.5
		e.refer(dynamic)
		e.lines = appendInt(e.lines, 0x00|never<<3, 3, dynamic-e.base)
	}
	e.lines = appendLiteral(e.lines, 0, 7, f.Value)
}

// indexed adds a line that is an entry of the dynamic table.
func (e *Encoder) indexed(i uint64) {
	e.refer(i)
	if i < e.base { // Indexed Field Line, Section 4.5.2
		e.lines = appendInt(e.lines, 0x80, 6, e.base-1-i)
	} else { // Indexed Field Line with Post-Base Index, Section 4.5.3
		e.lines = appendInt(e.lines, 0x10, 4, i-e.base)
	}
}

// refer notes a reference of the section that is being encoded.
func (e *Encoder) refer(i uint64) {
	e.current.required = max(e.current.required, i+1)
	e.current.oldest = min(e.current.oldest, i)
}

// End appends the encoded section to b.
func (e *Encoder) End(b []byte) []byte {
	// RFC 9204, Section 4.5.1. The sign keeps to RFC 9204, Section 4.5.1.2 [1].
	switch required := e.current.required; {
	case required == 0:
		b = append(b, 0, 0)
	case e.base >= required:
		b = appendInt(b, 0, 8, e.encodeRequired(required))
		b = appendInt(b, 0, 7, e.base-required)
	default:
		b = appendInt(b, 0, 8, e.encodeRequired(required))
		b = appendInt(b, 0x80, 7, required-e.base-1)
	}
	if e.current.required > 0 {
		e.sections = append(e.sections, e.current)
	}
	return append(b, e.lines...)
}

// encodeRequired encodes a Required Insert Count (RFC 9204, Section 4.5.1.1).
func (e *Encoder) encodeRequired(n uint64) uint64 {
	return n%(2*(e.maxCapacity/fieldOverhead)) + 1
}

// noEntry is the index of no entry.
const noEntry = 1<<64 - 1

// A match is what find has found for a field: absolute indices, or noEntry.
type match struct {
	field   uint64 // an entry with the field, to which the section may refer
	name    uint64 // an entry with the name, to which the section may refer
	anyName uint64 // an entry with the name, whether the section may refer to it or not
	exists  bool   // the table has the field, even if the section may not refer to it
}

// find looks for a field, the newest entries first. A table has a few dozen entries. Most of them
// differ in length, so a comparison is quick.
func (e *Encoder) find(f Field) match {
	m := match{noEntry, noEntry, noEntry, false}
	for i := e.table.inserted; i > e.table.dropped; {
		i--
		entry, _ := e.table.at(i)
		if entry.name != f.Name {
			continue
		}
		usable := e.mayRisk || i < e.known
		if m.anyName == noEntry {
			m.anyName = i
		}
		if usable && m.name == noEntry {
			m.name = i
		}
		if entry.value == f.Value {
			m.exists = true
			if usable {
				m.field = i
				break
			}
		}
	}
	return m
}

// insert inserts a field, and reports whether it could. The name is that of a static entry, of a
// dynamic entry, or of neither.
func (e *Encoder) insert(f Field, static int, dynamic uint64) bool {
	if !e.hasRoom(uint64(f.Size())) {
		return false
	}
	switch {
	case static >= 0: // Insert with Name Reference, RFC 9204, Section 4.3.2
		e.out = appendInt(e.out, 0xc0, 6, uint64(static))
	case dynamic != noEntry:
		e.out = appendInt(e.out, 0x80, 6, e.table.inserted-1-dynamic)
	default: // Insert with Literal Name, Section 4.3.3
		e.out = appendLiteral(e.out, 0x40, 5, f.Name)
	}
	e.out = appendLiteral(e.out, 0, 7, f.Value)
	// The clones keep a much longer string from staying in memory for one field.
	return e.table.insert(entry{strings.Clone(f.Name), strings.Clone(f.Value)})
}

// refresh returns an entry with the content of i. If i is about to be evicted, refresh duplicates
// it. Otherwise references to i would hold up the table (RFC 9204, Section 2.1.1.1).
func (e *Encoder) refresh(i uint64) uint64 {
	old := (e.table.inserted - e.table.dropped) / 4
	if !e.mayRisk || i >= e.table.dropped+old || e.table.size < e.table.capacity*3/4 {
		return i
	}
	entry, _ := e.table.at(i)
	if !e.hasRoom(entry.size()) {
		return i
	}
	e.out = appendInt(e.out, 0x00, 5, e.table.inserted-1-i) // Duplicate, RFC 9204, Section 4.3.4
	e.table.insert(entry)
	return e.table.inserted - 1
}

// hasRoom reports whether an entry of size bytes can be inserted. It may take the place of entries
// that have arrived and that nothing refers to (RFC 9204, Section 2.1.1 [1]; RFC 9204, Section
// 3.2.2 [1]).
func (e *Encoder) hasRoom(size uint64) bool {
	if size > e.table.capacity {
		return false
	}
	keep := min(e.known, e.current.oldest)
	for _, s := range e.sections {
		keep = min(keep, s.oldest)
	}
	free := e.table.capacity - e.table.size
	for i := e.table.dropped; free < size; i++ {
		if i >= keep {
			return false
		}
		entry, _ := e.table.at(i)
		free += entry.size()
	}
	return true
}
