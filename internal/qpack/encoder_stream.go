package qpack

import "slices"

// DecoderStream takes in bytes of the peer's decoder stream. The error is an *[Error].
func (e *Encoder) DecoderStream(b []byte) error {
	if len(e.partial) > 0 {
		e.partial = append(e.partial, b...)
		b = e.partial
	}
	for len(b) > 0 {
		n, err := e.instruction(b)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		b = b[n:]
	}
	e.partial = append(e.partial[:0], b...) // at most a part of one integer
	return nil
}

// instruction executes the decoder instruction at the start of b (RFC 9204,
// Section 4.4) and returns its length, 0 if b is too short.
func (e *Encoder) instruction(b []byte) (int, error) {
	prefix := uint8(6)
	if b[0]&0x80 != 0 {
		prefix = 7
	}
	v, n := parseInt(b, prefix)
	switch {
	case n < 0:
		return 0, decoderError("malformed integer")
	case n == 0:
		return 0, nil
	case b[0]&0x80 != 0: // Section Acknowledgment, Section 4.4.1
		i := slices.IndexFunc(e.sections, func(s section) bool { return s.stream == v })
		if i < 0 {
			// RFC 9204, Section 4.4.1 [1]
			return 0, decoderError("acknowledgment of a section without references")
		}
		e.known = max(e.known, e.sections[i].required)
		e.sections = slices.Delete(e.sections, i, i+1)
	case b[0]&0x40 != 0: // Stream Cancellation, Section 4.4.2
		e.sections = slices.DeleteFunc(e.sections, func(s section) bool { return s.stream == v })
	default: // Insert Count Increment, Section 4.4.3
		if v == 0 || v > e.table.inserted-e.known {
			// RFC 9204, Section 4.4.3 [1]
			return 0, decoderError("increment beyond what was inserted")
		}
		e.known += v
	}
	return n, nil
}
