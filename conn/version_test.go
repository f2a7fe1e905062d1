package conn_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// "Compatible version negotiation" RFC 9368, Section 2.3: the server picks its favourite without a
// round trip.
// RFC 9368, Section 2.2 [1]; RFC 9368, Section 2.3 [1]; RFC 9368, Section 3 [2]; RFC 9369, Section
// 3 [1]; RFC 9369, Section 4 [1, 2, 3].
func TestVersions(t *testing.T) {
	v1, v2 := conn.Version1, conn.Version2
	for _, tt := range []struct {
		name           string
		client, server []uint32
		want           uint32
		rounds         int // round trips of the handshake
		early          bool
	}{
		{"default", nil, nil, v1, 1, false},
		{"server prefers 2", nil, []uint32{v2, v1}, v2, 1, false},
		{"server prefers 2, with early data", nil, []uint32{v2, v1}, v2, 1, true},
		{"client speaks 2 only", []uint32{v2}, nil, v2, 1, false},
		{"client prefers 2, server 1", []uint32{v2, v1}, []uint32{v1, v2}, v1, 1, false},
		{"server speaks 1 only", []uint32{v2, v1}, []uint32{v1}, v1, 1, false},
		{"client speaks 1 only", []uint32{v1}, []uint32{v2, v1}, v1, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rnd := conntest.Seed(t, 1)
			n := simulate(t, 1)
			n.Default = conntest.Link{Delay: 10 * time.Millisecond}
			sc, cc := conntest.ServerConfig(), conntest.ClientConfig()
			sc.Versions, cc.Versions = tt.server, tt.client
			sc.Enable0RTT, cc.Enable0RTT = tt.early, tt.early
			cc.TLS = cc.TLS.Clone()
			cc.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
			client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
			var got []byte
			server.OnEvent = func(_ time.Time, ev conn.Event) {
				if ev.Kind == conn.EventStreamReadable {
					b, err := ev.Stream.Peek(1)
					got = append(got, b...)
					ev.Stream.Discard(len(b))
					if err == io.EOF {
						ev.Stream.Release()
					}
				}
			}
			for run := range 2 {
				c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
				if err != nil {
					t.Fatal(err)
				}
				say := func() {
					s, err := c.OpenStream(conn.Uni)
					if err != nil {
						t.Fatal(err)
					}
					s.Write([]byte("hello"))
					s.CloseWrite()
				}
				if tt.early && run == 1 {
					say()
				}
				start := n.Now()
				n.RunUntil(time.Second, c.HandshakeComplete)
				if got := n.Now().Sub(start); got > time.Duration(tt.rounds)*20*time.Millisecond+time.Millisecond {
					t.Errorf("the handshake took %v", got)
				}
				if c.Version() != tt.want {
					t.Errorf("version %#x, want %#x", c.Version(), tt.want)
				}
				if !tt.early || run == 0 {
					say()
				}
				n.RunFor(200 * time.Millisecond)
				for sc := range server.Conns() {
					if sc.Version() != tt.want {
						t.Errorf("the server speaks %#x, want %#x", sc.Version(), tt.want)
					}
				}
				c.Close(0, "")
				n.RunFor(200 * time.Millisecond)
			}
			if !bytes.Equal(got, []byte("hellohello")) {
				t.Errorf("the server read %q", got)
			}
		})
	}
}

// TestVersionOfTheClient: nobody has put the versions of a server into an order. It speaks the
// version with which its client begins.
// RFC 9368, Section 2.5 [1, 2].
func TestVersionOfTheClient(t *testing.T) {
	v1, v2 := conn.Version1, conn.Version2
	for _, tt := range []struct {
		name   string
		server []uint32
		want   uint32
	}{
		{"no order", nil, v2},
		{"1 first", []uint32{v1, v2}, v1},
		{"2 first", []uint32{v2, v1}, v2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rnd := conntest.Seed(t, 1)
			n := simulate(t, 1)
			n.Default = conntest.Link{Delay: 10 * time.Millisecond}
			client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
			cc := conntest.ClientConfig()
			cc.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			visit := func(addr string, versions []uint32) (first, last uint32) {
				sc := conntest.ServerConfig()
				sc.Versions = versions
				server := n.Add(addr, &conn.EndpointConfig{Server: sc, Rand: rnd})
				c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
				if err != nil {
					t.Fatal(err)
				}
				first = c.Version()
				n.RunFor(200 * time.Millisecond)
				if !c.HandshakeComplete() {
					t.Fatal(c.Err())
				}
				for s := range server.Conns() {
					if s.Version() != c.Version() {
						t.Errorf("the client speaks %#x, the server %#x", c.Version(), s.Version())
					}
				}
				return first, c.Version()
			}
			visit("10.0.0.1:443", []uint32{v2, v1}) // it gets a session of version 2
			if first, last := visit("10.0.0.3:443", tt.server); first != v2 || last != tt.want {
				t.Errorf("from version %#x to %#x, want from %#x to %#x", first, last, v2, tt.want)
			}
		})
	}
}

// A server acknowledges the first part of a long ClientHello in the original version, before it
// chooses another one. That packet may come after those of the other version: the client does not
// go back.
// RFC 9369, Section 4.1 [5]
func TestLatePacketOfTheOriginalVersion(t *testing.T) {
	for seed := range uint64(40) {
		s := story{
			Seed: seed,
			Servers: []host{{Config: conn.Config{
				Versions: []uint32{conn.Version2, conn.Version1}, HandshakeTimeout: time.Minute, InitialMTU: 1230,
			}}},
			Clients: []client{{
				Host:  host{Config: conn.Config{HandshakeTimeout: time.Minute}},
				Down:  conntest.Link{Jitter: time.Millisecond},
				Dials: []dial{{}},
			}},
		}
		if f := s.check(t); f != nil {
			t.Fatalf("seed %d: %v\n%s", seed, f, f.Log)
		}
	}
}
