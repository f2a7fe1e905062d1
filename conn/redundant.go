package conn

import (
	"cmp"
	"slices"

	"github.com/lazoquic/lazo/internal/wire"
)

// What is marked redundant goes out on every path that works: see [Stream.SetRedundant] and
// [DatagramOptions].
const (
	// How many datagrams, and how many parts of streams, wait for room on a path. On a path that is
	// slower than what is marked the oldest ones are dropped; another path carries them.
	maxDatagramCopies = 32
	maxStreamCopies   = 256
	streamCopyCost    = 40 // bytes
	// maxDatagramFates bounds for how many redundant datagrams a notice is owed.
	maxDatagramFates = 1024
)

// SetRedundant says whether data of the stream is to take every path of a connection with
// multipath that works and is no backup, instead of one. What the application reads at the other
// side is the same; it comes as soon as the fastest of these paths carries it. Data that a slow
// path has no room for, or that has arrived meanwhile, does not go out again there. It holds for
// data that is sent from now on, and does nothing while there is one path.
func (s *Stream) SetRedundant(redundant bool) {
	s.c.e.rec.call(callSetRedundant, uint64(s.serial), flag(redundant))
	s.redundant = redundant
	if m := s.c.multi; m != nil && redundant {
		m.redundant = true
	}
}

// A streamCopy is a part of a stream that was sent on another lane.
type streamCopy struct {
	stream *Stream
	gen    uint32
	off    uint64
	n      int
	fin    bool
}

// A copyQueue is what a lane is to carry besides other lanes.
type copyQueue struct {
	datagrams datagramQueue
	streams   ring[streamCopy]
}

func (q *copyQueue) empty() bool { return q.datagrams.size == 0 && q.streams.len() == 0 }

// A datagramFate is of a redundant datagram of which the application wants to know what becomes.
type datagramFate struct {
	id     uint64
	copies int // that are in flight, or wait
}

// carriers returns those of the lanes in use that carry what is marked redundant: the ones which
// are working, and others that may work. A path whose peer is silent is not given up here: to be on
// time is the point.
func (m *multipath) carriers(working []*lane) []*lane {
	if len(working) == 0 || working[0].status.backup || working[0].status.peerBackup {
		return working
	}
	m.copying = m.copying[:0]
	for _, l := range m.lanes {
		if l.usable() && !l.status.backup && !l.status.peerBackup {
			m.copying = append(m.copying, l)
		}
	}
	return m.copying
}

// spread gives the redundant datagrams that wait to the lanes that carry them. Those that no lane
// has room for go on waiting.
func (m *multipath) spread(now instant, lanes []*lane) {
	roomy := func(l *lane) bool { return l.status.copies.datagrams.size < maxDatagramCopies }
	for m.datagrams.size > 0 {
		d := m.datagrams.front()
		switch {
		case d.expiry != 0 && d.expiry <= now:
			m.conn.dropDatagram(&m.datagrams)
			continue
		case !slices.ContainsFunc(lanes, roomy):
			return
		}
		if d.notify {
			m.owe(d.id, len(lanes))
		}
		for _, l := range lanes {
			q := &l.status.copies.datagrams
			if !roomy(l) {
				m.dropCopy(q)
			}
			x := q.push(d.b)
			x.id, x.expiry, x.notify, x.copied = d.id, d.expiry, d.notify, false
		}
		m.conn.popDatagram(&m.datagrams)
	}
}

// dropCopy drops the oldest datagram that waits on a lane. The datagram has expired if that was its
// last copy, and none was sent.
func (m *multipath) dropCopy(q *datagramQueue) {
	d := *q.front()
	q.pop()
	if !d.copied && !m.hasCopy(d.id) {
		m.conn.stats.DatagramsExpired++
	}
	if d.notify {
		m.copyFate(d.id, EventDatagramLost)
	}
}

// hasCopy reports whether a copy of a datagram waits on any lane.
func (m *multipath) hasCopy(id uint64) bool {
	return slices.ContainsFunc(m.lanes, func(l *lane) bool { return l.status.copies.find(id) != nil })
}

// copySent notes that a copy of a datagram was sent.
func (m *multipath) copySent(id uint64) {
	for _, l := range m.lanes {
		if d := l.status.copies.find(id); d != nil {
			d.copied = true
		}
	}
}

// find returns the copy of a datagram, or nil. IDs grow from the front to the end.
func (q *copyQueue) find(id uint64) *datagram {
	for i := range q.datagrams.size {
		if d := q.datagrams.at(i); d.id >= id {
			if d.id == id {
				return d
			}
			break
		}
	}
	return nil
}

// owe notes that the application wants to know what becomes of a datagram.
func (m *multipath) owe(id uint64, copies int) {
	if len(m.fates) >= maxDatagramFates {
		m.conn.eventOf(EventDatagramLost, m.fates[0].id)
		m.fates = slices.Delete(m.fates, 0, 1)
	}
	m.fates = append(m.fates, datagramFate{id, copies})
}

// copyFate notes what became of one copy of a datagram: it arrived once one of them has, and is
// lost once all are.
func (m *multipath) copyFate(id uint64, kind EventKind) {
	i, found := slices.BinarySearchFunc(m.fates, id, func(f datagramFate, id uint64) int { return cmp.Compare(f.id, id) })
	if !found {
		return // another copy has arrived
	}
	f := &m.fates[i]
	if f.copies--; kind == EventDatagramAcked || f.copies == 0 {
		m.fates = slices.Delete(m.fates, i, i+1)
		m.conn.eventOf(kind, id)
	}
}

// repeat queues for other lanes what redundant streams sent on l, by the records from the number
// first on.
func (m *multipath) repeat(l *lane, first uint32, lanes []*lane) {
	recs := &l.app.sent.recs
	for i := first; i != recs.tail; i++ {
		r := recs.at(i)
		if r.kind != recStream || r.stream.gen != r.gen || !r.stream.redundant {
			continue
		}
		for _, o := range lanes {
			if o != l {
				o.status.copies.add(streamCopy{r.stream, r.gen, r.value, int(r.n), r.fin})
			}
		}
	}
}

// add puts a part of a stream behind the others, or joins it to the last one.
func (q *copyQueue) add(x streamCopy) {
	if r := &q.streams; r.len() > 0 {
		if y := r.at(r.tail - 1); y.stream == x.stream && y.gen == x.gen && y.off+uint64(y.n) == x.off && !y.fin {
			y.n, y.fin = y.n+x.n, x.fin
			return
		}
		if r.len() >= maxStreamCopies {
			*r.at(r.head) = streamCopy{} // which would keep the stream in memory
			r.pop()
		}
	}
	*q.streams.push() = x
}

// held returns how many bytes of memory the queue takes.
func (q *copyQueue) held() int64 { return q.datagrams.bytes + int64(len(q.streams.buf))*streamCopyCost }

// drop forgets what a lane was to carry: it has ended.
func (m *multipath) drop(q *copyQueue) {
	for q.datagrams.size > 0 {
		m.dropCopy(&q.datagrams)
	}
	*q = copyQueue{}
}

// transmitCopies writes a packet of what a lane carries besides other lanes.
func (l *lane) transmitCopies(now instant, buf []byte) (Burst, bool) {
	c, w, pa, sp := l.conn, &l.conn.e.writer, l.path, l.app
	if l.status.copies.empty() || !l.wear() {
		return Burst{}, false
	}
	size := min(pa.mtu.current, len(buf), pa.allowance())
	if size < minMTU || l.window(pa.estimates) < uint64(size) {
		return Burst{}, false
	}
	if pa.pacer.Budget(int64(now), pa.pacing) < uint64(size) {
		l.paceAt = max(instant(pa.pacer.Next(int64(now), pa.pacing)), now.add(minPace))
		return Burst{}, false
	}
	w.begin(c, sp, buf[:0], size)
	acked := sp.recv.unacked > 0 && c.appendAck(w, now)
	mark := len(w.b)
	c.appendControl(w)
	c.appendStreamControl(w)
	c.appendCopies(w, &l.status.copies, now)
	if acked && len(w.b) == mark {
		// A datagram that does not fit beside the acknowledgement goes without it.
		acked = false
		w.b = w.b[:w.body]
		sp.sent.forget(w.recStart)
		c.appendCopies(w, &l.status.copies, now)
	}
	if w.empty() {
		w.abandon()
		return Burst{}, false
	}
	if acked {
		sp.recv.unacked, sp.recv.ackAt, sp.recv.ackNow = 0, 0, false
	}
	ecn := pa.ecn.mark()
	out := w.finish(now, ecn)
	return l.burst(len(out), len(out), ecn), true
}

// appendCopies appends datagrams, and then parts of streams.
func (c *Conn) appendCopies(w *packetWriter, q *copyQueue, now instant) {
	for q.datagrams.size > 0 {
		d := q.datagrams.front()
		if d.expiry != 0 && d.expiry <= now {
			c.multi.dropCopy(&q.datagrams)
			continue
		}
		if !w.fits(wire.DatagramHeaderLen(len(d.b)) + len(d.b)) {
			if !w.eliciting && len(d.b) > c.MaxDatagramSize() {
				c.multi.dropCopy(&q.datagrams) // the path shrank
				continue
			}
			return
		}
		w.b = wire.AppendDatagramHeader(w.b, len(d.b))
		w.b = append(w.b, d.b...)
		rec := record{kind: recDatagram, value: d.id}
		if d.notify {
			rec.n = noticeOfCopies
		}
		w.record(rec)
		c.stats.DatagramsSent++
		c.datagrams.moved += uint64(len(d.b))
		q.datagrams.pop()
		c.multi.copySent(d.id)
	}
	for q.streams.len() > 0 {
		x := q.streams.at(q.streams.head)
		if c.appendCopy(w, x); x.n > 0 || x.fin {
			return // it is full
		}
		*x = streamCopy{}
		q.streams.pop()
	}
}

// appendCopy appends what fits of a part of a stream, and takes it from x.
func (c *Conn) appendCopy(w *packetWriter, x *streamCopy) {
	for x.n > 0 || x.fin {
		s := x.stream
		if s.gen != x.gen || s.flags&(flagReset|flagResetAt|flagSendDone) != 0 {
			*x = streamCopy{}
			return
		}
		end := x.off + uint64(x.n)
		off, n := s.out.Unacked(x.off, x.n)
		if x.off, x.n = off, int(end-min(off, end)); n == 0 && (!x.fin || x.n > 0 || s.flags&flagFinAcked != 0) {
			if x.n == 0 {
				*x = streamCopy{}
			}
			return
		}
		room := w.room() - wire.StreamHeaderLen(uint64(s.id), off, false) - 2
		if room < 0 || room < n && room < minStreamData {
			return
		}
		n = min(n, room)
		fin := x.fin && n == x.n
		w.b, _ = wire.AppendStreamHeader(w.b, uint64(s.id), off, true, fin, n)
		k := len(w.b)
		w.b = w.b[:k+n]
		s.out.CopyTo(w.b[k:], off)
		w.record(record{kind: recStreamCopy, stream: s, gen: s.gen, value: off, n: uint16(n), fin: fin})
		c.stats.StreamBytesRetransmitted += uint64(n)
		x.off, x.n = off+uint64(n), x.n-n
		x.fin = x.fin && !fin
	}
}
