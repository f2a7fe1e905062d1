package qpack

import "slices"

// block notes that a stream waits for insertions (RFC 9204, Section 2.1.2).
func (d *Decoder) block(stream, required uint64) error {
	if !slices.ContainsFunc(d.blocked, func(b blocked) bool { return b.stream == stream }) {
		if len(d.blocked) >= d.maxBlocked {
			return sectionError("too many blocked streams") // RFC 9204, Section 2.1.2 [2]
		}
		d.blocked = append(d.blocked, blocked{stream, required})
	}
	return ErrBlocked
}

// Unblocked removes and returns a stream whose section can be decoded now.
func (d *Decoder) Unblocked() (stream uint64, ok bool) {
	for i, b := range d.blocked {
		if b.required <= d.table.inserted {
			d.blocked = slices.Delete(d.blocked, i, i+1)
			return b.stream, true
		}
	}
	return 0, false
}

// Cancel reports that a stream will not be read to its end (RFC 9204, Section 2.2.2.2).
func (d *Decoder) Cancel(stream uint64) {
	if d.maxCapacity == 0 {
		return // there are no references to the table
	}
	d.blocked = slices.DeleteFunc(d.blocked, func(b blocked) bool { return b.stream == stream })
	d.out = appendInt(d.out, 0x40, 6, stream) // Section 4.4.2
}

// acknowledge reports that a section with references was decoded (RFC 9204, Section 2.2.2.1 [1]).
func (d *Decoder) acknowledge(stream, required uint64) {
	d.out = appendInt(d.out, 0x80, 7, stream)
	d.acknowledged = max(d.acknowledged, required)
}

// Instructions returns what is to be sent on the decoder stream, and forgets it.
// The slice is reused by the next call of any method.
func (d *Decoder) Instructions() []byte {
	if n := d.table.inserted - d.acknowledged; n > 0 {
		d.out = appendInt(d.out, 0x00, 6, n) // Insert Count Increment, RFC 9204, Section 4.4.3
		d.acknowledged = d.table.inserted
	}
	b := d.out
	d.out = d.out[:0]
	return b
}

// EncoderStream takes in bytes of the peer's encoder stream. The error is an *[Error].
func (d *Decoder) EncoderStream(b []byte) error {
	if len(d.partial) > 0 {
		d.partial = append(d.partial, b...)
		b = d.partial
	}
	for len(b) > 0 {
		n, err := d.instruction(b)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		b = b[n:]
	}
	// The rest begins with a string that has not arrived whole. Its length was checked: it is not
	// longer than an entry of the table may be.
	d.partial = append(d.partial[:0], b...)
	return nil
}

// instruction executes the encoder instruction at the start of b (RFC 9204,
// Section 4.3) and returns its length, 0 if b is too short.
func (d *Decoder) instruction(b []byte) (int, error) {
	switch c := b[0]; {
	case c&0x80 != 0:
		return d.insertWithNameReference(b)
	case c&0xc0 == 0x40:
		return d.insertWithLiteralName(b)
	case c&0xe0 == 0x20: // Set Dynamic Table Capacity, Section 4.3.1
		v, n := parseInt(b, 5)
		if n < 0 || v > d.maxCapacity {
			return 0, encoderError("capacity above the limit") // RFC 9204, Section 4.3.1 [2]
		}
		if n > 0 {
			d.table.setCapacity(v)
		}
		return n, nil
	default: // Duplicate, Section 4.3.4
		i, n := parseInt(b, 5)
		if n == 0 {
			return 0, nil
		}
		e, ok := d.relative(i)
		if n < 0 || !ok {
			return 0, encoderError("no such entry to duplicate")
		}
		return n, d.insert(e)
	}
}

// insertWithNameReference executes the instruction of RFC 9204, Section 4.3.2.
func (d *Decoder) insertWithNameReference(b []byte) (int, error) {
	i, n := parseInt(b, 6)
	if n == 0 {
		return 0, nil
	}
	var e entry
	var ok bool
	switch {
	case n < 0: // too large, whatever i refers to
	case b[0]&0x40 == 0:
		e, ok = d.relative(i)
	case i < uint64(len(staticTable)):
		e.name, ok = staticTable[i].name, true
	}
	if !ok {
		// RFC 9204, Section 2.2.3 [2] and RFC 9204, Section 3.1 [2]
		return 0, encoderError("no such entry to take the name from")
	}
	value, k, err := d.entryLiteral(b[n:], 7, int64(len(e.name)))
	if k == 0 || err != nil {
		return 0, err
	}
	if e.value, err = d.entryString(value); err != nil {
		return 0, err
	}
	return n + k, d.insert(e)
}

// insertWithLiteralName executes the instruction of RFC 9204, Section 4.3.3.
func (d *Decoder) insertWithLiteralName(b []byte) (int, error) {
	name, n, err := d.entryLiteral(b, 5, 0)
	if n == 0 || err != nil {
		return 0, err
	}
	value, k, err := d.entryLiteral(b[n:], 7, name.minLen())
	if k == 0 || err != nil {
		return 0, err
	}
	var e entry
	if e.name, err = d.entryString(name); err != nil {
		return 0, err
	}
	if e.value, err = d.entryString(value); err != nil {
		return 0, err
	}
	return n + k, d.insert(e)
}

// entryLiteral parses a string of an entry. Other is the size of the rest of the entry. It returns
// n == 0 if b is too short. A string that makes the entry larger than the table is refused before
// it has arrived.
func (d *Decoder) entryLiteral(b []byte, prefix uint8, other int64) (l literal, n int, err error) {
	length, k := parseInt(b, prefix)
	if k < 0 {
		return literal{}, 0, encoderError("malformed string literal")
	}
	if k == 0 {
		return literal{}, 0, nil
	}
	least := length
	if b[0]&(1<<prefix) != 0 {
		least = length / 4 // the longest Huffman code has 30 bits
	}
	if least+uint64(other)+fieldOverhead > d.table.capacity {
		return literal{}, 0, encoderError("entry larger than the table")
	}
	l, n = parseLiteral(b, prefix)
	return l, n, nil
}

func (d *Decoder) entryString(l literal) (string, error) {
	d.text = d.text[:0]
	if !d.text.add(l) {
		return "", encoderError("invalid Huffman code")
	}
	return string(d.text), nil
}

// relative returns the entry with a relative index of the encoder stream (RFC 9204, Section 3.2.5).
func (d *Decoder) relative(i uint64) (entry, bool) {
	if i >= d.table.inserted {
		return entry{}, false
	}
	return d.table.at(d.table.inserted - 1 - i)
}

// insert inserts an entry, which may be there already (RFC 9204, Section 3.2 [1]).
func (d *Decoder) insert(e entry) error {
	if !d.table.insert(e) { // RFC 9204, Section 3.2.2 [2]
		return encoderError("entry larger than the table")
	}
	return nil
}
