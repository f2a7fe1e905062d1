package conn_test

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// TestHandshakeKeepsToTheWindow: a server whose client has proved its address sends a long chain of
// certificates. No more of it is under way than the congestion window allows.
// RFC 9002, Section 7 [2].
func TestHandshakeKeepsToTheWindow(t *testing.T) {
	n := simulate(t, 1)
	n.Default = conntest.Link{Delay: 50 * time.Millisecond}
	cfg := conntest.ServerConfig()
	cert := &cfg.TLS.Certificates[0]
	for range 90 {
		cert.Certificate = append(cert.Certificate, cert.Certificate[0])
	}
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: cfg, Rand: conntest.Seed(t, 1), Admit: func(in conn.AdmissionRequest) conn.Admission {
		if in.Token == conn.TokenNone {
			return conn.AdmissionRetry
		}
		return conn.AdmissionAccept
	}})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: conntest.Seed(t, 2)})
	start := n.Now()
	var rounds []int // bytes of the server by round trip
	count := func(p *conntest.Packet) bool {
		if h, ok := wire.ParseLong(p.Data); ok && h.Type != wire.TypeRetry {
			i := int(p.Sent.Sub(start) / (100 * time.Millisecond))
			for len(rounds) <= i {
				rounds = append(rounds, 0)
			}
			rounds[i] += len(p.Data)
		}
		return true
	}
	n.Connect(client, server, n.Default, conntest.Link{Delay: 50 * time.Millisecond, Filter: count})
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
	require.NoError(t, err)
	n.RunUntil(10*time.Second, c.HandshakeComplete)
	require.True(t, c.HandshakeComplete(), "%v", c.Err())
	total, window := 0, 0
	for _, sent := range rounds {
		total += sent
		require.LessOrEqual(t, sent, max(2*window, 14720), "%d", rounds)
		window = max(window, sent)
	}
	require.Greater(t, total, 2*14720, "it does not fit into an initial window")
}

// TestLostInitialBeyondWindow: five bytes of the ServerHello are lost, and Handshake packets fill
// the congestion window, which the client cannot open without those bytes. Probes bring them.
func TestLostInitialBeyondWindow(t *testing.T) {
	timeouts := conn.Config{MaxIdleTimeout: 34 * time.Second, HandshakeTimeout: 59 * time.Second}
	server := timeouts
	server.InitialRTT = time.Millisecond
	s := story{
		Seed:    18685,
		Servers: []host{{Config: server}},
		Clients: []client{{}, {}, {
			Host:  host{Config: timeouts},
			Down:  conntest.Link{Jitter: 70 * time.Millisecond, Faults: []conntest.Fault{{To: time.Second, Loss: 0.26}}},
			Dials: []dial{{}},
		}},
	}
	if f := s.check(t); f != nil {
		t.Error(f)
	}
}
