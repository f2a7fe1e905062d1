package h3loop

import (
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
)

// A testWire joins a client of package h3 and a serverConn, without a network, a loop, or anything
// that allocates.
type testWire struct {
	now    time.Time
	buf    []byte
	ends   [2]*conn.Endpoint // server, client
	addrs  [2]netip.AddrPort
	client *h3.Conn
	on     func(h3.Event) // events of the client
}

func newWire(t *testing.T, srv *Server) *testWire {
	w := &testWire{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), buf: make([]byte, 64<<10)}
	for i, cfg := range []*conn.EndpointConfig{{Server: srv.LoopConfig(&conn.Config{TLS: conntest.ServerTLS()}).Endpoint.Server}, {}} {
		cfg.Rand = rand.NewChaCha8([32]byte{byte(i)})
		ep, err := conn.NewEndpoint(cfg)
		require.NoError(t, err)
		w.ends[i] = ep
		w.addrs[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), uint16(i+1))
	}
	cfg := conntest.ClientConfig()
	cfg.TLS.NextProtos = []string{nextProto}
	q, err := w.ends[1].Dial(w.now, conn.Target{Remote: w.addrs[0], ServerName: "lazo.test"}, cfg)
	require.NoError(t, err)
	w.client, err = h3.NewConn(q, nil)
	require.NoError(t, err)
	return w
}

// run moves datagrams and events for a millisecond.
func (w *testWire) run(srv *Server) {
	for end := w.now.Add(time.Millisecond); w.now.Before(end); w.now = w.now.Add(100 * time.Microsecond) {
		for w.step(srv) {
		}
	}
}

func (w *testWire) step(srv *Server) (moved bool) {
	for i, from := range w.ends {
		from.HandleTimeout(w.now)
		for ev, ok := from.NextEvent(); ok; ev, ok = from.NextEvent() {
			if i == 1 {
				w.client.HandleEvent(w.now, ev)
				for ev, ok := w.client.NextEvent(); ok; ev, ok = w.client.NextEvent() {
					w.on(ev)
				}
				continue
			}
			h, ok := ev.Conn.UserData.(*serverConn)
			if !ok {
				h = srv.NewHandler(nil, ev.Conn).(*serverConn)
				ev.Conn.UserData = h
			}
			h.HandleEvent(w.now, ev)
			h.Flush(w.now, ev.Conn)
		}
		for b, ok := from.Transmit(w.now, w.buf, 64); ok; b, ok = from.Transmit(w.now, w.buf, 64) {
			moved = true
			w.ends[1-i].Receive(w.now, conn.Datagram{Data: w.buf[:b.N], SegmentSize: b.SegmentSize, Remote: w.addrs[i]})
		}
	}
	return moved
}

// TestRequestAllocates: a request costs one allocation on the server, the string with its fields.
func TestRequestAllocates(t *testing.T) {
	page := []byte("hello")
	srv := &Server{Handler: func(r *Request) {
		if r.Path() != "/page" {
			t.Errorf("got the path %q", r.Path())
		}
		r.Respond(okFields, page)
	}}
	w := newWire(t, srv)
	done := 0
	var buf [100]byte
	w.on = func(ev h3.Event) {
		if ev.Kind == h3.EventReadable {
			if n, _ := ev.Stream.Read(buf[:]); n == len(page) {
				done++
				ev.Stream.Release()
			}
		}
	}
	w.run(srv)
	get := []h3.Field{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "lazo.test"}, {Name: ":path", Value: "/page"},
	}
	requests := 0
	run := func() {
		if _, err := w.client.OpenRequest(get, true); err != nil {
			t.Fatal(err)
		}
		requests++
		w.run(srv)
	}
	for range 300 {
		run()
	}
	got := testing.AllocsPerRun(300, run)
	if info, ok := debug.ReadBuildInfo(); !ok || !slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		require.LessOrEqual(t, got, 1.0) // the race detector allocates more
	}
	require.Equal(t, requests, done)
}
