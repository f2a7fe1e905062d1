package script

// An Input is what a fuzz target has not yet read of its input. Behind the end are zeros. A Draw
// reads two bytes for everything, so that a fuzzer finds its way. An Input is for formats that mix
// choices with bytes of a protocol.
type Input struct{ rest []byte }

// NewInput returns an Input that reads b from its start.
func NewInput(b []byte) *Input { return &Input{b} }

// Empty reports whether everything has been read.
func (in *Input) Empty() bool { return len(in.rest) == 0 }

// Byte returns the next byte.
func (in *Input) Byte() byte {
	if len(in.rest) == 0 {
		return 0
	}
	b := in.rest[0]
	in.rest = in.rest[1:]
	return b
}

// Bytes returns the next n bytes, or what is left. They are part of the input, and must not change.
func (in *Input) Bytes(n int) []byte {
	n = min(n, len(in.rest))
	b := in.rest[:n:n]
	in.rest = in.rest[n:]
	return b
}
