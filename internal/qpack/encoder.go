package qpack

// An Encoder encodes the field sections of one connection.
type Encoder struct {
	lines   []byte // of the section at hand
	partial []byte // an instruction of the decoder stream that is not complete
}

// NewEncoder returns an Encoder that uses the static table alone.
func NewEncoder() *Encoder { return &Encoder{} }

// Begin begins the field section of a stream.
func (e *Encoder) Begin(stream uint64) { e.lines = e.lines[:0] }

// Field adds a field line (RFC 9204, Section 4.5).
func (e *Encoder) Field(f Field) {
	field, name := staticFind(f.Name, f.Value)
	var never byte
	if f.Sensitive {
		field = -1 // a literal, lest a later hop index it
		never = 1
	}
	switch {
	case field >= 0: // Indexed Field Line, Section 4.5.2
		e.lines = appendInt(e.lines, 0xc0, 6, uint64(field))
	case name >= 0: // Literal Field Line with Name Reference, Section 4.5.4
		e.lines = appendInt(e.lines, 0x50|never<<5, 4, uint64(name))
		e.lines = appendLiteral(e.lines, 0, 7, f.Value)
	default: // Literal Field Line with Literal Name, Section 4.5.6
		e.lines = appendLiteral(e.lines, 0x20|never<<4, 3, f.Name)
		e.lines = appendLiteral(e.lines, 0, 7, f.Value)
	}
}

// End appends the encoded section to b.
func (e *Encoder) End(b []byte) []byte {
	b = append(b, 0, 0) // Required Insert Count and Base, RFC 9204, Section 4.5.1
	return append(b, e.lines...)
}


// SetLimits sets what the peer's settings allow.
func (e *Encoder) SetLimits(capacity, blocked uint64) {}

// Instructions returns what is to be sent on the encoder stream, and forgets it.
func (e *Encoder) Instructions() []byte { return nil }
