package conn_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// An actor is the application on one side of a pair.
type actor struct {
	pair     *pair
	node     *conntest.Node
	isServer bool
	conn     *conn.Conn

	begun     bool
	connected bool
	left      bool // the actor has ended the connection: events from before may still come
	closed    bool
	err       error

	waiting []*exchange // for more streams
	sent    uint64      // datagrams
	seen    map[uint64]bool
	held    int64 // of Conn.Hold
	spare   *conn.Chunk
}

// A talk is a stream, as nobody on the network can know it.
type talk struct {
	plan   *exchange
	pipes  [2]pipe // what goes to the server, and to the client
	client *side   // if that has opened it
}

// A pipe is one direction of a talk.
type pipe struct {
	plan          *half
	key           uint64
	written, read int64
	ended         string // as half.End, or "fin"
	reliable      int64  // after a reset: what still arrives
	stopped       bool   // the receiver stopped
}

// A side of a talk.
type side struct {
	a           *actor
	t           *talk
	s           *conn.Stream
	out, in     *pipe // nil if there is no such direction
	wrote, read bool  // there is nothing left to do
	paused      bool
}

func (a *actor) fail(format string, args ...any) {
	name := "client"
	if a.isServer {
		name = "server"
	}
	a.pair.p.fail("stream", "%s of connection %d: "+format, append([]any{name, a.pair.n}, args...)...)
}

// confirmed reports whether the actor may have left the handshake behind.
func (a *actor) confirmed() bool { return a.conn == nil || a.closed || a.connected }

// after calls f in a while, unless the connection ends before that.
func (a *actor) after(d time.Duration, f func()) {
	a.pair.p.net.After(d, func() {
		if !a.closed && !a.pair.void {
			f()
		}
	})
}

func (a *actor) event(ev conn.Event) {
	if a.pair.void {
		a.closed = a.closed || ev.Kind == conn.EventClosed
		return
	}
	if a.closed {
		a.fail("event %d after EventClosed", ev.Kind)
	}
	switch ev.Kind {
	case conn.EventConnected:
		a.connected = true
		a.begin()
	case conn.EventEarlyDataRejected:
		a.startAnew()
	case conn.EventStreamsAvailable:
		waiting := a.waiting
		a.waiting = nil
		for _, x := range waiting {
			a.open(x)
		}
	case conn.EventStreamOpened:
		t := a.pair.talks[ev.Stream.ID()]
		if t == nil {
			a.fail("stream %d was never opened", ev.Stream.ID())
		}
		a.adopt(ev.Stream, t)
	case conn.EventStreamReadable:
		a.side(ev).readOn()
	case conn.EventStreamReset:
		a.side(ev).readOn()
	case conn.EventStreamWritable:
		a.side(ev).write()
	case conn.EventStreamStopped:
		x := a.side(ev)
		if !x.out.stopped {
			a.fail("stream %d: nobody stopped it", ev.Stream.ID())
		}
		x.write()
	case conn.EventDatagramReadable:
		a.readDatagrams()
	case conn.EventClosed:
		a.closed, a.err = true, ev.Err
	}
}

// side returns that of the event's stream, which must not be released.
func (a *actor) side(ev conn.Event) *side {
	x, ok := ev.Stream.UserData.(*side)
	if !ok {
		a.fail("event %d of stream %d, which is released or unknown", ev.Kind, ev.Stream.ID())
	}
	return x
}

// begin starts the part of the actor.
func (a *actor) begin() {
	if a.begun {
		return
	}
	a.begun = true
	d := a.pair.dial
	for i := range d.Streams {
		if x := &d.Streams[i]; x.ByServer == a.isServer {
			a.after(x.At, func() { a.open(x) })
		}
	}
	for i := range d.Calls {
		if c := &d.Calls[i]; c.ByServer == a.isServer {
			a.after(c.At, func() { a.call(c) })
		}
	}
}

// startAnew opens all streams again that the server does not know because it rejects early data.
func (a *actor) startAnew() {
	again := make(map[*exchange]bool)
	for _, t := range a.pair.talks {
		again[t.plan] = true
		if x := t.client; x.read && x.wrote {
			a.pair.left++
		} else {
			x.read, x.wrote = true, true
			x.s.UserData = nil
			x.s.Release()
		}
	}
	clear(a.pair.talks)
	d, waiting := a.pair.dial, a.waiting
	a.waiting = nil
	for _, x := range waiting {
		again[x] = true
	}
	for i := range d.Streams {
		if again[&d.Streams[i]] {
			a.open(&d.Streams[i])
		}
	}
}

// open opens a stream, now or when there may be more of them.
func (a *actor) open(x *exchange) {
	dir := conn.Bidi
	if x.Uni {
		dir = conn.Uni
	}
	s, err := a.conn.OpenStream(dir)
	if errors.Is(err, conn.ErrStreamLimit) {
		a.waiting = append(a.waiting, x)
		return
	}
	if a.left && errors.Is(err, conn.ErrClosed) {
		return
	}
	if err != nil {
		a.fail("OpenStream: %v", err)
	}
	if x.Urgency != 0 || x.Incremental {
		s.SetPriority(conn.Priority{Urgency: x.Urgency, Incremental: x.Incremental})
	}
	t := &talk{plan: x}
	for i := range t.pipes {
		t.pipes[i].plan = &x.There
		if x.ByServer == (i == 0) {
			t.pipes[i].plan = &x.Back
		}
		t.pipes[i].key = uint64(s.ID())*64 + uint64(a.pair.n)*2 + uint64(i)
	}
	a.pair.talks[s.ID()] = t
	a.adopt(s, t)
}

// adopt takes part in a stream.
func (a *actor) adopt(s *conn.Stream, t *talk) {
	x := &side{a: a, t: t, s: s, out: &t.pipes[0], in: &t.pipes[1]}
	if a.isServer {
		x.out, x.in = x.in, x.out
	}
	if t.plan.Uni {
		if t.plan.ByServer == a.isServer {
			x.in, x.read = nil, true
		} else {
			x.out, x.wrote = nil, true
		}
	}
	if !a.isServer {
		t.client = x
	}
	s.UserData = x
	x.write()
}

// write writes what there is room for.
func (x *side) write() {
	for !x.wrote {
		h := x.out.plan
		goal := h.Bytes
		if h.End != "" {
			goal = min(goal, max(h.After, 0))
		}
		if x.out.written >= goal {
			x.endWriting()
			return
		}
		n, err := x.writePiece(goal - x.out.written)
		x.out.written += int64(n)
		switch {
		case errors.Is(err, conn.ErrWouldBlock):
			return
		case x.gaveUp(err) && x.out.stopped:
			x.wrote = true
			x.release()
		case err != nil || n == 0:
			x.a.fail("write to stream %d at %d: %d, %v", x.s.ID(), x.out.written, n, err)
		}
	}
}

// writePiece makes one call.
func (x *side) writePiece(most int64) (n int, err error) {
	h, a := x.out.plan, x.a
	b := a.pair.p.scratch[:min(most, int64(len(a.pair.p.scratch)))]
	if h.Piece > 0 {
		b = b[:min(len(b), h.Piece)]
	}
	pattern(b, x.out.key, x.out.written)
	switch h.Write {
	case "shared":
		return x.s.WriteShared(bytes.Clone(b))
	case "lent":
		l := &loan{a: a, b: bytes.Clone(b), was: bytes.Clone(b)}
		return x.s.WriteLent(l.b, l)
	case "chunk":
		const size = len(conn.Chunk{})
		if into := int(x.out.written % int64(size)); into != 0 {
			b = b[:min(len(b), size-into)]
		} else if len(b) >= size {
			c := new(conn.Chunk)
			copy(c[:], b)
			if spare := x.s.WriteChunk(c); spare != nil {
				clear(spare[:])
				return size, nil
			}
		}
	}
	n, err = x.s.Write(b)
	if h.Write == "back" && err == nil {
		// Bytes that nobody may see follow, and are taken back.
		k, _ := x.s.Write(bytes.Repeat([]byte{0xdb}, n))
		if back := x.s.TakeBack(k); back != k {
			a.fail("stream %d took back %d of %d bytes", x.s.ID(), back, k)
		}
	}
	return n, err
}

// endWriting ends the sending direction as the plan says.
func (x *side) endWriting() {
	x.wrote = true
	p := x.out
	p.ended = p.plan.End
	switch p.ended {
	case "reset":
		x.s.Reset(resetCode)
	case "behind":
		if x.a.conn.ResetAtSupported() {
			p.reliable = p.written // otherwise it arrives, but may be thrown away
		}
		x.s.ResetBehind(resetCode)
	case "at":
		p.reliable = p.written / 2
		if x.s.ResetAt(resetCode, uint64(p.reliable)) != nil {
			p.reliable = 0
			x.s.Reset(resetCode)
		}
	case "release":
		if x.in != nil {
			x.in.stopped = true
		}
		x.read = true
	default:
		p.ended = "fin"
		if err := x.s.CloseWrite(); err != nil && !x.gaveUp(err) {
			x.a.fail("CloseWrite of stream %d: %v", x.s.ID(), err)
		}
	}
	x.release()
}

// gaveUp reports whether err says that the other side gave up the stream.
func (x *side) gaveUp(err error) bool {
	var se *conn.StreamError
	return errors.As(err, &se) && se.Remote && se.ID == x.s.ID()
}

// readOn reads what there is, unless the reader pauses.
func (x *side) readOn() {
	for !x.read && !x.paused {
		h := x.in.plan
		if h.Stop > 0 && x.in.read >= h.Stop-1 {
			x.in.stopped, x.read = true, true
			x.s.StopSending(stopCode)
			x.release()
			return
		}
		n, err := x.readPiece()
		x.in.read += int64(n)
		if x.in.read > x.in.written {
			x.a.fail("stream %d: %d bytes came, %d were written", x.s.ID(), x.in.read, x.in.written)
		}
		switch {
		case err == io.EOF:
			if x.in.ended != "fin" || x.in.read != x.in.written {
				x.a.fail("stream %d ends at %d of %d; its sender: %q", x.s.ID(), x.in.read, x.in.written, x.in.ended)
			}
			x.read = true
			x.release()
		case errors.Is(err, conn.ErrWouldBlock):
			return
		case x.gaveUp(err):
			if x.in.ended == "" || x.in.ended == "fin" || x.in.read < x.in.reliable {
				x.a.fail("stream %d is reset at %d, at least %d should come; its sender: %q",
					x.s.ID(), x.in.read, x.in.reliable, x.in.ended)
			}
			x.read = true
			x.release()
		case err != nil || n == 0:
			x.a.fail("read of stream %d: %d, %v", x.s.ID(), n, err)
		case h.Pause > 0:
			x.pause(h.Pause)
		}
	}
}

func (x *side) pause(d time.Duration) {
	x.paused = true
	x.a.after(d, func() {
		x.paused = false
		x.readOn()
	})
}

// readPiece makes one call, and compares what came.
func (x *side) readPiece() (n int, err error) {
	h, a := x.in.plan, x.a
	var b []byte
	if h.Read == "chunk" {
		if a.spare == nil {
			a.spare = new(conn.Chunk)
		}
		if c, from := x.s.TakeChunk(a.spare); c != nil {
			b, a.spare = c[from:], c
		}
	}
	switch {
	case b != nil:
	case h.Read == "":
		most := int64(len(a.pair.p.scratch))
		if h.Pause > 0 {
			most = min(most, h.Bytes/8+1) // so that it pauses a few times
		}
		b = a.pair.p.scratch[:most]
		n, err = x.s.Read(b)
		b = b[:n]
	default:
		b, err = x.s.Peek(1)
		x.s.Discard(len(b))
	}
	if i := mismatch(b, x.in.key, x.in.read); i >= 0 {
		a.fail("stream %d: byte %d is wrong", x.s.ID(), x.in.read+int64(i))
	}
	return len(b), err
}

// release gives the stream back once both directions are done.
func (x *side) release() {
	if x.read && x.wrote {
		x.s.UserData = nil
		x.s.Release()
		x.a.pair.left--
	}
}

// call makes a call.
func (a *actor) call(c *call) {
	a.pair.left--
	n, now := c.N, a.pair.p.net.Now().Add(a.node.Ahead)
	another := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, a.node.Addr.Addr().As4()[3] - 1, byte(1 + n%4)}), 5000)
	switch c.Do {
	case "datagram":
		a.sendDatagram(n)
	case "keys":
		a.conn.UpdateKeys() // the error says that it is too early
	case "migrate":
		a.conn.Migrate(another) // likewise
	case "probe":
		a.conn.Probe(another)
	case "open":
		a.conn.OpenPath(another) // the error says that there is no room for it
	case "leave":
		a.conn.AbandonPath(conn.PathID(n%4), uint64(n))
	case "backup":
		a.conn.SetPathBackup(conn.PathID(n%4), n%8 < 4)
	case "timer":
		a.conn.SetTimer(now.Add(time.Duration(n) * time.Millisecond))
	case "window":
		a.conn.GrowWindow(int64(n) * 100)
	case "streams":
		a.conn.GrowStreams(conn.Dir(n&1), int64(n%50))
	case "look":
		a.conn.Snapshot(now, n%10)
		a.conn.Stats()
	case "hold":
		a.conn.Hold(int64(n) - a.held)
		a.held = int64(n)
	case "keepalive":
		a.conn.SetKeepAlive(time.Duration(1+n%10) * time.Second)
	case "ticket":
		a.conn.SetTicketData(make([]byte, n%100))
	case "close":
		a.close(int64(n))
	case "abandon":
		a.left, a.pair.excused = true, true
		a.pair.code[a.number()] = 0
		a.conn.Abandon()
	case "refuse":
		a.left, a.pair.refused = true, true
		a.conn.Refuse("")
	}
}

// number returns the actor's index in pair.sides.
func (a *actor) number() int {
	if a.isServer {
		return 1
	}
	return 0
}

func (a *actor) close(code int64) {
	if a.conn != nil && !a.closed && a.pair.code[a.number()] < 0 {
		a.left = true
		a.pair.code[a.number()] = code
		a.conn.Close(uint64(code), "")
	}
}

// sendDatagram sends a numbered datagram of up to n bytes.
func (a *actor) sendDatagram(n int) {
	b := make([]byte, max(min(n, a.conn.MaxDatagramSize()), 8))
	pattern(b[8:], a.sent, 0)
	binary.BigEndian.PutUint64(b, a.sent)
	if _, err := a.conn.SendDatagram(b, conn.DatagramOptions{Notify: n&1 != 0}); err == nil {
		a.sent++
	}
}

// readDatagrams reads the datagrams that came. Each was sent by the other side, and comes once.
func (a *actor) readDatagrams() {
	if a.seen == nil {
		a.seen = make(map[uint64]bool)
	}
	other := a.pair.sides[1-a.number()]
	for b, ok := a.conn.ReceiveDatagram(); ok; b, ok = a.conn.ReceiveDatagram() {
		if len(b) < 8 {
			a.fail("a datagram of %d bytes", len(b))
		}
		i := binary.BigEndian.Uint64(b)
		if a.seen[i] || i >= other.sent || mismatch(b[8:], i, 0) >= 0 {
			a.fail("datagram %d is wrong, or comes twice; %d were sent", i, other.sent)
		}
		a.seen[i] = true
	}
}

// A loan is memory that is overwritten when its last use ends.
type loan struct {
	a      *actor
	b, was []byte
	uses   int
}

func (l *loan) Lend() { l.uses++ }

func (l *loan) Return() {
	if !bytes.Equal(l.b, l.was) {
		l.a.fail("lent memory has changed")
	}
	l.uses--
	if l.uses == 0 {
		for i := range l.b {
			l.b[i] = ^l.b[i]
		}
	}
}
