package h3

import (
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/script"
)

// A fuzzScript plays a peer that writes any bytes, and an application that calls anything. The
// input decides what both do.
type fuzzScript struct {
	in       *script.Input
	peer, me *side
	raw      []*rawStream // of the peer
	streams  []*Stream    // of the application
}

// bytes returns bytes of the input, as many as the byte before them says.
func (f *fuzzScript) bytes() []byte { return f.in.Bytes(int(f.in.Byte())) }

// frames returns frames that are well-formed, with any content.
func (f *fuzzScript) frames() []byte {
	sections := [][]byte{
		headers(get...), headers(post...), headers(":status", "200"), headers(":status", "103", "link", "x"), headers("trailer", "1"),
		headers(":method", "CONNECT", ":authority", "a:1"), headers(":method", "CONNECT", ":protocol", "x", ":scheme", "https", ":authority", "a", ":path", "/"),
		// fields of the dynamic table, which may have to wait
		frame(frameHeaders, append([]byte{2, 0}, 0x80)...),
	}
	var b []byte
	for range 1 + f.in.Byte()&3 {
		switch op := f.in.Byte(); {
		case op < 64:
			b = append(b, sections[int(op)%len(sections)]...)
		case op < 128:
			b = append(b, frame(frameData, f.bytes()...)...)
		case op < 160:
			b = append(b, frame(frameHeaders, append([]byte{0, 0}, f.bytes()...)...)...)
		case op < 190: // a length that is not true
			b = append(appendFrameHeader(b, uint64(op&15), uint64(f.in.Byte())), f.bytes()...)
		default:
			types := []uint64{frameSettings, frameGoAway, framePriorityUpdateRequest, 0x21, 3, 5, 13, 2, 0x40}
			b = append(b, frame(types[int(op)%len(types)], f.bytes()...)...)
		}
	}
	return b
}

// write writes what the stream takes, and ends it as the input says.
func (f *fuzzScript) write(r *rawStream, b []byte) {
	r.Write(b)
	switch f.in.Byte() {
	case 1:
		r.CloseWrite()
	case 2:
		r.Stream.Reset(uint64(f.in.Byte()))
	case 3:
		r.Stream.StopSending(uint64(f.in.Byte()))
	}
}

// step does one thing.
func (f *fuzzScript) step() {
	op := f.in.Byte()
	switch op % 10 {
	case 0: // a unidirectional stream: control, QPACK, push, or another
		starts := [][]byte{settings(), {2}, {3}, {1}, {2, 0x3f, 0xbd, 1, 0x4a}, {0x41}, nil}
		f.open(conn.Uni, concat(starts[int(f.in.Byte())%len(starts)], f.bytes()))
	case 1, 2:
		f.open(conn.Bidi, f.frames())
	case 3:
		if r := f.pick(); r != nil {
			f.write(r, f.frames())
		}
	case 4:
		if r := f.pick(); r != nil {
			f.write(r, f.bytes())
		}
	case 5:
		f.peer.q.SendDatagram(slices.Clone(f.bytes()), conn.DatagramOptions{})
	case 6:
		f.peer.net.RunFor(time.Duration(f.in.Byte()) * time.Millisecond)
	default:
		f.call(op / 10)
	}
}

func (f *fuzzScript) open(dir conn.Dir, b []byte) {
	if s, err := f.peer.q.OpenStream(dir); err == nil {
		r := f.peer.stream(s)
		f.raw = append(f.raw, r)
		f.write(r, b)
	}
}

// pick returns one of the peer's streams.
func (f *fuzzScript) pick() *rawStream {
	i := int(f.in.Byte())
	for _, s := range f.peer.streams {
		if !slices.Contains(f.raw, s) { // the other side has opened it
			f.raw = append(f.raw, s)
		}
	}
	// the order of the map must not matter
	slices.SortFunc(f.raw, func(a, b *rawStream) int { return int(a.ID()) - int(b.ID()) })
	if len(f.raw) == 0 {
		return nil
	}
	return f.raw[i%len(f.raw)]
}

// call calls a method, as an application might.
func (f *fuzzScript) call(op byte) {
	c := f.me.h
	if c == nil {
		return
	}
	switch op % 24 {
	case 0:
		if s, err := c.OpenRequest([][]Field{getFields, postFields}[f.in.Byte()&1], f.in.Byte()&1 != 0); err == nil {
			f.streams = append(f.streams, s)
		}
		return
	case 1:
		c.GoAway()
		return
	case 2:
		c.OpenUni(0x41)
		return
	case 3:
		c.ExpireRequests(f.me.net.Now().Add(-time.Duration(f.in.Byte()) * time.Millisecond))
		return
	}
	if len(f.streams) == 0 {
		return
	}
	i := int(f.in.Byte()) % len(f.streams)
	s := f.streams[i]
	switch op % 24 {
	case 4, 5, 6:
		fields := [][]Field{{{Name: ":status", Value: "200"}}, {{Name: ":status", Value: "100"}}, {{Name: "x", Value: "y"}}, nil}
		s.SendFields(fields[f.in.Byte()&3], f.in.Byte()&1 != 0)
	case 7, 8:
		s.Write(make([]byte, int(f.in.Byte())*20))
	case 9, 10:
		s.Read(make([]byte, f.in.Byte()))
	case 11:
		b, _ := s.Peek(int(f.in.Byte()))
		s.Discard(len(b) / 2)
	case 12:
		s.CloseWrite()
	case 13:
		s.Cancel(RequestCancelled)
	case 14:
		s.Abandon(InternalError)
	case 15:
		s.ResetBehind(InternalError)
	case 16:
		s.StopSending(NoError)
	case 17:
		s.Reset(InternalError)
	case 18:
		s.SetPriority(conn.Priority{Urgency: int8(f.in.Byte() & 7), Incremental: f.in.Byte()&1 != 0})
	case 19:
		s.RequestPriority(conn.Priority{Urgency: int8(f.in.Byte() & 7)})
	case 20:
		s.Datagrams().Send(slices.Clone(f.bytes()), conn.DatagramOptions{})
	case 21:
		s.Datagrams().Receive()
	default:
		s.Release()
		f.streams = slices.Delete(f.streams, i, i+1)
	}
}

// event keeps the streams of the requests that come.
func (f *fuzzScript) event(ev Event) {
	if ev.Kind == EventFields && !slices.Contains(f.streams, ev.Stream) {
		f.streams = append(f.streams, ev.Stream)
	}
}

// FuzzScript: a peer writes frames and any bytes on streams of all kinds, in any order, and the
// application calls any method at any time. In the end nothing is held.
func FuzzScript(f *testing.F) {
	// a request and an answer
	f.Add([]byte{0, 0, 0, 0, 0, 1, 0, 0, 1, 6, 50, 47, 0, 0, 77, 0, 9, 120, 0})
	// and the other way round
	f.Add([]byte{1, 0, 0, 0, 0, 7, 0, 0, 6, 40, 3, 0, 0, 2, 0, 6, 40, 97, 0, 30})
	// the dynamic table
	f.Add([]byte{0, 0, 0, 0, 0, 0, 4, 12, 'c', 'u', 's', 't', 'o', 'm', 1, 'v', 0, 2, 0})
	f.Add([]byte{0, 1, 0, 7, 0, 6, 90, 0, 4, 11, 'c', 'u', 's', 't', 'o', 'm', '-', 'k', 'e', 'y', 0, 0, 6, 9})
	// a datagram, frames behind each other
	f.Add([]byte{0, 0, 0, 0, 0, 1, 0, 6, 0, 6, 50, 5, 3, 0, 1, 2, 207, 0, 4, 0, 1, 2, 3, 17, 147, 0, 157, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > 400 {
			return
		}
		s := &fuzzScript{in: script.NewInput(b[1:])}
		cfg := &Config{ExtendedConnect: true, Datagrams: true, StreamTypes: []uint64{0x41}, MaxFieldSectionSize: 2000}
		if b[0]&1 == 0 {
			s.me, s.peer = connect(t, cfg, nil)
		} else {
			s.peer, s.me = connect(t, nil, cfg)
		}
		s.me.on = s.event
		for !s.in.Empty() && s.me.closed == nil {
			s.step()
		}
		s.me.run()
		for _, x := range s.streams {
			x.Release()
		}
		s.me.run()
		if held := s.me.h.Stats().FieldBytes; s.me.closed == nil && held != 0 {
			t.Fatalf("%d bytes of fields are held for nobody", held)
		}
		s.me.q.Close(uint64(NoError), "")
		s.peer.q.Close(uint64(NoError), "")
		s.me.net.RunFor(time.Minute)
		require.NotNil(t, s.me.closed)
		if st := s.me.node.Endpoint.Stats(); st.Conns != 0 || st.Buffered != 0 {
			t.Fatalf("%d connections and %d bytes are left over", st.Conns, st.Buffered)
		}
	})
}
