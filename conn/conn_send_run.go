package conn

import (
	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// A bulk transfer consists of bursts whose packets differ in nothing but their numbers and their
// part of one stream. transmitApp builds the first packet of a burst and the last ones. A run is
// the packets between. What holds for all of them is found out once, and they are counted once.
// packetWriter says what packets look like: TestSendRuns compares runs with what it writes.

// leastRun is how many packets are worth a run.
const leastRun = 2

// A runWatch lets a test count the packets of runs, or do without runs.
type runWatch struct {
	off     bool
	packets int
}

// A run is what its packets have in common.
type run struct {
	s    *Stream
	size int // of a packet
	data int // bytes of the stream in a packet
	most int // packets

	mem    []byte // of the stream, where the next bytes lie
	memOff uint64 // of its first byte in the stream
	shared bool   // others read it

	// what stands before the data, as in the first packet: the offset is at its end
	head                          [1 + maxConnIDLen + 4 + 1 + 2*8]byte
	headLen, pnOff, pnLen, offLen int
}

// transmitRun writes packets of a run to buf: at most as many as there is room for, and as paced
// bytes allow. It returns how many.
func (l *lane) transmitRun(now instant, buf []byte, size, most int, paced uint64, mark ECN) int {
	c, sp, pa := l.conn, l.app, l.path
	r := run{size: size, most: min(most, len(buf)/size, int(min(paced, maxBurst))/size)}
	if r.most < leastRun || !l.mayRun() || !r.begin(l) {
		return 0
	}
	s, tx, flags := r.s, sp.tx, uint16(sentEliciting)
	if mark == ECT0 {
		flags |= sentECT0
	}
	greases, wall := c.greases(), c.e.wall(now)
	limited := pa.rate.limited()
	pn, off, n := sp.sent.next, s.out.Sent(), 0
	var row *sentPacket
	for ; n < r.most && l.window(pa.estimates) >= uint64(size); n++ {
		b := buf[n*size : (n+1)*size : (n+1)*size]
		copy(b, r.head[:r.headLen])
		// These write over what the head has there, which is as long: see evenLengths.
		wire.AppendPacketNumber(b[:r.pnOff], pn, r.pnLen)
		wire.AppendVarint(b[:r.headLen-r.offLen], off)
		if greases && c.rand()&1 == 0 {
			b[0] &^= fixedBit // RFC 9287, Section 3
		}
		r.seal(tx, b, c.e.plain[:], pn, off)
		state := c.controlSent(pa, uint16(size), pa.inFlight+uint64(size), limited, wall)
		if row != nil && row.count < maxAlike && row.state == *state {
			sp.sent.sentAlike(&pa.flight, row)
		} else {
			start := sp.sent.recs.tail
			x := sp.sent.recs.push()
			x.stream, x.value, x.gen = s, off, s.gen
			x.n, x.kind, x.fin = uint16(r.data), recStream, false
			row = sp.sent.sent(&pa.flight, now, size, flags, start)
			row.state = *state
		}
		pn++
		off += uint64(r.data)
	}
	if n > 0 {
		l.finishRun(now, &r, n, mark)
	}
	return n
}

// seal protects the packet b, of which there is the head. The payload is sealed from where the
// stream has it, with the head of the frame in the place of bytes before it for so long. What lies
// in several chunks, or in memory of the application, which must not change, is copied to plain
// first if there is room: that stays in the nearest cache, and the burst does not.
func (r *run) seal(tx *keys.Keys, b, plain []byte, pn, off uint64) {
	hdrLen := r.pnOff + r.pnLen
	frame := b[hdrLen:r.headLen]
	if off-r.memOff+uint64(r.data) > uint64(len(r.mem)) {
		mem, at, shared := r.s.out.Piece(off, len(frame))
		r.mem, r.memOff, r.shared = mem, off-uint64(at), shared
	}
	at := int(off - r.memOff)
	together := at+r.data <= len(r.mem)
	if together && !r.shared && at >= len(frame) {
		own := r.mem[at-len(frame) : at+r.data]
		var saved [1 + 2*8]byte
		copy(saved[:], own[:len(frame)])
		copy(own, frame)
		tx.SealFrom(b[:hdrLen], own, r.pnOff, r.pnLen, pn)
		copy(own, saved[:len(frame)])
		return
	}
	payload := b[hdrLen : r.size-keys.Overhead]
	if len(payload) <= len(plain) {
		payload = plain[:copy(plain[:len(payload)], payload[:len(frame)])+r.data]
	}
	if together {
		copy(payload[len(frame):], r.mem[at:at+r.data])
	} else {
		r.s.out.CopyTo(payload[len(frame):], off)
	}
	tx.SealFrom(b[:hdrLen], payload, r.pnOff, r.pnLen, pn)
}

// mayRun reports whether data of streams is all that is to be sent, so that congestion control,
// pacing and flow control alone limit it.
func (l *lane) mayRun() bool {
	c, sp, pa := l.conn, l.app, l.path
	_, lost := sp.cryptoOut.NextLost()
	switch {
	case c.traced || c.multi != nil || c.e.cfg.runs != nil && c.e.cfg.runs.off:
	case sp.probes > 0 || sp.recv.ackNow || sp.recv.unacked > 0:
	case c.control.any || c.streams.control.head != nil || lost > 0 || sp.cryptoOut.Unsent() > 0:
	case c.datagrams != nil && c.datagrams.send.size > 0:
	case !pa.validated || pa.ecn.state == ecnTesting || pa.inFlight == 0 || !c.sentSinceRecv || c.flow.reserve > 0:
	default:
		return true
	}
	return false
}

// begin finds out what the packets have in common. It reports false if one stream alone does not
// fill them.
func (r *run) begin(l *lane) bool {
	c, sp := l.conn, l.app
	s := c.streams.send.only()
	if s == nil || s.member.group != nil || s.flags&(flagReset|flagResetAt|flagSendDone) != 0 {
		return false
	}
	pn, off := sp.sent.next, s.out.Sent()
	if _, lost := s.out.NextLost(); lost > 0 || off == 0 {
		return false
	}
	r.pnLen, r.offLen = wire.PacketNumberLen(pn, sp.sent.largestAcked), wire.VarintLen(off)
	head := wire.AppendShort(r.head[:0], sp.lane.remote.current().bytes(), false, c.keys.txPhase, pn, r.pnLen)
	r.pnOff = len(head) - r.pnLen
	head, _ = wire.AppendStreamHeader(head, uint64(s.id), off, false, false, 0)
	r.s, r.headLen, r.data = s, len(head), r.size-len(head)-keys.Overhead
	// Behind the last packet the stream still has something to send: it has neither FIN, nor does
	// it wait for anything.
	room := min(s.out.End()-off, s.sendMax-min(off, s.sendMax), c.flow.sendCredit())
	if r.data < minStreamData || room <= uint64(leastRun*r.data) || l.skipNext <= pn+leastRun {
		return false
	}
	r.most = int(min(uint64(r.most), (room-1)/uint64(r.data), l.skipNext-1-pn))
	for !r.evenLengths(pn, off, sp.sent.largestAcked) {
		r.most /= 2
	}
	return true
}

// evenLengths reports whether all packet numbers and offsets take as many bytes as the first ones,
// pn and off.
func (r *run) evenLengths(pn, off uint64, largestAcked int64) bool {
	more := uint64(r.most - 1)
	return wire.PacketNumberLen(pn+more, largestAcked) == r.pnLen && wire.VarintLen(off+more*uint64(r.data)) == r.offLen
}

// finishRun counts the first n packets of a run.
func (l *lane) finishRun(now instant, r *run, n int, mark ECN) {
	c, sp, pa := l.conn, l.app, l.path
	if x := c.e.cfg.runs; x != nil {
		x.packets += n
	}
	packets, bytes, data := uint64(n), n*r.size, n*r.data
	c.stats.PacketsSent += packets
	c.keys.sealed += packets
	l.traffic.PacketsSent += packets
	l.traffic.BytesSent += uint64(bytes)
	if mark == ECT0 {
		sp.ecnSent += packets
		pa.ecn.sent += n
	}
	pa.pacer.Sent(int64(now), bytes, pa.pacing)
	sp.lastData = sp.sent.next - 1
	r.s.out.MarkSent(r.s.out.Sent(), data)
	c.flow.sent += uint64(data)
	c.streams.send.sent(r.s, data)
	c.streams.send.packetFilled()
	r.s.noteUnsent()
}
