package conn

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/lazoquic/lazo/conn/congestion"
)

// These tests hold the account of memory against the heap of the Go runtime. CheckMemory adds up
// what the code believes to hold. Here the garbage collector measures what it really holds.

// A heapWay is a way to make a connection hold memory. Begin runs before the handshake is complete,
// and fill after it.
type heapWay struct {
	name   string
	client bool // the connections belong to clients
	edit   func(*testSetup)
	begin  func(*testing.T) *testConn
	fill   func(*testing.T, *testConn)
}

// heapConns is how many connections of one way are measured together.
const heapConns = 8

// TestAccountBoundsHeap: a peer makes connections hold memory in every way. The heap grows by no
// more than one and a half times what the account says, and 4 KiB for each connection.
func TestAccountBoundsHeap(t *testing.T) {
	for _, way := range heapWays() {
		t.Run(way.name, func(t *testing.T) {
			heap, account := way.measure(t, true)
			idleHeap, idleAccount := way.measure(t, false)
			heap, account = heap-idleHeap, account-idleAccount
			t.Logf("a connection: %d bytes of heap, %d bytes counted", heap/heapConns, account/heapConns)
			if heap > account*3/2+heapConns*4<<10 {
				t.Errorf("%d bytes of heap, %d are counted", heap, account)
			}
			if account <= 0 {
				t.Error("nothing is counted")
			}
		})
	}
}

// measure returns what the Endpoints of connections hold, full or idle: the bytes of the heap that
// become free without them, and the bytes of their accounts.
func (way *heapWay) measure(t *testing.T, full bool) (heap, account int64) {
	t.Helper()
	all := make([]*testConn, heapConns)
	for i := range all {
		switch {
		case way.begin != nil && full:
			all[i] = way.begin(t)
		case way.begin != nil:
			all[i] = serverThatHasBegun(t)
		default:
			all[i] = newTestConn(t, !way.client, way.edit)
		}
		if full && way.fill != nil {
			way.fill(t, all[i])
		}
		all[i].flush()
		if all[i].c.closed {
			t.Fatal(all[i].c.err)
		}
		if err := all[i].e.CheckMemory(); err != nil {
			t.Fatal(err)
		}
		account += all[i].e.Stats().Held
		// drops the peer's side, so that heapBytes does not count it
		all[i] = &testConn{e: all[i].e}
	}
	before := heapBytes()
	for _, tc := range all {
		tc.e.Close() // ends goroutines of crypto/tls
		*tc.e = Endpoint{closed: true}
	}
	return before - heapBytes(), account
}

// heapBytes returns how many bytes of the heap can be reached.
func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// wide sets a controller without a limit, and a peer that gives much credit.
func wide(s *testSetup) {
	s.conn.Congestion = func(congestion.Params) congestion.Controller { return new(wideController) }
	s.peer.InitialMaxStreamsUni, s.peer.InitialMaxStreamData, s.peer.InitialMaxData = 5000, 1<<30, 1<<30
	s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 1500, 1500
}

// blocked gives no credit for data, and many streams.
func blocked(s *testSetup) {
	s.peer.InitialMaxStreamsUni, s.peer.InitialMaxStreamData, s.peer.InitialMaxData = 1000, 1, 1
	s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 1500, 1500
}

// receives lets the peer send much, on many streams.
func receives(s *testSetup) {
	s.conn.InitialMaxStreamsUni, s.conn.InitialMaxStreamData, s.conn.InitialMaxData = 2000, 1<<20, 16<<20
	s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 1500, 1500
}

func heapWays() []heapWay {
	shared := make([]byte, 64<<10) // no connection's
	return append(heapWaysOfPeers(), []heapWay{
		{name: "unsent data", edit: blocked, fill: func(t *testing.T, tc *testConn) {
			for range 20 {
				tc.open(Uni).Write(make([]byte, 50_000))
			}
		}},
		{name: "unsent data, a byte a stream", edit: blocked, fill: func(t *testing.T, tc *testConn) {
			for range 500 {
				tc.open(Uni).Write([]byte("x"))
			}
		}},
		{name: "packets in flight", edit: wide, fill: func(t *testing.T, tc *testConn) {
			s := tc.open(Uni)
			for range 64 {
				s.WriteShared(shared)
				tc.transmit()
			}
		}},
		{name: "small packets in flight", edit: wide, fill: func(t *testing.T, tc *testConn) {
			s := tc.open(Uni)
			for range 3000 {
				s.Write([]byte("x"))
				tc.transmit()
			}
		}},
		{name: "many frames in flight", edit: wide, fill: func(t *testing.T, tc *testConn) {
			for range 4000 {
				s := tc.open(Uni)
				s.Write([]byte("x"))
				s.CloseWrite()
			}
			tc.transmit()
		}},
		{name: "every other packet acknowledged", edit: wide, fill: func(t *testing.T, tc *testConn) {
			s := tc.open(Uni)
			for range 1000 {
				s.Write(make([]byte, 10))
				tc.transmit()
			}
			last := tc.c.spaces[spaceApp].sent.next - 1
			for pn := last - 900; pn < last; pn += 100 {
				ranges := ""
				for i := uint64(0); i < 100; i += 2 {
					ranges += fmt.Sprint(pn+98-i, " ")
				}
				tc.write(ackFrame(ranges))
			}
		}},
		{name: "datagrams that wait to be sent", edit: blocked, fill: func(t *testing.T, tc *testConn) {
			for range 128 {
				tc.c.SendDatagram(make([]byte, 1000), DatagramOptions{})
			}
		}},
	}...)
}

func heapWaysOfPeers() []heapWay {
	return []heapWay{
		{name: "unread data", edit: receives, fill: func(t *testing.T, tc *testConn) {
			for off := uint64(0); off < 512<<10; off += 1024 {
				tc.write(streamFrame(tc.theirs(Uni, 0), off, string(make([]byte, 1024))))
			}
		}},
		{name: "unread data, a byte a stream", edit: receives, fill: func(t *testing.T, tc *testConn) {
			for i := range uint64(1000) {
				tc.write(streamFrame(tc.theirs(Uni, i), 0, "x"))
			}
		}},
		{name: "streams", edit: receives, fill: func(t *testing.T, tc *testConn) {
			tc.write(streamFrame(tc.theirs(Uni, 1999), 0, ""))
		}},
		{name: "streams that are reset", edit: receives, fill: func(t *testing.T, tc *testConn) {
			for i := range uint64(1000) {
				tc.write(streamFrame(tc.theirs(Uni, i), 0, "x"), resetStreamFrame(tc.theirs(Uni, i), 1, 1))
			}
		}},
		{name: "data out of order", edit: receives, fill: func(t *testing.T, tc *testConn) {
			for i := uint64(0); i < 900; i++ {
				tc.write(streamFrame(tc.theirs(Uni, 0), 1+2*i, "x"))
			}
		}},
		{name: "sparse data", edit: receives, fill: func(t *testing.T, tc *testConn) {
			for i := uint64(0); i < 200; i++ {
				tc.write(streamFrame(tc.theirs(Uni, 0), 4096*i+1, "x"))
			}
		}},
		{name: "unread datagrams", edit: receives, fill: func(t *testing.T, tc *testConn) {
			for range 256 {
				tc.write(datagramFrame(string(make([]byte, 1000))))
			}
		}},
		{name: "unread datagrams of one byte", edit: receives, fill: func(t *testing.T, tc *testConn) {
			for range 256 {
				tc.write(datagramFrame("x"))
			}
		}},
		{name: "CRYPTO data out of order", client: true, edit: receives, fill: func(t *testing.T, tc *testConn) {
			for i := range uint64(15) {
				for j := range uint64(4) {
					tc.write(cryptoFrame(4096*i+10*j+1, "x"))
				}
			}
		}},
		{name: "gaps between packets, connection IDs, challenges", edit: receives, fill: func(t *testing.T, tc *testConn) {
			for i := range uint64(3) {
				tc.send(testPacket{skip: 1, frames: []frame{newIDFrame(i+1, 0, fmt.Sprintf("another ID %d", i))}})
			}
			for range 100 {
				tc.send(testPacket{skip: 1, size: minMTU, frames: []frame{challengeFrame("12345678")}})
			}
			tc.write(streamFrame(tc.theirs(Uni, 0), 0, "x"))
		}},
		{name: "packets that wait for their keys", begin: func(t *testing.T) *testConn {
			tc := serverThatHasBegun(t)
			for range maxWaiting {
				b := append([]byte{0x40}, tc.c.local.ids[0].id.bytes()...)
				tc.deliver(append(b, make([]byte, 480)...), tc.peerAddr, NotECT)
			}
			return tc
		}},
		{name: "small packets that wait for their keys", begin: func(t *testing.T) *testConn {
			tc := serverThatHasBegun(t)
			for range maxWaiting {
				b := append([]byte{0x40}, tc.c.local.ids[0].id.bytes()...)
				tc.deliver(append(b, make([]byte, 21)...), tc.peerAddr, NotECT)
			}
			return tc
		}},
	}
}

// serverThatHasBegun returns a server that a client has just written to.
func serverThatHasBegun(t *testing.T) *testConn {
	t.Helper()
	tc := startTestConn(t, true)
	tc.exchange(func() bool { return tc.c != nil })
	return tc
}

// heapOf returns how many bytes of the heap become free without the Endpoint.
func heapOf(e *Endpoint) int64 {
	before := heapBytes()
	e.Close()
	*e = Endpoint{closed: true}
	return before - heapBytes()
}

// TestConnCosts: an idle connection, a handshake and a closed connection really take the bytes that
// count for them.
func TestConnCosts(t *testing.T) {
	const n = 200
	for name, begin := range map[string]func(*lone, *testing.T, int){
		"idle":      (*lone).connect,
		"handshake": (*lone).greet,
		"closed": func(l *lone, t *testing.T, i int) {
			l.feed(clientInitial(fmt.Sprint("server ", i), rawClientID, nil, closeFrame(1, 0, "bye")), elsewhere(i))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := newLoneServer(t, nil)
			for i := range n {
				begin(l, t, i)
			}
			account := l.Stats().Held
			heap := heapOf(l.Endpoint)
			t.Logf("each: %d bytes of heap, %d bytes counted", heap/n, account/n)
			if heap > account*5/4+100<<10 || account == 0 {
				t.Errorf("%d bytes of heap, %d are counted", heap, account)
			}
		})
	}
}

// endpointHeap is how many bytes an Endpoint without connections may take: its queues, and memory
// for reuse, except for chunks.
const endpointHeap = 3 << 20

// connect makes an idle connection to the server.
func (l *lone) connect(t *testing.T, i int) {
	t.Helper()
	_, clientTLS := testTLS(t)
	clientTLS.InsecureSkipVerify = true // the certificate is that of another testTLS
	cfg := quietConfig()
	cfg.TLS = clientTLS
	e, err := NewEndpoint(&EndpointConfig{Rand: testRand(byte(i))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c, err := e.Dial(hour0(), Target{Remote: l.addr}, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxBurst)
	for range 10 {
		for _, d := range drainEndpoint(e, hour0(), buf) {
			for _, back := range l.feed(d.data, elsewhere(i)) {
				e.Receive(hour0(), Datagram{Data: back.data, Remote: l.addr})
			}
		}
	}
	if c.state != stateConfirmed {
		t.Fatal("the handshake failed")
	}
}

// greet sends a ClientHello, and never hears the answer.
func (l *lone) greet(t *testing.T, i int) {
	t.Helper()
	_, clientTLS := testTLS(t)
	r := newRawTLS(t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}}))
	l.feed(clientInitial(fmt.Sprint("server ", i), rawClientID, nil, cryptoFrame(0, string(r.out[spaceInitial]))), elsewhere(i))
}

// TestEndpointKeepsLittle: an Endpoint keeps a bounded amount for reuse and for strangers, whatever
// its connections held before. The chunks that it keeps count in MaxBuffered.
func TestEndpointKeepsLittle(t *testing.T) {
	for _, most := range []int64{1 << 20, 32 << 20, 0} {
		t.Run(fmt.Sprint(most>>10, " KiB"), func(t *testing.T) {
			tc := newTestConn(t, true, receives, func(s *testSetup) { s.endpoint.MaxBuffered = most })
			for i := range uint64(2000) { // up to 8 MiB of chunks, a list for each, and the streams
				tc.write(streamFrame(tc.theirs(Uni, i), 0, "x"))
			}
			held := tc.e.Stats().Held
			for i := range uint64(2000) {
				tc.write(resetStreamFrame(tc.theirs(Uni, i), 1, 1))
			}
			for i := range 1000 { // answers to them wait
				tc.deliver(append([]byte{0xc0, 9, 9, 9, 9, 8}, make([]byte, 1300)...), elsewhere(i), NotECT)
			}
			tc.collectEvents()
			tc.e.HandleTimeout(tc.now)
			if n := tc.e.answers.size; n != maxAnswers {
				t.Fatalf("%d answers wait", n)
			}
			kept, limit := tc.e.chunks.Free(), tc.e.cfg.MaxBuffered
			if kept+tc.e.Stats().Held > limit || kept > 8<<20 {
				t.Errorf("%d bytes of chunks are kept, and %d are held, of %d", kept, tc.e.Stats().Held, limit)
			}
			if most == 0 && kept < held/2-2000*streamCost {
				t.Errorf("%d bytes are kept: it does not show much", kept)
			}
			account := tc.e.Stats().Held
			e := tc.e
			*tc = testConn{}
			heap := heapOf(e)
			t.Logf("%d bytes of heap, %d of them in chunks, %d are counted", heap, kept, account)
			if heap > kept+account*3/2+endpointHeap {
				t.Errorf("%d bytes of heap: %d are counted, %d are chunks that are kept", heap, account, kept)
			}
		})
	}
}
