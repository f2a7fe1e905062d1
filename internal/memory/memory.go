// Package memory counts bytes of memory against a limit. It allocates nothing itself.
package memory

// An Account counts the bytes that somebody holds. Those of a child count in its parent, too, so
// that one limit is for all. The zero Account has no limit and no parent.
type Account struct {
	parent *Account
	limit  int64
	used   int64
}

// New returns an Account with a limit in bytes.
func New(limit int64) Account { return Account{limit: limit} }

// Child returns an Account whose bytes count in a, too. a must not be copied from then on.
func (a *Account) Child() Account { return Account{parent: a} }

// Charge counts n bytes more. It does not fail: who can do without them asks for Room first.
func (a *Account) Charge(n int64) {
	for ; a != nil; a = a.parent {
		a.used += n
	}
}

// Release counts n bytes less.
func (a *Account) Release(n int64) { a.Charge(-n) }

// Used returns how many bytes are counted.
func (a *Account) Used() int64 { return a.used }

// Share returns how many bytes a buffer may hold, if it may hold most while there is much room. It
// is less from a quarter of the limit on, and least from a half on. used is how much is in use.
func Share(most, least int, used, limit int64) int {
	quarter := limit / 4
	short := used - quarter
	if short <= 0 {
		return most
	}
	least = min(most, least)
	if short >= quarter {
		return least
	}
	return max(int(float64(most)*float64(quarter-short)/float64(quarter)), least)
}

// Room returns how many bytes are left until the limit, which is that of the outermost Account.
// It is negative beyond the limit.
func (a *Account) Room() int64 {
	for a.parent != nil {
		a = a.parent
	}
	return a.limit - a.used
}
