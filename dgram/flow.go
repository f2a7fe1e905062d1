package dgram

import (
	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/wire"
)

// A Flow is the datagrams of one request stream. Close it when the stream ends.
type Flow struct {
	UserData any // for the caller

	m       *Mux
	id      conn.StreamID
	ring    [][]byte // received, from head on
	head, n int
	lent    []byte // the datagram that Receive returned last
	armed   bool   // the next datagram makes the flow readable
	closed  bool

	sendEnded, receiveEnded bool

	stats Stats
}

// ID returns the ID of the request stream.
func (f *Flow) ID() conn.StreamID { return f.id }

// Send sends b with the flow's prefix, as [conn.Conn.SendDatagram] does. Only the queue of the
// connection applies age and policy. A datagram is never split: the error is a *[TooLargeError] if
// b is longer than MaxSize, conn.ErrClosed after Close or EndSend, and otherwise one of
// SendDatagram.
func (f *Flow) Send(b []byte, opt conn.DatagramOptions) (id uint64, err error) {
	return f.send(0, false, b, opt)
}

// send is Send, with a context ID if inContext is set.
func (f *Flow) send(context uint64, inContext bool, b []byte, opt conn.DatagramOptions) (id uint64, err error) {
	m := f.m
	switch {
	case f.closed, f.sendEnded: // RFC 9297, Section 2.1 [3]
		return 0, conn.ErrClosed
	case m.held:
		err = conn.ErrTooLarge
	default:
		m.scratch = wire.AppendVarint(m.scratch[:0], uint64(f.id)/4)
		if inContext {
			m.scratch = wire.AppendVarint(m.scratch, context)
		}
		prefix := wire.VarintLen(uint64(f.id) / 4)
		m.scratch = append(m.scratch, b...)
		if id, err = m.c.SendDatagram(m.scratch, opt); err == nil {
			f.stats.Sent++
			f.stats.SentBytes += uint64(len(m.scratch) - prefix)
			if m.logs {
				m.log("http3:datagram_created", uint64(f.id)/4, len(m.scratch)-prefix)
			}
		}
	}
	switch {
	case err == conn.ErrTooLarge:
		fits := f.MaxSize()
		if inContext {
			fits = max(0, fits-wire.VarintLen(context))
		}
		err = &TooLargeError{Len: len(b), Max: fits}
	case err == nil && opt.Notify:
		m.track(id, f)
	}
	if err != nil {
		f.stats.Refused++
	}
	return id, err
}

// MaxSize returns the length of the longest datagram that Send takes now. It
// follows the path MTU, and is 0 while none may be sent. What a protocol does then is its own
// affair (RFC 9221, Section 3 [8]): package masque sends capsules, and webtransport has no session.
func (f *Flow) MaxSize() int {
	if f.m.held || f.closed || f.sendEnded {
		return 0
	}
	return max(0, f.m.c.MaxDatagramSize()-wire.VarintLen(uint64(f.id)/4))
}

// queue takes b, and drops the oldest datagram if there are too many.
func (f *Flow) queue(b []byte) {
	f.stats.Received++
	f.stats.ReceivedBytes += uint64(len(b))
	if f.n >= f.m.perFlow && f.m.queued >= f.m.burst {
		f.m.recycle(f.take())
		f.stats.Dropped++
		f.m.dropped++
	}
	if f.n == len(f.ring) {
		f.grow()
	}
	i := f.head + f.n
	if i >= len(f.ring) {
		i -= len(f.ring)
	}
	f.ring[i] = b
	f.n++
	f.m.queued++
}

// grow makes the ring longer, at most as long as the flow may be.
func (f *Flow) grow() {
	most := max(f.m.perFlow, f.m.burst)
	ring := make([][]byte, min(max(4, 2*len(f.ring)), most))
	f.m.count(f.slotsBeyond(ring) - f.slotsBeyond(f.ring))
	k := copy(ring, f.ring[f.head:])
	copy(ring[k:], f.ring[:f.head])
	f.ring, f.head = ring, 0
}

// slotsBeyond returns how many bytes of ring are not in flowCost.
func (f *Flow) slotsBeyond(ring [][]byte) int { return slotCost * max(0, len(ring)-f.m.perFlow) }

// take removes the oldest datagram.
func (f *Flow) take() []byte {
	b := f.ring[f.head]
	f.ring[f.head] = nil
	if f.head++; f.head == len(f.ring) {
		f.head = 0
	}
	f.n--
	f.m.queued--
	return b
}

// Receive removes and returns the oldest datagram. The slice is valid until the
// next Receive of the flow or HandleEvent of the Mux. Once it has reported false,
// the next datagram makes the flow readable again.
func (f *Flow) Receive() (b []byte, ok bool) {
	f.m.recycle(f.lent)
	f.lent = nil
	if f.n == 0 {
		f.armed = true
		return nil, false
	}
	f.lent = f.take()
	return f.lent, true
}

// Len returns how many datagrams Receive has.
func (f *Flow) Len() int { return f.n }

// EndSend has Send fail from now on. Call it when the stream's send side ends: no HTTP Datagram may
// be sent behind that (RFC 9297, Section 2.1).
func (f *Flow) EndSend() { f.sendEnded = true }

// EndReceive drops the datagrams that HandleEvent takes in from now on. Call it when the stream's
// receive side has ended (RFC 9297, Section 2.1). What came before can still be received.
func (f *Flow) EndReceive() { f.receiveEnded = true }

// Close forgets the flow; datagrams for it are dropped.
func (f *Flow) Close() {
	if f.closed {
		return
	}
	f.closed = true
	m := f.m
	f.m.recycle(f.lent)
	f.lent = nil
	for f.n > 0 {
		m.recycle(f.take())
	}
	delete(m.flows, f.id)
	m.count(-flowCost - f.slotsBeyond(f.ring))
	f.ring = nil
	m.trim()
	if m.last == f {
		m.last = nil
	}
	m.closed[m.nClosed%closedKept] = f.id
	m.nClosed++
}
