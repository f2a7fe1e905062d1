package memory

// A Lender owns memory that others use for a while. It counts the uses, so that it knows when the
// memory may change.
type Lender interface {
	Lend()   // a use begins
	Return() // a use has ended
}

// Forever is the Lender of memory that never changes. Others read it as well, so that no byte may
// change for a moment either.
type Forever struct{}

// Lend implements [Lender].
func (Forever) Lend() {}

// Return implements [Lender].
func (Forever) Return() {}
