package conn

import "testing"

// The keys are updated twice while nothing comes on the second path. The first packet that comes
// there may be of either phase, or of the one between them (RFC 9001, Section 6.5;
// draft-ietf-quic-multipath-21, Section 2.5).
func TestMultipathFirstPacketOfPhase(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after int // key updates, before the packet is made and before it comes
	}{
		{"the phase in use", 1, 1},
		{"the phase before, delayed", 0, 1},
		{"the next phase", 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestConn(t, true, withPaths)
			x := tc.lane(1)
			x.open()
			first := tc.theirs(Uni, 0)
			make := func() []byte { return x.seal(streamFrame(first, 0, "on the second path")) }
			var b []byte
			for i := 0; ; i++ {
				if i == tt.before {
					b = make()
				}
				if i >= max(tt.before, tt.after) {
					break
				}
				tc.turnKeys()
				if i < tt.after {
					tc.write(pingFrame())
					tc.ping()
					tc.flush()
					tc.ackAll()
				}
			}
			tc.deliver(b, x.from, NotECT)
			tc.wantOpen("the packet is good")
			if got, _ := tc.readStream(tc.stream(first)); got != "on the second path" {
				t.Errorf("read %q", got)
			}
		})
	}
}
