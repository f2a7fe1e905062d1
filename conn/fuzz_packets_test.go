package conn

import (
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/script"
)

// A fuzzScript turns bytes into events in the life of a connection.
type fuzzScript struct {
	tc      *testConn
	in      *script.Input
	streams []*Stream
	buf     []byte
}

// step does one thing: a packet, a datagram, time, or a call of the application.
func (f *fuzzScript) step() {
	tc := f.tc
	switch op := f.in.Byte(); op % 8 {
	case 0, 1, 2:
		tc.send(testPacket{space: spaceApp, payload: f.in.Bytes(int(f.in.Byte())), skip: uint64(op >> 6)})
	case 3:
		space := spaceID(op >> 4 % 2)
		if p := f.in.Bytes(int(f.in.Byte())); tc.tx[space] != nil && !tc.c.closed {
			tc.send(testPacket{space: space, payload: p, size: minMTU})
		}
	case 4:
		tc.deliver(append([]byte(nil), f.in.Bytes(int(f.in.Byte()))...), tc.peerAddr, NotECT)
	case 5:
		tc.now = tc.now.Add(time.Duration(f.in.Byte()) * 5 * time.Millisecond)
	case 6:
		f.call(op >> 3)
	case 7:
		tc.send(testPacket{space: spaceApp, payload: f.in.Bytes(int(f.in.Byte())), from: elsewhere(int(op >> 5)), phase: op&8 != 0})
	}
}

// call calls a method as an application might.
func (f *fuzzScript) call(what byte) {
	c := f.tc.c
	if what%8 == 0 {
		if s, err := c.OpenStream(Dir(what >> 3 & 1)); err == nil {
			f.streams = append(f.streams, s)
		}
		return
	}
	if what%8 == 1 {
		c.SendDatagram(f.in.Bytes(40), DatagramOptions{MaxAge: time.Duration(f.in.Byte()) * time.Millisecond, Notify: true})
		return
	}
	if len(f.streams) == 0 {
		return
	}
	i := int(f.in.Byte()) % len(f.streams)
	s := f.streams[i]
	switch what % 8 {
	case 2:
		s.Write(make([]byte, int(f.in.Byte())*64))
	case 3:
		s.CloseWrite()
	case 4:
		s.Reset(uint64(f.in.Byte()))
	case 5:
		s.StopSending(uint64(f.in.Byte()))
	case 6:
		s.Release()
		f.streams = append(f.streams[:i], f.streams[i+1:]...)
	case 7:
		s.ResetAt(1, uint64(f.in.Byte()))
	}
}

// drain runs the Endpoint until it has nothing more to do now. It fails if that takes too many
// steps.
func (f *fuzzScript) drain() {
	e := f.tc.e
	for range 2000 {
		e.HandleTimeout(f.tc.now)
		for ev, ok := e.NextEvent(); ok; ev, ok = e.NextEvent() {
			f.event(ev)
		}
		if b, ok := e.Transmit(f.tc.now, f.buf, 8); ok {
			if b.N == 0 || b.N > len(f.buf) || f.tc.c.closed && b.N > minMTU+maxReason {
				f.tc.t.Fatalf("a burst of %d bytes", b.N)
			}
			continue
		}
		if at := e.Timeout(); at.IsZero() || at.After(f.tc.now) {
			return
		}
	}
	f.tc.t.Fatalf("the Endpoint is never done: Timeout is %v at %v", e.Timeout(), f.tc.now)
}

// event keeps streams that the peer opened, and reads from streams that are readable.
func (f *fuzzScript) event(ev Event) {
	switch ev.Kind {
	case EventStreamOpened:
		f.streams = append(f.streams, ev.Stream)
	case EventStreamReadable:
		b, err := ev.Stream.Peek(1)
		if ev.Stream.Discard(len(b)); err == io.EOF {
			ev.Stream.StopSending(0)
		}
	case EventDatagramReadable:
		ev.Conn.ReceiveDatagram()
	}
}

// FuzzPackets runs an established connection against a peer that holds the keys. The peer sends any
// valid packets and garbage, from anywhere and at any time, while the application calls any method.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{1, 0, 4, 1, 0, 0, 0, 6, 0, 5, 20, 0, 8, 0x0a, 4, 3, 1, 2, 3, 0, 0})
	f.Add([]byte{0, 0, 5, 2, 0, 0, 0, 0, 5, 255, 3, 9, 6, 0, 0, 0, 1, 2, 3, 4, 5, 6, 48, 6, 54, 0})
	f.Add([]byte{1, 7, 9, 0x1a, 1, 2, 3, 4, 5, 6, 7, 8, 4, 30, 0x40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 5, 255, 5, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 4096 {
			return
		}
		tc := newEstablished(quickTB{t}, data[0]&1 != 0)
		s := &fuzzScript{tc: tc, in: script.NewInput(data[1:]), buf: make([]byte, maxBurst)}
		for !s.in.Empty() {
			s.step()
			s.drain()
			checkConn(t, tc.c, &tc.books)
		}
	})
}

// FuzzDatagrams gives a server any bytes as its first datagrams.
func FuzzDatagrams(f *testing.F) {
	initial := make([]byte, minMTU)
	copy(initial, []byte{0xc0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0x9a})
	f.Add(initial)
	f.Add([]byte{0x40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22})
	f.Fuzz(func(t *testing.T, data []byte) {
		l, _ := newLoneServer(quickTB{t}, nil)
		tc := &testConn{t: t, e: l.Endpoint, now: hour0()}
		s := &fuzzScript{tc: tc, buf: make([]byte, maxBurst)}
		for i := range 3 {
			tc.now = tc.now.Add(time.Duration(i) * time.Second)
			tc.e.Receive(tc.now, Datagram{Data: append([]byte(nil), data...), SegmentSize: len(data) / (i + 1), Remote: elsewhere(i)})
			s.drainEndpoint()
		}
		if n := tc.e.Stats().Handshakes; n > 4 {
			t.Fatalf("%d handshakes came of 6 datagrams", n)
		}
	})
}

// drainEndpoint is drain for an Endpoint that has no connection yet.
func (f *fuzzScript) drainEndpoint() {
	e := f.tc.e
	for range 2000 {
		e.HandleTimeout(f.tc.now)
		for _, ok := e.NextEvent(); ok; _, ok = e.NextEvent() {
		}
		if _, ok := e.Transmit(f.tc.now, f.buf, 8); !ok {
			if at := e.Timeout(); at.IsZero() || at.After(f.tc.now) {
				return
			}
		}
	}
	f.tc.t.Fatalf("the Endpoint is never done: Timeout is %v at %v", e.Timeout(), f.tc.now)
}
