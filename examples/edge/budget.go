package main

import "sync"

// A budget keeps retries from doubling the load of backends that fail because of load. Each
// request earns a part of a retry. Some can be saved, so that a few failures in a quiet time do no
// harm.
type budget struct {
	share float64

	mu    sync.Mutex
	saved float64
}

// maxSaved is how many retries can be saved.
const maxSaved = 10

func newBudget(share float64) *budget { return &budget{share: share, saved: maxSaved} }

// earn is called for each request.
func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.saved = min(b.saved+b.share, maxSaved)
}

// spend takes one retry, and reports whether there was one.
func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.saved < 1 {
		return false
	}
	b.saved--
	return true
}
