package masque

// A buffer is memory of a tunnel that is used again and again. It counts in the account of the
// tunnel's connection. The zero value holds nothing.
type buffer []byte

// grow makes the buffer hold at least n bytes. What it held may be lost.
func (b *buffer) grow(n int, hold func(n int)) {
	if cap(*b) >= n {
		*b = (*b)[:cap(*b)]
		return
	}
	hold(n - cap(*b))
	*b = make([]byte, n)
}

// release lets go of the memory.
func (b *buffer) release(hold func(n int)) {
	hold(-cap(*b))
	*b = nil
}
