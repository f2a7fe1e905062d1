package conn

import (
	"errors"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// How connections end (RFC 9000, Section 10.2).

// RFC 9000, Section 10.2 [1, 2, 3]; RFC 9000, Section 10.2.1 [1]; RFC 9000, Section 10.2.3 [1]; RFC
// 9000, Section 10.3 [1].
// RFC 9000, Section 11 [3].
func TestClose(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		by := tc.bystand()
		s := tc.open(Uni)
		tc.writeStream(s, "unsent")
		tc.c.Close(77, "enough")
		tc.wantPacket("the peer is told, and nothing else", spaceApp, appCloseFrame(77, "enough"))
		ae, ok := errors.AsType[*ApplicationError](tc.wantEnd("at once"))
		if !ok || ae.Code != 77 || ae.Reason != "enough" || ae.Remote {
			t.Errorf("%v", ae)
		}
		tc.wantIdle("once")
		tc.c.Close(78, "again")
		tc.wantIdle("closing twice does nothing")
		if err := lastError(s.Write([]byte("x"))); !errors.Is(err, ErrClosed) || !errors.Is(err, ae) {
			t.Errorf("Write returned %v", err)
		}
		// The peer goes on sending. It gets answers at ever longer intervals (RFC 9000, Section
		// 10.2.1).
		for range 100 {
			tc.write(pingFrame())
			tc.collect()
		}
		n := len(tc.datagrams)
		if n < 4 || n > 10 {
			t.Errorf("%d answers to 100 packets", n)
		}
		for _, d := range tc.datagrams[1:] {
			if string(d.data) != string(tc.datagrams[0].data) {
				t.Error("answers differ")
			}
		}
		routes := len(tc.e.routes.ids)
		tc.advance(3*testPTO + time.Millisecond)
		if len(tc.e.routes.ids) >= routes {
			// RFC 9000, Section 10.2
			t.Error("the connection is not forgotten after three probe timeouts")
		}
		if n := tc.c.app.sent.bytes(); n != 0 || tc.c.app.tx != nil || tc.c.app.rx != nil {
			t.Errorf("a connection that has ended holds %d bytes of records, or keys", n)
		}
		by.check()
	})
}

// TestRefuse: the peer gets an error of the transport, and not of the application.
func TestRefuse(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.c.Refuse("no room")
		tc.wantPacket("the peer is told", spaceApp, closeFrame(errConnectionRefused, 0, "no room"))
		te, ok := errors.AsType[*TransportError](tc.wantEnd("at once"))
		if !ok || te.Code != errConnectionRefused || te.Remote {
			t.Errorf("%v", te)
		}
	})
}

// TestAbandon: the peer is told nothing, whatever it sends.
func TestAbandon(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		by := tc.bystand()
		s := tc.open(Uni)
		tc.writeStream(s, "unsent")
		tc.c.Abandon()
		if ae, ok := errors.AsType[*ApplicationError](tc.wantEnd("at once")); !ok || ae.Code != 0 || ae.Remote {
			t.Errorf("%v", ae)
		}
		tc.c.Abandon()
		for range 20 {
			tc.write(pingFrame())
		}
		tc.wantIdle("nothing is sent")
		if tc.e.stats.StatelessResetsSent != 0 {
			t.Error("late packets are answered with resets")
		}
		tc.advance(3*testPTO + time.Millisecond)
		by.check()
	})
}

// RFC 9000, Section 10.2.2 [1, 2].
func TestCloseByPeer(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		for _, f := range []frame{appCloseFrame(5, "bye"), closeFrame(errInternal, 7, "oops")} {
			tc := newTestConn(t, server)
			by := tc.bystand()
			s := tc.open(Uni)
			tc.writeStream(s, "unsent")
			tc.flush()
			tc.events = nil
			tc.write(f)
			err := tc.wantEnd("the peer has closed")
			if f.typ == wire.FrameApplicationClose {
				ae, ok := errors.AsType[*ApplicationError](err)
				if !ok || ae.Code != 5 || ae.Reason != "bye" || !ae.Remote {
					t.Errorf("%v", err)
				}
			} else {
				te, ok := errors.AsType[*TransportError](err)
				if !ok || te.Code != errInternal || te.Frame != 7 || te.Reason != "oops" || !te.Remote {
					t.Errorf("%v", err)
				}
			}
			for range 20 {
				tc.write(pingFrame())
			}
			tc.wantIdle("nothing is sent in the draining state") // RFC 9000, Section 10.2.2
			if tc.e.stats.StatelessResetsSent != 0 {
				t.Error("late packets are answered with resets")
			}
			tc.advance(3*testPTO + time.Millisecond)
			by.check()
		}
	})
}

// TestFramesBehindClose: frames behind CONNECTION_CLOSE in a packet do not count.
func TestFramesBehindClose(t *testing.T) {
	tc := newTestConn(t, true)
	tc.write(appCloseFrame(5, "bye"), streamFrame(tc.theirs(Uni, 0), 0, "x"), handshakeDoneFrame())
	if _, ok := errors.AsType[*ApplicationError](tc.wantEnd("closed by the peer")); !ok || tc.hasEvent(EventStreamOpened) {
		t.Errorf("%v", tc.c.err)
	}
}

// TestEventsOfAClosedConn: EventClosed comes last and once. The data of earlier events can be read
// until EventClosed is taken.
func TestEventsOfAClosedConn(t *testing.T) {
	tc := newTestConn(t, true)
	id := tc.theirs(Uni, 0)
	tc.write(streamFrame(id, 0, "last words"), appCloseFrame(5, "bye"))
	ev, ok := tc.e.NextEvent()
	if !ok || ev.Kind != EventStreamOpened {
		t.Fatalf("%+v", ev)
	}
	if got, err := tc.readStream(ev.Stream); got != "last words" || !errors.Is(err, ErrClosed) {
		t.Errorf("read %q, %v", got, err)
	}
	kinds := []EventKind{}
	for ev, ok := tc.e.NextEvent(); ok; ev, ok = tc.e.NextEvent() {
		kinds = append(kinds, ev.Kind)
	}
	if n := len(kinds); n == 0 || kinds[n-1] != EventClosed {
		t.Errorf("events %v", kinds)
	}
	if n := tc.e.chunks.Used(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

// TestCloseBeforeTheHandshakeEnds: the peer gets a CONNECTION_CLOSE that it can read (RFC 9000,
// Section 10.2.3).
// RFC 9000, Section 10.2.3 [2, 3, 4, 5, 6, 7]; RFC 9000, Section 12.5 [1].
func TestCloseBeforeTheHandshakeEnds(t *testing.T) {
	t.Run("client at once", func(t *testing.T) {
		tc := startTestConn(t, false)
		tc.collect()
		tc.flush()
		tc.c.Close(77, "secret")
		tc.wantFrame("in an Initial packet, without what the application says", closeFrame(errApplication, 0, ""))
		if n := len(tc.datagrams[0].data); n < minMTU {
			t.Errorf("in a datagram of %d bytes", n)
		}
	})
	t.Run("client with Handshake keys", func(t *testing.T) {
		tc := handshakeClient(t)
		tc.flush()
		tc.c.Close(77, "secret")
		seen := map[PacketType]bool{}
		for tc.collect(); len(tc.queue) > 0; tc.queue = tc.queue[1:] {
			p := tc.queue[0]
			seen[p.typ] = true
			if p.frames[0] != closeFrame(errApplication, 0, "") {
				t.Errorf("%v", p)
			}
		}
		if !seen[PacketHandshake] {
			t.Errorf("sent in %v", seen)
		}
	})
	t.Run("server", func(t *testing.T) {
		tc := handshakeServer(t)
		tc.flush()
		tc.c.path.received += 5000
		tc.c.Close(77, "secret")
		seen := map[PacketType]bool{}
		for tc.collect(); len(tc.queue) > 0; tc.queue = tc.queue[1:] {
			p := tc.queue[0]
			seen[p.typ] = true
			want := closeFrame(errApplication, 0, "")
			if p.typ == Packet1RTT {
				want = appCloseFrame(77, "secret")
			}
			if p.frames[0] != want {
				t.Errorf("%v", p)
			}
		}
		if !seen[PacketHandshake] || !seen[PacketInitial] {
			t.Errorf("sent in %v", seen) // the client may have the keys of only one of the spaces
		}
	})
}

// TestCloseIsNotTricked: datagrams from other addresses are not answered, and do not move what is
// left of a connection.
// RFC 9000, Section 10.2.1 [3].
func TestCloseIsNotTricked(t *testing.T) {
	tc := newTestConn(t, true)
	tc.c.Close(1, "")
	tc.flush()
	for i := range 50 {
		tc.writeFrom(elsewhere(i), 1200, pingFrame())
	}
	tc.wantIdle("strangers are not answered")
}

// TestClosingIsNotAmplified: a server closes while its client may be somewhere else, and little is
// left of what it may send there. Late datagrams, as short as they can be, are answered as long as
// three times their bytes pay for that.
// RFC 9000, Section 10.2.1 [2].
func TestClosingIsNotAmplified(t *testing.T) {
	tc := handshakeServer(t)
	tc.flush()
	pa := tc.c.path
	pa.received = (pa.sent + minMTU + 2) / 3 // just as much as lets CONNECTION_CLOSE go
	in, before := pa.received, pa.sent
	tc.c.Close(77, string(make([]byte, maxReason)))
	late := append([]byte{fixedBit}, tc.dcid.bytes()...)
	answers := 0
	for range 1000 {
		out := before + uint64(tc.bytesOut(tc.peerAddr))
		if out > 3*in {
			t.Fatalf("%d bytes went to an address that %d came from", out, in)
		}
		answers = len(tc.datagrams)
		in += uint64(len(late))
		tc.deliver(late, tc.peerAddr, NotECT)
	}
	if answers < 5 {
		t.Errorf("%d answers", answers)
	}
}

// TestLongReason: a reason that does not fit is cut.
func TestLongReason(t *testing.T) {
	tc := newTestConn(t, true)
	tc.c.Close(1, string(make([]byte, 10000)))
	f, p := tc.wantType("the peer is told", wire.FrameApplicationClose)
	if len(f.data) > maxReason || p.size > minMTU {
		t.Errorf("a reason of %d bytes in %d", len(f.data), p.size)
	}
	tc = startTestConn(t, false)
	tc.exchange(func() bool {
		return tc.peer != nil && tc.c.spaces[spaceHandshake] != nil && tc.c.spaces[spaceHandshake].tx != nil
	})
	tc.flush()
	tc.c.abort(violation(errInternal, 0, "%s", string(make([]byte, 10000))))
	tc.collect()
	for _, d := range tc.datagrams {
		if len(d.data) > minMTU {
			t.Errorf("a datagram of %d bytes", len(d.data))
		}
	}
}

func TestEndpointClose(t *testing.T) {
	tc := newTestConn(t, true)
	tc.bystand()
	tc.e.Close()
	n := 0
	for ev, ok := tc.e.NextEvent(); ok; ev, ok = tc.e.NextEvent() {
		if ev.Kind == EventClosed {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d connections ended", n)
	}
	tc.write(pingFrame())
	if out := drainEndpoint(tc.e, tc.now, tc.buf); len(out) != 0 {
		t.Errorf("%d datagrams are sent by a closed Endpoint", len(out))
	}
	cfg := quietConfig()
	_, cfg.TLS = testTLS(t)
	if _, err := tc.e.Dial(tc.now, Target{Remote: tc.peerAddr}, &cfg); !errors.Is(err, ErrClosed) {
		t.Errorf("Dial returned %v", err)
	}
	tc.e.HandleTimeout(tc.now.Add(time.Hour))
	if at := tc.e.Timeout(); !at.IsZero() {
		t.Errorf("a timer is set for %v", at)
	}
}

// TestLargeErrorCodes: a code that no frame can carry becomes the largest code.
func TestLargeErrorCodes(t *testing.T) {
	const most = 1<<62 - 1
	tc := newTestConn(t, true, func(s *testSetup) { s.peer.InitialMaxStreamsBidi = 10 })
	for _, code := range []uint64{most, most + 1, 1<<64 - 1} {
		s := tc.open(Bidi)
		s.Write([]byte("x"))
		tc.wantFrame("data", streamFrame(s.ID(), 0, "x"))
		s.Reset(code)
		s.StopSending(code)
		tc.wantPacket("reset and stop", spaceApp, resetStreamFrame(s.ID(), most, 1), stopSendingFrame(s.ID(), most))
	}
	tc.c.Close(1<<63, "")
	tc.wantFrame("close", appCloseFrame(most, ""))
}
