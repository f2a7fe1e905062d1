package conn

import (
	"bytes"
	"crypto/tls"
	"testing"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// Which keys a client sends with, and what it takes before it has those of 1-RTT.

// resumed connects a client to the server under test again, with early data if it is on.
func resumed(t *testing.T, early bool) (*testConn, *Conn) {
	t.Helper()
	var client Config
	tc := newTestConn(t, true, func(s *testSetup) {
		s.conn.Enable0RTT, s.peer.Enable0RTT = true, true
		s.peer.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		client = s.peer
	})
	tc.c.Close(0, "")
	tc.flush()
	client.Enable0RTT = early
	return tc, tc.dial(tc.peerE, Target{Remote: tc.addr, Local: tc.peerAddr}, &client)
}

// packetTypes counts the packets of datagrams by the types of their headers.
func packetTypes(out []seenDatagram) (early, short int) {
	for _, d := range out {
		for b := d.data; len(b) > 0; {
			if !wire.IsLong(b[0]) {
				short++
				break
			}
			h, ok := wire.ParseLong(b)
			if !ok {
				break
			}
			if h.Type == wire.Type0RTT {
				early++
			}
			b = b[h.End:]
		}
	}
	return early, short
}

// TestEarlyKeysAreDropped: a client sends 0-RTT packets until it has 1-RTT keys, and then has no
// keys for them. The server has none either once the handshake is complete.
// RFC 9000, Section 17.2.3 [3].
func TestEarlyKeysAreDropped(t *testing.T) {
	tc, c := resumed(t, true)
	s, err := c.OpenStream(Uni)
	tc.must(err)
	s.Write([]byte("early"))
	flight := drainEndpoint(tc.peerE, tc.now, tc.buf)
	if early, short := packetTypes(flight); early == 0 || short > 0 {
		t.Fatalf("the first flight has %d 0-RTT and %d 1-RTT packets", early, short)
	}
	tc.e.Receive(tc.now, Datagram{Data: flight[0].data, Remote: tc.peerAddr, Local: tc.addr})
	server := tc.e.first
	for range 10 { // both ways, until nobody has anything to say
		for _, d := range drainEndpoint(tc.e, tc.now, tc.buf) {
			tc.peerE.Receive(tc.now, Datagram{Data: d.data, Remote: tc.addr, Local: tc.peerAddr})
		}
		for _, d := range drainEndpoint(tc.peerE, tc.now, tc.buf) {
			tc.e.Receive(tc.now, Datagram{Data: d.data, Remote: tc.peerAddr, Local: tc.addr})
		}
	}
	if c.state != stateConfirmed || server.state != stateConfirmed {
		t.Fatalf("states %d and %d", c.state, server.state)
	}
	if c.early.tx != nil || server.early.rx != nil {
		t.Error("there are 0-RTT keys still") // RFC 9001, Section 4.9.3 [1, 2]
	}
	s.Write([]byte("late"))
	// RFC 9001, Section 5.6 [6], and RFC 9001, Section 4.9 [2]
	if early, short := packetTypes(drainEndpoint(tc.peerE, tc.now, tc.buf)); early > 0 || short == 0 {
		t.Errorf("%d 0-RTT and %d 1-RTT packets follow", early, short)
	}
}

// TestEarlyDataUnasked: a client that could send early data does not, unless it was configured to
// (RFC 9001, Section 5.6 [1]).
func TestEarlyDataUnasked(t *testing.T) {
	tc, c := resumed(t, false)
	if s, err := c.OpenStream(Uni); err == nil {
		s.Write([]byte("early"))
	}
	if early, short := packetTypes(drainEndpoint(tc.peerE, tc.now, tc.buf)); early > 0 || short > 0 {
		t.Errorf("the first flight has %d 0-RTT and %d 1-RTT packets", early, short)
	}
}

// TestEarlyPacketToClient: a server sends a 0-RTT packet (RFC 9001, Section 5.6 [5]).
func TestEarlyPacketToClient(t *testing.T) {
	tc := handshakeClient(t, func(s *testSetup) { s.conn.Enable0RTT = true })
	tx, _ := keys.Initial(Version1, []byte("any keys"))
	before := tc.e.stats.DroppedUndecryptable
	tc.deliver(rawPacket{
		typ: wire.Type0RTT, dcid: string(tc.c.local.ids[0].id.bytes()), scid: string(tc.c.remote.handshake.bytes()), tx: tx,
		frames: []frame{streamFrame(tc.theirs(Uni, 0), 0, "x")},
	}.seal(), tc.peerAddr, NotECT)
	if n := tc.e.stats.DroppedUndecryptable - before; n != 1 || len(tc.c.waiting.list) != 0 {
		t.Errorf("%d packets are dropped, and %d wait", n, len(tc.c.waiting.list))
	}
	tc.wantOpen("it may be a forgery")
}

// TestShortPacketsWait: a client gets 1-RTT packets before the handshake is complete. They wait
// (RFC 9001, Section 5.7 [1, 3]).
func TestShortPacketsWait(t *testing.T) {
	tc := handshakeClient(t)
	b := append([]byte{0x40}, tc.c.local.ids[0].id.bytes()...)
	tc.deliver(append(b, make([]byte, 50)...), tc.peerAddr, NotECT)
	if n := len(tc.c.waiting.list); n != 1 || tc.c.spaces[spaceApp].recv.largest >= 0 {
		t.Errorf("%d packets wait", n)
	}
}

// TestRejectedDataAcknowledged: a server that rejected early data acknowledges a packet with it
// (RFC 9001, Section 4.6.2 [2]).
func TestRejectedDataAcknowledged(t *testing.T) {
	for _, before := range []bool{false, true} {
		tc := newTestConn(t, false)
		tc.ping()
		tc.flush()
		first := uint64(tc.largest[spaceApp])
		tc.c.early.rejected = first // as rejectEarly notes it: lower numbers were of 0-RTT packets
		if before {
			tc.c.early.rejected++
		}
		tc.write(ackFrame(rangeString(first, first)))
		if before {
			tc.wantClosed("a 0-RTT packet is acknowledged that was rejected", errProtocolViolation)
		} else {
			tc.wantOpen("the first 1-RTT packet is acknowledged")
		}
	}
}

// TestOldTLS: a server answers with TLS 1.2, although the client offered 1.3 alone (RFC 9001,
// Section 4.2 [1, 2]).
func TestOldTLS(t *testing.T) {
	serverTLS, clientTLS := testTLS(t)
	var offered []uint16
	serverTLS.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offered = hello.SupportedVersions
		return nil, nil
	}
	cfg := quietConfig()
	cfg.TLS = clientTLS
	cfg.TLS.MinVersion = tls.VersionTLS12
	r := dialRaw(t, serverTLS, &cfg, nil)
	if len(offered) != 1 || offered[0] != tls.VersionTLS13 {
		t.Errorf("the client offers %#x", offered)
	}
	hello := r.out[spaceInitial]
	chosen := []byte{0, 43, 0, 2, 3, 4} // the extension supported_versions: TLS 1.3
	if bytes.Count(hello, chosen) != 1 {
		t.Fatal("no extension to change")
	}
	r.send(spaceInitial, cryptoFrame(0, string(bytes.Replace(hello, chosen, []byte{0, 43, 0, 2, 3, 3}, 1))))
	r.l.drain()
	if code := errorCode(r.l.err); code < errCrypto || code > errCrypto+255 {
		t.Errorf("the connection ended with %v", r.l.err)
	}
}

// TestServerWithoutProtocol: a server answers without an application protocol (RFC 9001, Section
// 8.1 [3]).
// RFC 9000, Section 7 [2].
func TestServerWithoutProtocol(t *testing.T) {
	serverTLS, clientTLS := testTLS(t)
	serverTLS.NextProtos = nil
	cfg := quietConfig()
	cfg.TLS = clientTLS
	r := dialRaw(t, serverTLS, &cfg, nil)
	for space := range 2 {
		for _, f := range pieces(string(r.out[space]), 1000) {
			if !r.c.closed {
				r.send(spaceID(space), f)
			}
		}
	}
	r.l.drain()
	if got := errorCode(r.l.err); got != errCrypto+120 {
		t.Errorf("the connection ended with %v", r.l.err)
	}
}
