package conn

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// Key updates (RFC 9001, Section 6).

// turnKeys makes the test write with the next keys.
func (tc *testConn) turnKeys() {
	tc.t.Helper()
	next, err := tc.tx[spaceApp].Next()
	tc.must(err)
	tc.tx[spaceApp], tc.txPhase = next, !tc.txPhase
}

// wantPhase makes the Conn send something, and checks the key phase of the packet.
func (tc *testConn) wantPhase(why string, phase bool) {
	tc.t.Helper()
	tc.flush()
	tc.ping()
	if p := tc.wantFrame(why, pingFrame()); wire.KeyPhase(p.first) != phase {
		tc.t.Fatalf("%s: the key phase is %v", why, !phase)
	}
}

func TestKeyUpdateByConn(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.ignore(wire.FrameAck)
		tc.wantPhase("it begins with the first", false)
		tc.ackAll()
		tc.must(tc.c.UpdateKeys())
		tc.wantPhase("it goes on with the second", true) // RFC 9001, Section 6.4 [1]
		if tc.c.UpdateKeys() == nil {
			t.Error("two updates at once") // RFC 9001, Section 6.1 [2]
		}
		late := tc.seal(testPacket{space: spaceApp, frames: []frame{streamFrame(tc.theirs(Uni, 0), 0, "late")}})
		tc.turnKeys()
		tc.ackAll()
		tc.wantOpen("the peer has followed")
		if tc.c.stats.KeyUpdates != 1 {
			t.Errorf("%d key updates", tc.c.stats.KeyUpdates)
		}
		tc.deliver(late, tc.peerAddr, NotECT)
		if got, _ := tc.readStream(tc.stream(tc.theirs(Uni, 0))); got != "late" {
			// RFC 9001, Section 6.1 [3, 4]
			t.Errorf("of a packet with the keys before, %q was read", got)
		}
		if tc.c.UpdateKeys() == nil {
			t.Error("the peer may not have dropped the first keys") // RFC 9001, Section 6.5 [1]
		}
		tc.advance(4 * testPTO) // the last acknowledgement came with no delay, so they vary more
		tc.must(tc.c.UpdateKeys())
		tc.wantPhase("the third phase looks like the first", false)
	})
}

func TestKeyUpdateByPeer(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.ignore(wire.FrameAck)
		tc.turnKeys()
		tc.write(streamFrame(tc.theirs(Uni, 0), 0, "new keys"))
		if got, _ := tc.readStream(tc.stream(tc.theirs(Uni, 0))); got != "new keys" {
			t.Fatalf("read %q", got)
		}
		tc.wantPhase("it follows at once", true) // RFC 9001, Section 6.2 [1, 2]
		if tc.c.UpdateKeys() == nil {
			t.Error("an update before anything of the phase is acknowledged")
		}
		tc.ackAll()
		tc.advance(3 * testPTO)
		tc.must(tc.c.UpdateKeys())
		tc.wantPhase("its turn", false)
		tc.turnKeys()
		tc.ackAll()
		tc.turnKeys()
		tc.write(pingFrame())
		tc.wantPhase("the turn of the peer", true)
		tc.wantOpen("they may go on like this for ever")
	})
}

func TestKeyUpdateByBoth(t *testing.T) {
	tc := newTestConn(t, true)
	tc.ignore(wire.FrameAck)
	tc.ping()
	tc.ackAll()
	tc.flush()
	tc.must(tc.c.UpdateKeys())
	tc.turnKeys()
	tc.write(pingFrame()) // neither side has seen a packet of the other's new phase
	tc.wantOpen("both had the same idea")
	tc.wantPhase("it counts as one update", true)
	tc.ackAll()
	tc.wantOpen("and goes on")
}

func TestOldKeysAreDropped(t *testing.T) {
	tc := newTestConn(t, false)
	early := tc.seal(testPacket{space: spaceApp, frames: []frame{streamFrame(tc.theirs(Uni, 0), 0, "early")}})
	tc.turnKeys()
	tc.write(pingFrame())
	wait := 3 * (testRTT + 4*testVariance + maxAckDelay)
	tc.advance(wait - 1)
	if tc.c.keys.old == nil {
		t.Error("the old keys are gone") // RFC 9001, Section 6.5 [2, 3]: three times the PTO
	}
	if tc.c.UpdateKeys() == nil {
		t.Error("the peer may not have dropped the old keys") // RFC 9001, Section 6.5 [1]
	}
	tc.advance(2)
	if tc.c.keys.old != nil {
		t.Error("the old keys are still there") // RFC 9001, Section 6.5 [2, 3]: three times the PTO
	}
	before := tc.e.stats.DroppedUndecryptable
	tc.deliver(early, tc.peerAddr, NotECT)
	tc.wantOpen("it comes too late")
	if tc.e.stats.DroppedUndecryptable != before+1 || len(tc.c.streams.all) != 0 {
		t.Error("a packet of the keys that were dropped is not dropped")
	}
}

func TestKeyUpdateBeforeConfirmation(t *testing.T) {
	tc := completeClient(t)
	if tc.c.UpdateKeys() == nil {
		// RFC 9001, Section 6.1 [1]
		t.Error("a client updated its keys before the handshake is confirmed")
	}
	// The server has confirmed the handshake; HANDSHAKE_DONE was lost.
	tc.ping()
	tc.turnKeys()
	tc.write(pingFrame())
	tc.wantOpen("the server may update its keys")
	tc.write(handshakeDoneFrame())
	tc.wantPhase("the client follows", true)
}

func TestHostileKeyUpdates(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.turnKeys()
		tc.write(pingFrame())
		tc.turnKeys()
		tc.write(pingFrame())
		// RFC 9001, Section 6.2
		tc.wantClosed("two updates without waiting for the first to be answered", errKeyUpdate)
	})
}

// TestForgedKeyPhase: packets of a phase that does not exist are dropped, and have the keys of it
// made once (RFC 9001, Section 5.5 [1, 2]; RFC 9001, Section 6.3 [1, 2, 3]).
func TestForgedKeyPhase(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		before := tc.e.stats.DroppedUndecryptable
		var made *keys.Keys
		for i := range 100 {
			// flips the bit alone
			tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, phase: true})
			if i == 0 {
				made = tc.c.keys.nextRx
			}
		}
		if tc.c.keys.nextRx == nil || tc.c.keys.nextRx != made {
			t.Error("the next keys are not kept")
		}
		if n := tc.e.stats.DroppedUndecryptable - before; n != 100 {
			t.Errorf("%d of 100 forged packets count as dropped", n)
		}
		tc.wantOpen("forgery is no reason to close")
		tc.wantPhase("no key was updated", false)
		tc.write(pingFrame())
		tc.write(pingFrame())
		tc.wantType("honest packets are taken still", wire.FrameAck)
	})
}

// TestKeysOfThePast: a peer goes back to keys that it has left.
func TestKeysOfThePast(t *testing.T) {
	tc := newTestConn(t, true)
	old := tc.tx[spaceApp]
	tc.turnKeys()
	tc.write(pingFrame())
	tc.flush()
	tc.send(testPacket{space: spaceApp, tx: old, phase: true, frames: []frame{streamFrame(tc.theirs(Uni, 0), 0, "x")}})
	if len(tc.c.streams.all) != 0 {
		t.Error("a packet newer than the update was taken with the keys before it")
	}
	// RFC 9001, Section 6.4 [2]
	tc.wantClosed("a packet newer than the update has the keys before it", errKeyUpdate)
}

// TestOldKeysAcknowledgeNew: a peer acknowledges what it cannot have opened without the new keys,
// and goes on with the old ones (RFC 9001, Section 6.2).
func TestOldKeysAcknowledgeNew(t *testing.T) {
	for _, newer := range []bool{false, true} {
		tc := newTestConn(t, true)
		tc.ping()
		before := tc.largest[spaceApp]
		tc.write(ackFrame(rangeString(uint64(before), uint64(before))))
		tc.must(tc.c.UpdateKeys())
		tc.ping()
		acked := uint64(before)
		if newer {
			acked = uint64(tc.largest[spaceApp])
		}
		tc.write(ackFrame(rangeString(acked, acked)))
		if newer {
			tc.wantClosed("an ACK frame with the keys before the update, for a packet behind it", errKeyUpdate)
		} else {
			tc.wantOpen("the peer has not seen the update")
		}
	}
}

// TestKeysOfThePastAreGone: three PTOs after an update, nobody can tell which keys a packet has.
func TestKeysOfThePastAreGone(t *testing.T) {
	tc := newTestConn(t, true)
	old := tc.tx[spaceApp]
	tc.turnKeys()
	tc.write(pingFrame())
	tc.advance(3 * testPTO)
	tc.send(testPacket{space: spaceApp, tx: old, phase: true, frames: []frame{pingFrame()}})
	tc.wantOpen("it may be a forgery")
}

// TestKeysAheadOfTheirTime: packets of a new phase have lower numbers than packets of the phase
// before it.
func TestKeysAheadOfTheirTime(t *testing.T) {
	for name, before := range map[string]func(*testConn){
		"before the update": func(tc *testConn) {
			tc.next[spaceApp] += 5
			tc.write(pingFrame())
			tc.next[spaceApp] -= 3
			tc.turnKeys()
		},
		"behind the update": func(tc *testConn) {
			late := testPacket{space: spaceApp, pn: tc.next[spaceApp] + 5, fixed: true, tx: tc.tx[spaceApp], phase: true, frames: []frame{pingFrame()}}
			tc.turnKeys()
			tc.next[spaceApp] += 9
			tc.write(pingFrame())
			tc.send(late)
			tc.wantOpen("it is of the phase before, and late")
			tc.next[spaceApp] -= 7
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestConn(t, true)
			before(tc)
			tc.write(pingFrame())
			// RFC 9001, Section 6.4
			tc.wantClosed("a packet has newer keys than one behind it", errKeyUpdate)
		})
	}
}

func TestKeysWearOut(t *testing.T) {
	tc := newTestConn(t, false)
	limit := tc.c.spaces[spaceApp].tx.ConfidentialityLimit()
	tc.ping()
	tc.ackAll()
	tc.flush()
	tc.c.keys.sealed = limit / 2
	tc.wantPhase("keys are updated before they wear out", true)
	// The peer never follows.
	tc.c.keys.sealed = limit - 1
	tc.ping()
	// RFC 9001, Section 6.6 [1, 2, 3, 4, 5], and RFC 9001, Section 5.3 [3]
	tc.wantClosed("if they cannot be updated, nothing more is sent with them", errAEADLimit)
}

// A burst ends before the keys are worn out.
// RFC 9001, Section 6.6 [4, 5].
func TestBurstOfWornKeys(t *testing.T) {
	tc := newTestConn(t, true)
	tc.ping()
	tc.ackAll()
	tc.flush()
	k := &tc.c.keys
	limit := tc.c.app.tx.ConfidentialityLimit()
	k.old, k.dropAt = tc.c.app.rx, tc.c.e.now.add(time.Hour) // no update now
	k.sealed = limit - 2
	tc.writeStream(tc.open(Uni), string(make([]byte, 8000)))
	tc.wantClosed("the keys are worn out", errAEADLimit)
	if k.sealed > limit {
		t.Errorf("%d packets were sealed, %d more than may be", k.sealed, k.sealed-limit)
	}
}

// Packets that validate a path, or probe for its MTU, are sealed with the same keys.
// RFC 9001, Section 6.6 [4, 5].
func TestWornKeysSealNoProbes(t *testing.T) {
	for name, probe := range map[string]func(*testConn){
		"PATH_RESPONSE":  func(tc *testConn) { tc.writeFrom(elsewhere(1), 0, challengeFrame("of path1")) },
		"PATH_CHALLENGE": func(tc *testConn) { tc.c.startChallenge(tc.c.path) },
		"MTU": func(tc *testConn) {
			m := &tc.c.path.mtu
			m.limit, m.ceiling = minMTU+100, minMTU+100
			tc.c.wake()
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestConn(t, true)
			tc.ping()
			tc.ackAll()
			tc.flush()
			k := &tc.c.keys
			k.old, k.dropAt = tc.c.app.rx, tc.c.e.now.add(time.Hour) // no update now
			k.sealed = tc.c.app.tx.ConfidentialityLimit()
			before := tc.c.stats.PacketsSent
			probe(tc)
			tc.wantClosed("the keys are worn out", errAEADLimit)
			if n := tc.c.stats.PacketsSent - before; n != 1 {
				t.Errorf("%d packets were sealed, not just CONNECTION_CLOSE", n)
			}
		})
	}
}

func TestTooManyForgeries(t *testing.T) {
	tc := newTestConn(t, false)
	tc.c.keys.failed = tc.c.spaces[spaceApp].rx.IntegrityLimit() - 2
	forged := tc.seal(testPacket{space: spaceApp, frames: []frame{pingFrame()}})
	forged[len(forged)-1] ^= 1
	tc.deliver(append([]byte(nil), forged...), tc.peerAddr, NotECT)
	tc.wantOpen("one more is bearable")
	tc.deliver(forged, tc.peerAddr, NotECT)
	tc.wantClosed("the limit is reached", errAEADLimit)
}

// TestForgeriesOfAllKeys: packets with long headers count against the limit too.
func TestForgeriesOfAllKeys(t *testing.T) {
	tc := handshakeConn(t, false)
	tc.c.keys.failed = tc.c.spaces[spaceHandshake].rx.IntegrityLimit() - 1
	forged := tc.seal(testPacket{space: spaceHandshake, frames: []frame{pingFrame()}})
	forged[len(forged)-1] ^= 1
	tc.deliver(forged, tc.peerAddr, NotECT)
	// RFC 9001, Section 6.6 [4, 6, 7]
	tc.wantClosed("the limit is for all keys together", errAEADLimit)
}

// TestForgedDuplicate: a packet whose number came before is dropped for what it is. That takes the
// time of opening it, so nobody learns packet numbers from how soon a guess is dropped.
// RFC 9000, Section 12.3 [5].
func TestForgedDuplicate(t *testing.T) {
	for _, space := range []spaceID{spaceHandshake, spaceApp} {
		sides(t, func(t *testing.T, server bool) {
			tc := handshakeConn(t, server)
			if space == spaceApp {
				tc = newTestConn(t, server)
			}
			sent := tc.seal(testPacket{space: space, frames: []frame{pingFrame(), paddingFrames(50)}})
			forged := append([]byte(nil), sent...)
			forged[len(forged)-1] ^= 1 // behind the sample for header protection
			again := append([]byte(nil), sent...)
			tc.deliver(sent, tc.peerAddr, NotECT)
			before := tc.e.stats
			tc.deliver(forged, tc.peerAddr, NotECT)
			// RFC 9001, Section 9.5 [1]
			if got := tc.e.stats; got.DroppedUndecryptable != before.DroppedUndecryptable+1 || got.DroppedDuplicate != before.DroppedDuplicate {
				t.Errorf("a forged packet counts as a duplicate: %d undecryptable, %d duplicates",
					got.DroppedUndecryptable-before.DroppedUndecryptable, got.DroppedDuplicate-before.DroppedDuplicate)
			}
			tc.deliver(again, tc.peerAddr, NotECT)
			if got := tc.e.stats.DroppedDuplicate - before.DroppedDuplicate; got != 1 {
				t.Errorf("%d duplicates, want 1", got)
			}
			tc.wantOpen("nothing of it is the peer's fault")
		})
	}
}
