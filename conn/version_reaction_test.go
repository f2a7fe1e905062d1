package conn_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/wire"
)

const (
	v1       = conn.Version1
	v2       = conn.Version2
	reserved = 0x1a2a3a4a // RFC 9000, Section 15
)

// A versionRun is a client and a server, and the versions of the client's datagrams.
type versionRun struct {
	*earlyRun
	sent []uint32
	// forged lists of versions that answer the client's datagrams, in place of the server
	forge [][]uint32
}

func newVersionRun(t *testing.T, client, server []uint32) *versionRun {
	cfg := conntest.ServerConfig()
	cfg.Versions, cfg.Enable0RTT = server, true
	r := &versionRun{earlyRun: newEarlyRun(t, cfg)}
	r.cfg.Versions = client
	r.n.Connect(r.client, r.server, conntest.Link{Delay: 25 * time.Millisecond, Filter: r.up}, r.n.Default)
	return r
}

// up looks at a datagram of the client.
func (r *versionRun) up(p *conntest.Packet) bool {
	version, dcid, scid, ok := wire.ParseInvariant(p.Data)
	if p.Data[0]&0x80 == 0 || !ok {
		return true
	}
	r.sent = append(r.sent, version)
	if len(r.forge) > 0 {
		p.Data = wire.AppendVersionNegotiation(nil, 0, bytes.Clone(scid), bytes.Clone(dcid), r.forge[0])
		p.Src, p.Dst = p.Dst, p.Src
		r.forge = r.forge[1:]
	}
	return true
}

// dial dials, and waits for the end of the handshake.
func (r *versionRun) dial() *conn.Conn {
	r.t.Helper()
	c := r.begin()
	r.n.RunUntil(time.Second, func() bool { return c.HandshakeComplete() || c.Err() != nil })
	return c
}

// begin dials.
func (r *versionRun) begin() *conn.Conn {
	r.t.Helper()
	c, err := r.client.Dial(r.n.Now(), conn.Target{Remote: r.server.Addr}, r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// "the client SHALL select a mutually supported version and send a new first flight with that
// version" RFC 9368, Section 2.1.
// RFC 9368, Section 2.1 [2, 3, 4]; RFC 9368, Section 6 [2]; RFC 9368, Section 8 [2].
func TestVersionNegotiationReaction(t *testing.T) {
	for _, tt := range []struct {
		name           string
		client, server []uint32
		want           uint32 // 0 for none
	}{
		{"server speaks 2 only", nil, []uint32{v2}, v2},
		{"server speaks 2 only, client prefers it", []uint32{v2, v1}, []uint32{v2}, v2},
		{"nothing in common", []uint32{v1}, []uint32{v2}, 0},
		{"nothing in common with 2", []uint32{v2}, []uint32{v1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newVersionRun(t, tt.client, tt.server)
			start := r.n.Now()
			c := r.dial()
			took := r.n.Now().Sub(start)
			if tt.want == 0 {
				if !errors.Is(c.Err(), conn.ErrVersion) || took != 50*time.Millisecond {
					t.Fatalf("after %v: %v", took, c.Err())
				}
				return
			}
			if c.Err() != nil || c.Version() != tt.want || took != 100*time.Millisecond {
				t.Fatalf("after %v: version %#x, %v", took, c.Version(), c.Err())
			}
			r.n.RunFor(time.Second)
			c.Close(0, "")
			for _, word := range []string{"a word", "another"} {
				r.connect(word).Close(0, "")
				r.want(word, true) // there is a session now, and it is of version 2
			}
			// one for each datagram of the first flight
			if n := r.server.Stats().VersionNegotiations; n != 2 {
				t.Errorf("%d Version Negotiation packets", n)
			}
		})
	}
}

// "These connection closures prevent an attacker from being able to use forged Version Negotiation
// packets to force a version downgrade" RFC 9368, Section 4. See also RFC 8999, Section 7 [1].
// RFC 9368, Section 4 [1, 2, 14, 15].
func TestVersionNegotiationForged(t *testing.T) {
	const mismatch = 0x11 // VERSION_NEGOTIATION_ERROR
	for _, tt := range []struct {
		name           string
		client, server []uint32
		forge          [][]uint32
		want           uint32
		code           uint64
	}{
		{"away from what the client prefers", nil, nil, [][]uint32{{v2}}, 0, mismatch},
		{"towards what the client prefers", []uint32{v2, v1}, nil, [][]uint32{{reserved, v2}}, v2, 0},
		{"away from what the server prefers", []uint32{v2, v1}, []uint32{v1, v2}, [][]uint32{{reserved, v2}}, v1, 0},
		{"twice", []uint32{v2, v1}, []uint32{v2, v1}, [][]uint32{{v2}, {v1}}, v2, 0},
		{"our version listed", nil, nil, [][]uint32{{v2, v1}}, v1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newVersionRun(t, tt.client, tt.server)
			r.forge = tt.forge
			c := r.dial()
			r.n.RunFor(time.Second)
			if tt.code == 0 {
				if c.Err() != nil || !c.HandshakeComplete() || c.Version() != tt.want {
					t.Errorf("version %#x, %v", c.Version(), c.Err())
				}
				return
			}
			te, ok := errors.AsType[*conn.TransportError](c.Err())
			if !ok || te.Code != tt.code || te.Remote {
				t.Errorf("the connection ended with %v", c.Err())
			}
		})
	}
}

// "Clients MUST NOT use a session ticket or token from a QUIC version 1 connection to initiate a
// QUIC version 2 connection, and vice versa" RFC 9369, Section 5.
// RFC 9369, Section 5 [1].
func TestSessionOfVersion(t *testing.T) {
	r := newVersionRun(t, nil, []uint32{v2, v1})
	tokens := tokenMap{}
	r.cfg.Tokens = tokens
	r.connect("first").Close(0, "")
	if len(r.sent) == 0 || r.sent[0] != v1 || len(tokens) != 1 {
		t.Fatalf("sent versions %#x, %d servers with tokens", r.sent, len(tokens))
	}
	r.sent = nil
	c := r.connect("second")
	r.want("second", true)
	if len(r.sent) == 0 || r.sent[0] != v2 || !c.TLS().DidResume || c.Version() != v2 {
		t.Errorf("sent versions %#x, resumed: %t", r.sent, c.TLS().DidResume)
	}
	c.Close(0, "")

	// The client does not speak that version any more.
	r.cfg.Versions = []uint32{v1}
	c = r.connect("third")
	r.want("third", false)
	if c.TLS().DidResume || c.Version() != v1 {
		t.Errorf("version %#x, resumed: %t", c.Version(), c.TLS().DidResume)
	}
}

// A server that does not speak the version of a session any more lists the one that it does.
// RFC 9368, Section 8 [1].
func TestSessionOfVersionThatIsGone(t *testing.T) {
	r := newVersionRun(t, nil, []uint32{v2, v1})
	r.connect("first").Close(0, "")
	cfg := conntest.ServerConfig()
	cfg.Versions, cfg.Enable0RTT = []uint32{v1}, true
	other := r.n.Add("10.0.0.3:443", &conn.EndpointConfig{Server: cfg, Rand: conntest.Seed(t, 2)})
	other.OnEvent = r.serve
	r.server = other
	c := r.connect("second")
	r.want("second", false)
	if r.rejects != 1 || c.Version() != v1 || c.TLS().DidResume {
		t.Errorf("%d rejections, version %#x, resumed: %t", r.rejects, c.Version(), c.TLS().DidResume)
	}
	r.n.RunFor(time.Minute)
	if c.Err() != conn.ErrIdleTimeout || c.Stats().BytesInFlight != 0 {
		t.Errorf("%d bytes in flight, %v", c.Stats().BytesInFlight, c.Err())
	}
}

// A server does not take the ticket of one version for another, whatever its client does.
// RFC 9369, Section 5 [2].
func TestTicketOfOtherVersion(t *testing.T) {
	r := newVersionRun(t, nil, []uint32{v2, v1})
	r.connect("first").Close(0, "")
	cache := &forgetfulCache{ClientSessionCache: r.cfg.TLS.ClientSessionCache}
	r.cfg.TLS.ClientSessionCache = cache
	c := r.connect("second")
	r.want("second", false)
	if cache.changed != 1 || c.TLS().DidResume || r.rejects != 1 {
		t.Errorf("%d sessions changed, resumed: %t, %d rejections", cache.changed, c.TLS().DidResume, r.rejects)
	}
}

// A forgetfulCache says that sessions are of version 1.
type forgetfulCache struct {
	tls.ClientSessionCache
	changed int
}

func (c *forgetfulCache) Get(key string) (*tls.ClientSessionState, bool) {
	cs, ok := c.ClientSessionCache.Get(key)
	if !ok {
		return nil, false
	}
	ticket, state, err := cs.ResumptionState()
	if err != nil {
		return nil, false
	}
	for i, b := range state.Extra {
		old := binary.BigEndian.AppendUint32(nil, v2)
		if bytes.Contains(b, old) {
			state.Extra[i] = bytes.Replace(b, old, []byte{0, 0, 0, 1}, 1)
			c.changed++
		}
	}
	cs, err = tls.NewResumptionState(ticket, state)
	return cs, err == nil
}

// A tokenMap is a TokenCache.
type tokenMap map[string][][]byte

func (m tokenMap) TakeToken(server string) []byte {
	all := m[server]
	if len(all) == 0 {
		return nil
	}
	m[server] = all[1:]
	return all[0]
}

func (m tokenMap) PutToken(server string, token []byte) { m[server] = append(m[server], token) }

// TestTokenCache: a token saves the next connection a Retry, and is used once.
// RFC 9000, Section 8.1.3 [1, 2, 6, 7, 9].
func TestTokenCache(t *testing.T) {
	var kinds []conn.TokenKind
	n, rnd := simulate(t, 1), conntest.Seed(t, 1)
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd, Admit: func(in conn.AdmissionRequest) conn.Admission {
		kinds = append(kinds, in.Token)
		if in.Token == conn.TokenNone {
			return conn.AdmissionRetry
		}
		return conn.AdmissionAccept
	}})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	cfg := conntest.ClientConfig()
	tokens := tokenMap{}
	cfg.Tokens = tokens
	dial := func(to conn.Target) {
		c, err := client.Dial(n.Now(), to, cfg)
		if err != nil {
			t.Fatal(err)
		}
		n.RunFor(100 * time.Millisecond)
		if !c.HandshakeComplete() {
			t.Fatal(c.Err())
		}
		c.Close(0, "")
		n.RunFor(time.Second)
	}
	dial(conn.Target{Remote: server.Addr})
	dial(conn.Target{Remote: server.Addr})
	dial(conn.Target{Remote: server.Addr, Token: []byte("that of the Target, which is none")})
	want := []conn.TokenKind{conn.TokenNone, conn.TokenRetry, conn.TokenNewToken, conn.TokenNone, conn.TokenRetry}
	// the first flight has several datagrams
	if kinds = slices.Compact(kinds); !slices.Equal(kinds, want) {
		t.Errorf("tokens %v, want %v", kinds, want)
	}
	if len(tokens) != 1 {
		t.Errorf("%d servers", len(tokens))
	}
}

// TestTokensOfPreferredAddress: the tokens that a server gives when it has moved to the address
// that it prefers are for the next connection too, which begins at the other one.
// RFC 9000, Section 8.1.3 [7].
func TestTokensOfPreferredAddress(t *testing.T) {
	n, rnd := simulate(t, 1), conntest.Seed(t, 1)
	sc := conntest.ServerConfig()
	sc.PreferredAddress4 = netip.MustParseAddrPort("10.0.0.9:8443")
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
	n.AddAddr(server, sc.PreferredAddress4.String())
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	cfg := conntest.ClientConfig()
	tokens := tokenMap{}
	cfg.Tokens = tokens
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.RunFor(3 * time.Second)
	if got := c.RemoteAddr(); got != sc.PreferredAddress4 {
		t.Fatalf("the server is at %v", got)
	}
	if len(tokens) != 1 {
		t.Errorf("tokens of one server are kept for %d: %v", len(tokens), slices.Collect(maps.Keys(tokens)))
	}
	for name, all := range tokens {
		if len(all) != 2 {
			t.Errorf("%d tokens of %s", len(all), name)
		}
	}
}

// A tokenPile is a TokenCache that keeps all tokens and returns none.
type tokenPile struct{ all [][]byte }

func (*tokenPile) TakeToken(string) []byte            { return nil }
func (p *tokenPile) PutToken(server string, b []byte) { p.all = append(p.all, b) }

// TestTokensDiffer: a server gives each connection another token, and two of them have nothing in
// common that shows who they are of. RFC 9000, Section 8.1.3 [4, 5].
func TestTokensDiffer(t *testing.T) {
	r := newEarlyRun(t, conntest.ServerConfig())
	pile := new(tokenPile)
	r.cfg.Tokens = pile
	for range 6 {
		r.connect("x").Close(0, "")
		r.n.RunFor(time.Second)
	}
	if len(pile.all) != 6 {
		t.Fatalf("%d tokens", len(pile.all))
	}
	for i, a := range pile.all {
		for _, b := range pile.all[:i] {
			for k := range len(a) - 6 {
				if bytes.Contains(b, a[k:k+6]) {
					t.Errorf("%x and %x have %x in common", a, b, a[k:k+6])
				}
			}
		}
	}
}
