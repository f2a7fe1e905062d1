package conn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// Hostile handshakes: transport parameters, CRYPTO data, and packets that no honest peer sends
// before the end of the handshake.

const (
	rawServerID = "server ID" // the ID that the test chooses for a server when it is the client
	rawClientID = "client ID"
)

// hostileParams are transport parameters, and who must not send them: "client", "server", or "" for
// both.
func hostileParams() []struct {
	name, by string
	edit     func([]rawParam) []rawParam
} {
	add := func(id uint64, v string) func([]rawParam) []rawParam {
		return func(p []rawParam) []rawParam { return append(p, rawParam{id, v}) }
	}
	without := func(id uint64) func([]rawParam) []rawParam {
		return func(p []rawParam) (rest []rawParam) {
			for _, x := range p {
				if x.id != id {
					rest = append(rest, x)
				}
			}
			return rest
		}
	}
	set := func(id uint64, v string) func([]rawParam) []rawParam {
		return func(p []rawParam) []rawParam { return add(id, v)(without(id)(p)) }
	}
	twice := func(id uint64, v string) func([]rawParam) []rawParam {
		return func(p []rawParam) []rawParam { return add(id, v)(add(id, v)(p)) }
	}
	address := "\x0a\x00\x00\x01\x01\xbb" + string(make([]byte, 16)) + "\x00\x00"
	token := "stateless reset "
	return []struct {
		name, by string
		edit     func([]rawParam) []rawParam
	}{
		{"none at all", "", func([]rawParam) []rawParam { return nil }},
		{"without initial_source_connection_id", "", without(0x0f)},
		{"wrong initial_source_connection_id", "", set(0x0f, "somebody")},
		{"empty initial_source_connection_id", "", set(0x0f, "")},
		{"initial_source_connection_id too long", "", set(0x0f, "123456789012345678901")},
		{"without original_destination_connection_id", "server", without(0x00)},
		{"wrong original_destination_connection_id", "server", set(0x00, "somebody")},
		{"retry_source_connection_id without Retry", "server", add(0x10, "somebody")},
		{"original_destination_connection_id", "client", add(0x00, rawServerID)},
		{"stateless_reset_token", "client", add(0x02, token)},
		{"preferred_address", "client", add(0x0d, address+"\x01x"+token)},
		{"retry_source_connection_id", "client", add(0x10, rawServerID)},
		{"short stateless_reset_token", "server", add(0x02, token[1:])},
		{"long stateless_reset_token", "server", add(0x02, token+"!")},
		{"preferred_address cut short", "server", add(0x0d, address+"\x08x"+token)},
		{"preferred_address with empty connection ID", "server", add(0x0d, address+"\x00"+token)},
		{"preferred_address with long connection ID", "server", add(0x0d, address+"\x15"+"123456789012345678901"+token)},
		{"twice", "", twice(0x01, varint(1000))},
		{"twice, unknown", "", twice(0x7777, "x")},
		{"twice, empty", "", twice(0x0c, "")},
		{"ack_delay_exponent above 20", "", add(0x0a, varint(21))},
		{"max_ack_delay of 2^14", "", add(0x0b, varint(1<<14))},
		{"max_udp_payload_size below 1200", "", add(0x03, varint(1199))},
		{"active_connection_id_limit below 2", "", add(0x0e, varint(1))},
		{"initial_max_streams_bidi above 2^60", "", add(0x08, varint(1<<60+1))},
		{"initial_max_streams_uni above 2^60", "", add(0x09, varint(1<<60+1))},
		{"empty integer", "", add(0x04, "")},
		{"integer with a rest", "", add(0x04, varint(7)+"x")},
		{"integer cut short", "", add(0x04, "\xc0\x00")},
		{"disable_active_migration with a value", "", add(0x0c, "x")},
		{"min_ack_delay above max_ack_delay", "", add(0xff04de1b, varint(26000))},
	}
}

// TestHostileParamsOfClient: a client sends the hostile parameters to a server.
// RFC 9000, Section 7.3 [2, 3]; RFC 9000, Section 7.4 [1, 3]; RFC 9000, Section 18.2 [8, 10].
func TestHostileParamsOfClient(t *testing.T) {
	for _, h := range hostileParams() {
		if h.by == "server" {
			continue
		}
		l, clientTLS := newLoneServer(t, nil)
		r := newRawTLS(t, false, clientTLS, appendRawParams(h.edit([]rawParam{{0x0f, rawClientID}})))
		out := l.feed(clientInitial(rawServerID, rawClientID, nil, cryptoFrame(0, string(r.out[spaceInitial]))), elsewhere(1))
		if errorCode(l.err) != errTransportParameter {
			t.Errorf("%s: the connection ended with %v", h.name, l.err)
			continue
		}
		if len(out) != 1 {
			t.Errorf("%s: the client was told in %d datagrams", h.name, len(out))
			continue
		}
		if f := closeOf(t, out[0].data, rawServerID); f.v[0] != errTransportParameter {
			t.Errorf("%s: the client was told %v", h.name, f)
		}
	}
}

// A rawServer answers a client under test.
type rawServer struct {
	*rawTLS
	l      *lone
	c      *Conn
	client *keys.Keys // keys of the Initial packets of both sides
	server *keys.Keys
	id     string // that the server chose
	next   uint64
}

// dialRaw makes a client dial a server that the test plays. The function params gets the parameters
// of an honest server and returns those to send.
func dialRaw(t testing.TB, serverTLS *tls.Config, cfg *Config, params func([]rawParam) []rawParam) *rawServer {
	t.Helper()
	l := newLone(t, nil, nil)
	c, err := l.Dial(hour0(), Target{Remote: elsewhere(1), Local: l.addr}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &rawServer{l: l, c: c, id: rawServerID}
	r.client, r.server = keys.Initial(Version1, c.origin.bytes())
	own := []rawParam{{0x00, string(c.origin.bytes())}, {0x0f, rawServerID}}
	if params != nil {
		own = params(own)
	}
	r.rawTLS = newRawTLS(t, true, serverTLS, appendRawParams(own))
	for _, d := range l.drain() {
		h, _ := wire.ParseLong(d.data)
		pnLen, pn, _ := r.client.Unprotect(d.data[:h.End], h.PNOff)
		payload, ok := r.client.Open(d.data[:h.End], h.PNOff+pnLen, pn)
		if !ok {
			t.Fatal("the client's Initial does not open")
		}
		for len(payload) > 0 {
			f, n := parseFrame(payload)
			if f.typ == wire.FrameCrypto {
				if err := r.rawTLS.feed(spaceInitial, []byte(f.data)); err != nil {
					t.Fatal(err)
				}
			}
			payload = payload[n:]
		}
	}
	return r
}

// send sends frames in an Initial or Handshake packet.
func (r *rawServer) send(space spaceID, frames ...frame) []seenDatagram {
	r.t.Helper()
	typ, tx := uint8(wire.TypeInitial), r.server
	if space == spaceHandshake {
		typ, tx = wire.TypeHandshake, r.tx[spaceHandshake]
	}
	p := rawPacket{typ: typ, dcid: string(r.c.local.ids[0].id.bytes()), scid: r.id, pn: r.next, tx: tx, frames: frames}
	r.next++
	return r.l.feed(p.seal(), elsewhere(1))
}

// RFC 9000, Section 7.3 [2, 3, 4]; RFC 9000, Section 7.4 [1, 3]; RFC 9000, Section 18.2 [6, 8].
func TestHostileParamsOfServer(t *testing.T) {
	for _, h := range hostileParams() {
		if h.by == "client" {
			continue
		}
		serverTLS, clientTLS := testTLS(t)
		cfg := quietConfig()
		cfg.TLS = clientTLS
		r := dialRaw(t, serverTLS, &cfg, h.edit)
		r.send(spaceInitial, cryptoFrame(0, string(r.out[spaceInitial])))
		r.send(spaceHandshake, cryptoFrame(0, string(r.out[spaceHandshake])))
		if errorCode(r.l.err) != errTransportParameter {
			t.Errorf("%s: the connection ended with %v", h.name, r.l.err)
		}
	}
}

// TestPreferredAddressWithoutID: a server whose connection ID is empty has no preferred address
// (RFC 9000, Section 18.2).
// RFC 9000, Section 18.2 [6].
func TestPreferredAddressWithoutID(t *testing.T) {
	address := "\x0a\x00\x00\x01\x01\xbb" + string(make([]byte, 18)) + "\x01x" + "stateless reset "
	for _, preferred := range []bool{false, true} {
		serverTLS, clientTLS := testTLS(t)
		cfg := quietConfig()
		cfg.TLS = clientTLS
		r := dialRaw(t, serverTLS, &cfg, func(p []rawParam) []rawParam {
			p[1].v = "" // initial_source_connection_id
			if preferred {
				p = append(p, rawParam{0x0d, address})
			}
			return p
		})
		r.id = ""
		r.send(spaceInitial, cryptoFrame(0, string(r.out[spaceInitial])))
		r.send(spaceHandshake, cryptoFrame(0, string(r.out[spaceHandshake])))
		if !preferred && (r.l.err != nil || r.c.state != stateComplete) {
			t.Errorf("without a preferred address: %v", r.l.err)
		}
		if preferred && errorCode(r.l.err) != errTransportParameter {
			t.Errorf("the connection ended with %v", r.l.err)
		}
	}
}

// TestHonestRawServer makes sure that the tests above fail for the reason that they name.
// RFC 9000, Section 7.3 [1].
func TestHonestRawServer(t *testing.T) {
	serverTLS, clientTLS := testTLS(t)
	cfg := quietConfig()
	cfg.TLS = clientTLS
	r := dialRaw(t, serverTLS, &cfg, nil)
	r.send(spaceInitial, cryptoFrame(0, string(r.out[spaceInitial])))
	r.send(spaceHandshake, cryptoFrame(0, string(r.out[spaceHandshake])))
	if r.l.err != nil || r.c.state != stateComplete {
		t.Fatalf("the handshake did not complete: %v", r.l.err)
	}
	l, clientTLS := newLoneServer(t, nil)
	raw := newRawTLS(t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}}))
	l.feed(clientInitial(rawServerID, rawClientID, nil, cryptoFrame(0, string(raw.out[spaceInitial]))), elsewhere(1))
	if l.err != nil || l.last == nil || l.last.spaces[spaceHandshake].tx == nil {
		t.Fatalf("the server did not answer: %v", l.err)
	}
}

// TestHandshakeAlerts: each alert of TLS ends the connection with its code (RFC 9001, Section 4.8
// [1]; RFC 9001, Section 8.1 [2]).
func TestHandshakeAlerts(t *testing.T) {
	serverTLS, clientTLS := testTLS(t)
	for _, test := range []struct {
		name string
		edit func(server, client *tls.Config)
		side string // the side that finds the fault
		code int64  // -1: any alert
	}{
		{"no common application protocol", func(s, c *tls.Config) { c.NextProtos = []string{"other"} }, "server", errCrypto + 120},
		// RFC 9001, Section 4.4 [1]
		{"an unknown certificate", func(s, c *tls.Config) { c.RootCAs = nil }, "client", -1},
		{"another name", func(s, c *tls.Config) { c.ServerName = "other.test" }, "client", -1},
		{"no certificate of a client", func(s, c *tls.Config) { s.ClientAuth = tls.RequireAnyClientCert }, "server", -1},
		{"a callback of the server fails", func(s, c *tls.Config) {
			s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errSecret }
		}, "server", errCrypto + 80},
		{"a callback of the client fails", func(s, c *tls.Config) {
			c.VerifyConnection = func(tls.ConnectionState) error { return errSecret }
		}, "client", -1},
	} {
		sides(t, func(t *testing.T, server bool) {
			st, ct := serverTLS.Clone(), clientTLS.Clone()
			test.edit(st, ct)
			tc := startTestConn(t, server, func(s *testSetup) {
				s.conn.TLS, s.peer.TLS = ct, st
				if server {
					s.conn.TLS, s.peer.TLS = st, ct
				}
			})
			var c *Conn
			tc.exchange(func() bool { c = cmpOr(tc.c, c); return false })
			if c == nil { // the connection closed when it was accepted
				c = tc.events[len(tc.events)-1].Conn
			}
			te, ok := errors.AsType[*TransportError](c.Err())
			if !ok || te.Code < errCrypto || te.Code > errCrypto+255 || test.code >= 0 && int64(te.Code) != test.code {
				t.Fatalf("%s: the connection ended with %v", test.name, c.Err())
			}
			if here := (test.side == "server") == server; te.Remote == here {
				t.Errorf("%s: remote %v: %v", test.name, te.Remote, te)
			}
			// What crypto/tls and callbacks say is not for the peer, but for the name of the alert.
			alert := tls.AlertError(te.Code - errCrypto).Error()
			if te.Remote && te.Reason != alert || !te.Remote && te.Err == nil {
				t.Errorf("%s: %v", test.name, te)
			}
		})
	}
}

var errSecret = errors.New("/etc/secret: no such file")

func cmpOr[T comparable](a, b T) T {
	var zero T
	if a != zero {
		return a
	}
	return b
}

// TestFramesInWrongPackets puts every frame into Initial and Handshake packets.
// RFC 9000, Section 12.4 [3]; RFC 9000, Section 17.2.4 [1].
func TestFramesInWrongPackets(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		frames := append(allFrames(server), pingFrame(), handshakeDoneFrame(), immediateAckFrame())
		for _, space := range []spaceID{spaceInitial, spaceHandshake} {
			for _, f := range frames {
				tc := handshakeConn(t, server)
				switch f.typ {
				case wire.FramePing, wire.FrameCrypto, wire.FrameConnectionClose, wire.FrameAck, wire.FrameAckECN:
					continue
				}
				// RFC 9000, Section 12.5
				code := uint64(errProtocolViolation)
				// not negotiated
				if f.typ == wire.FrameAckFrequency || f.typ == wire.FrameImmediateAck {
					code = errFrameEncoding
				}
				tc.writeIn(space, f)
				tc.wantClosed(f.String()+" is for 1-RTT packets", code)
			}
			for _, unknown := range []string{"\x20", "\x21", "\x32", "\x3f", "\x40\x52", "\x7f\xff", "\xff\xff\xff\xff\xff\xff\xff\xff"} {
				tc := handshakeConn(t, server)
				tc.send(testPacket{space: space, payload: []byte(unknown)})
				// RFC 9000, Section 12.4
				tc.wantClosed(fmt.Sprintf("frame of the unknown type %x", unknown), errFrameEncoding)
			}
		}
	})
}

// handshakeConn returns a connection that has Initial and Handshake keys.
func handshakeConn(t *testing.T, server bool) *testConn {
	t.Helper()
	if !server {
		return handshakeClient(t)
	}
	tc := handshakeServer(t)
	tc.takeKeys()
	return tc
}

// RFC 9000, Section 17.2 [9]; RFC 9000, Section 17.3.1 [3].
func TestReservedBits(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		for _, space := range []spaceID{spaceInitial, spaceHandshake} {
			tc := handshakeConn(t, server)
			tc.send(testPacket{space: space, frames: []frame{pingFrame()}, reserved: true})
			// RFC 9000, Section 17.2
			tc.wantClosed("reserved bits in a long header", errProtocolViolation)
		}
		tc := newTestConn(t, server)
		by := tc.bystand()
		tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, reserved: true})
		// RFC 9000, Section 17.3.1
		tc.wantClosed("reserved bits in a short header", errProtocolViolation)
		by.check()
	})
}

func TestHostileCryptoInHandshake(t *testing.T) {
	gaps := func() (all []frame) {
		for i := range uint64(maxCryptoGaps + 2) {
			all = append(all, cryptoFrame(2000+2*i, "x"))
		}
		return all
	}
	sides(t, func(t *testing.T, server bool) {
		for _, test := range []struct {
			name   string
			space  spaceID
			frames []frame
			code   uint64
		}{
			{"far ahead in Initial packets", spaceInitial, []frame{cryptoFrame(1<<40, "x")}, errCryptoBufferExceeded},
			{"far ahead in Handshake packets", spaceHandshake, []frame{cryptoFrame(1<<40, "x")}, errCryptoBufferExceeded},
			{"many gaps", spaceHandshake, gaps(), errCryptoBufferExceeded},
			// RFC 9001, Section 4.1.3 [2]
			{"at a level that TLS has left", spaceInitial, []frame{cryptoFrame(1300, "x"), cryptoFrame(0, string(make([]byte, 1300)))}, errProtocolViolation},
			{"a message of a size that nobody needs", spaceHandshake, []frame{cryptoFrame(0, "\x08\xff\xff\xff")}, errCrypto + 80},
			{"no TLS at all", spaceHandshake, []frame{cryptoFrame(0, "\xff\x00\x00\x01\x01")}, errCrypto + 10},
			{"an empty packet", spaceHandshake, nil, errProtocolViolation},
		} {
			tc := handshakeConn(t, server)
			before := tc.e.chunks.Used()
			tc.writeIn(test.space, test.frames...)
			if !tc.c.closed {
				t.Fatalf("%s: still there", test.name)
			}
			if code := errorCode(tc.wantEnd(test.name)); code != int64(test.code) {
				if code < errCrypto || test.code < errCrypto {
					t.Errorf("%s: %v", test.name, tc.c.err)
				}
			}
			if n := tc.e.chunks.Used(); n > before || n != 0 {
				t.Errorf("%s: %d bytes are still held", test.name, n)
			}
		}
	})
}

// TestOverlappingCrypto: the bytes that came first count. Later bytes at the same offset change
// nothing.
func TestOverlappingCrypto(t *testing.T) {
	l, clientTLS := newLoneServer(t, nil)
	r := newRawTLS(t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}}))
	hello := string(r.out[spaceInitial])
	l.feed(clientInitial(rawServerID, rawClientID, nil,
		cryptoFrame(10, hello[10:]), cryptoFrame(20, "other bytes at the same place"), cryptoFrame(0, hello[:20])), elsewhere(1))
	if l.err != nil || l.last.spaces[spaceHandshake].tx == nil {
		t.Fatalf("the handshake does not go on: %v", l.err)
	}
}

// TestHandshakeTimeout: a client sends its ClientHello byte by byte, or stops sending.
func TestHandshakeTimeout(t *testing.T) {
	for _, every := range []time.Duration{time.Second, time.Hour} {
		l, clientTLS := newLoneServer(t, nil)
		r := newRawTLS(t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}}))
		hello := string(r.out[spaceInitial])
		tx, _ := keys.Initial(Version1, []byte(rawServerID))
		start := hour0()
		next := start
		for i := uint64(0); l.err == nil && i < 100; {
			if now := l.wall(l.now); i == 0 || !now.Before(next) {
				p := rawPacket{typ: wire.TypeInitial, dcid: rawServerID, scid: rawClientID, pn: i, size: minMTU, tx: tx,
					frames: []frame{cryptoFrame(i, hello[i:i+1])}}
				l.Receive(next, Datagram{Data: p.seal(), Remote: elsewhere(1), Local: l.addr})
				next = next.Add(every)
				i++
			}
			l.drain()
			at := sooner(l.Timeout(), next)
			l.HandleTimeout(at)
			l.drain()
		}
		if !errors.Is(l.err, ErrHandshakeTimeout) || l.wall(l.now).Sub(start) != 10*time.Second {
			t.Errorf("a byte every %v: %v after %v", every, l.err, l.wall(l.now).Sub(start))
		}
		if s := l.Stats(); s.Handshakes != 0 || s.Conns != 0 || s.HandshakeTimeouts != 1 || s.Buffered != 0 {
			t.Errorf("a byte every %v: %+v", every, s)
		}
	}
}

// TestAmplificationOfHandshake: until its address is validated, a client gets at most three times
// the bytes that it sent, whatever happens.
// RFC 9000, Section 8.1 [1]; RFC 9000, Section 14.1 [4].
func TestAmplificationOfHandshake(t *testing.T) {
	for _, end := range []string{"silence", "garbage", "violation", "challenge"} {
		cfg := quietConfig()
		serverTLS, clientTLS := testTLS(t)
		chain := serverTLS.Certificates[0].Certificate
		for range 40 { // a long chain, so that the flight does not fit into the limit
			serverTLS.Certificates[0].Certificate = append(serverTLS.Certificates[0].Certificate, chain[0])
		}
		cfg.TLS = serverTLS
		l := newLone(t, &cfg, nil)
		r := newRawTLS(t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}}))
		tx, _ := keys.Initial(Version1, []byte(rawServerID))
		in, out := 0, 0
		feed := func(b []byte) {
			in += len(b)
			for _, d := range l.feed(b, elsewhere(1)) {
				out += len(d.data)
			}
		}
		run := func(d time.Duration) {
			for until := l.wall(l.now).Add(d); ; {
				at := l.Timeout()
				if at.IsZero() || at.After(until) {
					return
				}
				l.HandleTimeout(at)
				for _, d := range l.drain() {
					out += len(d.data)
				}
				if out > 3*in {
					t.Fatalf("%s: %d bytes for %d", end, out, in)
				}
			}
		}
		feed(clientInitial(rawServerID, rawClientID, nil, cryptoFrame(0, string(r.out[spaceInitial]))))
		if out < 2400 {
			t.Fatalf("%d bytes were sent for %d", out, in)
		}
		run(time.Second)
		for i := range uint64(30) {
			p := rawPacket{typ: wire.TypeInitial, dcid: rawServerID, scid: rawClientID, pn: i + 1, size: minMTU, tx: tx, frames: []frame{pingFrame()}}
			switch end {
			case "garbage":
				p.dcid = string(l.last.local.ids[0].id.bytes())
				b := p.seal()
				b[len(b)-1] ^= 1
				b = b[:30+i]
				feed(b)
			case "violation":
				p.frames = []frame{handshakeDoneFrame()}
				feed(p.seal())
			case "challenge":
				feed(p.seal())
			}
			run(100 * time.Millisecond)
			if out > 3*in {
				t.Fatalf("%s: %d bytes for %d", end, out, in) // RFC 9000, Section 8.1
			}
		}
		run(20 * time.Second)
		if end != "violation" && !errors.Is(l.err, ErrHandshakeTimeout) {
			t.Errorf("%s: %v", end, l.err)
		}
	}
}

// TestDiscardedBytesCount: datagrams that do not decrypt count for the anti-amplification limit
// too.
// RFC 9000, Section 8.1 [2].
func TestDiscardedBytesCount(t *testing.T) {
	tc := handshakeServer(t)
	before := tc.c.path.received
	b := tc.seal(testPacket{space: spaceHandshake, frames: []frame{pingFrame()}})
	b[len(b)-1] ^= 1
	tc.deliver(b, tc.peerAddr, NotECT)
	if got := tc.c.path.received - before; got != uint64(len(b)) {
		t.Errorf("%d of %d bytes count", got, len(b)) // RFC 9000, Section 8.1
	}
}

// TestUndecryptablePackets: packets that come before their keys are kept, within limits (RFC 9001,
// Section 5.7).
func TestUndecryptablePackets(t *testing.T) {
	t.Run("many", func(t *testing.T) {
		tc := startTestConn(t, true)
		tc.exchange(func() bool { return tc.c != nil })
		for i := range 1000 {
			b := append([]byte{0x40}, tc.c.local.ids[0].id.bytes()...)
			b = append(b, make([]byte, 20+i)...)
			tc.deliver(b, tc.peerAddr, NotECT)
		}
		if n := len(tc.c.waiting.list); n > maxWaiting {
			t.Errorf("%d packets wait", n)
		}
	})
	t.Run("large", func(t *testing.T) {
		tc := startTestConn(t, true)
		tc.exchange(func() bool { return tc.c != nil })
		for range 20 {
			b := append([]byte{0x40}, tc.c.local.ids[0].id.bytes()...)
			tc.deliver(append(b, make([]byte, 65000)...), tc.peerAddr, NotECT)
		}
		held := 0
		for _, w := range tc.c.waiting.list {
			held += len(w.data)
		}
		if held > maxWaitingBytes {
			t.Errorf("%d bytes of packets wait that may be anything", held)
		}
	})
	t.Run("then dropped", func(t *testing.T) {
		tc := startTestConn(t, true)
		tc.exchange(func() bool { return tc.c != nil })
		b := append([]byte{0x40}, tc.c.local.ids[0].id.bytes()...)
		tc.deliver(append(b, make([]byte, 50)...), tc.peerAddr, NotECT)
		tc.exchange(func() bool { return false })
		tc.wantOpen("garbage is no reason to close")
		if tc.c.state != stateConfirmed || len(tc.c.waiting.list) != 0 {
			t.Errorf("state %d, %d packets wait", tc.c.state, len(tc.c.waiting.list))
		}
	})
}

// TestCoalescedGarbage: a first datagram has malformed packets behind the Initial. Nothing is left
// of it (QUIC-LEAK).
func TestCoalescedGarbage(t *testing.T) {
	l, clientTLS := newLoneServer(t, func(c *EndpointConfig) { c.MaxHandshakes = -1 })
	r := newRawTLS(t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}}))
	for i := range 200 {
		first := clientInitial(rawServerID+fmt.Sprint(i), rawClientID, nil, cryptoFrame(0, string(r.out[spaceInitial])))
		garbage := rawPacket{typ: wire.TypeHandshake, dcid: "not yours", scid: rawClientID, tx: r.anyKeys(), frames: []frame{pingFrame()}}.seal()
		whole := append(append([]byte(nil), first...), garbage...)
		switch i % 4 {
		case 1:
			first[len(first)-1] ^= 1 // does not open
			whole = append(append([]byte(nil), first...), garbage...)
		case 2:
			whole = append(garbage, first...)
		case 3:
			whole = append(first, 0xff, 0, 0, 0, 1, 255)
		}
		l.feed(whole, elsewhere(i))
	}
	if s := l.Stats(); s.Conns != 100 || s.Accepted != 100 {
		t.Errorf("%d connections of 100 honest first packets", s.Conns)
	}
	for range 100 {
		at := l.Timeout()
		if at.IsZero() {
			break
		}
		l.HandleTimeout(at.Add(time.Minute))
		l.drain()
	}
	if s := l.Stats(); s.Conns != 0 || s.Buffered != 0 || len(l.routes.ids) != 0 {
		t.Errorf("%d connections, %d bytes and %d routes are left", s.Conns, s.Buffered, len(l.routes.ids))
	}
}

// anyKeys returns keys that nobody else has.
func (r *rawTLS) anyKeys() *keys.Keys {
	k, err := keys.New(Version1, tls.TLS_AES_128_GCM_SHA256, make([]byte, 32))
	if err != nil {
		r.t.Fatal(err)
	}
	return k
}
