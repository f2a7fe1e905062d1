package conn

import (
	"fmt"
	"testing"
	"time"
)

// TestUnacknowledgedProbesAreFew: congestion control does not limit packets that validate a path. A
// peer that makes the Conn send many of them, and acknowledges none, costs little memory.
// RFC 9000, Section 21.6 [1].
func TestUnacknowledgedProbesAreFew(t *testing.T) {
	for name, step := range map[string]func(*testConn, int){
		"a new address with each packet": func(tc *testConn, i int) {
			tc.writeFrom(elsewhere(i), minMTU, pingFrame())
		},
		"PATH_CHALLENGE from another address": func(tc *testConn, i int) {
			tc.writeFrom(elsewhere(1), minMTU, challengeFrame(fmt.Sprintf("%08d", i)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestConn(t, true)
			s := tc.open(Uni)
			tc.writeStream(s, "data in flight")
			before := tc.e.Stats().Held
			for i := range 5000 {
				step(tc, i)
				tc.flush()
				tc.now = tc.now.Add(time.Millisecond)
			}
			if tc.c.closed {
				t.Fatal("the connection has ended")
			}
			if n := tc.c.lane.app.sent.rows.len(); n > 1000 {
				t.Errorf("%d packets are remembered", n)
			}
			if n := tc.e.Stats().Held - before; n > 200<<10 {
				t.Errorf("%d bytes are held", n)
			}
		})
	}
}
