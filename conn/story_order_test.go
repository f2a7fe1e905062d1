package conn

import (
	"fmt"
	"testing"

	"github.com/lazoquic/lazo/internal/wire"
)

// The order in which streams send: the frames of each packet, on a path without limits.

// An orderTest is a connection whose packets are taken one at a time.
type orderTest struct {
	*testConn
	out     []byte
	writers []*Stream       // streams that write whenever they have room
	sent    map[*Stream]int // bytes that were sent, by stream that this side opened
	// the last packet with bytes of the stream, or the last before the stream had anything to send
	last    map[*Stream]int
	gap     map[*Stream]int // the largest number of packets that the stream has waited
	packets int             // so far
}

func newOrderTest(t *testing.T, edit ...func(*testSetup)) *orderTest {
	edit = append([]func(*testSetup){func(s *testSetup) {
		s.peer.InitialMaxData, s.peer.InitialMaxStreamData = 64<<20, 64<<20
		s.peer.InitialMaxStreamsBidi, s.peer.InitialMaxStreamsUni = 10_000, 10_000
	}}, edit...)
	o := &orderTest{testConn: newTestConn(t, true, edit...), out: make([]byte, minMTU)}
	o.c.path.cc = &wideController{}
	o.sent, o.last, o.gap = make(map[*Stream]int), make(map[*Stream]int), make(map[*Stream]int)
	return o
}

// stream opens a stream that sends n bytes, or without end if n is 0.
func (o *orderTest) stream(n int, p ...Priority) *Stream {
	o.t.Helper()
	s := o.open(Uni)
	if len(p) > 0 {
		s.SetPriority(p[0])
	}
	o.sent[s], o.last[s] = 0, o.packets
	if n == 0 {
		o.writers = append(o.writers, s)
		return s
	}
	k, err := s.Write(make([]byte, n))
	if err != nil || k < n {
		o.t.Fatalf("stream %d takes %d bytes of %d: %v", s.ID(), k, n, err)
	}
	o.must(s.CloseWrite())
	return s
}

// streams opens count streams.
func (o *orderTest) streams(count, n int, p ...Priority) (all []*Stream) {
	o.t.Helper()
	for range count {
		all = append(all, o.stream(n, p...))
	}
	return all
}

// packet takes one packet and acknowledges it. It returns how many bytes it has of each stream.
func (o *orderTest) packet() map[*Stream]int {
	o.t.Helper()
	for _, s := range o.writers {
		s.Write(make([]byte, max(8000-s.out.Unsent(), 0)))
	}
	if _, ok := o.e.Transmit(o.now, o.out, 1); !ok {
		return nil
	}
	o.packets++
	carried := make(map[*Stream]int)
	for s, before := range o.sent {
		if n := int(s.out.Sent()) - before; n > 0 {
			carried[s] = n
			o.sent[s] += n
			o.gap[s] = max(o.gap[s], o.packets-o.last[s])
			o.last[s] = o.packets
		}
	}
	return carried
}

// run takes n packets.
func (o *orderTest) run(n int) {
	o.t.Helper()
	for range n {
		if len(o.packet()) == 0 {
			o.t.Fatalf("packet %d carries nothing", o.packets)
		}
	}
}

// wait checks that no stream has waited for more than n packets. A wait that still goes on counts.
func (o *orderTest) wait(why string, streams []*Stream, n int) {
	o.t.Helper()
	for _, s := range streams {
		if gap := max(o.gap[s], o.packets-o.last[s]); gap > n {
			o.t.Errorf("%s: stream %d waited for %d packets, want %d at most", why, s.ID(), gap, n)
		}
	}
}

// TestStreamsTakeTurns: streams whose priority was never set take turns with each other, and with
// incremental streams. Each gets one packet, once all have sent their first bytes.
func TestStreamsTakeTurns(t *testing.T) {
	for name, priorities := range map[string][2][]Priority{
		"never set":   {},
		"incremental": {{{Incremental: true}}, {{Incremental: true}}},
		"both":        {{{Incremental: true}}, {}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrderTest(t)
			streams := append(o.streams(4, 0, priorities[0]...), o.streams(4, 0, priorities[1]...)...)
			const first = 8 * (aheadBytes/minMTU + 2)
			o.run(first)
			o.wait("at first", streams, first)
			clear(o.gap)
			for range 50 {
				seen := make(map[*Stream]bool)
				for range 8 {
					for s := range o.packet() {
						seen[s] = true
					}
				}
				if len(seen) != 8 {
					t.Fatalf("8 packets carry %d streams, want all 8", len(seen))
				}
			}
			o.wait("then", streams, 9)
		})
	}
}

// TestNewStreamGoesAhead: a short response does not wait for long ones, however many there are. 149
// short responses take as many packets as their bytes fill, except for one packet in 16.
func TestNewStreamGoesAhead(t *testing.T) {
	for _, long := range []int{1, 50} {
		for name, p := range map[string][]Priority{"never set": nil, "incremental": {{Incremental: true}}} {
			t.Run(fmt.Sprintf("%d long ones, %s", long, name), func(t *testing.T) {
				o := newOrderTest(t)
				o.streams(long, 0, p...)
				o.run(1000)
				const size = 1000
				small := o.streams(149, size, p...)
				began, bytes := o.packets, 0
				for _, s := range small {
					for o.sent[s] < size {
						for _, n := range o.packet() {
							bytes += n
						}
					}
				}
				// Bytes that belong to other streams: one packet in 16, and the rest of the last.
				took := o.packets - began
				if others := bytes - 149*size; others > (took/16+1)*minMTU+minMTU {
					t.Errorf("%d packets carry %d bytes of others", took, others)
				}
				if most := 149*(size+30)*16/15/(minMTU-40) + 2; took > most {
					t.Errorf("149 answers of %d bytes take %d packets, want %d", size, took, most)
				}
			})
		}
	}
}

// TestAheadIsBounded: a stream gains nothing by being new again and again, or by writing little
// whenever it has sent everything. If new streams come without end, the old ones get one packet in
// 16.
func TestAheadIsBounded(t *testing.T) {
	t.Run("little at a time", func(t *testing.T) {
		o := newOrderTest(t)
		long, _ := o.stream(0), o.stream(1)
		drip := o.open(Uni)
		o.sent[drip] = 0
		for range 2000 {
			if drip.out.Unsent() == 0 {
				drip.Write(make([]byte, 1100)) // nearly a packet
			}
			o.packet()
		}
		if o.sent[drip] > o.sent[long]*5/4 {
			t.Errorf("%d bytes in little pieces, %d of the other", o.sent[drip], o.sent[long])
		}
	})
	t.Run("new streams without end", func(t *testing.T) {
		o := newOrderTest(t)
		long := o.streams(3, 0)
		o.run(30)
		clear(o.gap)
		began := o.packets
		young := o.streams(5, 1200)
		for range 3000 {
			o.run(1)
			for i, s := range young {
				if o.sent[s] == 1200 {
					delete(o.sent, s)
					young[i] = o.stream(1200)
				}
			}
		}
		o.wait("old ones", long, 8*16)
		all := 0
		for _, s := range long {
			all += o.sent[s]
		}
		if least := (o.packets - began) / 16 * 1000; all < least {
			t.Errorf("old streams sent %d bytes, want %d", all, least)
		}
	})
}

// TestNothingStarves: one packet in 16 goes to the stream that has waited longest, whatever the
// priorities are.
// RFC 9218, Section 10 [5]; RFC 9218, Section 10.1 [1].
func TestNothingStarves(t *testing.T) {
	urgent, last := Priority{Urgency: -3}, Priority{Urgency: 4}
	for _, tt := range []struct {
		name       string
		priorities [][]Priority
	}{
		{"in order", [][]Priority{{{}}, {{}}, {{}}, {{}}}},
		{"more urgent ones", [][]Priority{{urgent}, nil, {last}, {{Urgency: 4, Incremental: true}}}},
		{"all kinds", [][]Priority{{urgent}, {urgent}, {{}}, nil, {{Incremental: true}}, {last}, {last}}},
	} {
		for _, credit := range []int{0, 1000, 5000, 20_000} {
			t.Run(fmt.Sprintf("%s, MAX_DATA by %d", tt.name, credit), func(t *testing.T) {
				limit := uint64(64 << 20)
				if credit > 0 {
					limit = 10_000
				}
				o := newOrderTest(t, func(s *testSetup) { s.peer.InitialMaxData = int64(limit) })
				var streams []*Stream
				for _, p := range tt.priorities {
					streams = append(streams, o.stream(0, p...))
				}
				for o.packets < 2000 {
					if len(o.packet()) == 0 { // it waits for credit
						limit += uint64(credit)
						o.write(maxDataFrame(limit))
					}
				}
				o.wait("all of them", streams, 16*len(streams))
				// The other packets belong to the streams that come first.
				others := 0
				for _, s := range streams[1:] {
					others += o.sent[s]
				}
				if tt.name != "all kinds" && others > (o.sent[streams[0]]+others)/8 {
					t.Errorf("the first sent %d bytes, the others %d", o.sent[streams[0]], others)
				}
			})
		}
	}
}

// TestInOrderOfIDs: streams that are not incremental are sent in the order of their IDs. The order
// of writing does not matter, nor does it matter that the first stream has more to send later (RFC
// 9218, Section 10).
// RFC 9218, Section 10 [3].
func TestInOrderOfIDs(t *testing.T) {
	o := newOrderTest(t)
	var streams []*Stream
	for range 5 {
		s := o.open(Uni)
		s.SetPriority(Priority{})
		o.sent[s] = 0
		streams = append(streams, s)
	}
	for i := range streams {
		streams[4-i].Write(make([]byte, 10_000))
	}
	for i := range 13 { // no packet in 16 yet
		if i == 3 {
			streams[0].Write(make([]byte, 2_000))
		}
		for s := range o.packet() {
			for _, before := range streams {
				if before == s {
					break
				}
				if before.out.Unsent() > 0 {
					t.Fatalf("packet %d carries stream %d, and stream %d has %d bytes", i, s.ID(), before.ID(), before.out.Unsent())
				}
			}
		}
	}
	if o.sent[streams[0]] != 12_000 {
		t.Errorf("the first sent %d bytes", o.sent[streams[0]])
	}
}

// TestInOrderBesideTurns: streams that are sent in order get one turn for each of them. Streams
// that share get their turns too.
func TestInOrderBesideTurns(t *testing.T) {
	o := newOrderTest(t)
	ordered := o.streams(4, 0, Priority{})
	shared := o.streams(4, 0)
	o.run(800)
	for _, s := range shared {
		if part := float64(o.sent[s]) / float64(800*minMTU); part < 0.11 || part > 0.14 {
			t.Errorf("stream %d, which shares, has %.3f of all, want an eighth", s.ID(), part)
		}
	}
	if part := float64(o.sent[ordered[0]]) / float64(800*minMTU); part < 0.40 || part > 0.5 {
		t.Errorf("the first of 4 in order has %.3f of all, want nearly half", part)
	}
	o.wait("all of them", append(ordered, shared...), 8*16)
}

// TestLostDataKeepsOrder: lost data of a stream goes first. Its new data waits for its turn.
func TestLostDataKeepsOrder(t *testing.T) {
	tc := newTestConn(t, true)
	tc.ignore(wire.FrameAck, wire.FramePing)
	tc.c.path.cc = &wideController{}
	first, second := tc.open(Uni), tc.open(Uni)
	first.SetPriority(Priority{})
	second.SetPriority(Priority{})
	tc.writeStream(second, "lost")
	gone := tc.wantFrame("it is sent", streamFrame(second.ID(), 0, "lost"))
	first.Write(make([]byte, 5000))
	second.Write(make([]byte, 5000))
	second.lost(0, 4, false)
	_ = gone
	var order []string
	tc.collect()
	for f, ok := tc.nextFrame(); ok; f, ok = tc.nextFrame() {
		what := fmt.Sprint("new of ", f.v[0])
		if f.v[1] == 0 && len(f.data) == 4 {
			what = "lost"
		}
		if len(order) == 0 || order[len(order)-1] != what {
			order = append(order, what)
		}
	}
	want := fmt.Sprint([]string{"lost", fmt.Sprint("new of ", first.ID()), fmt.Sprint("new of ", second.ID())})
	if fmt.Sprint(order) != want {
		t.Errorf("sent: %v, want %v", order, want)
	}
}
