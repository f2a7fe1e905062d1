package dgram

import (
	"slices"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/wire"
)

// MaxContextIDLen is the length of the longest context ID.
const MaxContextIDLen = 8

// AppendContextID appends a context ID (RFC 9298, Section 4), which must be below 1<<62.
func AppendContextID(b []byte, id uint64) []byte { return wire.AppendVarint(b, id) }

// ParseContextID parses the context ID that b starts with, and returns its length. It
// returns n == 0 if b is too short.
func ParseContextID(b []byte) (id uint64, n int) { return wire.ParseVarint(b) }

// Contexts split the datagrams of a [Flow] once more, by the context ID that each starts with
// (RFC 9298, Section 4). There is one for each format or use of a flow. Context 0 always exists.
// Datagrams of contexts that this side does not know are dropped: they may overtake what announces
// their context. With Contexts, do not call Send and Receive of the Flow.
type Contexts struct {
	f     *Flow
	next  uint64   // the ID that Open returns next
	known []uint64 // the IDs that are open, sorted, without 0

	unknown, malformed uint64
}

// NewContexts returns the contexts of f. IDs that the opener of the request opens are
// even, and those of the other side are odd.
func NewContexts(f *Flow, opener bool) *Contexts {
	if opener {
		return &Contexts{f: f, next: 2}
	}
	return &Contexts{f: f, next: 1}
}

// Open opens a context of this side and returns its ID. How the peer learns of it is for
// the protocol above to say.
// RFC 9298, Section 4 [1].
func (c *Contexts) Open() (id uint64) {
	id = c.next
	c.next += 2
	c.Register(id)
	return id
}

// Register lets Receive return datagrams of a context that the peer has opened.
func (c *Contexts) Register(id uint64) {
	if i, found := slices.BinarySearch(c.known, id); !found && id != 0 {
		c.known = slices.Insert(c.known, i, id)
	}
}

// Forget ends a context: its datagrams are dropped. Context 0 stays.
func (c *Contexts) Forget(id uint64) {
	if i, found := slices.BinarySearch(c.known, id); found {
		c.known = slices.Delete(c.known, i, i+1)
	}
}

// Send sends b in a context, with the contract of [Flow.Send].
func (c *Contexts) Send(id uint64, b []byte, opt conn.DatagramOptions) (datagram uint64, err error) {
	return c.f.send(id, true, b, opt)
}

// MaxSize returns the length of the longest datagram of the context that Send takes now:
// see [Flow.MaxSize].
func (c *Contexts) MaxSize(id uint64) int { return max(0, c.f.MaxSize()-wire.VarintLen(id)) }

// Receive removes and returns the oldest datagram of a known context, with the contract
// of [Flow.Receive].
func (c *Contexts) Receive() (id uint64, b []byte, ok bool) {
	for {
		if b, ok = c.f.Receive(); !ok {
			return 0, nil, false
		}
		id, n := wire.ParseVarint(b)
		if n == 0 {
			c.malformed++
			continue
		}
		if _, found := slices.BinarySearch(c.known, id); found || id == 0 {
			return id, b[n:], true
		}
		c.unknown++
	}
}

// Dropped returns how many datagrams Receive has dropped: those of unknown contexts, and
// those without a context ID.
func (c *Contexts) Dropped() (unknown, malformed uint64) { return c.unknown, c.malformed }
