package conn

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// A rowsTest sends on a path of its own, and writes down what the ledger says.
type rowsTest struct {
	led   ledger
	sent  sentPackets
	path  estimates
	alike bool // packets may share rows
	now   instant
	said  []string
}

func newRowsTest(alike bool) *rowsTest {
	t := &rowsTest{alike: alike, now: 1}
	t.sent = sentPackets{ledger: &t.led, largestAcked: -1}
	t.path.flight = t.led.open()
	t.led.known[0] = &t.path
	return t
}

func (t *rowsTest) say(format string, args ...any) {
	t.said = append(t.said, fmt.Sprintf(format, args...))
}

// send sends n packets of one stream.
func (t *rowsTest) send(n int, off uint64) {
	var row *sentPacket
	for i := range uint64(n) {
		if t.alike && row != nil && row.count < maxAlike {
			t.sent.sentAlike(&t.path.flight, row)
			continue
		}
		start := t.sent.recs.tail
		t.sent.note(record{kind: recStream, value: off + 1000*i, n: 1000})
		row = t.sent.sent(&t.path.flight, t.now, 1040, sentEliciting, start)
	}
}

func (t *rowsTest) records(p *sentPacket, k int) (all string) {
	for i := range uint32(p.recCount) {
		r := t.sent.record(p, k, i)
		all += fmt.Sprint(" ", r.value, "+", r.n)
	}
	return all
}

func (t *rowsTest) ack(first, last uint64) {
	r := t.sent.acked(first, last)
	var x ackedPackets
	for t.sent.acknowledged(&r, &x) {
		for i := range x.n {
			k := int(x.pn-t.sent.number(x.sentPacket)) + i
			t.say("acked %d on %d:%s", x.pn+uint64(i), x.on, t.records(x.sentPacket, k))
		}
	}
	for p := t.sent.spurious(&r); p != nil; p = t.sent.spurious(&r) {
		t.say("spurious %d", p.pn)
	}
	t.sent.reached(last)
	defer func() { // rows may have lost their first packets by then
		if x.sentPacket != nil {
			c := Conn{e: new(Endpoint)}
			t.say("%d bytes were in flight", c.sentOf(x.sentPacket, x.pn+uint64(x.n)-1).InFlight)
		}
	}()
	for d, ok := t.sent.lost(t.now, 30); ok; d, ok = t.sent.lost(t.now, 30) {
		rec := t.sent.late.recs.at(d.late.recStart)
		t.say("lost %d on %d, gap %v, flags %b, in flight %d: %d+%d", d.pn, d.on, d.gap, d.flags&^sentGap, d.inFlight, rec.value, rec.n)
	}
}

func (t *rowsTest) repeat(n int, twice bool) {
	i := t.sent.repeat()
	for range n {
		p, k := t.sent.again(&i, twice)
		if p == nil {
			break
		}
		t.say("again %d:%s", t.sent.number(p)+uint64(k), t.records(p, k))
	}
}

func (t *rowsTest) totals() {
	t.say("%d packets, %d eliciting, %d bytes, delivered %d, lost at %d, oldest %d",
		t.led.packets, t.sent.eliciting, t.path.inFlight, t.path.rate.delivered, t.sent.lossTime, t.sent.oldest())
}

// TestRowsAsPackets: the ledger says of packets that share rows what it says of others.
func TestRowsAsPackets(t *testing.T) {
	for seed := range uint64(300) {
		tests := [2]*rowsTest{newRowsTest(false), newRowsTest(true)}
		rng := rand.New(rand.NewPCG(seed, 0))
		off := uint64(0)
		for range 60 {
			what, n, some := rng.IntN(10), 1+rng.IntN(50), rng.Uint64()
			for _, x := range tests {
				switch oldest, next := x.sent.oldest(), x.sent.next; {
				case what < 3:
					x.send(n, off)
				case what == 3: // a packet that is not in flight, between others
					x.sent.sentQuiet(&x.path.flight, x.now, x.sent.recs.tail)
				case what == 4 && n < 10:
					x.repeat(1+n/2, some%2 == 0)
				case what == 5:
					x.now += instant(some % uint64(20*time.Nanosecond))
				case what == 6 && n < 4:
					x.sent.discarded(func(r *record) { x.say("discarded %d+%d", r.value, r.n) })
				case next > oldest:
					first := oldest + some%(next-oldest)
					x.ack(first, min(first+uint64(n)/uint64(1+some%7), next-1))
				}
				x.totals()
				var bytes flightBytes
				packets, err := checkSent(&x.sent, &bytes)
				require.NoError(t, err)
				require.Equal(t, x.led.packets, packets)
			}
			off += 1000 * uint64(n)
			require.Equal(t, tests[0].said, tests[1].said, "seed %d", seed)
		}
	}
}
