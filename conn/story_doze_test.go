package conn

import (
	"testing"
	"time"
)

// dozes reports whether the Conn has given back its ciphers.
func (tc *testConn) dozes() bool { return !tc.c.app.rx.Awake() && !tc.c.app.tx.Awake() }

// TestDoze: a connection that has been silent for a while keeps no ciphers, needs no timer for that
// any more, and goes on as if nothing had been. Each time it waits longer for that.
func TestDoze(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, idleAfter(-1, -1))
		for i, data := range []string{"one", "two", "three", "four", "five"} {
			wait := dozeAfter << min(i, maxDozes)
			tc.write(streamFrame(tc.theirs(Uni, uint64(i)), 0, data))
			if got, _ := tc.readStream(tc.stream(tc.theirs(Uni, uint64(i)))); got != data {
				t.Fatalf("read %q, want %q", got, data)
			}
			tc.writeStream(tc.open(Uni), data)
			tc.flush()
			tc.advance(testRTT)
			if tc.dozes() {
				t.Fatal("it dozes with packets in flight")
			}
			tc.ackAll()
			tc.advance(wait - 1)
			if tc.dozes() {
				t.Fatal("it dozes too early")
			}
			tc.advance(1)
			if !tc.dozes() {
				t.Fatal("it does not doze")
			}
			if at := tc.e.Timeout(); !at.IsZero() {
				t.Fatalf("a timer is set for %v", at.Sub(tc.now))
			}
			if err := tc.e.CheckMemory(); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				tc.must(tc.c.UpdateKeys()) // of keys that rest
				tc.ping()
				tc.turnKeys()
				tc.ackAll()
			}
		}
	})
}

// TestDozeOfNextKeys: keys that forged packets had made doze too. They open what the peer sends
// when it updates its keys.
func TestDozeOfNextKeys(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, idleAfter(-1, -1))
		forge := func() {
			tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, phase: true})
			if next := tc.c.keys.nextRx; next == nil || !next.Awake() {
				t.Fatal("the packet has not made the keys")
			}
		}
		wantDozing := func() {
			if !tc.dozes() || tc.c.keys.nextRx.Awake() {
				t.Fatal("it does not doze")
			}
			if at := tc.e.Timeout(); !at.IsZero() {
				t.Fatalf("a timer is set for %v", at.Sub(tc.now))
			}
		}
		forge()
		tc.advance(dozeAfter)
		wantDozing()
		forge() // to one that dozes
		tc.advance(dozeAfter << maxDozes)
		wantDozing()
		tc.write(pingFrame())
		tc.ackAll()
		tc.advance(dozeAfter << maxDozes)
		wantDozing()
		tc.turnKeys()
		tc.write(pingFrame())
		if !tc.c.keys.rxPhase {
			t.Fatal("it does not follow the peer")
		}
	})
}

// TestNoDozeWhileBusy: what comes within the time puts it off.
func TestNoDozeWhileBusy(t *testing.T) {
	tc := newTestConn(t, true)
	for range 10 {
		tc.write(pingFrame())
		tc.advance(dozeAfter / 2)
		if tc.dozes() {
			t.Fatal("it dozes between packets")
		}
	}
	tc.advance(dozeAfter/2 - 1)
	if tc.dozes() {
		t.Fatal("it dozes too early")
	}
	tc.advance(time.Millisecond)
	if !tc.dozes() {
		t.Fatal("it does not doze")
	}
}
