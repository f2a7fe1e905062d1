package conn

const ticketIDLen = 16

// A TicketID tells session tickets apart. It is random.
type TicketID [ticketIDLen]byte

// A TicketFilter makes early data single-use (RFC 8446, Section 8.1; RFC 9001, Section 9.2 [1]), as
// far as it remembers: it holds the last 16,384 tickets at least, and twice as many at most. An
// older one may be replayed once more, which is why early data is for requests that may happen
// twice. The zero TicketFilter is ready; it belongs to one goroutine.
type TicketFilter struct {
	now, before map[TicketID]struct{} // generations
}

// maxTickets is how many tickets a generation holds.
const maxTickets = 1 << 14

// First notes a ticket, and reports whether it is new.
func (f *TicketFilter) First(id TicketID) bool {
	if _, used := f.now[id]; used {
		return false
	}
	if _, used := f.before[id]; used {
		return false
	}
	if len(f.now) >= maxTickets || f.now == nil {
		f.now, f.before = make(map[TicketID]struct{}), f.now
	}
	f.now[id] = struct{}{}
	return true
}
