package conn

import (
	"testing"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/wire"
)

// A noteController notes the calls of its methods.
type noteController struct {
	wideController
	order  []string
	losses []congestion.Loss
	undone []congestion.Loss
}

func (n *noteController) OnAck(*congestion.Ack) { n.order = append(n.order, "ack") }

func (n *noteController) OnLoss(l *congestion.Loss) {
	n.order = append(n.order, "loss")
	n.losses = append(n.losses, *l)
}

func (n *noteController) OnSpurious(l *congestion.Loss) {
	n.order = append(n.order, "spurious")
	n.undone = append(n.undone, *l)
}

// newNotedConn returns a connection with such a controller.
func newNotedConn(t *testing.T) (*testConn, *noteController) {
	tc := newTestConn(t, false)
	cc := &noteController{}
	tc.c.path.cc = cc
	tc.ignore(wire.FramePing)
	return tc, cc
}

// ackOnly acknowledges the packets from first to last, which may have been lost.
func (tc *testConn) ackOnly(first, last uint64) { tc.write(ackFrame(rangeString(first, last))) }

// TestSpuriousLossRuns: a wrong run of loss detection is reported, even if others came after it.
// Each is reported by itself and once.
func TestSpuriousLossRuns(t *testing.T) {
	tc, cc := newNotedConn(t)
	pn := tc.sendPings(20, 0)
	tc.ackOnly(pn[4], pn[4])   // 0 and 1 are lost
	tc.ackOnly(pn[9], pn[9])   // 2, 3, 5 and 6
	tc.ackOnly(pn[13], pn[13]) // 7, 8 and 10
	if n := len(cc.losses); n != 3 {
		t.Fatalf("%d losses", n)
	}
	for i, want := range []struct{ packets, ranges int }{{2, 1}, {4, 2}, {3, 2}} {
		if l := cc.losses[i]; l.Packets != want.packets || l.Ranges != want.ranges {
			t.Errorf("loss %d: %d packets in %d rows, want %+v", i, l.Packets, l.Ranges, want)
		}
	}
	tc.ackOnly(pn[2], pn[3])
	tc.ackOnly(pn[0], pn[0])
	if len(cc.undone) > 0 {
		t.Fatal("half of a loss is not spurious")
	}
	tc.ackOnly(pn[5], pn[6])
	tc.ackOnly(pn[1], pn[1])
	tc.ackOnly(pn[0], pn[6])
	if len(cc.undone) != 2 {
		t.Fatalf("%d spurious losses, want 2", len(cc.undone))
	}
	for i, j := range []int{1, 0} {
		got, want := cc.undone[i], cc.losses[j]
		if got.Bytes != want.Bytes || got.Packets != want.Packets || !got.Now.Equal(want.Now) || got.Largest == nil {
			t.Errorf("spurious: %+v, lost: %+v", got, want)
		}
	}
}

// TestControllerOrder: the calls for one ACK frame come in the order that [Controller] documents.
func TestControllerOrder(t *testing.T) {
	tc, cc := newNotedConn(t)
	pn := tc.sendPings(20, 0)
	tc.ackOnly(pn[3], pn[3])
	cc.order = nil
	tc.write(ackFrame(rangeString(pn[10], pn[10]) + " " + rangeString(pn[0], pn[0])))
	if want := []string{"spurious", "loss", "ack"}; len(cc.order) != 3 || cc.order[0] != want[0] || cc.order[1] != want[1] || cc.order[2] != want[2] {
		t.Errorf("told %v, want %v", cc.order, want)
	}
}

// TestLossRunsAreBounded: a peer leaves out every fourth packet for ever. The Conn remembers little
// of that.
func TestLossRunsAreBounded(t *testing.T) {
	tc, cc := newNotedConn(t)
	var first []uint64
	for range 24 {
		pn := tc.sendPings(4, 0)
		first = append(first, pn[0])
		tc.ackOnly(pn[1], pn[3])
	}
	if n := len(tc.c.path.losses); n > maxLossRuns {
		t.Errorf("%d runs remembered", n)
	}
	tc.ackOnly(first[23], first[23])
	if len(cc.undone) != 1 {
		t.Errorf("%d spurious losses", len(cc.undone))
	}
	tc.wantOpen("nothing is wrong with that")
}
