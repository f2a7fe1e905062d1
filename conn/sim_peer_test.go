package conn_test

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A peer is the application on one side of a scenario.
type peer struct {
	w              *world
	name           string
	node           *conntest.Node
	conn           *conn.Conn
	sends, expects int64 // bytes a stream
	toOpen         int   // streams

	connected time.Duration // when, since the start
	lastRead  time.Duration
	finished  int // streams that were read and written to the end
	closed    bool
	err       error // why it closed
	scratch   [16 << 10]byte
}

// manners say after how many bytes a peer gives up a stream. Negative numbers mean never. With zero
// manners it stops, resets or drops the stream at once.
type manners struct {
	reset, stop int64 // bytes that it wrote, or read
	drop        int64 // bytes of both: it calls Release and nothing else
}

// polite manners never give up.
var polite = manners{-1, -1, -1}

// Codes with which rude peers give up streams. Release uses 0.
const (
	resetCode = 7
	stopCode  = 9
)

// A flow is a stream as one peer sees it.
type flow struct {
	stream      *conn.Stream
	id          conn.StreamID
	sent, got   int64
	wrote, read bool // to the end, or until it was given up
	manners     manners
}

func (p *peer) join(addr string, cfg *conn.EndpointConfig) {
	p.node = p.w.net.Add(addr, cfg)
	p.node.MaxSegments, p.node.Coalesce = p.w.segments, p.w.coalesce
	p.node.OnEvent = p.event
}

func (p *peer) errorf(format string, args ...any) {
	p.w.t.Helper()
	p.w.t.Errorf("%s, at %v: %s", p.name, p.now(), fmt.Sprintf(format, args...))
}

// now returns the time since the start of the world.
func (p *peer) now() time.Duration {
	return p.w.net.Now().Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
}

func (p *peer) event(_ time.Time, ev conn.Event) {
	if p.w.event != nil {
		p.w.event(p, ev)
	}
	if p.closed {
		p.errorf("event %d after EventClosed", ev.Kind)
	}
	if ev.Conn != p.conn && p.conn != nil {
		p.errorf("event %d of another connection", ev.Kind)
	}
	switch ev.Kind {
	case conn.EventAccepted:
		p.conn = ev.Conn
	case conn.EventConnected:
		p.connected = p.now()
		p.open()
	case conn.EventEarlyDataRejected:
		p.errorf("early data rejected")
	case conn.EventStreamsAvailable:
		p.open()
	case conn.EventStreamOpened:
		p.adopt(ev.Stream)
	case conn.EventStreamReadable:
		p.read(p.flow(ev))
	case conn.EventStreamWritable:
		p.write(p.flow(ev))
	case conn.EventStreamReset:
		p.gaveUp(ev)
		p.read(p.flow(ev))
	case conn.EventStreamStopped:
		p.gaveUp(ev)
		p.write(p.flow(ev))
	case conn.EventClosed:
		p.closed, p.err = true, ev.Err
	}
}

// flow returns the flow of the event's stream, which must not be released yet.
func (p *peer) flow(ev conn.Event) *flow {
	f, ok := ev.Stream.UserData.(*flow)
	if !ok {
		p.errorf("event %d of a stream that was released or never opened", ev.Kind)
	}
	return f
}

// gaveUp checks that the other peer may have given up the stream of ev.
func (p *peer) gaveUp(ev conn.Event) {
	if p.w.rude == nil || ev.Code != 0 && ev.Code != resetCode && ev.Code != stopCode {
		p.errorf("stream %d: event %d with code %d; nobody did so", ev.Stream.ID(), ev.Kind, ev.Code)
	}
}

// open opens the streams that are still to be opened, as far as the limit allows.
func (p *peer) open() {
	for p.toOpen > 0 {
		s, err := p.conn.OpenStream(conn.Bidi)
		if errors.Is(err, conn.ErrStreamLimit) {
			return
		}
		if err != nil {
			p.errorf("OpenStream: %v", err)
			return
		}
		p.toOpen--
		p.adopt(s)
	}
}

func (p *peer) adopt(s *conn.Stream) {
	f := &flow{stream: s, id: s.ID(), manners: polite}
	if p.w.rude != nil {
		f.manners = p.w.rude(p, f.id)
	}
	s.UserData = f
	p.write(f)
}

// write writes as much as f takes now. It closes f after the last byte.
func (p *peer) write(f *flow) {
	if f == nil || f.wrote {
		return
	}
	for f.sent < p.sends {
		if p.giveUp(f); f.wrote {
			return
		}
		b := p.scratch[:min(p.sends-f.sent, int64(len(p.scratch)))]
		pattern(b, p.key(f, true), f.sent)
		n, err := f.stream.Write(b)
		f.sent += int64(n)
		if errors.Is(err, conn.ErrWouldBlock) {
			return
		}
		if p.stopped(f, err) {
			f.wrote = true
			p.release(f)
			return
		}
		if err != nil || n < len(b) {
			p.errorf("Write of %d bytes to stream %d: %d, %v", len(b), f.id, n, err)
			return
		}
	}
	if err := f.stream.CloseWrite(); err != nil && !p.stopped(f, err) {
		p.errorf("CloseWrite of stream %d: %v", f.id, err)
	}
	f.wrote = true
	p.release(f)
}

// read reads what f has, and compares it with the pattern.
func (p *peer) read(f *flow) {
	for f != nil && !f.read {
		if p.giveUp(f); f.read {
			return
		}
		b, err := p.next(f)
		if len(b) > 0 {
			p.lastRead = p.now()
		}
		if i := mismatch(b, p.key(f, false), f.got); i >= 0 {
			p.errorf("stream %d: byte %d is wrong", f.id, f.got+int64(i))
		}
		f.got += int64(len(b))
		if p.name == "server" {
			f.stream.Discard(len(b))
		}
		switch {
		case err == io.EOF:
			p.ended(f)
		case errors.Is(err, conn.ErrWouldBlock):
			return
		case p.stopped(f, err):
			f.read = true
			p.release(f)
		case err != nil:
			p.errorf("read of stream %d: %v", f.id, err)
			return
		case len(b) == 0:
			p.errorf("read of stream %d: nothing, and no error", f.id)
			return
		}
	}
}

// next returns the next bytes of f. The server peeks, the client copies.
func (p *peer) next(f *flow) ([]byte, error) {
	if p.name == "server" {
		return f.stream.Peek(1)
	}
	n, err := f.stream.Read(p.scratch[:])
	return p.scratch[:n], err
}

// stopped reports whether err says that the other peer gave up f.
func (p *peer) stopped(f *flow, err error) bool {
	var se *conn.StreamError
	return p.w.rude != nil && errors.As(err, &se) && se.ID == f.id && se.Remote
}

// giveUp gives up f, or one direction of it, if its manners say so now.
func (p *peer) giveUp(f *flow) {
	m := f.manners
	if m.drop >= 0 && f.sent+f.got >= m.drop {
		f.wrote, f.read = true, true
		p.release(f)
	}
	if m.reset >= 0 && f.sent >= m.reset && !f.wrote {
		f.wrote = true
		f.stream.Reset(resetCode)
		p.release(f)
	}
	if m.stop >= 0 && f.got >= m.stop && !f.read {
		f.read = true
		f.stream.StopSending(stopCode)
		p.release(f)
	}
}

func (p *peer) ended(f *flow) {
	if f.got != p.expects {
		p.errorf("stream %d ends after %d bytes; want %d", f.id, f.got, p.expects)
	}
	f.read = true
	p.lastRead = p.now()
	p.release(f)
}

// release releases f if both directions are finished.
func (p *peer) release(f *flow) {
	if f.read && f.wrote {
		p.finished++
		f.stream.UserData = nil
		f.stream.Release()
	}
}

// key returns the key of the bytes that p writes to f, or reads from it.
func (p *peer) key(f *flow, writes bool) uint64 {
	key := uint64(f.id) << 1
	if writes == (p.name == "client") {
		key++
	}
	return key
}

// pattern fills b with the bytes at the offset off of the stream with the given key.
func pattern(b []byte, key uint64, off int64) {
	for i := range b {
		b[i] = patternByte(key, off+int64(i))
	}
}

// mismatch returns the index of the first byte of b that differs from pattern,
// or -1.
func mismatch(b []byte, key uint64, off int64) int {
	for i, c := range b {
		if c != patternByte(key, off+int64(i)) {
			return i
		}
	}
	return -1
}

// patternByte mixes key and offset so that no shift of a stream resembles it.
func patternByte(key uint64, off int64) byte {
	x := (uint64(off) + key<<40 + 1) * 0x9e3779b97f4a7c15
	x ^= x >> 29
	return byte(x * 0xbf58476d1ce4e5b9 >> 56)
}
