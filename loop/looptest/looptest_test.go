package looptest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

const addrA, addrB = "10.0.0.1:443", "10.0.0.2:5000"

// send writes datagrams from b to addr.
func send(t *testing.T, b loop.Backend, addr string, datagrams ...string) {
	t.Helper()
	var ms []udpio.Message
	for _, d := range datagrams {
		ms = append(ms, udpio.Message{Buf: []byte(d), Remote: netip.MustParseAddrPort(addr), ECN: 2})
	}
	if n, err := b.WriteBatch(ms); n != len(ms) || err != nil {
		t.Fatalf("WriteBatch returned %d, %v", n, err)
	}
}

// receive reads what arrives at b until d has passed, as "data from address at time".
func receive(t *testing.T, b loop.Backend, d time.Duration) (got []string) {
	t.Helper()
	start := time.Now()
	deadline := start.Add(d)
	ms := make([]udpio.Message, 4)
	for time.Now().Before(deadline) {
		n, err := b.ReadBatch(ms, deadline)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ms[:n] {
			got = append(got, fmt.Sprintf("%s from %v at %v", m.Buf, m.Remote, time.Since(start)))
		}
	}
	return got
}

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDelayRateAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(t, 1, conntest.Link{Delay: 10 * time.Millisecond})
		a, b := n.Listen(addrA), n.Listen(addrB)
		send(t, a, addrB, "one", "two", "three")
		check(t, receive(t, b, time.Second),
			"one from 10.0.0.1:443 at 10ms", "two from 10.0.0.1:443 at 10ms", "three from 10.0.0.1:443 at 10ms")

		n.Connect(addrA, addrB, conntest.Link{Rate: 8000, Queue: 2500})
		kb := string(bytes.Repeat([]byte("x"), 1000))
		send(t, a, addrB, kb, kb, kb) // the third does not fit
		if got := receive(t, b, 10*time.Second); len(got) != 2 {
			t.Errorf("%d datagrams passed a queue for 2", len(got))
		}
		send(t, b, addrA, "back") // the other direction is as it was
		check(t, receive(t, a, time.Second), "back from 10.0.0.2:5000 at 10ms")
	})
}

func TestSegmentsAreSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(t, 1, conntest.Link{})
		a, b := n.Listen(addrA), n.Listen(addrB)
		a.WriteBatch([]udpio.Message{{Buf: []byte("aabbc"), SegmentSize: 2, Remote: b.LocalAddr()}})
		check(t, receive(t, b, time.Second),
			"aa from 10.0.0.1:443 at 0s", "bb from 10.0.0.1:443 at 0s", "c from 10.0.0.1:443 at 0s")
	})
}

func TestImpairments(t *testing.T) {
	tests := []struct {
		name     string
		link     conntest.Link
		min, max int // of 1,000
	}{
		{"loss", conntest.Link{Loss: 0.1}, 850, 950},
		{"duplicate", conntest.Link{Duplicate: 0.1}, 1050, 1150},
		{"filter", conntest.Link{Filter: func(p *conntest.Packet) bool { return p.N%2 == 0 }}, 500, 500},
		{"MTU", conntest.Link{MTU: 99}, 0, 0},
		{"none", conntest.Link{MTU: 100, Jitter: time.Second, Reorder: 0.5}, 1000, 1000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := New(t, 1, tt.link)
				a, b := n.Listen(addrA), n.Listen(addrB)
				for i := range 1000 {
					send(t, a, addrB, fmt.Sprintf("%-100d", i))
				}
				if got := len(receive(t, b, time.Minute)); got < tt.min || got > tt.max {
					t.Errorf("%d datagrams, want %d to %d", got, tt.min, tt.max)
				}
			})
		})
	}
}

func TestCorruptAndMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(t, 1, conntest.Link{Corrupt: 1, Mark: 1, Duplicate: 1})
		a, b := n.Listen(addrA), n.Listen(addrB)
		want := bytes.Repeat([]byte("x"), 100)
		send(t, a, addrB, string(want))
		ms := make([]udpio.Message, 4)
		k, err := b.ReadBatch(ms, time.Time{})
		if k != 2 || err != nil {
			t.Fatal(k, err)
		}
		if ms[0].ECN != 3 {
			t.Errorf("codepoint %d, want CE", ms[0].ECN)
		}
		if bytes.Equal(ms[0].Buf, want) {
			t.Error("not damaged")
		}
		clear(ms[0].Buf) // as an endpoint that decrypts in place
		if bytes.Equal(ms[1].Buf, ms[0].Buf) {
			t.Error("the duplicate shares memory")
		}
	})
}

func TestRebind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const public, next = "192.0.2.1:7000", "192.0.2.1:7001"
		n := New(t, 1, conntest.Link{})
		a, b := n.Listen(addrA), n.Listen(addrB)
		n.Rebind(addrB, public)
		send(t, b, addrA, "hello")
		check(t, receive(t, a, time.Second), "hello from "+public+" at 0s")
		send(t, a, public, "in")
		send(t, a, addrB, "vanishes")
		check(t, receive(t, b, time.Second), "in from 10.0.0.1:443 at 0s")
		n.Rebind(addrB, next)
		send(t, a, public, "vanishes")
		send(t, a, next, "in again")
		check(t, receive(t, b, time.Second), "in again from 10.0.0.1:443 at 0s")
	})
}

func TestWakeAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(t, 1, conntest.Link{})
		a := n.Listen(addrA)
		start := time.Now()
		time.AfterFunc(time.Second, a.Wake)
		if k, err := a.ReadBatch(make([]udpio.Message, 1), time.Time{}); k != 0 || err != nil || time.Since(start) != time.Second {
			t.Errorf("ReadBatch returned %d, %v after %v; want a wake-up after 1s", k, err, time.Since(start))
		}
		a.Wake() // before
		if k, err := a.ReadBatch(make([]udpio.Message, 1), time.Time{}); k != 0 || err != nil {
			t.Errorf("ReadBatch returned %d, %v", k, err)
		}
		time.AfterFunc(time.Second, func() { a.Close() })
		if _, err := a.ReadBatch(make([]udpio.Message, 1), time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadBatch of a closed backend returned %v", err)
		}
		if _, err := a.WriteBatch(make([]udpio.Message, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteBatch of a closed backend returned %v", err)
		}
		n.Listen(addrA) // is free again
	})
}

// quiet is a testing.TB that counts errors.
type quiet struct {
	testing.TB
	errors int
}

func (q *quiet) Errorf(string, ...any) { q.errors++ }

func TestSpinningIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &quiet{TB: t}
		a := New(q, 1, conntest.Link{}).Listen(addrA)
		for range maxSpins + 1 {
			if _, err := a.ReadBatch(make([]udpio.Message, 1), time.Now()); err != nil {
				break
			}
		}
		if q.errors != 1 {
			t.Errorf("%d errors, want 1", q.errors)
		}
	})
}
