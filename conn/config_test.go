package conn_test

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A configuration that cannot work is refused with the name of the field.
func TestConfigErrors(t *testing.T) {
	base := conntest.ServerTLS()
	for _, tt := range []struct {
		name string
		cfg  *conn.Config
		want string
	}{
		{"no TLS", &conn.Config{}, "Config.TLS is required"},
		// RFC 9001, Section 8.1 [1]
		{"no ALPN", &conn.Config{TLS: &tls.Config{}}, "NextProtos"},
		{"old TLS", &conn.Config{TLS: &tls.Config{NextProtos: []string{"x"}, MaxVersion: tls.VersionTLS12}}, "MaxVersion"},
		{"version", &conn.Config{TLS: base, Versions: []uint32{7}}, "Versions"},
		{"MTU", &conn.Config{TLS: base, InitialMTU: 1000}, "InitialMTU"},
		{"MTU that no packet has", &conn.Config{TLS: base, InitialMTU: 16384}, "InitialMTU"},
		{"policy", &conn.Config{TLS: base, DatagramPolicy: conn.DatagramDropNewest + 1}, "DatagramPolicy"},
		{"format", &conn.Config{TLS: base, QLogFormat: conn.QLog03 + 1}, "QLogFormat"},
		{"payload", &conn.Config{TLS: base, MaxUDPPayloadSize: 1100}, "MaxUDPPayloadSize"},
	} {
		_, err := conn.NewEndpoint(&conn.EndpointConfig{Rand: conntest.Seed(t, 1), Server: tt.cfg})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: NewEndpoint = %v, want an error about %s", tt.name, err, tt.want)
		}
	}
	if _, err := conn.NewEndpoint(&conn.EndpointConfig{}); err == nil {
		t.Error("an Endpoint without Rand was made")
	}
}

// A negative UnsentBytes is no cap but that of unsentLimit.
func TestNoCapOfUnsentBytes(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := simulate(t, 1)
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	cfg := conntest.ClientConfig()
	cfg.UnsentBytes = -1
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.RunUntil(time.Second, c.HandshakeComplete)
	s, err := c.OpenStream(conn.Uni)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Write(make([]byte, 3<<20)); n != 3<<20 || err != nil {
		t.Errorf("the stream took %d bytes: %v", n, err)
	}
}

// TestNoCapLeavesRoom: what one call writes without a cap leaves room for other connections.
func TestNoCapLeavesRoom(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := simulate(t, 1)
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
	const most = 8 << 20
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd, MaxBuffered: most})
	for i := range 2 {
		cfg := conntest.ClientConfig()
		cfg.UnsentBytes = -1
		c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		n.RunUntil(time.Second, c.HandshakeComplete)
		s, err := c.OpenStream(conn.Uni)
		if err != nil {
			t.Fatal(err)
		}
		k, err := s.Write(make([]byte, 4*most))
		if !errors.Is(err, conn.ErrWouldBlock) || k < 4096 || k > most/2 {
			t.Errorf("stream %d took %d bytes: %v", i, k, err)
		}
	}
}

// The packets of both sides stay within 1,350 bytes where a configuration says so, for one's own by
// MaxMTU and for the peer's by MaxUDPPayloadSize (RFC 9000, Section 18.2).
func TestPacketSizeLimit(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := simulate(t, 1)
	largest := map[string]int{}
	n.Default = conntest.Link{Delay: 5 * time.Millisecond, Filter: func(p *conntest.Packet) bool {
		from := p.Src.String()
		largest[from] = max(largest[from], len(p.Data))
		return true
	}}
	cfg := conntest.ServerConfig()
	cfg.MaxMTU, cfg.MaxUDPPayloadSize = 1350, 1350
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: cfg, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind == conn.EventStreamReadable {
			b, _ := ev.Stream.Peek(1)
			ev.Stream.Write(b)
			ev.Stream.Discard(len(b))
		}
	}
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	n.RunUntil(time.Second, c.HandshakeComplete)
	s, err := c.OpenStream(conn.Bidi)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		s.Write(make([]byte, 50_000))
		n.RunFor(time.Second)
	}
	for from, size := range largest {
		if size != 1350 {
			t.Errorf("the largest datagram from %s has %d bytes, want 1350", from, size)
		}
	}
}
