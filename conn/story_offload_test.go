package conn

import (
	"crypto/tls"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// TLS work that is done elsewhere (EndpointConfig.Offload).

// offloaded makes both sides hand their TLS work over to works.
func offloaded(works *[]*TLSWork) func(*testSetup) {
	return func(s *testSetup) {
		s.endpoint.Offload = func(w *TLSWork) { *works = append(*works, w) }
	}
}

// complete does the work that was handed over, the newest first, and hands it back.
func (tc *testConn) complete(works *[]*TLSWork) {
	for n := len(*works); n > 0; n = len(*works) {
		w := (*works)[n-1]
		*works = (*works)[:n-1]
		w.Run()
		tc.e.Complete(tc.now, w)
	}
}

func TestOffload(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		var works []*TLSWork
		tc := startTestConn(t, server, offloaded(&works))
		tc.exchange(func() bool {
			// The work takes a while. Packets come and go meanwhile.
			if len(works) > 0 {
				tc.collect()
				if len(tc.datagrams) == 0 {
					tc.complete(&works)
				}
			}
			return false
		})
		tc.complete(&works)
		tc.exchange(func() bool { tc.complete(&works); return false })
		if tc.c == nil || tc.c.state != stateConfirmed || tc.peer.state != stateConfirmed {
			t.Fatal("the handshake does not end")
		}
		tc.takeOver()
		s := tc.open(Uni)
		tc.writeStream(s, "hello")
		tc.flush()
		tc.ackAll()
		tc.wantOpen("it works")
	})
}

// TestOffloadKeepsTheConnAlive: while the work is done elsewhere, packets are acknowledged, CRYPTO
// data is kept within limits, and time passes (RFC 9001, Section 4.1.4 [2]).
func TestOffloadKeepsTheConnAlive(t *testing.T) {
	var works []*TLSWork
	tc := startTestConn(t, true, offloaded(&works))
	tc.exchange(func() bool { return tc.c != nil })
	if len(works) != 1 {
		t.Fatalf("%d pieces of work are out", len(works))
	}
	tc.dcid = tc.c.local.ids[0].id
	tc.next[spaceInitial] = 10
	tc.wantIdle("what TLS has to say may take the acknowledgement along")
	tc.advance(maxTLSHold)
	tc.wantType("the ClientHello is acknowledged if it takes long", wire.FrameAck)
	tc.flush()
	tc.writeIn(spaceInitial, pingFrame())
	tc.advance(maxTLSHold)
	tc.wantType("and later packets", wire.FrameAck)
	tc.writeIn(spaceInitial, cryptoFrame(5000, "ahead"))
	tc.wantOpen("it may become something")
	tc.writeIn(spaceInitial, cryptoFrame(1<<20, "far ahead"))
	tc.wantClosed("it cannot", errCryptoBufferExceeded)
	tc.complete(&works) // too late, and harmless
	tc.flush()
}

// TestOffloadAcknowledgesOnce: a flight of TLS goes into one datagram with the acknowledgement of
// what it answers, as it does without Offload.
func TestOffloadAcknowledgesOnce(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		var works []*TLSWork
		tc := startTestConn(t, server, offloaded(&works))
		steps := 0
		tc.exchange(func() bool {
			if len(works) == 0 {
				return false
			}
			steps++
			if tc.collect(); tc.c.state != stateConfirmed && len(tc.datagrams) > 0 {
				t.Errorf("step %d of TLS is not out yet, but this is: %v", steps, tc.datagrams[0].packets)
			}
			tc.complete(&works)
			tc.collect()
			if len(tc.datagrams) != 1 {
				t.Errorf("the answer of step %d takes %d datagrams", steps, len(tc.datagrams))
			} else if p := tc.datagrams[0].packets[0]; tc.c.state != stateConfirmed && p.frames[0].typ != wire.FrameAck {
				t.Errorf("the answer of step %d acknowledges nothing: %v", steps, tc.datagrams[0].packets)
			}
			return false
		})
		want := 1 // that of ServerHello to Finished
		if server {
			want = 2 // that of ClientHello, and that of Finished
		}
		if steps != want || tc.c.state != stateConfirmed {
			t.Fatalf("the handshake ends: %t, after %d steps, not %d", tc.c.state == stateConfirmed, steps, want)
		}
	})
}

// TestOffloadBegins: of the steps of a server, the one that answers the ClientHello begins the
// handshake; of those of a client, none.
func TestOffloadBegins(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		var works []*TLSWork
		tc := startTestConn(t, server, offloaded(&works))
		var begins []bool
		tc.exchange(func() bool {
			for _, w := range works {
				begins = append(begins, w.Begins())
			}
			tc.complete(&works)
			return false
		})
		want := []bool{false}
		if server {
			want = []bool{true, false}
		}
		if !slices.Equal(begins, want) || tc.c.state != stateConfirmed {
			t.Fatalf("the steps begin handshakes: %v, want %v; confirmed: %v", begins, want, tc.c.state == stateConfirmed)
		}
	})
}

// TestOffloadOfHalfAHello: a step with a piece of a ClientHello does not begin the handshake. That
// with its end does.
func TestOffloadOfHalfAHello(t *testing.T) {
	var work []*TLSWork
	l, clientTLS := newLoneServer(t, func(c *EndpointConfig) { c.Offload = func(w *TLSWork) { work = append(work, w) } })
	r := newRawTLS(t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}}))
	hello := string(r.out[spaceInitial])
	all := pieces(hello, len(hello)/3+1)
	for i, f := range all {
		l.feed(nthClientInitial(uint64(i), f), elsewhere(1))
		if len(work) != 1 || work[0].Begins() != (i == len(all)-1) {
			t.Fatalf("piece %d of %d: %d steps, begins: %v", i+1, len(all), len(work), len(work) > 0 && work[0].Begins())
		}
		if work[0].Ended() {
			t.Error("the connection has not ended")
		}
		work[0].Run()
		l.Complete(hour0(), work[0])
		work = work[:0]
	}
	l.drain()
	if l.last.spaces[spaceHandshake].tx == nil {
		t.Error("the server did not answer")
	}
}

// TestOffloadOfTheEnded: a step tells that its connection has ended.
func TestOffloadOfTheEnded(t *testing.T) {
	var works []*TLSWork
	tc := startTestConn(t, true, offloaded(&works))
	tc.exchange(func() bool { return tc.c != nil })
	w := works[0]
	if w.Ended() {
		t.Error("the connection has not ended")
	}
	tc.e.Close()
	if !w.Ended() {
		t.Error("the connection has ended")
	}
	w.Run()
}

// TestTicketIsTakenAtOnce: a client stores a session when the packet with the ticket comes, and not
// later: the server may close with its next packet, and then the client begins anew.
func TestTicketIsTakenAtOnce(t *testing.T) {
	var works []*TLSWork
	cache := tls.NewLRUClientSessionCache(1)
	tc := startTestConn(t, false, func(s *testSetup) {
		offloaded(&works)(s)
		s.conn.TLS = s.conn.TLS.Clone()
		s.conn.TLS.ClientSessionCache = cache
	})
	tc.exchange(func() bool {
		if tc.c.state == stateHandshake {
			tc.complete(&works)
		}
		return false
	})
	if tc.c.state != stateConfirmed || len(works) > 0 {
		t.Fatalf("the handshake has ended: %t; %d steps are out", tc.c.state == stateConfirmed, len(works))
	}
	if _, ok := cache.Get(tc.c.serverName); !ok {
		t.Error("no session is stored")
	}
}

func TestOffloadAndTimeout(t *testing.T) {
	before := runtime.NumGoroutine()
	var works []*TLSWork
	tc := startTestConn(t, true, offloaded(&works))
	tc.exchange(func() bool { return tc.c != nil })
	tc.flush()
	tc.advance(10 * time.Second)
	if err := tc.wantEnd("the work takes too long"); !errors.Is(err, ErrHandshakeTimeout) {
		t.Errorf("%v", err)
	}
	tc.complete(&works)
	tc.advance(10 * time.Second)
	if n := tc.e.chunks.Used(); n != 0 || len(tc.e.routes.ids) != 0 {
		t.Errorf("%d bytes, %d routes are left", n, len(tc.e.routes.ids))
	}
	tc.peerE.Close()
	wantGoroutines(t, before)
}

// wantGoroutines waits until the goroutines of crypto/tls have ended.
func wantGoroutines(t *testing.T, want int) {
	t.Helper()
	for range 20_000 {
		if runtime.NumGoroutine() <= want {
			return
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond) // they end in their own time
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), want)
}

// TestOffloadAndClose: the Endpoint is closed while work is done elsewhere. Run cleans up, whenever
// it is called.
func TestOffloadAndClose(t *testing.T) {
	for _, order := range []string{"run, complete, close", "run, close, complete", "close, run, complete", "close, run"} {
		before := runtime.NumGoroutine()
		var works []*TLSWork
		tc := startTestConn(t, true, offloaded(&works))
		tc.exchange(func() bool { return tc.c != nil })
		w := works[0]
		switch order {
		case "run, complete, close":
			w.Run()
			tc.e.Complete(tc.now, w)
			tc.e.Close()
		case "run, close, complete":
			w.Run()
			tc.e.Close()
			tc.e.Complete(tc.now, w)
		case "close, run, complete":
			tc.e.Close()
			w.Run()
			tc.e.Complete(tc.now, w)
		case "close, run":
			tc.e.Close()
			w.Run()
		}
		tc.peerE.Close()
		wantGoroutines(t, before)
	}
}

// TestGoroutinesOfHandshakes: in whatever way a handshake ends, the goroutine of crypto/tls ends
// too.
func TestGoroutinesOfHandshakes(t *testing.T) {
	for name, end := range map[string]func(tc *testConn){
		"close":    func(tc *testConn) { tc.c.Close(0, "") },
		"error":    func(tc *testConn) { tc.writeIn(spaceInitial, handshakeDoneFrame()) },
		"by peer":  func(tc *testConn) { tc.writeIn(spaceInitial, closeFrame(1, 0, "")) },
		"timeout":  func(tc *testConn) { tc.advance(time.Minute) },
		"endpoint": func(tc *testConn) { tc.e.Close() },
		"success":  func(tc *testConn) { tc.exchange(func() bool { return false }) },
	} {
		sides(t, func(t *testing.T, server bool) {
			before := runtime.NumGoroutine()
			tc := handshakeConn(t, server)
			end(tc)
			if name == "success" {
				tc.e.Close()
			}
			tc.peerE.Close()
			wantGoroutines(t, before)
		})
	}
}

// TestOffloadKeepsEarlyData: the first flight of a client that writes many small 0-RTT packets
// waits for TLS (RFC 9001, Section 4.1.4 [1]).
func TestOffloadKeepsEarlyData(t *testing.T) {
	const requests = 30
	var client *Config
	var works []*TLSWork
	tc := newTestConn(t, true, func(s *testSetup) {
		s.conn.Enable0RTT, s.peer.Enable0RTT = true, true
		s.peer.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		client = &s.peer
	})
	tc.c.Close(0, "")
	tc.flush()
	tc.e.cfg.Offload = func(w *TLSWork) { works = append(works, w) }
	tc.peer = tc.dial(tc.peerE, Target{Remote: tc.addr, Local: tc.peerAddr}, client)
	flight := drainEndpoint(tc.peerE, tc.now, tc.buf)
	for range requests {
		s, err := tc.peer.OpenStream(Bidi)
		tc.must(err)
		_, err = s.Write(make([]byte, 250))
		tc.must(err)
		flight = append(flight, drainEndpoint(tc.peerE, tc.now, tc.buf)...)
	}
	if len(flight) < requests {
		t.Fatalf("the flight has %d datagrams", len(flight))
	}
	for _, d := range flight {
		tc.e.Receive(tc.now, Datagram{Data: d.data, Remote: tc.peerAddr, Local: tc.addr})
	}
	c := tc.e.first
	if c == nil || len(works) == 0 || len(c.streams.all) > 0 {
		t.Fatal("the packets did not have to wait, so this test says nothing")
	}
	tc.complete(&works)
	if n := len(c.streams.all); n != requests {
		t.Errorf("%d of %d requests arrived", n, requests)
	}
}
