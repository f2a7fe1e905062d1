package conn

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// Datagrams (RFC 9221).

// datagramStory returns a Conn that sends and takes datagrams. If stuck, its congestion window lets
// none through.
func datagramStory(t *testing.T, stuck bool, edit ...func(*testSetup)) *testConn {
	t.Helper()
	edit = append(edit, func(s *testSetup) { s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 60000, 60000 })
	tc := newTestConn(t, true, edit...)
	if stuck {
		tc.c.path.cc = &shutController{}
	}
	return tc
}

// A shutController lets nothing through.
type shutController struct{ wideController }

func (*shutController) Window() uint64 { return 0 }

// sendDatagrams queues datagrams "0", "1" and so on, and returns the last error.
func (tc *testConn) sendDatagrams(n int, opt DatagramOptions) (err error) {
	for i := range n {
		_, err = tc.c.SendDatagram(fmt.Append(nil, i), opt)
	}
	return err
}

// wantDatagrams wants these DATAGRAM frames, and no others.
func (tc *testConn) wantDatagrams(why string, data ...string) {
	tc.t.Helper()
	for _, d := range data {
		tc.wantFrame(why, datagramFrame(d))
	}
	tc.wantIdle(why)
}

// TestDatagrams: among others that they are delivered at once (RFC 9221, Section 5 [2]).
func TestDatagrams(t *testing.T) {
	tc := datagramStory(t, false)
	if err := tc.sendDatagrams(3, DatagramOptions{Notify: true}); err != nil {
		t.Fatal(err)
	}
	tc.wantDatagrams("in order, in one packet", "0", "1", "2")
	tc.ackAll()
	for id := range uint64(3) {
		if ev := tc.wantEvent("they arrived", EventDatagramAcked); ev.ID != id+1 {
			t.Errorf("datagram %d", ev.ID)
		}
	}
	tc.write(datagramFrame("a"), datagramFrame(""), datagramFrame("c"))
	tc.send(testPacket{space: spaceApp, payload: []byte("\x30the rest of the packet")})
	tc.wantEvent("some came", EventDatagramReadable)
	for _, want := range []string{"a", "", "c", "the rest of the packet"} {
		if b, ok := tc.c.ReceiveDatagram(); !ok || string(b) != want {
			t.Errorf("received %q, %v, want %q", b, ok, want)
		}
	}
	if _, ok := tc.c.ReceiveDatagram(); ok {
		t.Error("there is one too many")
	}
	tc.write(datagramFrame("more"))
	tc.wantEvent("after the queue was empty", EventDatagramReadable)
	tc.write(datagramFrame("more"))
	tc.wantNoEvent("the reader has not come to the end yet")
}

// TestDatagramSize: RFC 9221, Section 3 [1, 2].
func TestDatagramSize(t *testing.T) {
	tc := datagramStory(t, false)
	size := tc.c.MaxDatagramSize()
	if _, err := tc.c.SendDatagram(make([]byte, size+1), DatagramOptions{}); err != ErrTooLarge {
		t.Errorf("one byte too many: %v", err)
	}
	if _, err := tc.c.SendDatagram(make([]byte, size), DatagramOptions{}); err != nil {
		t.Fatal(err)
	}
	if f, p := tc.wantType("the largest fits", wire.FrameDatagram); len(f.data) != size || p.size > minMTU || p.size < minMTU-4 {
		t.Errorf("%d bytes in a packet of %d", len(f.data), p.size)
	}
	tc = newTestConn(t, true, func(s *testSetup) { s.peer.MaxDatagramFrameSize = 100 })
	if n := tc.c.MaxDatagramSize(); n != 97 {
		// type and length are part of it
		t.Errorf("the peer takes frames of 100 bytes, MaxDatagramSize is %d", n)
	}
	if err := lastError(tc.c.SendDatagram(make([]byte, 97), DatagramOptions{})); err != nil {
		t.Fatal(err)
	}
	tc = newTestConn(t, true)
	if n := tc.c.MaxDatagramSize(); n != 0 {
		t.Errorf("the peer takes none, MaxDatagramSize is %d", n)
	}
	if err := tc.sendDatagrams(1, DatagramOptions{}); err != ErrNoDatagrams || !errors.Is(err, ErrTooLarge) {
		t.Errorf("the peer takes none: %v", err)
	}
}

func TestDatagramPolicies(t *testing.T) {
	for _, test := range []struct {
		policy DatagramPolicy
		err    error
		lost   []uint64
		sent   string
	}{
		{DatagramWait, ErrWouldBlock, nil, "0 1 2 3"},
		{DatagramDropOldest, nil, []uint64{1, 2}, "2 3 4 5"},
		{DatagramDropNewest, nil, []uint64{5, 6}, "0 1 2 3"},
	} {
		tc := datagramStory(t, true, func(s *testSetup) { s.conn.DatagramPolicy, s.conn.DatagramSendQueue = test.policy, 4 })
		if err := tc.sendDatagrams(6, DatagramOptions{Notify: true}); err != test.err {
			t.Errorf("policy %d: %v", test.policy, err)
		}
		for _, id := range test.lost {
			if ev := tc.wantEvent("dropped", EventDatagramLost); ev.ID != id {
				t.Errorf("policy %d: datagram %d was dropped", test.policy, ev.ID)
			}
		}
		tc.wantIdle("the window is shut")
		tc.c.path.cc = &wideController{}
		tc.c.wake()
		tc.wantDatagrams("the others", strings.Fields(test.sent)...)
		if test.policy == DatagramWait {
			tc.wantEvent("half of the queue is free", EventDatagramWritable)
		}
		tc.wantNoEvent("that was all")
		if n := tc.c.Stats().DatagramsExpired; n != uint64(len(test.lost)) {
			t.Errorf("policy %d: %d expired", test.policy, n)
		}
	}
}

func TestDatagramAge(t *testing.T) {
	tc := datagramStory(t, true)
	tc.c.SendDatagram([]byte("short-lived"), DatagramOptions{MaxAge: 50 * time.Millisecond, Notify: true})
	tc.c.SendDatagram([]byte("patient"), DatagramOptions{})
	tc.wantTimer("its time is short", 50*time.Millisecond)
	tc.advanceToTimer()
	if ev := tc.wantEvent("it is too old", EventDatagramLost); ev.ID != 1 {
		t.Errorf("%+v", ev)
	}
	tc.c.path.cc = &wideController{}
	tc.c.wake()
	tc.wantDatagrams("the other is sent", "patient")
}

// TestDatagramAgeBehindAPatientOne: a datagram waits behind one without an age. It is not sent when
// it is too old.
func TestDatagramAgeBehindAPatientOne(t *testing.T) {
	tc := datagramStory(t, true)
	tc.c.SendDatagram([]byte("patient"), DatagramOptions{})
	tc.c.SendDatagram([]byte("short-lived"), DatagramOptions{MaxAge: 50 * time.Millisecond, Notify: true})
	tc.wantTimer("its time is short", 50*time.Millisecond)
	tc.advanceToTimer()
	if ev := tc.wantEvent("the application learns of it in time", EventDatagramLost); ev.ID != 2 {
		t.Errorf("%+v", ev)
	}
	tc.c.path.cc = &wideController{}
	tc.c.wake()
	tc.wantDatagrams("the old one is not sent", "patient")
}

// TestDatagramAgesInAnyOrder: each datagram of a full queue leaves at its own time, wherever it is,
// and makes room.
func TestDatagramAgesInAnyOrder(t *testing.T) {
	tc := datagramStory(t, true, func(s *testSetup) { s.conn.DatagramSendQueue = 6 })
	for i, age := range []time.Duration{0, 50, 30, 0, 40, 10} {
		tc.c.SendDatagram(fmt.Append(nil, i), DatagramOptions{MaxAge: age * time.Millisecond, Notify: true})
	}
	if err := tc.sendDatagrams(1, DatagramOptions{}); err != ErrWouldBlock {
		t.Fatalf("a full queue: %v", err)
	}
	for _, want := range []struct {
		after time.Duration
		id    uint64
	}{{10, 6}, {20, 3}, {10, 5}} {
		tc.wantTimer("that of the next", want.after*time.Millisecond)
		tc.advanceToTimer()
		if ev := tc.wantEvent("it is too old", EventDatagramLost); ev.ID != want.id {
			t.Errorf("%d went, want %d", ev.ID, want.id)
		}
	}
	tc.wantEvent("half of the queue is free", EventDatagramWritable)
	tc.c.path.cc = &wideController{}
	tc.c.wake()
	tc.wantDatagrams("the others, in order", "0", "1", "3")
}

// TestFullDatagramPassesAnACK: a datagram that fills a packet does not wait for an ACK frame that
// is not due yet. It takes all the room.
func TestFullDatagramPassesAnACK(t *testing.T) {
	for name, gaps := range map[string]int{"a short one": 0, "one of many ranges": 40} {
		t.Run(name, func(t *testing.T) {
			tc := datagramStory(t, false)
			for range gaps {
				tc.next[spaceApp]++ // the packet counts as lost
				tc.write(pingFrame())
			}
			tc.flush()
			tc.write(pingFrame())
			tc.flush()
			full := strings.Repeat("x", tc.c.MaxDatagramSize())
			if _, err := tc.c.SendDatagram([]byte(full), DatagramOptions{}); err != nil {
				t.Fatal(err)
			}
			if p := tc.wantFrame("at once", datagramFrame(full)); len(p.frames) > 1 {
				t.Errorf("with others: %v", p.frames)
			}
			tc.wantIdle("the ACK waits for its time")
			tc.advanceToTimer()
			tc.wantType("and comes then", wire.FrameAck)
		})
	}
}

// TestDatagramReceiveQueue: a flood drops the oldest (S5).
func TestDatagramReceiveQueue(t *testing.T) {
	tc := datagramStory(t, false, func(s *testSetup) { s.conn.DatagramReceiveQueue = 10 })
	for i := range 1000 {
		tc.write(datagramFrame(fmt.Sprint(i)))
	}
	if n := len(tc.c.datagrams.recv.buf); n > 16 {
		t.Errorf("%d slots", n)
	}
	if n := tc.e.events.tail - tc.e.events.head; n > 1 {
		t.Errorf("%d events", n)
	}
	for i := 990; i < 1000; i++ {
		if b, ok := tc.c.ReceiveDatagram(); !ok || string(b) != fmt.Sprint(i) {
			t.Fatalf("received %q, want %d", b, i)
		}
	}
	if s := tc.c.Stats(); s.DatagramsReceived != 1000 || s.DatagramsDropped != 990 {
		t.Errorf("%d received, %d dropped", s.DatagramsReceived, s.DatagramsDropped)
	}
}

// TestDatagramAndMTU: the path has shrunk, so a datagram does not fit any more. It is dropped, and
// does not block others.
func TestDatagramAndMTU(t *testing.T) {
	tc := datagramStory(t, true, searching)
	tc.c.path.mtu.current = 1452
	if _, err := tc.c.SendDatagram(make([]byte, 1400), DatagramOptions{Notify: true}); err != nil {
		t.Fatal(err)
	}
	tc.c.SendDatagram([]byte("small"), DatagramOptions{})
	tc.c.path.mtu.current, tc.c.path.mtu.next = minMTU, never
	tc.c.path.cc = &wideController{}
	tc.c.wake()
	tc.wantDatagrams("the small one", "small")
	tc.wantEvent("the large one is lost", EventDatagramLost)
}

// TestDatagramsGoFirst: RFC 9221, Section 5 [1].
func TestDatagramsGoFirst(t *testing.T) {
	tc := datagramStory(t, false)
	s := tc.open(Uni)
	s.Write(make([]byte, 3000))
	tc.sendDatagrams(1, DatagramOptions{})
	tc.wantFrame("a datagram is worth nothing later", datagramFrame("0"))
	tc.wantType("stream data can wait", wire.FrameStream)
}

// TestDatagramsWaitForTheWindow: congestion control holds datagrams back (RFC 9221, Section 5.4
// [1]).
// RFC 9000, Section 19.21 [3].
func TestDatagramsWaitForTheWindow(t *testing.T) {
	tc := datagramStory(t, true)
	tc.sendDatagrams(2, DatagramOptions{})
	tc.wantIdle("the window is shut")
	tc.c.path.cc = &wideController{}
	tc.c.wake()
	tc.wantDatagrams("it is open", "0", "1")
}

// TestAckOfDatagrams: the ACK of a packet with a datagram alone may wait (RFC 9221, Section 5.2
// [1]).
// RFC 9000, Section 19.21 [4].
func TestAckOfDatagrams(t *testing.T) {
	tc := datagramStory(t, false)
	tc.write(datagramFrame("x"))
	tc.wantIdle("one packet may wait")
	tc.wantTimer("for max_ack_delay", maxAckDelay)
}

// TestDatagramKeys: a server sends a datagram before the handshake ends, not in packets of the
// handshake (RFC 9221, Section 5 [3]; RFC 9221, Section 6 [1]).
func TestDatagramKeys(t *testing.T) {
	tc := handshakeServer(t, func(s *testSetup) {
		s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 1000, 1000
	})
	tc.takeKeys()
	tc.sendDatagrams(1, DatagramOptions{})
	tc.collect()
	n := 0
	for _, p := range tc.queue {
		for _, f := range p.frames {
			if f.typ == wire.FrameDatagram || f.typ == wire.FrameDatagramLen {
				if n++; p.space != spaceApp {
					t.Errorf("a datagram is in a packet of space %d", p.space)
				}
			}
		}
	}
	if n != 1 {
		t.Errorf("%d datagrams were sent before the end of the handshake", n)
	}
}

// TestDatagramOfAClosedConn: events that wait are still reported. Calls fail.
func TestDatagramOfAClosedConn(t *testing.T) {
	tc := datagramStory(t, false)
	tc.write(datagramFrame("last"))
	tc.c.Close(0, "")
	if b, ok := tc.c.ReceiveDatagram(); ok && string(b) != "last" {
		t.Errorf("received %q", b)
	}
	if err := tc.sendDatagrams(1, DatagramOptions{}); err == nil {
		t.Error("a closed connection takes datagrams")
	}
}

// TestDatagramMemory: a burst leaves memory for the next burst, but not for long.
func TestDatagramMemory(t *testing.T) {
	tc := datagramStory(t, false)
	for range 100 {
		tc.write(datagramFrame(strings.Repeat("x", 1000)))
	}
	for n := 0; ; n++ {
		if _, ok := tc.c.ReceiveDatagram(); !ok {
			if n != 100 {
				t.Fatalf("%d datagrams", n)
			}
			break
		}
	}
	if err := tc.sendDatagrams(50, DatagramOptions{}); err != nil {
		t.Fatal(err)
	}
	tc.flush()
	tc.ackAll()
	d := tc.c.datagrams
	if len(d.recv.buf) < 100 || len(d.send.buf) < 50 {
		t.Fatalf("memory for %d and %d datagrams is kept", len(d.recv.buf), len(d.send.buf))
	}
	tc.advance(2*tidyAfter + time.Second)
	if len(d.recv.buf) > maxIdleDatagrams || len(d.send.buf) > maxIdleDatagrams {
		t.Errorf("memory for %d and %d datagrams is kept", len(d.recv.buf), len(d.send.buf))
	}
	tc.write(datagramFrame("again"))
	if b, ok := tc.c.ReceiveDatagram(); !ok || string(b) != "again" {
		t.Errorf("%q, %v", b, ok)
	}
}

// TestDatagramLongerThanThePeerTakes: a server that rejects early data may take shorter datagrams
// than it had promised.
// RFC 9000, Section 19.21 [1].
func TestDatagramLongerThanThePeerTakes(t *testing.T) {
	tc := datagramStory(t, true)
	tc.c.SendDatagram(make([]byte, 500), DatagramOptions{Notify: true})
	tc.c.SendDatagram([]byte("short"), DatagramOptions{})
	tc.c.peer.MaxDatagramFrame = 100
	tc.c.path.cc = &wideController{}
	tc.c.wake()
	tc.wantDatagrams("the long one is not sent", "short")
	if ev := tc.wantEvent("the application learns of it", EventDatagramLost); ev.ID != 1 {
		t.Errorf("%+v", ev)
	}
}
