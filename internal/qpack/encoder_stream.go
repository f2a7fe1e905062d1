package qpack

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
	e.partial = append(e.partial[:0], b...) // an integer at most
	return nil
}

// instruction executes the decoder instruction at the start of b (RFC 9204,
// Section 4.4) and returns its length, 0 if b is too short.
func (e *Encoder) instruction(b []byte) (int, error) {
	prefix := uint8(6)
	if b[0]&0x80 != 0 {
		prefix = 7
	}
	_, n := parseInt(b, prefix)
	switch {
	case n < 0:
		return 0, decoderError("malformed integer")
	case n == 0:
		return 0, nil
	case b[0]&0x80 != 0: // Section Acknowledgment, Section 4.4.1
		return 0, decoderError("acknowledgment of a section without references")
	case b[0]&0x40 != 0: // Stream Cancellation, Section 4.4.2
		return n, nil
	default: // Insert Count Increment, Section 4.4.3
		return 0, decoderError("increment beyond what was inserted")
	}
}
