package memory

// A Lender owns memory that others use for a while. It counts the uses, so that it knows when the
// memory may change.
type Lender interface {
	Lend()   // a use begins
	Return() // a use has ended
}
