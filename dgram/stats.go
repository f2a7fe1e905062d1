package dgram

import "github.com/lazoquic/lazo/conn"

// Stats are the counters of a [Flow], of its connection's life. Bytes are those behind
// the quarter stream ID.
type Stats struct {
	Sent, SentBytes uint64 // taken by the connection
	// by Send: too large, the queue was full, or the connection was closed
	Refused                 uint64
	Received, ReceivedBytes uint64 // including those that were dropped
	// received, but pushed out by newer ones before Receive returned them
	Dropped uint64

	// Acked and Lost are the fates of those that were sent with Notify. The queue of the
	// connection counts as lost what it drops by age or policy.
	Acked, Lost uint64
}

// Stats returns a snapshot of the counters, also after Close.
func (f *Flow) Stats() Stats { return f.stats }

// Dropped returns how many received datagrams were dropped, as newer ones came.
func (f *Flow) Dropped() uint64 { return f.stats.Dropped }

// fate counts what happened to a datagram that was sent with Notify.
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
