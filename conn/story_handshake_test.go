package conn

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// The handshake: coalescing, anti-amplification, keys that are discarded (RFC 9000, Sections 7, 8.1 and 12.2; RFC 9001,
// Section 4.9).

// handshakeServer returns a server that has sent its first flight, which the test has not looked at; the client has it not.
func handshakeServer(t *testing.T, edit ...func(*testSetup)) *testConn {
	t.Helper()
	tc := startTestConn(t, true, edit...)
	tc.exchange(func() bool { return tc.c != nil })
	tc.collect()
	tc.dcid = tc.c.local.ids[0].id
	return tc
}

// finishOf lets the real client finish the handshake on what the server sent, and returns the CRYPTO frame with its Finished,
// which the server does not get.
func (tc *testConn) finishOf() frame {
	tc.t.Helper()
	for _, d := range tc.datagrams {
		tc.peerE.Receive(tc.now, Datagram{Data: append([]byte(nil), d.data...), Remote: tc.addr, Local: tc.peerAddr})
	}
	for _, d := range drainEndpoint(tc.peerE, tc.now, tc.buf) {
		for b := d.data; len(b) > 0 && wire.IsLong(b[0]); {
			h, ok := wire.ParseLong(b)
			if !ok {
				tc.t.Fatal("the client sent a malformed packet")
			}
			if h.Type == wire.TypeHandshake {
				tx := tc.c.spaces[spaceHandshake].rx
				pnLen, pn, _ := tx.Unprotect(b[:h.End], h.PNOff)
				payload, ok := tx.Open(b[:h.End], h.PNOff+pnLen, pn)
				if !ok {
					tc.t.Fatal("the client's packet does not open")
				}
				for len(payload) > 0 {
					f, n := parseFrame(payload)
					if f.typ == wire.FrameCrypto {
						return f
					}
					payload = payload[n:]
				}
			}
			b = b[h.End:]
		}
	}
	tc.t.Fatal("the client sent no Finished")
	return frame{}
}

// TestAckBehindFinished: the ACK frame of a Handshake packet stands behind the CRYPTO frame that ends the
// handshake, and with it the space.
func TestAckBehindFinished(t *testing.T) {
	tc := handshakeServer(t)
	finished := tc.finishOf()
	ack := tc.ackOf(spaceHandshake)
	tc.writeIn(spaceHandshake, finished, ack)
	if tc.c.state != stateConfirmed {
		t.Fatal("the handshake is not confirmed")
	}
	tc.wantOpen("an acknowledgement in a space that has just gone")
	if n := tc.c.path.inFlight; n > 1<<20 {
		t.Fatalf("%d bytes are in flight", int64(n))
	}
}

// completeClient returns a client that has completed the handshake, and which the server has not confirmed it to.
func completeClient(t *testing.T, edit ...func(*testSetup)) *testConn {
	t.Helper()
	tc := startTestConn(t, false, edit...)
	tc.exchange(func() bool { return tc.c.state == stateComplete })
	tc.takeOver()
	return tc
}

// TestLossTimersOfTwoSpaces: packets of one space are due to be declared lost before those of another.
func TestLossTimersOfTwoSpaces(t *testing.T) {
	for _, order := range [][2]spaceID{{spaceApp, spaceHandshake}, {spaceHandshake, spaceApp}} {
		tc := completeClient(t)
		for _, space := range order {
			for range 2 { // the later of which is acknowledged
				tc.pingIn(space)
			}
			tc.now = tc.now.Add(time.Millisecond)
		}
		tc.now = tc.now.Add(testRTT - 2*time.Millisecond)
		for _, space := range order {
			newest := uint64(tc.largest[space])
			tc.writeIn(space, ackFrame(rangeString(newest, newest)))
			if tc.c.spaces[space].lossTime == 0 {
				t.Fatal("there is no loss timer")
			}
		}
		tc.advance(testRTT) // fails if a timer is due for ever
		if n := tc.c.stats.PacketsLost; n < 2 {
			t.Errorf("%d packets count as lost", n)
		}
	}
}

// handshakeClient returns a client that has the ServerHello, and so Handshake keys, and nothing more.
func handshakeClient(t *testing.T, edit ...func(*testSetup)) *testConn {
	t.Helper()
	tc := startTestConn(t, false, edit...)
	tc.exchange(func() bool { return tc.peer != nil })
	for _, d := range drainEndpoint(tc.peerE, tc.now, tc.buf) {
		h, ok := wire.ParseLong(d.data)
		if !ok || h.Type != wire.TypeInitial {
			continue
		}
		tc.deliver(d.data[:h.End], tc.peerAddr, NotECT)
	}
	if sp := tc.c.spaces[spaceHandshake]; sp.rx == nil || tc.c.state != stateHandshake {
		t.Fatal("the client has no Handshake keys")
	}
	tc.collect()
	tc.takeKeys()
	return tc
}
