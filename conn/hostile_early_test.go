package conn

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// Early data of hostile clients (RFC 9001, Section 4.6; RFC 9000, Sections 7.4.1 and 12.5).

// earlyServer returns a server that takes the early data of a client, and the ID that the client
// chose for the server. The test makes the 0-RTT packets.
func earlyServer(t *testing.T) (*testConn, string) {
	t.Helper()
	var client *Config
	tc := newTestConn(t, true, func(s *testSetup) {
		s.conn.Enable0RTT, s.peer.Enable0RTT = true, true
		s.peer.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		client = &s.peer
	})
	tc.c.Close(0, "")
	tc.flush()
	tc.peer = tc.dial(tc.peerE, Target{Remote: tc.addr, Local: tc.peerAddr}, client)
	first := drainEndpoint(tc.peerE, tc.now, tc.buf)
	h, ok := wire.ParseLong(first[0].data)
	if !ok || h.Type != wire.TypeInitial {
		t.Fatal("the client sent no Initial")
	}
	id := string(h.SCID)
	tc.c, tc.events = nil, nil
	tc.rx, tc.tx = [numSpaces]*keys.Keys{}, [numSpaces]*keys.Keys{}
	tc.largest = [numSpaces]int64{-1, -1, -1}
	tc.deliver(first[0].data, tc.peerAddr, NotECT)
	if tc.c == nil || tc.c.early.rx == nil {
		t.Fatal("the server does not take early data")
	}
	tc.flush()
	return tc, id
}

// sendEarly sends frames in a 0-RTT packet.
func (tc *testConn) sendEarly(id string, pn uint64, frames ...frame) {
	tc.t.Helper()
	tc.deliver(rawPacket{
		typ: wire.Type0RTT, dcid: string(tc.c.local.ids[0].id.bytes()), scid: id, pn: pn, tx: tc.c.early.rx, frames: frames,
	}.seal(), tc.peerAddr, NotECT)
}

func TestEarlyPacketsOfServer(t *testing.T) {
	tc, id := earlyServer(t)
	tc.sendEarly(id, 0, streamFrame(0, 0, "early"), streamFrame(2, 0, "early too"))
	for _, sid := range []StreamID{0, 2} {
		if s := tc.stream(sid); !s.Early() || s.in.Ready() == 0 {
			t.Errorf("stream %d: early %v, %d bytes", sid, s.Early(), s.in.Ready())
		}
	}
	if tc.c.path.validated {
		t.Error("early data validates the address of a client that may be somebody else")
	}
}

func TestHostileFramesInEarlyPackets(t *testing.T) {
	for _, f := range []frame{
		ackFrame("0"), ackECNFrame("0", 0, 0, 0), cryptoFrame(0, "x"), handshakeDoneFrame(), newTokenFrame("x"), responseFrame("12345678"),
		retireIDFrame(0),
	} {
		tc, id := earlyServer(t)
		tc.sendEarly(id, 0, f)
		// RFC 9000, Section 12.5, and RFC 9001, Section 8.3 [2]
		tc.wantClosed(f.String()+" is not for 0-RTT packets", errProtocolViolation)
	}
}

// TestEarlyLimits: flow control holds for early data too.
func TestEarlyLimits(t *testing.T) {
	tc, id := earlyServer(t)
	tc.sendEarly(id, 0, streamFrame(0, uint64(tc.c.cfg.InitialMaxStreamData), "x"))
	tc.wantClosed("beyond the limit", errFlowControl)
}

// TestEarlyReplay: the first flight of a client comes again, from another address and for another
// connection ID. A server that lets clients use a ticket again knows the ClientHello.
func TestEarlyReplay(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		t.Run(fmt.Sprint(reuse), func(t *testing.T) { replayEarly(t, reuse) })
	}
}

func replayEarly(t *testing.T, reuse bool) {
	var client *Config
	tc := newTestConn(t, true, func(s *testSetup) {
		s.conn.Enable0RTT, s.peer.Enable0RTT = true, true
		s.conn.ReuseTickets = reuse
		s.peer.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		client = &s.peer
	})
	tc.c.Close(0, "")
	tc.flush()
	c := tc.dial(tc.peerE, Target{Remote: tc.addr, Local: tc.peerAddr}, client)
	s, err := c.OpenStream(Uni)
	tc.must(err)
	s.Write([]byte("transfer the money"))
	flight := drainEndpoint(tc.peerE, tc.now, tc.buf)
	accepted := 0
	for i := range 3 {
		for _, d := range flight {
			tc.e.Receive(tc.now, Datagram{Data: append([]byte(nil), d.data...), Remote: elsewhere(i), Local: tc.addr})
		}
		for other := tc.e.first; other != nil; other = other.next {
			if len(other.streams.all) > 0 {
				accepted++
			}
		}
		for tc.e.first != nil {
			tc.e.first.Close(0, "")
		}
		tc.e.HandleTimeout(tc.now.Add(testRTT * 1000)) // the ID is forgotten
		tc.now = tc.now.Add(testRTT * 1000)
	}
	if accepted != 1 {
		t.Errorf("early data was taken %d times", accepted)
	}
}

// TestTicketUse: whoever replays a ClientHello may cut it into other pieces. It stays the same use
// of the ticket.
func TestTicketUse(t *testing.T) {
	hello := []byte("type, length, version, and then a random of 32 bytes, and the rest")
	other := bytes.Clone(hello)
	other[randomAt+randomLen-1]++
	use := func(hello []byte, piece int) TicketID {
		c := &Conn{cfg: &Config{Enable0RTT: true, ReuseTickets: true}}
		for len(hello) > 0 {
			n := min(piece, len(hello))
			c.noteClientHello(hello[:n])
			hello = hello[n:]
		}
		return c.ticketUse(TicketID{1})
	}
	want := use(hello, len(hello))
	for piece := 1; piece < len(hello); piece++ {
		if got := use(hello, piece); got != want {
			t.Errorf("in pieces of %d bytes it is another use: %x", piece, got)
		}
	}
	if use(other, len(other)) == want {
		t.Error("another ClientHello is the same use")
	}
}

// TestTicketFlood: somebody who has seen a ticket sends any number of ClientHellos with it. After
// that, what came before the flood is still known.
func TestTicketFlood(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		var filter TicketFilter
		e := &Endpoint{}
		e.cfg.TakeTicket = filter.First
		take := func(id TicketID, n uint32) bool {
			c := &Conn{e: e, cfg: &Config{Enable0RTT: true, ReuseTickets: reuse}}
			hello := make([]byte, randomAt+randomLen)
			binary.BigEndian.PutUint32(hello[randomAt:], n)
			c.noteClientHello(hello)
			return c.takeTicket(id)
		}
		honest, seen := TicketID{100}, TicketID{200}
		if !take(honest, 1) || !take(seen, 1) {
			t.Fatal("the first use was refused")
		}
		taken := 0
		for n := range uint32(4 * maxTickets) {
			if take(seen, n+2) {
				taken++
			}
		}
		if most := map[bool]int{false: 0, true: ticketUses - 1}[reuse]; taken != most {
			t.Errorf("reuse %t: the ticket served %d times more, want %d", reuse, taken, most)
		}
		if take(honest, 1) || take(seen, 1) {
			t.Errorf("reuse %t: early data was taken again", reuse)
		}
	}
}
