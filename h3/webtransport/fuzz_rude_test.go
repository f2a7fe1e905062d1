package webtransport

import (
	"context"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/loop"
)

// offend does something that the package never does. The session counts as rude from then on.
func (f *fuzzScript) offend(side int) {
	x, op := f.pick(), f.in.Byte()
	if x == nil {
		return
	}
	s := x.ends[side]
	switch op % 8 {
	case 0, 1, 2:
		f.mark(s.id)
		var b []byte
		for range 1 + op>>3&7 {
			b = append(b, f.capsule()...)
		}
		s.tryWrite(b)
	case 3, 4, 5:
		f.rawStream(side, s)
	case 6:
		f.rawDatagrams(s, op>>3)
	default:
		f.mark(s.id)
		switch op >> 3 % 5 {
		case 0:
			s.connect.CloseWrite()
		case 1:
			s.connect.Reset(h3.RequestCancelled)
		case 2:
			s.connect.StopSending(h3.NoError)
		case 3:
			s.connect.Cancel(h3.ConnectError)
		default:
			s.connect.Close()
		}
	}
}

// mark marks a session as rude.
func (f *fuzzScript) mark(id conn.StreamID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rude[id] = true
}

// capsule returns a capsule, or some bytes.
func (f *fuzzScript) capsule() []byte {
	limits := []uint64{capsuleMaxData, capsuleMaxStreamsBidi, capsuleMaxStreamsUni, capsuleDataBlocked, capsuleStreamsBlockedBidi, capsuleStreamsBlockedUni}
	switch op := f.in.Byte(); op % 12 {
	case 0, 1, 2, 3, 4:
		return appendLimit(nil, limits[int(op/12)%len(limits)], f.number())
	case 5: // a value that is no integer, or more than one
		return dgram.AppendCapsule(nil, limits[int(op/12)%len(limits)], f.in.Bytes(int(f.in.Byte())&15))
	case 6:
		return appendClose(nil, uint32(op), string(f.in.Bytes(int(f.in.Byte())&15)))
	case 7:
		return dgram.AppendCapsule(nil, capsuleClose, make([]byte, f.size()))
	case 8:
		return dgram.AppendCapsule(nil, capsuleDrain, make([]byte, op/12%2))
	case 9:
		types := []uint64{capsuleMaxStreamData, capsuleStreamDataBlocked, dgram.CapsuleDatagram, 0x17, 0x17 + 0x29<<30}
		return dgram.AppendCapsule(nil, types[int(op/12)%len(types)], make([]byte, f.size()))
	case 10: // a length that is not true
		return varint.Append(varint.Append(nil, limits[int(op/12)%len(limits)]), f.number())
	default:
		return f.in.Bytes(int(f.in.Byte()) & 31)
	}
}

// number returns a number for a limit: most are near those that are in use, some are enormous.
func (f *fuzzScript) number() uint64 {
	switch n := uint64(f.in.Byte()); {
	case n < 128:
		return n
	case n < 240:
		return n << (n % 16)
	default:
		return []uint64{maxStreams - 1, maxStreams, maxStreams + 1, varint.Max, 1 << 32}[n%5]
	}
}

// rawStream opens a stream without the session, with any header. The session that the header names
// has not counted it.
func (f *fuzzScript) rawStream(side int, s *Session) {
	op, dir := f.in.Byte(), f.dir()
	id, typ := s.id, uint64(typeUni)
	if dir == conn.Bidi {
		typ = typeBidi
	}
	switch op & 7 {
	case 0:
		id += conn.StreamID(4 * (1 + f.in.Byte()&7)) // perhaps a session to come
	case 1:
		id += 4 << 20
	case 2:
		if op&0xf8 == 0 {
			id++ // no session can have it
			f.broken.Store(true)
		}
	case 3:
		if op&0xf8 == 0x80 {
			typ ^= typeUni ^ typeBidi
			f.broken.Store(true)
		}
	}
	f.mark(id)
	b, data := header(typ, id), f.in.Bytes(int(op>>3))
	if op&7 == 4 {
		b, data = b[:len(b)-1], nil
	}
	var st *loop.Stream
	s.m.handle.Do(context.Background(), func(_ time.Time, q *conn.Conn) {
		qs, err := q.OpenStream(dir)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.muddled[qs.ID()] = true
		f.mu.Unlock()
		st = s.m.handle.Adopt(qs)
		st.TryWrite(append(b, data...))
	})
	if st == nil {
		return
	}
	switch f.in.Byte() % 4 {
	case 0:
		st.Close()
	case 1:
		st.Reset(uint64(op))
		st.Close()
	case 2:
		st.ResetAt(toHTTP(uint32(op)), uint64(len(b)))
		st.Close()
	default: // it stays until the connection ends
	}
}

// rawDatagrams sends datagrams of sessions that may not have begun, or have ended.
func (f *fuzzScript) rawDatagrams(s *Session, op byte) {
	id := s.id + conn.StreamID(4*(op&3))
	f.mark(id)
	b := append(varint.Append(nil, uint64(id/4)), f.in.Bytes(int(f.in.Byte())&31)...)
	s.m.handle.Do(context.Background(), func(_ time.Time, q *conn.Conn) {
		for range 1 + op>>2 {
			q.SendDatagram(b, conn.DatagramOptions{})
		}
	})
}
