package dgram

import (
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/wire"
)

// maxQuarterID is the largest quarter stream ID (RFC 9297, Section 2.1).
const maxQuarterID = 1<<60 - 1

// closedKept is how many closed flows are remembered. Their late datagrams are dropped. Otherwise
// they would be taken for datagrams that overtook their request.
const closedKept = 16

// A Mux splits the datagrams of one connection by quarter stream ID. Package h3
// has one of its own: see h3.Stream.Datagrams. It belongs to the goroutine that
// drives the connection.
type Mux struct {
	c       *conn.Conn
	perFlow int
	burst   int // how many datagrams the connection may hand over at once
	queued  int // how many wait in all flows
	flows   map[conn.StreamID]*Flow
	last    *Flow // the flow of the last datagram: datagrams of a flow come in runs
	held    bool

	waiting   []waiting // datagrams without a flow, the oldest first
	closed    [closedKept]conn.StreamID
	nClosed   int
	notify    map[uint64]*Flow // by ID of the datagram, until its fate is known
	ready     []*Flow
	strays    []conn.StreamID
	free      [][]byte // buffers for reuse
	scratch   []byte   // for Flow.Send
	record    []byte   // for the qlog
	logs      bool     // the connection has a qlog
	dropped   uint64
	malformed uint64
}

// A waiting is a datagram whose flow does not exist yet.
type waiting struct {
	id conn.StreamID
	b  []byte
}

// NewMux returns a Mux over c that holds at most perFlow received datagrams for
// each flow and drops the oldest when full; perFlow must be positive. A flow may hold more while
// all flows together hold fewer than [conn.Config.DatagramReceiveQueue]: so none is lost of those
// that come at once, if they are taken before the next ones come. Datagrams
// that overtake the request of their flow wait, perFlow of them in all.
func NewMux(c *conn.Conn, perFlow int) *Mux {
	m := &Mux{c: c, perFlow: max(perFlow, 1), flows: make(map[conn.StreamID]*Flow)}
	if c != nil {
		m.burst, m.logs = c.Config().DatagramReceiveQueue, c.QLogs()
	}
	return m
}

// Hold keeps all flows from sending, or lets them: until HTTP/3's settings allow
// datagrams (RFC 9297, Section 2.1.1), MaxSize is 0. A new Mux lets them.
func (m *Mux) Hold(hold bool) { m.held = hold }

// HandleEvent takes in the datagrams that an EventDatagramReadable announces. It returns the flows
// that became readable: [Flow.Receive] had left them empty, and now they are not. The slice is
// reused. HandleEvent counts EventDatagramAcked and EventDatagramLost in [Stats], and ignores other
// events. While a Mux is in use, do not call ReceiveDatagram of the Conn.
func (m *Mux) HandleEvent(now time.Time, ev conn.Event) []*Flow {
	m.ready, m.strays = m.ready[:0], m.strays[:0]
	switch ev.Kind {
	case conn.EventDatagramAcked, conn.EventDatagramLost:
		m.fate(ev)
		return nil
	case conn.EventDatagramReadable:
	default:
		return nil
	}
	for b, ok := m.c.ReceiveDatagram(); ok; b, ok = m.c.ReceiveDatagram() {
		m.deliver(b)
	}
	return m.ready
}

// track notes that f wants to know the fate of a datagram. The Conn reports the fate of each.
func (m *Mux) track(id uint64, f *Flow) {
	if m.notify == nil {
		m.notify = make(map[uint64]*Flow)
	}
	m.notify[id] = f
}

// deliver copies one datagram into the queue of its flow.
func (m *Mux) deliver(b []byte) {
	quarter, n := wire.ParseVarint(b)
	if n == 0 || quarter > maxQuarterID { // RFC 9297, Section 2.1 [1, 2]
		m.malformed++
		return
	}
	id, b := conn.StreamID(quarter*4), b[n:]
	if m.logs {
		m.log("http3:datagram_parsed", quarter, len(b))
	}
	f := m.last
	if f == nil || f.id != id {
		f = m.flows[id]
	}
	if f == nil {
		m.wait(id, b)
		return
	}
	m.last = f
	if f.receiveEnded {
		m.dropped++ // RFC 9297, Section 2.1 [4]
		return
	}
	f.queue(m.copy(b))
	if f.armed {
		f.armed = false
		m.ready = append(m.ready, f)
	}
}

// wait keeps a datagram until its flow exists. If too many datagrams wait, it drops the oldest.
// RFC 9297, Section 2.1 [5]; RFC 9298, Section 5 [5, 6].
func (m *Mux) wait(id conn.StreamID, b []byte) {
	if slices.Contains(m.closed[:min(m.nClosed, closedKept)], id) {
		m.dropped++
		return
	}
	if len(m.waiting) >= m.perFlow {
		m.recycle(m.waiting[0].b)
		m.waiting = slices.Delete(m.waiting, 0, 1)
		m.dropped++
	}
	m.waiting = append(m.waiting, waiting{id, m.copy(b)})
	m.strays = append(m.strays, id)
}

// Strays returns IDs of flows that do not exist, one for each datagram of such a flow that the last
// HandleEvent took in. The datagrams wait for their flow. The slice is reused.
func (m *Mux) Strays() []conn.StreamID { return m.strays }

// Flow returns the flow of a request stream, and creates it if need be. A new
// one has what waited for it: see [Flow.Len].
func (m *Mux) Flow(id conn.StreamID) *Flow {
	if f := m.flows[id]; f != nil {
		return f
	}
	f := &Flow{m: m, id: id, armed: true}
	m.flows[id] = f
	m.count(flowCost)
	m.waiting = slices.DeleteFunc(m.waiting, func(w waiting) bool {
		if w.id != id {
			return false
		}
		f.queue(w.b)
		return true
	})
	return f
}

// Malformed returns how many datagrams had no valid quarter stream ID. To HTTP/3
// one is a connection error of type H3_DATAGRAM_ERROR (RFC 9297, Section 2.1).
func (m *Mux) Malformed() uint64 { return m.malformed }

// Dropped returns how many received datagrams were dropped: those that belonged to no
// flow, and those that newer ones pushed out.
func (m *Mux) Dropped() uint64 { return m.dropped }

// What a Flow, and a buffer for a datagram, take beside the bytes of datagrams. It counts in the
// account of the connection, as the buffers do: see [conn.Conn.Hold].
const (
	flowCost   = 1 << 10 // with a list of perFlow datagrams
	bufferCost = 32
	slotCost   = 24 // in the list, beyond perFlow
)

// copy returns a copy of b, in a buffer that may have been in use before.
func (m *Mux) copy(b []byte) []byte {
	var to []byte
	before := -bufferCost
	if n := len(m.free); n > 0 {
		to = m.free[n-1][:0]
		m.free = m.free[:n-1]
		before = cap(to)
	}
	to = append(to, b...)
	m.count(cap(to) - before)
	return to
}

// recycle takes a buffer back.
func (m *Mux) recycle(b []byte) {
	switch {
	case b == nil:
	case len(m.free) < m.perFlow+max(m.perFlow, m.burst):
		m.free = append(m.free, b)
	default:
		m.count(-cap(b) - bufferCost)
	}
}

// trim gives up the buffers for reuse when no flow is left.
func (m *Mux) trim() {
	if len(m.flows) > 0 {
		return
	}
	for _, b := range m.free {
		m.count(-cap(b) - bufferCost)
	}
	m.free = nil
}

// count counts n more bytes.
func (m *Mux) count(n int) {
	if n != 0 && m.c != nil {
		m.c.Hold(int64(n))
	}
}
