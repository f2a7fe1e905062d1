package conn_test

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// TestReplayConfigForHello: a server whose TLS configuration depends on the ClientHello has no
// protocols in the first one.
func TestReplayConfigForHello(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := conntest.New(t, 1)
	var tape bytes.Buffer
	cfg := conntest.ServerConfig()
	chosen := cfg.TLS
	cfg.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return chosen, nil }}
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: cfg, Rand: rnd, Record: &tape})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	n.RunUntil(time.Minute, c.HandshakeComplete)
	r := newReplay(t, bytes.NewReader(tape.Bytes()))
	if err := r.Run(); err != nil || r.Endpoint().Stats().Accepted != 1 {
		t.Errorf("%v; %+v", err, r.Endpoint().Stats())
	}
}

// TestReplayOldTLS: a Dial that failed because of its configuration fails again.
func TestReplayOldTLS(t *testing.T) {
	var tape bytes.Buffer
	e, err := conn.NewEndpoint(&conn.EndpointConfig{Rand: conntest.Seed(t, 1), Record: &tape})
	if err != nil {
		t.Fatal(err)
	}
	cfg := conntest.ClientConfig()
	cfg.TLS.MaxVersion = tls.VersionTLS12
	if _, err := e.Dial(time.Unix(1e9, 0), conn.Target{Remote: mustAddr("10.0.0.1:443")}, cfg); err == nil {
		t.Fatal("QUIC with TLS 1.2")
	}
	e.Close()
	if err := newReplay(t, &tape).Run(); err != nil {
		t.Error(err)
	}
}
