package qpack

// A Decoder decodes the field sections of one connection.
type Decoder struct {
	table       table
	maxCapacity uint64
	maxBlocked  int
	maxSection  int64 // negative if there is no limit
	maxFields   int

	partial      []byte    // an instruction of the encoder stream that is not complete
	out          []byte    // instructions to send
	acknowledged uint64    // the insertions that the peer knows to have arrived
	blocked      []blocked // in order of arrival
	memo         memo

	// The section that is being decoded. The slices are kept for the next one.
	fields []Field
	spans  []span
	needed uint64 // insertions that it refers to
	text   appender
}

// A blocked is a stream with a section that waits for insertions.
type blocked struct {
	stream   uint64
	required uint64
}

// A span says where the literal parts of a field lie in Decoder.text.
type span struct {
	name, value, end    int
	hasName, hasLiteral bool
}

// NewDecoder returns a Decoder. Its dynamic table takes at most maxCapacity
// bytes, sections of at most maxBlocked streams wait for insertions, and a section
// has at most maxSection bytes by [Field.Size]; negative means no limit. Whatever
// its size, it has at most [MaxFields] fields, unless [Decoder.LimitFields] says otherwise.
func NewDecoder(maxCapacity uint64, maxBlocked int, maxSection int64) *Decoder {
	return &Decoder{maxCapacity: maxCapacity, maxBlocked: maxBlocked, maxSection: maxSection, maxFields: MaxFields}
}

// LimitFields makes n the most fields that a section has.
func (d *Decoder) LimitFields(n int) { d.maxFields = n }

// Decode decodes the field section b of a stream. The slice that it returns is
// reused by the next call; the strings are not. The error is [ErrTooLarge],
// [ErrBlocked] or an *[Error]. After ErrBlocked call it again with the same
// section once [Decoder.Unblocked] returns the stream.
func (d *Decoder) Decode(stream uint64, b []byte) ([]Field, error) {
	required, base, n, err := d.parsePrefix(b)
	if err != nil {
		return nil, err
	}
	if required > d.table.inserted {
		return nil, d.block(stream, required)
	}
	d.reset()
	if err := d.decodeLines(b[n:], required, base); err != nil {
		return nil, err
	}
	d.fillStrings()
	if required > 0 {
		// RFC 9204, Section 2.2.1: a larger one blocks for nothing, and an encoder knows what it
		// refers to.
		if d.needed != required {
			return nil, sectionError("Required Insert Count larger than the section needs")
		}
		d.acknowledge(stream, required)
	}
	return d.fields, nil
}

// maxKept is how many bytes of text are kept for the next section.
const maxKept = 16 << 10

// reset prepares d for a section. It drops memory that only a large section needed.
func (d *Decoder) reset() {
	if cap(d.text) > maxKept || cap(d.fields) > maxKept/fieldOverhead {
		d.fields, d.spans, d.text = nil, nil, nil
	}
	d.fields, d.spans, d.text, d.needed = d.fields[:0], d.spans[:0], d.text[:0], 0
}

// parsePrefix parses the prefix of a section (RFC 9204, Section 4.5.1).
func (d *Decoder) parsePrefix(b []byte) (required, base uint64, n int, err error) {
	encoded, n1 := parseInt(b, 8)
	if n1 <= 0 {
		return 0, 0, 0, sectionError("malformed Required Insert Count")
	}
	delta, n2 := parseInt(b[n1:], 7)
	if n2 <= 0 {
		return 0, 0, 0, sectionError("malformed Base")
	}
	required, ok := d.requiredInsertCount(encoded)
	if !ok {
		// RFC 9204, Section 4.5.1.1 [1]
		return 0, 0, 0, sectionError("impossible Required Insert Count")
	}
	base = required + delta
	if b[n1]&0x80 != 0 {
		// RFC 9204, Section 4.5.1.2 [2]: a negative Base is invalid.
		if delta >= required {
			return 0, 0, 0, sectionError("negative Base")
		}
		base = required - delta - 1
	}
	return required, base, n1 + n2, nil
}

// requiredInsertCount decodes a Required Insert Count. Its encoding is the count modulo twice the
// largest number of entries that the table can have (RFC 9204, Section 4.5.1.1).
func (d *Decoder) requiredInsertCount(encoded uint64) (uint64, bool) {
	if encoded == 0 {
		return 0, true
	}
	maxEntries := d.maxCapacity / fieldOverhead
	full := 2 * maxEntries
	if encoded > full {
		return 0, false
	}
	most := d.table.inserted + maxEntries
	required := most/full*full + encoded - 1
	if required > most {
		if required <= full {
			return 0, false
		}
		required -= full
	}
	return required, required != 0
}

// decodeLines decodes the field lines of a section (RFC 9204, Section 4.5) in their order (RFC
// 9204, Section 2.2 [1]).
func (d *Decoder) decodeLines(b []byte, required, base uint64) error {
	var size int64
	for len(b) > 0 {
		if len(d.fields) == d.maxFields {
			return ErrTooLarge
		}
		n, err := d.decodeLine(b, required, base, size)
		if err != nil {
			return err
		}
		b = b[n:]
		size += d.lastSize()
		if d.maxSection >= 0 && size > d.maxSection {
			return ErrTooLarge
		}
	}
	return nil
}

// lastSize returns the size of the last line that was decoded. Its strings are not made yet.
func (d *Decoder) lastSize() int64 {
	f, s := &d.fields[len(d.fields)-1], &d.spans[len(d.spans)-1]
	return f.Size() + int64(s.end-s.name)
}

// decodeLine decodes the line at the start of b, and returns its length. Size is the size of the
// lines before it.
func (d *Decoder) decodeLine(b []byte, required, base uint64, size int64) (n int, err error) {
	var f Field
	switch c := b[0]; {
	case c&0x80 != 0: // Indexed Field Line, Section 4.5.2
		f, n, err = d.reference(b, 6, c&0x40 != 0, required, base, false)
		if err != nil {
			return 0, err
		}
		d.push(f, span{name: len(d.text), value: len(d.text), end: len(d.text)})
		return n, nil
	case c&0xf0 == 0x10: // Indexed Field Line with Post-Base Index, Section 4.5.3
		f, n, err = d.reference(b, 4, false, required, base, true)
		if err != nil {
			return 0, err
		}
		d.push(f, span{name: len(d.text), value: len(d.text), end: len(d.text)})
		return n, nil
	case c&0xd0 == 0x50: // Literal Field Line with Name Reference, Section 4.5.4
		return d.staticNameLine(b, size)
	case c&0xc0 == 0x40: // the same, with the name of an entry of the dynamic table
		f, n, err = d.reference(b, 4, false, required, base, false)
		f.Sensitive = c&0x20 != 0
	case c&0xf0 == 0x00: // Literal Field Line with Post-Base Name Reference, Section 4.5.5
		f, n, err = d.reference(b, 3, false, required, base, true)
		f.Sensitive = c&0x08 != 0
	default: // Literal Field Line with Literal Name, Section 4.5.6
		return d.literalLine(b, size)
	}
	if err != nil {
		return 0, err
	}
	f.Value = ""
	start := len(d.text)
	k, err := d.addLiteral(b[n:], 7, size+f.Size())
	if err != nil {
		return 0, err
	}
	d.push(f, span{name: start, value: start, end: len(d.text), hasLiteral: true})
	return n + k, nil
}

// staticNameLine decodes a line with a literal value, and the name of an entry of the static table.
func (d *Decoder) staticNameLine(b []byte, size int64) (int, error) {
	i, n := parseInt(b, 4)
	if n <= 0 {
		return 0, sectionError("malformed index")
	}
	if i >= uint64(len(staticTable)) {
		return 0, sectionError("no such static entry") // RFC 9204, Section 3.1 [1]
	}
	l, k := parseLiteral(b[n:], 7)
	if k <= 0 {
		return 0, sectionError("malformed string literal")
	}
	f := Field{Name: staticTable[i].name, Sensitive: b[0]&0x20 != 0}
	var known *memorized
	seen := false
	if !f.Sensitive {
		known, seen = d.memo.find(i, l)
	}
	start := len(d.text)
	if seen && known.value != "" {
		f.Value = known.value
		d.push(f, span{name: start, value: start, end: start})
		return n + k, nil
	}
	if err := d.addString(l, size+f.Size()); err != nil {
		return 0, err
	}
	d.push(f, span{name: start, value: start, end: len(d.text), hasLiteral: true})
	if seen {
		known.value = string(d.text[start:])
	}
	return n + k, nil
}

// literalLine decodes a line whose name is a literal as well.
func (d *Decoder) literalLine(b []byte, size int64) (int, error) {
	s := span{name: len(d.text), hasName: true, hasLiteral: true}
	n, err := d.addLiteral(b, 3, size+fieldOverhead)
	if err != nil {
		return 0, err
	}
	s.value = len(d.text)
	k, err := d.addLiteral(b[n:], 7, size+fieldOverhead+int64(s.value-s.name))
	if err != nil {
		return 0, err
	}
	s.end = len(d.text)
	d.push(Field{Sensitive: b[0]&0x10 != 0}, s)
	return n + k, nil
}

// addLiteral adds the string literal at the start of b to the text, and returns its length. Size is
// the size of the section so far.
func (d *Decoder) addLiteral(b []byte, prefix uint8, size int64) (int, error) {
	l, n := parseLiteral(b, prefix)
	if n <= 0 {
		return 0, sectionError("malformed string literal")
	}
	return n, d.addString(l, size)
}

// addString adds the string of l to the text. Size is the size of the section so far. The limit is
// checked first, so a string that cannot fit is not even decoded.
func (d *Decoder) addString(l literal, size int64) error {
	if d.maxSection >= 0 && size+l.minLen() > d.maxSection {
		return ErrTooLarge
	}
	if !d.text.add(l) {
		return sectionError("invalid Huffman code")
	}
	return nil
}

func (d *Decoder) push(f Field, s span) {
	if d.fields == nil {
		d.fields, d.spans = make([]Field, 0, 8), make([]span, 0, 8)
	}
	d.fields = append(d.fields, f)
	d.spans = append(d.spans, s)
}

// reference resolves the index at the start of b, and returns its length too
// (RFC 9204, Sections 3.1 and 3.2.4 to 3.2.6).
func (d *Decoder) reference(b []byte, prefix uint8, static bool, required, base uint64, postBase bool) (Field, int, error) {
	i, n := parseInt(b, prefix)
	if n <= 0 {
		return Field{}, 0, sectionError("malformed index")
	}
	if static {
		if i >= uint64(len(staticTable)) {
			return Field{}, 0, sectionError("no such static entry") // RFC 9204, Section 3.1 [1]
		}
		return Field{Name: staticTable[i].name, Value: staticTable[i].value}, n, nil
	}
	abs := base + i
	if !postBase {
		if i >= base {
			return Field{}, 0, sectionError("no such dynamic entry")
		}
		abs = base - i - 1
	}
	// RFC 9204, Section 2.2.3 [1], and RFC 9204, Section 2.2.1 [2]: evicted, or not below the
	// Required Insert Count.
	e, ok := d.table.at(abs)
	if !ok || abs >= required {
		return Field{}, 0, sectionError("no such dynamic entry")
	}
	d.needed = max(d.needed, abs+1)
	return Field{Name: e.name, Value: e.value}, n, nil
}

// fillStrings makes the literal strings of a section. All of them are slices of one string, so a
// section costs one allocation.
func (d *Decoder) fillStrings() {
	if len(d.text) == 0 {
		return
	}
	text := string(d.text)
	for i := range d.spans {
		s := &d.spans[i]
		if s.hasName {
			d.fields[i].Name = text[s.name:s.value]
		}
		if s.hasLiteral {
			d.fields[i].Value = text[s.value:s.end]
		}
	}
}
