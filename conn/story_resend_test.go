package conn

import (
	"testing"

	"github.com/lazoquic/lazo/internal/wire"
)

// A gateController lets nothing through while it is shut.
type gateController struct {
	wideController
	shut bool
}

func (g *gateController) Window() uint64 {
	if g.shut {
		return 0
	}
	return g.wideController.Window()
}

// TestLostDataGoesFirst: lost data is sent again before the new data of another stream with the
// same urgency that waits already (RFC 9000, Section 13.3).
// RFC 9218, Section 12 [1]; RFC 9000, Section 13.3 [4].
func TestLostDataGoesFirst(t *testing.T) {
	losses(t, func(t *testing.T, lost func(*testConn, *seenPacket)) {
		for _, p := range []Priority{{}, {Incremental: true}} {
			tc := newTestConn(t, true)
			gate := &gateController{}
			tc.c.path.cc = gate
			tc.ignore(wire.FrameAck, wire.FramePing)
			first, other := tc.open(Uni), tc.open(Uni)
			first.SetPriority(p)
			other.SetPriority(p)
			tc.writeStream(first, "lost")
			gone := tc.wantFrame("it is sent", streamFrame(first.ID(), 0, "lost"))
			gate.shut = true
			other.Write(make([]byte, 20_000))
			lost(tc, gone)
			gate.shut = false
			tc.wantFrame("what was lost goes first", streamFrame(first.ID(), 0, "lost"))
		}
	})
}

// TestLostDataIsNotUrgent: lost data waits for more urgent streams.
func TestLostDataIsNotUrgent(t *testing.T) {
	tc := newTestConn(t, true)
	tc.ignore(wire.FrameAck, wire.FramePing)
	first, urgent := tc.open(Uni), tc.open(Uni)
	urgent.SetPriority(Priority{Urgency: -1})
	tc.writeStream(first, "lost")
	gone := tc.wantFrame("it is sent", streamFrame(first.ID(), 0, "lost"))
	tc.lostByGap(gone)
	tc.writeStream(urgent, "urgent")
	tc.wantFrame("urgency counts", streamFrame(urgent.ID(), 0, "urgent"))
	tc.wantFrame("then what was lost", streamFrame(first.ID(), 0, "lost"))
}
