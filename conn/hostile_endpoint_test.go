package conn

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// Datagrams that strangers may send to an Endpoint: floods, Version Negotiation, Retry and tokens,
// stateless resets.

// hello returns the CRYPTO frame with a ClientHello.
func (l *lone) hello() frame {
	_, clientTLS := testTLS(l.t)
	r := newRawTLS(l.t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}}))
	return cryptoFrame(0, string(r.out[spaceInitial]))
}

func always(a Admission) func(*EndpointConfig) {
	return func(c *EndpointConfig) { c.Admit = func(AdmissionRequest) Admission { return a } }
}

func TestInitialFlood(t *testing.T) {
	l, _ := newLoneServer(t, func(c *EndpointConfig) { c.MaxHandshakes = 10 })
	hello := l.hello()
	for i := range 2000 {
		l.Receive(hour0(), Datagram{Data: clientInitial(fmt.Sprintf("server %04d", i), rawClientID, nil, hello), Remote: elsewhere(i), Local: l.addr})
	}
	s := l.Stats()
	if s.Handshakes != 10 || s.Conns != 10 {
		t.Errorf("%d handshakes", s.Handshakes)
	}
	if len(l.routes.ids) > 20 || l.answers.size > maxAnswers {
		t.Errorf("%d routes, %d answers", len(l.routes.ids), l.answers.size)
	}
	retries := 0
	for _, d := range l.drain() {
		h, ok := wire.ParseLong(d.data)
		if ok && h.Type == wire.TypeRetry {
			retries++
		}
	}
	if retries == 0 || retries > maxAnswers {
		t.Errorf("%d Retry packets", retries)
	}
}

// TestDialsAreNotPending: connections that the endpoint dials itself take no room away from
// clients.
func TestDialsAreNotPending(t *testing.T) {
	pending := 0
	l, clientTLS := newLoneServer(t, func(c *EndpointConfig) {
		c.Admit = func(r AdmissionRequest) Admission {
			pending = r.Pending
			return AdmissionAccept
		}
	})
	cfg := quietConfig()
	cfg.TLS = clientTLS
	for i := range 20 {
		if _, err := l.Dial(hour0(), Target{Remote: elsewhere(1000 + i)}, &cfg); err != nil {
			t.Fatal(err)
		}
	}
	hello := l.hello()
	for i := range 3 {
		l.Receive(hour0(), Datagram{Data: clientInitial(fmt.Sprintf("server %04d", i), rawClientID, nil, hello), Remote: elsewhere(i), Local: l.addr})
		if pending != i {
			t.Errorf("%d handshakes of clients are pending, want %d", pending, i)
		}
	}
	if s := l.Stats(); s.Handshakes != 23 {
		t.Errorf("%d handshakes in all", s.Handshakes)
	}
	l.drain()
	l.HandleTimeout(hour0().Add(time.Hour))
	if l.accepting != 0 || l.Stats().Handshakes != 0 {
		t.Errorf("%d of clients and %d handshakes in all are left", l.accepting, l.Stats().Handshakes)
	}
}

// TestInitialFloodWithTokens: the same flood comes from addresses that are validated.
func TestInitialFloodWithTokens(t *testing.T) {
	l, _ := newLoneServer(t, func(c *EndpointConfig) { c.MaxHandshakes = 5 })
	hello := l.hello()
	for i := range 100 {
		dcid := fmt.Sprintf("server %04d", i)
		id, _ := ConnIDFromSlice([]byte(dcid))
		tok := l.tokens.seal(nil, [tokenNonceLen]byte{byte(i)}, tokenContent{
			kind: TokenRetry, remote: elsewhere(i), time: hour0(), odcid: id, retrySCID: id,
		})
		l.feed(clientInitial(dcid, rawClientID, tok, hello), elsewhere(i))
	}
	if s := l.Stats(); s.Handshakes != 4*5 || s.Ignored != 100-4*5 {
		t.Errorf("%d handshakes, %d ignored", s.Handshakes, s.Ignored)
	}
}

// TestNoLimitOfHandshakes: the largest limit is one that is never reached.
func TestNoLimitOfHandshakes(t *testing.T) {
	for _, limit := range []int{-1, math.MinInt, math.MaxInt, math.MaxInt / 2} {
		l, _ := newLoneServer(t, func(c *EndpointConfig) { c.MaxHandshakes = limit })
		for _, pending := range []int{0, 1, 1 << 27} {
			if a := l.admission(AdmissionRequest{Pending: pending}); a != AdmissionAccept {
				t.Errorf("limit %d, %d handshakes: admission %v", limit, pending, a)
			}
		}
	}
}

// RFC 9000, Section 17.2.5.1 [4].
func TestRetryKeepsNoState(t *testing.T) {
	l, _ := newLoneServer(t, always(AdmissionRetry))
	out := l.feed(clientInitial(rawServerID, rawClientID, nil, l.hello()), elsewhere(1))
	if len(out) != 1 || len(l.routes.ids) != 0 || l.first != nil || l.Stats().Retries != 1 {
		t.Fatalf("%d datagrams, %d routes", len(out), len(l.routes.ids))
	}
	if len(out[0].data) > 3*minMTU {
		t.Errorf("Retry of %d bytes", len(out[0].data))
	}
}

// TestRetryHasAnotherID: whatever makes connection IDs, a Retry has not the one that the client
// chose.
// RFC 9000, Section 17.2.5.1 [1].
func TestRetryHasAnotherID(t *testing.T) {
	for _, id := range []string{rawServerID, "another!"} {
		l, _ := newLoneServer(t, func(c *EndpointConfig) {
			always(AdmissionRetry)(c)
			c.ConnIDs = oneID(id)
		})
		out := l.feed(clientInitial(rawServerID, rawClientID, nil, l.hello()), elsewhere(1))
		if sends := len(out) > 0; sends != (id != rawServerID) {
			t.Errorf("%q: %d datagrams are sent", id, len(out))
		}
	}
}

// oneID issues one connection ID again and again.
type oneID string

func (id oneID) Generate(b *[20]byte) int { return copy(b[:], id) }
func (id oneID) Len([]byte) int           { return len(id) }

// RFC 9000, Section 8.1.2 [2].
func TestRetry(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server, func(s *testSetup) {
			s.endpoint.Admit = func(in AdmissionRequest) Admission { return AdmissionRetry }
			s.peerSide.Admit = s.endpoint.Admit
		})
		client, serverConn := tc.c, tc.peer
		if server {
			client, serverConn = tc.peer, tc.c
		}
		if !client.retried || !serverConn.retried || client.ID() != serverConn.ID() {
			t.Errorf("client %v after Retry %v, server %v after Retry %v", client.ID(), client.retried, serverConn.ID(), serverConn.retried)
		}
		if s := serverConn.e.Stats(); s.Retries != 1 || s.Accepted != 1 || s.AcceptedRetry != 1 || s.AcceptedNewToken != 0 {
			t.Errorf("server: %+v", s)
		}
	})
}

// A retryStory is a client that waits for the answer to its first packet.
func retryStory(t *testing.T) (l *lone, c *Conn, retry func(scid, token string) []byte) {
	_, clientTLS := testTLS(t)
	cfg := quietConfig()
	cfg.TLS = clientTLS
	l = newLone(t, nil, nil)
	c, err := l.Dial(hour0(), Target{Remote: elsewhere(1), Local: l.addr}, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.drain()
	return l, c, func(scid, token string) []byte {
		b := wire.AppendRetry(nil, Version1, c.local.ids[0].id.bytes(), []byte(scid), []byte(token))
		tag := keys.RetryTag(Version1, c.remote.current().bytes(), b)
		return append(b, tag[:]...)
	}
}

// RFC 9000, Section 8.1.2 [1]; RFC 9000, Section 8.1.3 [8]; RFC 9000, Section 17.2.5 [1]; RFC 9000,
// Section 17.2.5.1 [3]; RFC 9000, Section 17.2.5.2 [1, 5]; RFC 9000, Section 17.2.5.3 [1, 2].
func TestClientTakesRetry(t *testing.T) {
	l, c, retry := retryStory(t)
	first := c.spaces[spaceInitial].sent.next
	own := c.local.ids[0].id
	hello := make([]byte, c.spaces[spaceInitial].cryptoOut.Sent())
	c.spaces[spaceInitial].cryptoOut.CopyTo(hello, 0)
	b := retry("new server ID", "a token")
	b[0] ^= 0x0a // of the unused bits
	tag := keys.RetryTag(Version1, c.remote.current().bytes(), b[:len(b)-retryTagLen])
	out := l.feed(append(b[:len(b)-retryTagLen], tag[:]...), elsewhere(1))
	if len(out) != 1 || len(out[0].data) < minMTU {
		t.Fatalf("%d datagrams follow", len(out))
	}
	h, _ := wire.ParseLong(out[0].data)
	if string(h.Token) != "a token" || string(h.DCID) != "new server ID" || !own.equal(h.SCID) {
		t.Errorf("token %q, destination %q, source %q", h.Token, h.DCID, h.SCID)
	}
	// RFC 9000, Section 17.2.5.3: packet numbers are not reset.
	rx, _ := keys.Initial(Version1, []byte("new server ID"))
	_, pn, ok := rx.Unprotect(out[0].data[:h.End], h.PNOff)
	if !ok || pn < first {
		t.Errorf("packet number %d after %d", pn, first)
	}
	pnLen := 1 + int(out[0].data[0]&3)
	payload, ok := rx.Open(out[0].data[:h.End], h.PNOff+pnLen, pn)
	if !ok || len(hello) < 100 || !bytes.Contains(payload, hello[:100]) {
		t.Error("it does not carry the same ClientHello")
	}
	if again := l.feed(retry("a third ID", "another token"), elsewhere(1)); len(again) != 0 || string(c.token) != "a token" {
		t.Error("a second Retry was taken") // RFC 9000, Section 17.2.5.2
	}
}

// RFC 9000, Section 17.2.5.1 [2]; RFC 9000, Section 17.2.5.2 [3, 4].
func TestClientIgnoresRetry(t *testing.T) {
	for name, f := range map[string]func(l *lone, c *Conn, retry func(scid, token string) []byte){
		"wrong tag": func(l *lone, c *Conn, retry func(scid, token string) []byte) {
			b := retry("new server ID", "a token")
			b[len(b)-1] ^= 1
			l.feed(b, elsewhere(1))
		},
		"token changed": func(l *lone, c *Conn, retry func(scid, token string) []byte) {
			b := retry("new server ID", "a token")
			l.feed(bytes.Replace(b, []byte("a token"), []byte("A token"), 1), elsewhere(1))
		},
		"no token": func(l *lone, c *Conn, retry func(scid, token string) []byte) {
			l.feed(retry("new server ID", ""), elsewhere(1))
		},
		"from a stranger": func(l *lone, c *Conn, retry func(scid, token string) []byte) {
			l.feed(retry("new server ID", "a token"), elsewhere(2))
		},
		"the same ID again": func(l *lone, c *Conn, retry func(scid, token string) []byte) {
			l.feed(retry(string(c.origin.bytes()), "a token"), elsewhere(1))
		},
		"cut short": func(l *lone, c *Conn, retry func(scid, token string) []byte) {
			b := retry("new server ID", "a token")
			for n := range b {
				l.feed(b[:n], elsewhere(1))
			}
		},
		"too long for an Initial": func(l *lone, c *Conn, retry func(scid, token string) []byte) {
			l.feed(retry("new server ID", string(make([]byte, 1300))), elsewhere(1))
		},
	} {
		l, c, retry := retryStory(t)
		f(l, c, retry)
		if c.retried || len(c.token) != 0 || c.closed {
			t.Errorf("%s: Retry was taken", name)
		}
		c.Close(1, "bye")
		l.drain()
	}
}

// TestRetryWithShortID: a server may choose connection IDs of any length.
func TestRetryWithShortID(t *testing.T) {
	for _, id := range []string{"", "x", "12345678901234567890"} {
		l, c, retry := retryStory(t)
		out := l.feed(retry(id, "a token"), elsewhere(1))
		if !c.retried || len(out) != 1 {
			t.Errorf("connection ID of %d bytes: taken %v, %d datagrams follow", len(id), c.retried, len(out))
		}
	}
}

// RFC 9000, Section 17.2.5.2 [2].
func TestRetryAfterServerSpoke(t *testing.T) {
	tc := handshakeClient(t)
	b := wire.AppendRetry(nil, Version1, tc.c.local.ids[0].id.bytes(), []byte("new server ID"), []byte("token"))
	tag := keys.RetryTag(Version1, tc.c.remote.current().bytes(), b)
	tc.deliver(append(b, tag[:]...), tc.peerAddr, NotECT)
	if tc.c.retried {
		t.Error("Retry was taken after another packet of the server") // RFC 9000, Section 17.2.5.2
	}
}

// TestLongToken: a token may be longer than what an Initial packet carries.
func TestLongToken(t *testing.T) {
	for _, n := range []int{1, 500, 1000, 1100, 1150, 1200, 5000, 60000} {
		_, clientTLS := testTLS(t)
		cfg := quietConfig()
		cfg.TLS = clientTLS
		l := newLone(t, nil, nil)
		c, err := l.Dial(hour0(), Target{Remote: elsewhere(1), Local: l.addr, Token: make([]byte, n)}, &cfg)
		if err != nil {
			continue // refusing is fine, too
		}
		if out := l.drain(); len(out) == 0 {
			t.Errorf("token of %d bytes: nothing is sent", n)
		}
		c.Close(1, "bye")
		for _, d := range l.drain() {
			if len(d.data) > minMTU {
				t.Errorf("token of %d bytes: datagram of %d bytes", n, len(d.data))
			}
		}
	}
}

// RFC 9000, Section 8.1.1 [1]; RFC 9000, Section 8.1.3 [3, 10, 11, 12]; RFC 9000, Section 8.1.4 [1,
// 2, 3, 4, 6, 7].
// RFC 9000, Section 8.1.4 [5]; RFC 9000, Section 21.3 [1].
func TestTokens(t *testing.T) {
	from, port := elsewhere(1), netip.AddrPortFrom(elsewhere(1).Addr(), 1)
	idOf := func(s string) ConnID { id, _ := ConnIDFromSlice([]byte(s)); return id }
	for _, test := range []struct {
		name    string
		content tokenContent
		age     time.Duration
		from    netip.AddrPort
		dcid    string
		damage  func([]byte) []byte
		want    TokenKind
		invalid bool // refused with INVALID_TOKEN
	}{
		{name: "Retry", content: tokenContent{kind: TokenRetry}, want: TokenRetry},
		{name: "Retry, late", content: tokenContent{kind: TokenRetry}, age: time.Minute, invalid: true},
		{name: "Retry from the future", content: tokenContent{kind: TokenRetry}, age: -time.Minute, invalid: true},
		{name: "Retry, other address", content: tokenContent{kind: TokenRetry}, from: elsewhere(2), invalid: true},
		{name: "Retry, other port", content: tokenContent{kind: TokenRetry}, from: port, invalid: true},
		{name: "Retry, other ID", content: tokenContent{kind: TokenRetry}, dcid: "another ID", invalid: true},
		{name: "NEW_TOKEN", content: tokenContent{kind: TokenNewToken}, want: TokenNewToken},
		{name: "NEW_TOKEN, other port", content: tokenContent{kind: TokenNewToken}, from: port, want: TokenNewToken},
		{name: "NEW_TOKEN, other address", content: tokenContent{kind: TokenNewToken}, from: elsewhere(2)},
		// RFC 9369, Section 5 [2].
		{name: "NEW_TOKEN, other version", content: tokenContent{kind: TokenNewToken, version: Version2}},
		{name: "NEW_TOKEN, old", content: tokenContent{kind: TokenNewToken}, age: 25 * time.Hour},
		{name: "forged", content: tokenContent{kind: TokenRetry}, damage: func(b []byte) []byte { b[20] ^= 1; return b }},
		{name: "cut short", content: tokenContent{kind: TokenRetry}, damage: func(b []byte) []byte { return b[:len(b)-1] }},
		{name: "cut very short", content: tokenContent{kind: TokenRetry}, damage: func(b []byte) []byte { return b[:5] }},
		{name: "longer", content: tokenContent{kind: TokenRetry}, damage: func(b []byte) []byte { return append(b, 0) }},
		{name: "none", content: tokenContent{kind: TokenRetry}, damage: func([]byte) []byte { return nil }},
		{name: "noise", content: tokenContent{kind: TokenRetry}, damage: func([]byte) []byte { return bytes.Repeat([]byte("noise"), 100) }},
	} {
		var asked []AdmissionRequest
		l, _ := newLoneServer(t, func(c *EndpointConfig) {
			c.Admit = func(in AdmissionRequest) Admission { asked = append(asked, in); return AdmissionIgnore }
		})
		if test.dcid == "" {
			test.dcid = rawServerID
		}
		if !test.from.IsValid() {
			test.from = from
		}
		test.content.remote, test.content.time = from, hour0().Add(-test.age)
		test.content.version = cmp.Or(test.content.version, Version1)
		test.content.odcid, test.content.retrySCID = idOf("original"), idOf(rawServerID)
		tok := l.tokens.seal(nil, [tokenNonceLen]byte{1}, test.content)
		if test.damage != nil {
			tok = test.damage(tok)
		}
		out := l.feed(clientInitial(test.dcid, rawClientID, tok, l.hello()), test.from)
		switch {
		case test.invalid:
			if len(out) != 1 || len(asked) != 0 {
				t.Errorf("%s: %d datagrams, asked %d times", test.name, len(out), len(asked))
			} else if f := closeOf(t, out[0].data, test.dcid); f.v[0] != errInvalidToken {
				t.Errorf("%s: %v", test.name, f)
			}
		case len(asked) != 1 || asked[0].Token != test.want || asked[0].Remote != test.from:
			t.Errorf("%s: Admit was asked %+v", test.name, asked)
		}
		if l.first != nil {
			t.Errorf("%s: there is a connection", test.name)
		}
	}
}

func TestTokenKeysRotate(t *testing.T) {
	var kind []TokenKind
	l, _ := newLoneServer(t, func(c *EndpointConfig) {
		c.TokenKeys = [][32]byte{{1}}
		c.Admit = func(in AdmissionRequest) Admission { kind = append(kind, in.Token); return AdmissionIgnore }
	})
	tok := l.tokens.seal(nil, [tokenNonceLen]byte{1}, tokenContent{kind: TokenNewToken, remote: elsewhere(1), time: hour0(), version: Version1})
	feed := func() { l.feed(clientInitial(rawServerID, rawClientID, tok, l.hello()), elsewhere(1)) }
	feed()
	l.SetTokenKeys([][32]byte{{2}, {1}})
	feed()
	l.SetTokenKeys([][32]byte{{3}, {2}})
	feed()
	if fmt.Sprint(kind) != fmt.Sprint([]TokenKind{TokenNewToken, TokenNewToken, TokenNone}) {
		t.Errorf("token kinds %v", kind)
	}
}

// RFC 9000, Section 5.2.2 [4].
func TestRefusal(t *testing.T) {
	l, _ := newLoneServer(t, nil)
	l.StopAccepting()
	hello := l.hello()
	out := l.feed(clientInitial(rawServerID, rawClientID, nil, hello), elsewhere(1))
	if len(out) != 1 {
		t.Fatalf("%d datagrams", len(out))
	}
	if f := closeOf(t, out[0].data, rawServerID); f.v[0] != errConnectionRefused {
		t.Errorf("%v", f)
	}
	b := clientInitial(rawServerID, rawClientID, nil, hello)
	b[len(b)-1] ^= 1
	if out := l.feed(b, elsewhere(1)); len(out) != 0 || l.first != nil {
		t.Error("a packet that does not open is answered")
	}
}

// TestInitialsToDrop: a server drops these without an answer.
// RFC 9000, Section 5.2.2 [2, 5, 6]; RFC 9000, Section 14 [4]; RFC 9000, Section 14.1 [3].
func TestInitialsToDrop(t *testing.T) {
	l, _ := newLoneServer(t, nil)
	hello := l.hello()
	tx, _ := keys.Initial(Version1, []byte(rawServerID))
	small := rawPacket{typ: wire.TypeInitial, dcid: rawServerID, scid: rawClientID, tx: tx, size: minMTU - 1, frames: []frame{hello}}.seal()
	short, _ := keys.Initial(Version1, []byte("1234567"))
	for name, b := range map[string][]byte{
		"empty":            {},
		"one byte":         {0xc0},
		"in 1199 bytes":    small,
		"short ID":         rawPacket{typ: wire.TypeInitial, dcid: "1234567", scid: rawClientID, tx: short, size: minMTU, frames: []frame{hello}}.seal(),
		"no ID":            rawPacket{typ: wire.TypeInitial, scid: rawClientID, tx: tx, size: minMTU, frames: []frame{hello}}.seal(),
		"21 bytes of ID":   longHeader(Version1, string(make([]byte, 21)), rawClientID, minMTU),
		"21 bytes of SCID": longHeader(Version1, rawServerID, string(make([]byte, 21)), minMTU),
		"255 bytes of ID":  longHeader(Version1, string(make([]byte, 255)), string(make([]byte, 255)), minMTU),
		"Handshake":        rawPacket{typ: wire.TypeHandshake, dcid: rawServerID, scid: rawClientID, tx: tx, size: minMTU, frames: []frame{pingFrame()}}.seal(),
		"0-RTT":            rawPacket{typ: wire.Type0RTT, dcid: rawServerID, scid: rawClientID, tx: tx, size: minMTU, frames: []frame{pingFrame()}}.seal(),
		// RFC 9368, Section 2.1 [6]; RFC 9000, Section 6.1 [1].
		"Version Negotiation":           wire.AppendVersionNegotiation(nil, 0x55, []byte(rawServerID), []byte(rawClientID), []uint32{Version1}),
		"unknown version in 1199 bytes": longHeader(0x1a2a3a4a, rawServerID, rawClientID, minMTU-1),
	} {
		before := l.Stats()
		if out := l.feed(b, elsewhere(1)); len(out) != 0 || l.first != nil {
			t.Errorf("%s: answered in %d datagrams, connection %v", name, len(out), l.first != nil)
		}
		s := l.Stats()
		if n := s.DroppedMalformed + s.DroppedUnroutable + s.DroppedUndecryptable; len(b) > 0 && n == before.DroppedMalformed+before.DroppedUnroutable+before.DroppedUndecryptable {
			t.Errorf("%s: not counted as dropped", name)
		}
	}
	if s := l.Stats(); s.DroppedUnroutable == 0 || s.DroppedUnknownID != s.DroppedUnroutable {
		t.Errorf("%d packets counted as unroutable, %d by the old name", s.DroppedUnroutable, s.DroppedUnknownID)
	}
}

// longHeader makes a datagram with a long header and made-up content.
func longHeader(version uint32, dcid, scid string, size int) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0xc0}, version)
	b = append(append(b, byte(len(dcid))), dcid...)
	b = append(append(b, byte(len(scid))), scid...)
	return append(b, make([]byte, max(0, size-len(b)))...)
}

// TestVersionNegotiation: RFC 8999, Section 6 [3, 4].
// RFC 9368, Section 2.1 [1, 5]; RFC 9000, Section 5.2.2 [1, 3]; RFC 9000, Section 17.2.1 [4, 5, 6,
// 7].
func TestVersionNegotiation(t *testing.T) {
	l, _ := newLoneServer(t, nil)
	for _, n := range []int{0, 8, 20, 21, 255} {
		dcid, scid := string(bytes.Repeat([]byte("d"), n)), string(bytes.Repeat([]byte("s"), n))
		out := l.feed(longHeader(0x1a2a3a4a, dcid, scid, minMTU), elsewhere(1))
		if len(out) != 1 {
			t.Fatalf("IDs of %d bytes: %d answers", n, len(out))
		}
		version, d, s, ok := wire.ParseInvariant(out[0].data)
		if !ok || version != 0 || string(d) != scid || string(s) != dcid {
			// RFC 9000, Section 17.2.1
			t.Errorf("IDs of %d bytes: version %#x, IDs %q and %q", n, version, d, s)
		}
		versions, _ := wire.ParseVersionNegotiation(out[0].data)
		has := false
		for v := versions; len(v) >= 4; v = v[4:] {
			has = has || binary.BigEndian.Uint32(v) == Version1
		}
		if !has || len(out[0].data) > minMTU {
			t.Errorf("IDs of %d bytes: versions %x in %d bytes", n, versions, len(out[0].data))
		}
	}
	if l.first != nil || len(l.routes.ids) != 0 {
		t.Error("there is state for it")
	}
	if out := newLone(t, nil, nil).feed(longHeader(0x1a2a3a4a, rawServerID, rawClientID, minMTU), elsewhere(1)); len(out) != 0 {
		t.Error("a client answers with Version Negotiation")
	}
}

// RFC 9000, Section 6.2 [1, 2, 3].
func TestClientOfAnotherVersion(t *testing.T) {
	negotiation := func(c *Conn, dcid, scid []byte, versions ...uint32) []byte {
		return wire.AppendVersionNegotiation(nil, 0x40, dcid, scid, versions)
	}
	l, c, _ := retryStory(t)
	own := c.local.ids[0].id.bytes()
	for name, b := range map[string][]byte{
		"lists our version":      negotiation(c, own, c.origin.bytes(), 0x1a1a1a1a, Version1),
		"of another destination": negotiation(c, []byte("somebody"), c.origin.bytes(), 0x1a1a1a1a),
		"of another source":      negotiation(c, own, []byte("somebody"), 0x1a1a1a1a),
		"empty list":             negotiation(c, own, c.origin.bytes()),
		"half a version":         append(negotiation(c, own, c.origin.bytes(), 0x1a1a1a1a), 1, 2),
	} {
		l.feed(b, elsewhere(1))
		if c.closed {
			t.Fatalf("%s: the client gave up: %v", name, c.err)
		}
	}
	l.feed(negotiation(c, own, c.origin.bytes(), 0x1a1a1a1a, 0x2a2a2a2a), elsewhere(1))
	end, ok := errors.AsType[*VersionError](l.err)
	if !ok || !errors.Is(l.err, ErrVersion) || !slices.Equal(end.Versions, []uint32{0x1a1a1a1a, 0x2a2a2a2a}) || !c.closed {
		t.Errorf("the connection ended with %v", l.err)
	}
	tc := handshakeClient(t)
	tc.deliver(negotiation(tc.c, tc.c.local.ids[0].id.bytes(), tc.c.origin.bytes(), 0x1a1a1a1a), tc.peerAddr, NotECT)
	tc.wantOpen("the server has spoken our version already") // RFC 9000, Section 6.2
}

// TestStatelessReset: an Endpoint that has forgotten a connection resets it, and the other end
// takes the reset.
// RFC 9000, Section 10.3 [2, 7]; RFC 9000, Section 10.3.1 [1]; RFC 9000, Section 10.3.2 [1, 2].
func TestStatelessReset(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		key := [32]byte{7}
		tc := newTestConn(t, server, func(s *testSetup) { s.peerSide.ResetKey = key })
		by := tc.bystand()
		if server { // a client's first ID has no reset token
			tc.writeFrom(elsewhere(3), 1200, pingFrame())
			tc.flush()
		}
		tc.ping()
		sent := tc.datagrams[len(tc.datagrams)-1]
		tc.flush()
		// The peer starts again with the same key.
		again := newLone(t, nil, func(c *EndpointConfig) { c.ResetKey = key })
		trigger := append(sent.data, make([]byte, 100)...)
		out := again.feed(trigger, tc.addr)
		if len(out) != 1 || len(out[0].data) >= len(trigger) {
			// RFC 9000, Section 10.3.3: the reset is smaller than the packet that it answers
			t.Fatalf("%d datagrams", len(out))
		}
		tc.deliver(append([]byte(nil), out[0].data...), elsewhere(44), NotECT)
		if !server {
			if tc.c.closed {
				tc.wantEnd("a reset from elsewhere")
			} else {
				tc.deliver(out[0].data, tc.peerAddr, NotECT)
			}
		}
		if err := tc.wantEnd("the reset is recognised"); err != ErrStatelessReset {
			t.Fatal(err)
		}
		tc.wantIdle("nothing is sent then")
		by.check()
	})
}

// TestStatelessResetWithLongHeader: a datagram that ends with a token is a reset, whatever it
// begins with, unless its first packet is authentic (RFC 9000, Section 10.3).
// RFC 9000, Section 10.3 [8].
func TestStatelessResetWithLongHeader(t *testing.T) {
	for _, test := range []struct {
		name  string
		start func(tc *testConn) []byte
		reset bool
	}{
		{"an Initial of nobody", func(*testConn) []byte { return longStart(wire.TypeInitial, wire.Version1, "somebody") }, true},
		{"a Handshake packet of nobody", func(*testConn) []byte { return longStart(wire.TypeHandshake, wire.Version1, "somebody") }, true},
		{"another version", func(*testConn) []byte { return longStart(wire.TypeInitial, 0x1a2a3a4a, "somebody") }, true},
		{"a header cut short", func(*testConn) []byte { return []byte("\xff\x00\x00\x00\x01\xff") }, true},
		{"a Handshake packet for the connection", func(tc *testConn) []byte {
			return longStart(wire.TypeHandshake, wire.Version1, string(tc.c.local.ids[0].id.bytes()))
		}, true},
		{"another version for the connection", func(tc *testConn) []byte {
			return longStart(wire.TypeInitial, 0x1a2a3a4a, string(tc.c.local.ids[0].id.bytes()))
		}, true},
		{"a short header", func(tc *testConn) []byte { return append([]byte{0x41}, tc.c.local.ids[0].id.bytes()...) }, true},
		{"an authentic packet", func(tc *testConn) []byte {
			return tc.seal(testPacket{space: spaceApp, frames: []frame{pingFrame()}})
		}, false},
	} {
		tc := newTestConn(t, false)
		token := tc.c.remote.ids[0].token
		b := test.start(tc)
		if test.reset {
			b = append(b, bytes.Repeat([]byte{7}, 30)...)
			b = append(b, token[:]...)
		}
		tc.deliver(b, tc.peerAddr, NotECT)
		if got := tc.c.err == ErrStatelessReset; got != test.reset {
			t.Errorf("%s: reset %v, %v", test.name, got, tc.c.err)
		}
	}
}

// longStart returns the start of a packet with a long header and bytes that do not open.
func longStart(typ uint8, version uint32, dcid string) []byte {
	b, lengthOff, _ := wire.AppendLong(nil, typ, wire.Version1, []byte(dcid), nil, nil, 0, 1)
	wire.PutVarint2(b[lengthOff:], 40)
	binary.BigEndian.PutUint32(b[1:], version)
	return b
}

// RFC 9000, Section 10.3 [4, 5]; RFC 9000, Section 10.3.3 [1].
func TestStatelessResetSizes(t *testing.T) {
	l := newLone(t, nil, nil)
	for n := 1; n < 100; n++ {
		b := bytes.Repeat([]byte{0x41}, n)
		out := l.feed(b, elsewhere(1))
		if len(out) == 0 {
			if n > 60 {
				t.Errorf("a packet of %d bytes is not answered", n)
			}
			continue
		}
		if r := out[0].data; len(r) >= n || len(r) < minResetLen || wire.IsLong(r[0]) || r[0]&0x40 == 0 {
			t.Errorf("a packet of %d bytes is answered with %x", n, r)
		}
	}
}

// TestStatelessResetLoop: two Endpoints that know nothing of each other stop answering each other.
func TestStatelessResetLoop(t *testing.T) {
	a, b := newLone(t, nil, nil), newLone(t, nil, nil)
	data := bytes.Repeat([]byte{0x41}, 1200)
	for i := 0; ; i++ {
		out := a.feed(data, elsewhere(1))
		if len(out) == 0 {
			break
		}
		data = out[0].data
		if a, b = b, a; i > 50 {
			t.Fatal("they answer each other for ever")
		}
	}
}

func TestStatelessResetFlood(t *testing.T) {
	l := newLone(t, nil, nil)
	n := 0
	for i := range 5000 {
		b := bytes.Repeat([]byte{0x41}, 100)
		binary.BigEndian.PutUint32(b[1:], uint32(i))
		n += len(l.feed(b, elsewhere(i)))
	}
	if n == 0 || n > resetsPerSecond {
		t.Errorf("%d resets", n)
	}
}

// TestNoResetWithoutToken: datagrams that end in zeros, or in the token of an unused ID, reset
// nothing.
func TestNoResetWithoutToken(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		own := tc.c.local.ids[0].id
		for _, token := range [][]byte{make([]byte, 16), tokenOf(tc.e, own), tokenOf(tc.e, ConnID{})} {
			for _, dcid := range []ConnID{own, {n: 8}} {
				b := append([]byte{0x41}, dcid.bytes()...)
				b = append(append(b, make([]byte, 30)...), token...)
				tc.deliver(b, tc.peerAddr, NotECT)
				tc.wantOpen("that is no token of the peer")
			}
		}
		if n := len(tc.c.remote.ids); n > 1 {
			unused := tc.c.remote.ids[n-1]
			b := append([]byte{0x41}, make([]byte, 40)...)
			tc.deliver(append(b, unused.token[:]...), tc.peerAddr, NotECT)
			tc.wantOpen("the token belongs to an ID that was not used") // RFC 9000, Section 10.3.1
		}
	})
}

func tokenOf(e *Endpoint, id ConnID) []byte { t := e.resetToken(id); return t[:] }

// TestConnIDFlood: packets for thousands of IDs leave nothing behind.
func TestConnIDFlood(t *testing.T) {
	tc := newTestConn(t, true)
	by := tc.bystand()
	routes := len(tc.e.routes.ids)
	for i := range uint64(5000) {
		b := binary.BigEndian.AppendUint64([]byte{0x41}, i)
		tc.deliver(append(b, make([]byte, 20)...), elsewhere(int(i)), NotECT)
	}
	if n := len(tc.e.routes.ids); n != routes {
		t.Errorf("%d routes instead of %d", n, routes)
	}
	tc.flush()
	by.check()
}

// TestShortDCID: the connection ID that a client chooses for a server must be too long to guess,
// whatever token comes with it (RFC 9000, Section 7.2). An ID that the server chose in a Retry
// packet may be shorter.
// RFC 9000, Section 7.2 [1].
func TestShortDCID(t *testing.T) {
	for n := range minClientDCID {
		dcid := rawServerID[:n]
		id, _ := ConnIDFromSlice([]byte(dcid))
		l, _ := newLoneServer(t, nil)
		for name, token := range map[string][]byte{
			"none": nil, "noise": []byte("any token that is long enough to be one"),
			"NEW_TOKEN": l.tokens.seal(nil, [tokenNonceLen]byte{1}, tokenContent{
				kind: TokenNewToken, time: hour0(), remote: elsewhere(1), version: Version1,
			}),
		} {
			l.feed(clientInitial(dcid, rawClientID, token, l.hello()), elsewhere(1))
			if s := l.Stats(); s.Accepted != 0 || l.first != nil {
				t.Fatalf("ID of %d bytes, token %s: accepted", n, name)
			}
			if err := l.CheckEmpty(hour0()); err != nil {
				t.Errorf("ID of %d bytes, token %s: %v", n, name, err)
			}
		}
		token := l.tokens.seal(nil, [tokenNonceLen]byte{1}, tokenContent{
			kind: TokenRetry, time: hour0(), remote: elsewhere(1), odcid: id, retrySCID: id,
		})
		l.feed(clientInitial(dcid, rawClientID, token, l.hello()), elsewhere(1))
		if accepted := l.Stats().Accepted == 1; accepted != (n > 0) {
			t.Errorf("ID of %d bytes from a Retry packet: accepted %v", n, accepted)
		}
	}
}
