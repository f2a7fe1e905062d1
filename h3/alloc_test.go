package h3

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// A wire joins two endpoints without a network between, and without allocating.
type testWire struct {
	now  time.Time
	ends [2]*testEnd
	buf  []byte
}

type testEnd struct {
	ep   *conn.Endpoint
	addr netip.AddrPort
	h    *Conn
	on   func(Event)
}

func newWire(tb testing.TB) *testWire {
	w := &testWire{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), buf: make([]byte, 64<<10)}
	scfg, ccfg := conntest.ServerConfig(), conntest.ClientConfig()
	for i, cfg := range []*conn.EndpointConfig{{Rand: random(1), Server: scfg}, {Rand: random(2)}} {
		ep, err := conn.NewEndpoint(cfg)
		require.NoError(tb, err)
		w.ends[i] = &testEnd{ep: ep, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), uint16(i+1))}
	}
	q, err := w.ends[1].ep.Dial(w.now, conn.Target{Remote: w.ends[0].addr, ServerName: "lazo.test"}, ccfg)
	require.NoError(tb, err)
	w.ends[1].h, err = NewConn(q, nil)
	require.NoError(tb, err)
	return w
}

// run moves datagrams and events until nothing is left to move, for at least d.
func (w *testWire) run(d time.Duration) {
	for end := w.now.Add(d); ; {
		for w.step() {
		}
		if !w.now.Before(end) {
			return
		}
		w.now = w.now.Add(100 * time.Microsecond)
	}
}

func (w *testWire) step() (moved bool) {
	for i, from := range w.ends {
		to := w.ends[1-i]
		from.ep.HandleTimeout(w.now)
		for ev, ok := from.ep.NextEvent(); ok; ev, ok = from.ep.NextEvent() {
			if from.h == nil {
				from.h, _ = NewConn(ev.Conn, nil)
			}
			from.h.HandleEvent(w.now, ev)
			for ev, ok := from.h.NextEvent(); ok; ev, ok = from.h.NextEvent() {
				from.on(ev)
			}
		}
		for b, ok := from.ep.Transmit(w.now, w.buf, 64); ok; b, ok = from.ep.Transmit(w.now, w.buf, 64) {
			moved = true
			to.ep.Receive(w.now, conn.Datagram{Data: w.buf[:b.N], SegmentSize: b.SegmentSize, Remote: from.addr})
		}
	}
	return moved
}

// TestBodyDoesNotAllocate echoes a body in steady state.
func TestBodyDoesNotAllocate(t *testing.T) {
	w := newWire(t)
	chunk := make([]byte, 16<<10)
	w.ends[0].on = func(ev Event) {
		switch ev.Kind {
		case EventFields:
			if err := ev.Stream.SendFields(okFields, false); err != nil {
				t.Fatal(err)
			}
		case EventReadable, EventWritable:
			echoBody(ev.Stream)
		}
	}
	received := 0
	w.ends[1].on = func(ev Event) {
		if ev.Kind == EventReadable {
			for {
				n, err := ev.Stream.Read(chunk)
				received += n
				if err != nil {
					return
				}
			}
		}
	}
	w.run(time.Millisecond)
	s, err := w.ends[1].h.OpenRequest(postFields, false)
	require.NoError(t, err)
	sent := 0
	run := func() {
		n, err := s.Write(chunk)
		if err != nil && !errors.Is(err, conn.ErrWouldBlock) {
			t.Fatal(err)
		}
		sent += n
		w.run(time.Millisecond)
	}
	for range 200 {
		run()
	}
	require.Zero(t, testing.AllocsPerRun(200, run))
	require.Equal(t, sent, received)
	require.Greater(t, sent, 400*len(chunk)/2)
}

// TestRequestAllocates: a small request and its response cost one allocation, the string with the
// fields of the request.
func TestRequestAllocates(t *testing.T) {
	w := newWire(t)
	w.ends[0].on = func(ev Event) {
		if ev.Kind == EventFields {
			ev.Stream.SendFields(okFields, false)
			ev.Stream.Write([]byte("hello"))
			ev.Stream.CloseWrite()
			ev.Stream.Release()
		}
	}
	done := 0
	var buf [100]byte
	w.ends[1].on = func(ev Event) {
		if ev.Kind == EventReadable {
			if n, _ := ev.Stream.Read(buf[:]); n == 5 {
				done++
				ev.Stream.Release()
			}
		}
	}
	w.run(time.Millisecond)
	requests := 0
	run := func() {
		if _, err := w.ends[1].h.OpenRequest(getFields, true); err != nil {
			t.Fatal(err)
		}
		requests++
		w.run(time.Millisecond)
	}
	for range 300 {
		run()
	}
	require.LessOrEqual(t, testing.AllocsPerRun(300, run), 1.0)
	require.Equal(t, requests, done)
}

func BenchmarkRequest(b *testing.B) {
	w := newWire(b)
	w.ends[0].on = func(ev Event) {
		if ev.Kind == EventFields {
			ev.Stream.SendFields(okFields, true)
			ev.Stream.Release()
		}
	}
	w.ends[1].on = func(ev Event) {
		if ev.Kind == EventFields {
			ev.Stream.Release()
		}
	}
	w.run(time.Millisecond)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.ends[1].h.OpenRequest(getFields, true); err != nil {
			b.Fatal(err)
		}
		w.run(time.Millisecond)
	}
}
