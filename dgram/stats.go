package dgram

import "github.com/lazoquic/lazo/conn"

// Stats are the counters of a [Flow], of its connection's life. Bytes are those behind
// the quarter stream ID.
type Stats struct {
	Sent, SentBytes         uint64 // taken by the connection
	Refused                 uint64 // by Send: too large, the queue full, or the connection closed
	Received, ReceivedBytes uint64 // dropped ones included
	Dropped                 uint64 // received, and pushed out by newer ones before Receive had them

	// Acked and Lost are the fates of those that were sent with Notify. The queue of the
	// connection counts as lost what it drops by age or policy.
	Acked, Lost uint64
}

// Stats returns a snapshot of the counters, also after Close.
func (f *Flow) Stats() Stats { return f.stats }

// Dropped returns how many received datagrams were dropped, as newer ones came.
func (f *Flow) Dropped() uint64 { return f.stats.Dropped }

// fate notes what became of a datagram that was sent with Notify.
func (m *Mux) fate(ev conn.Event) {
	f := m.notify[ev.ID]
	if f == nil {
		return
	}
	delete(m.notify, ev.ID)
	if ev.Kind == conn.EventDatagramAcked {
		f.stats.Acked++
	} else {
		f.stats.Lost++
	}
}
