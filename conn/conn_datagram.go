package conn

import (
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// DatagramOptions are the options of one datagram.
type DatagramOptions struct {
	MaxAge time.Duration // drop it if it waits longer to be sent; default none
	Notify bool          // raise EventDatagramAcked or EventDatagramLost with its ID

	// Redundant sends it on every path of a connection with multipath that works and is no backup.
	// The peer gets each copy that arrives, and its application has to tell that they are one:
	// DATAGRAM frames carry no number (RFC 9221). The notice is that of the first copy that
	// arrives, or of the last one that is lost. It does nothing while there is one path.
	Redundant bool
}

// noticeOfCopies is the n of the record of a datagram that went out on several paths, if the
// application wants to know what becomes of it.
const noticeOfCopies = 2

// A datagram waits to be sent, or to be received.
type datagram struct {
	b      []byte // its memory is reused
	id     uint64
	expiry instant // 0 if none
	notify bool
	copied bool // it was sent on another path
}

// A datagramQueue is a ring of datagrams.
type datagramQueue struct {
	buf        []datagram
	head, size int
	used       bool  // since tidy looked last
	bytes      int64 // that the ring and its datagrams take
}

// slotCost is what a slot takes in bytes, without the datagram.
const slotCost = 48

// push puts a copy of b behind the last datagram, and returns its slot.
func (q *datagramQueue) push(b []byte) *datagram {
	if q.size == len(q.buf) {
		grown := make([]datagram, max(4, 2*len(q.buf)))
		q.bytes += int64(len(grown)-len(q.buf)) * slotCost
		for i := range q.size {
			grown[i] = q.buf[(q.head+i)%len(q.buf)]
		}
		q.buf, q.head = grown, 0
	}
	d := &q.buf[(q.head+q.size)%len(q.buf)]
	q.size++
	q.used = true
	q.bytes -= int64(cap(d.b))
	d.b = append(d.b[:0], b...)
	q.bytes += int64(cap(d.b))
	return d
}

func (q *datagramQueue) front() *datagram { return &q.buf[q.head] }

// at returns the datagram behind i others.
func (q *datagramQueue) at(i int) *datagram { return &q.buf[(q.head+i)%len(q.buf)] }

func (q *datagramQueue) pop() {
	q.head = (q.head + 1) % len(q.buf)
	q.size--
}

// maxIdleDatagrams is how many slots, and their memory, the queue of an idle connection keeps.
const maxIdleDatagrams = 8

// oversized reports whether the queue is empty, and longer than an idle connection should have.
func (q *datagramQueue) oversized() bool { return q.size == 0 && len(q.buf) > maxIdleDatagrams }

// A datagramState holds the datagrams of a connection (RFC 9221). It exists from the first one on.
type datagramState struct {
	send, recv datagramQueue
	nextID     uint64
	moved      uint64 // bytes that the application has read, or that were sent
	wantWrite  bool   // EventDatagramWritable is due
	armed      bool   // the next datagram raises EventDatagramReadable

	// expiry is when to look again for datagrams in send that are too old; 0 if none has a MaxAge.
	expiry instant
}

func (c *Conn) datagramQueues() *datagramState {
	if c.datagrams == nil {
		c.datagrams = &datagramState{armed: true}
	}
	return c.datagrams
}

// SendDatagram copies b and queues it for a DATAGRAM frame (RFC 9221). It returns [ErrTooLarge] if
// b is longer than MaxDatagramSize, and [ErrNoDatagrams] if the peer takes none. If the queue is
// full, [Config.DatagramPolicy] decides. By default SendDatagram then returns [ErrWouldBlock], and
// [EventDatagramWritable] follows when half of the queue is free. IDs count the datagrams of the
// connection from 1.
// RFC 9000, Section 19.21 [1].
func (c *Conn) SendDatagram(b []byte, opt DatagramOptions) (id uint64, err error) {
	c.e.rec.sendDatagram(c, b, opt)
	id, err = c.sendDatagram(b, opt)
	c.e.rec.failure(err, id)
	return id, err
}

func (c *Conn) sendDatagram(b []byte, opt DatagramOptions) (id uint64, err error) {
	if c.closed {
		return 0, c.closedErr()
	}
	if len(b) > c.MaxDatagramSize() {
		return 0, c.datagramError()
	}
	d := c.datagramQueues()
	to := &d.send
	if opt.Redundant && c.multi != nil {
		to, c.multi.redundant = &c.multi.datagrams, true
	}
	room := c.mayHold(len(b))
	if c.closed { // the memory is needed elsewhere
		return 0, c.closedErr()
	}
	if !room || to.size >= max(c.cfg.DatagramSendQueue, 1) {
		policy := c.cfg.DatagramPolicy
		if !room && policy == DatagramDropOldest {
			policy = DatagramDropNewest // there may be no older one
		}
		switch policy {
		case DatagramDropOldest:
			c.dropDatagram(to)
		case DatagramDropNewest:
			d.nextID++
			c.stats.DatagramsExpired++
			if opt.Notify {
				c.eventOf(EventDatagramLost, d.nextID)
			}
			return d.nextID, nil
		default:
			d.wantWrite = true
			if !room {
				c.starve()
			}
			return 0, ErrWouldBlock
		}
	}
	d.nextID++
	q := to.push(b)
	q.id, q.notify, q.expiry = d.nextID, opt.Notify, 0
	if opt.MaxAge > 0 {
		q.expiry = c.e.now.add(opt.MaxAge)
		if to == &d.send {
			d.expiry = earlier(d.expiry, q.expiry)
		}
	}
	if c.qlog != nil {
		c.qlog.DatagramMoved(c.e.wall(c.e.now), false, len(b))
	}
	c.settle()
	c.wake()
	return d.nextID, nil
}

// dropDatagram drops the oldest datagram of a queue of those that wait to be sent.
func (c *Conn) dropDatagram(q *datagramQueue) {
	c.datagramDropped(q.front())
	c.popDatagram(q)
}

// datagramDropped notes that a datagram is never sent.
func (c *Conn) datagramDropped(q *datagram) {
	c.stats.DatagramsExpired++
	if q.notify {
		c.eventOf(EventDatagramLost, q.id)
	}
}

// popDatagram removes the oldest datagram of a queue of those that wait to be sent.
func (c *Conn) popDatagram(q *datagramQueue) {
	q.pop()
	c.datagramRoom(q)
}

// datagramRoom notes that a queue has become shorter. It tells the application if that waits for
// room.
func (c *Conn) datagramRoom(q *datagramQueue) {
	d := c.datagrams
	if d.send.size == 0 {
		d.expiry = 0
	}
	if d.wantWrite && q.size <= c.cfg.DatagramSendQueue/2 {
		d.wantWrite = false
		c.eventOnce(EventDatagramWritable)
	}
}

// MaxDatagramSize returns the length of the longest datagram that can be sent now.
// It follows the path MTU. It is 0 if the peer takes none, or is not known yet.
func (c *Conn) MaxDatagramSize() int {
	if !c.maySend() || c.peer.MaxDatagramFrame == 0 {
		return 0 // RFC 9221, Section 3 [1]
	}
	// Short header with the longest packet number, tag, and the header of the frame.
	room := c.packetRoom() - 4 - 16
	frame := int(min(uint64(room), c.peer.MaxDatagramFrame)) // RFC 9221, Section 3 [2]
	return max(frame-wire.DatagramHeaderLen(frame), 0)
}

// packetRoom returns how long a datagram may be, without the first byte and the connection ID. A
// DATAGRAM frame may take any of several paths, so the smallest one counts.
func (c *Conn) packetRoom() int {
	if c.multi != nil {
		return c.multi.packetRoom()
	}
	return c.lane.packetRoom()
}

func (l *lane) packetRoom() int { return l.path.mtu.current - 1 - int(l.remote.current().n) }

func (m *multipath) packetRoom() int {
	room := maxUDPPayload
	for _, l := range m.lanes {
		if l.usable() {
			room = min(room, l.packetRoom())
		}
	}
	return room
}

// datagramError returns why a datagram is longer than MaxDatagramSize.
func (c *Conn) datagramError() error {
	if c.NoDatagrams() {
		return ErrNoDatagrams
	}
	return ErrTooLarge
}

// NoDatagrams reports whether the peer is known to take no datagrams.
func (c *Conn) NoDatagrams() bool { return c.hasPeer && c.peer.MaxDatagramFrame == 0 }

// ReceiveDatagram removes and returns the oldest received datagram. The slice is
// valid until the next ReceiveDatagram or Receive. Once it has reported false,
// the next datagram raises an [EventDatagramReadable].
func (c *Conn) ReceiveDatagram() (b []byte, ok bool) {
	c.e.rec.call(callReceiveDatagram, c.serial)
	b, ok = c.receiveDatagram()
	c.e.rec.data(b, nil)
	return b, ok
}

func (c *Conn) receiveDatagram() (b []byte, ok bool) {
	d := c.datagrams
	if d == nil {
		return nil, false
	}
	if d.recv.size == 0 {
		d.armed = true
		return nil, false
	}
	b = d.recv.front().b
	d.recv.pop()
	d.moved += uint64(len(b))
	if c.qlog != nil {
		c.qlog.DatagramMoved(c.e.wall(c.e.now), true, len(b))
	}
	return b, true
}

// handleDatagram handles a DATAGRAM frame (RFC 9221, Section 4).
func (c *Conn) handleDatagram(b []byte) (int, error) {
	data, n := wire.ParseDatagram(b)
	if n <= 0 {
		return n, nil
	}
	if int64(n) > c.cfg.MaxDatagramFrameSize { // RFC 9221, Section 3 [3, 4]: it may be 0
		return 0, violation(errProtocolViolation, uint64(b[0]), "DATAGRAM frame of %d bytes", n)
	}
	d := c.datagramQueues()
	c.stats.DatagramsReceived++
	if !c.mayHold(len(data)) {
		c.stats.DatagramsDropped++ // RFC 9221, Section 5.3 allows that
		return n, nil
	}
	if d.recv.size >= max(c.cfg.DatagramReceiveQueue, 1) {
		d.recv.pop() // newer ones are worth more
		c.stats.DatagramsDropped++
	}
	d.recv.push(data)
	c.settle()
	if d.armed {
		d.armed = false
		c.eventOnce(EventDatagramReadable) // RFC 9221, Section 5 [2]
	}
	return n, nil
}

// appendDatagrams appends DATAGRAM frames. They go before streams, because they are of no use
// later.
func (c *Conn) appendDatagrams(w *packetWriter, now instant) {
	d := c.datagrams
	for d.send.size > 0 {
		q := d.send.front()
		// RFC 9221, Section 3: a server that rejects early data may take shorter ones than it
		// promised.
		tooLong := uint64(wire.DatagramHeaderLen(len(q.b))+len(q.b)) > c.peer.MaxDatagramFrame
		if tooLong || q.expiry != 0 && q.expiry <= now {
			c.dropDatagram(&d.send)
			continue
		}
		if !w.fits(wire.DatagramHeaderLen(len(q.b)) + len(q.b)) {
			if !w.eliciting && len(q.b) > c.MaxDatagramSize() {
				c.dropDatagram(&d.send) // the path shrank
				continue
			}
			return
		}
		w.b = wire.AppendDatagramHeader(w.b, len(q.b))
		w.b = append(w.b, q.b...)
		rec := record{kind: recDatagram, value: q.id}
		if q.notify {
			rec.n = 1
		}
		w.record(rec)
		c.stats.DatagramsSent++
		d.moved += uint64(len(q.b))
		c.popDatagram(&d.send)
	}
}

// datagramFate notes that a datagram arrived or was lost.
func (c *Conn) datagramFate(r *record, kind EventKind) {
	if kind == EventDatagramAcked {
		c.stats.DatagramsAcked++
	} else {
		c.stats.DatagramsLost++
	}
	switch {
	case r.n == noticeOfCopies:
		if c.multi != nil {
			c.multi.copyFate(r.value, kind)
		}
	case r.n != 0:
		c.eventOf(kind, r.value)
	}
}

// expireDatagrams drops datagrams that are too old, wherever in the queue they are.
func (c *Conn) expireDatagrams(now instant) {
	d := c.datagrams
	if d.expiry == 0 || d.expiry > now {
		return
	}
	q, kept := &d.send, 0
	d.expiry = 0
	for i := range q.size {
		x := q.at(i)
		if x.expiry != 0 && x.expiry <= now {
			c.datagramDropped(x)
			continue
		}
		d.expiry = earlier(d.expiry, x.expiry)
		y := q.at(kept)
		*x, *y = *y, *x // both keep their memory
		kept++
	}
	q.size = kept
	c.datagramRoom(q)
}
