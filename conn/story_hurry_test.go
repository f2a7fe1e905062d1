package conn

import (
	"testing"

	"github.com/lazoquic/lazo/internal/wire"
)

// A handshake whose packets are lost need not wait for a probe timeout (RFC 9002, Section 6.2.3).

// TestRepeatedClientHello: a client that repeats itself has missed the answer.
func TestRepeatedClientHello(t *testing.T) {
	tc := handshakeServer(t)
	tc.c.path.received = 1 << 20 // keeps anti-amplification out of this test
	tc.takeKeys()
	tc.flush()
	tc.ignore(wire.FrameAck, wire.FramePadding)
	again := func() { tc.writeIn(spaceInitial, cryptoFrame(0, "the same")) }
	again()
	tc.wantIdle("the network may have made two of one")
	for range maxHurries {
		tc.advance(hurryAfter)
		again()
		tc.collect()
		var spaces [numSpaces]bool
		for _, p := range tc.queue {
			for _, f := range p.frames {
				spaces[p.space] = spaces[p.space] || f.typ == wire.FrameCrypto
			}
		}
		if !spaces[spaceInitial] || !spaces[spaceHandshake] {
			t.Errorf("what it missed does not come at once: %v", tc.queue)
		}
		tc.flush()
	}
	tc.advance(hurryAfter)
	again()
	tc.wantIdle("enough of it")
	if n := tc.c.stats.PTOs; n != 0 {
		t.Errorf("%d probe timeouts", n)
	}
}

// TestRepeatedClientHelloAmplification: a client that repeats itself cannot make a server send more
// than it may (RFC 9000, Section 8.1).
func TestRepeatedClientHelloAmplification(t *testing.T) {
	tc := handshakeServer(t)
	tc.takeKeys()
	tc.flush()
	for range 20 {
		tc.advance(hurryAfter)
		tc.writeIn(spaceInitial, cryptoFrame(0, "the same"))
		tc.flush()
		if sent, got := tc.c.path.sent, tc.c.path.received; sent > 3*got {
			t.Fatalf("%d bytes for %d", sent, got)
		}
	}
}

// TestServerHelloMissing: a client gets packets that can only follow the ServerHello, and asks for
// that.
func TestServerHelloMissing(t *testing.T) {
	tc := startTestConn(t, false)
	hello, _ := tc.wantType("the client begins", wire.FrameCrypto)
	tc.flush()
	later := func() {
		b := append([]byte{0x40}, tc.c.local.ids[0].id.bytes()...)
		tc.deliver(append(b, make([]byte, 50)...), tc.peerAddr, NotECT)
	}
	later()
	tc.wantIdle("the ServerHello may be on its way")
	for range maxHurries {
		tc.advance(hurryAfter)
		later()
		if f, p := tc.wantType("it asks", wire.FrameCrypto); f != hello || p.typ != PacketInitial || p.burst.N < minMTU {
			t.Errorf("%v in %d bytes", f, p.burst.N)
		}
		tc.flush()
	}
	tc.advance(hurryAfter)
	later()
	tc.wantIdle("enough of it")
}
