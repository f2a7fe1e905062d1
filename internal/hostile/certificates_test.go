package hostile

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// issue makes a certificate for lazo.test, signed by itself, that edit may change.
func issue(t *testing.T, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"lazo.test"},
		NotBefore: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if edit != nil {
		edit(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, private)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}
}

// trust is a pool of certificates.
func trust(certs ...tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c.Leaf)
	}
	return pool
}

// A handshakeCase is a handshake that must fail, and how each side must learn of it.
type handshakeCase struct {
	name  string
	edit  func(t *testing.T, server, client *tls.Config)
	alert uint64 // the code that goes over the wire, less 0x100
	fault string // the side that finds it
	cause error  // a type that its error wraps, or nil
}

// TLS alerts (RFC 8446, Section 6).
const (
	handshakeFailure    = 40
	badCertificate      = 42
	certificateExpired  = 45
	unknownCA           = 48
	decryptError        = 51
	certificateRequired = 116
	noProtocol          = 120
)

func handshakeCases() []handshakeCase {
	served := func(edit func(*x509.Certificate)) func(*testing.T, *tls.Config, *tls.Config) {
		return func(t *testing.T, server, client *tls.Config) {
			c := issue(t, edit)
			server.Certificates, client.RootCAs = []tls.Certificate{c}, trust(c)
		}
	}
	return []handshakeCase{
		{
			name: "a certificate of another name", alert: badCertificate, fault: "client", cause: new(x509.HostnameError),
			edit: served(func(c *x509.Certificate) { c.DNSNames = []string{"evil.test"} }),
		},
		{
			name: "a certificate whose name is only its common name", alert: badCertificate, fault: "client", cause: new(x509.HostnameError),
			edit: served(func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, "lazo.test" }),
		},
		{
			name: "a certificate that has expired", alert: badCertificate, fault: "client", cause: new(x509.CertificateInvalidError),
			edit: served(func(c *x509.Certificate) { c.NotAfter = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) }),
		},
		{
			name: "a certificate that is not valid yet", alert: badCertificate, fault: "client", cause: new(x509.CertificateInvalidError),
			edit: served(func(c *x509.Certificate) { c.NotBefore = time.Date(2098, 1, 1, 0, 0, 0, 0, time.UTC) }),
		},
		{
			name: "a certificate that is not for servers", alert: badCertificate, fault: "client", cause: new(x509.CertificateInvalidError),
			edit: served(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
		},
		{
			name: "a certificate of an unknown issuer", alert: badCertificate, fault: "client", cause: new(x509.UnknownAuthorityError),
			edit: func(t *testing.T, server, client *tls.Config) { server.Certificates = []tls.Certificate{issue(t, nil)} },
		},
		{
			name: "a certificate of another key", alert: decryptError, fault: "client",
			edit: func(t *testing.T, server, client *tls.Config) {
				c := server.Certificates[0]
				c.PrivateKey = issue(t, nil).PrivateKey
				server.Certificates = []tls.Certificate{c}
			},
		},
		{
			name: "no common protocol", alert: noProtocol, fault: "server",
			edit: func(t *testing.T, server, client *tls.Config) { client.NextProtos = []string{"other"} },
		},
		{
			name: "no common group", alert: handshakeFailure, fault: "server",
			edit: func(t *testing.T, server, client *tls.Config) {
				server.CurvePreferences, client.CurvePreferences = []tls.CurveID{tls.CurveP256}, []tls.CurveID{tls.CurveP384}
			},
		},
		{
			name: "no certificate of a client where one is required", alert: certificateRequired, fault: "server",
			edit: func(t *testing.T, server, client *tls.Config) { server.ClientAuth = tls.RequireAndVerifyClientCert },
		},
		{
			name: "a certificate of a client from an unknown issuer", alert: unknownCA, fault: "server",
			edit: func(t *testing.T, server, client *tls.Config) {
				server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, trust(issue(t, nil))
				client.Certificates = []tls.Certificate{issue(t, nil)}
			},
		},
		{
			name: "a certificate of a client that has expired", alert: certificateExpired, fault: "server",
			edit: func(t *testing.T, server, client *tls.Config) {
				c := issue(t, func(c *x509.Certificate) { c.NotAfter = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) })
				server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, trust(c)
				client.Certificates = []tls.Certificate{c}
			},
		},
	}
}

// meeting is what both sides of a handshake have seen when it is over.
type meeting struct {
	net            *conntest.Network
	client, server error // of EventClosed
	ends           int
	streams        int // that the server has seen
	accepted       *conn.Conn
}

// meet lets a client of one configuration meet a server of another. The client sends data as soon
// as it can.
func meet(t *testing.T, server, client *tls.Config) *meeting {
	m := &meeting{net: conntest.New(t, 1)}
	m.net.Default = conntest.Link{Delay: 5 * time.Millisecond}
	s := m.net.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: rand.Reader, Server: &conn.Config{TLS: server}})
	c := m.net.Add("10.0.0.2:1000", &conn.EndpointConfig{Rand: rand.Reader})
	s.OnEvent = func(_ time.Time, ev conn.Event) {
		switch ev.Kind {
		case conn.EventConnected:
			m.accepted = ev.Conn
		case conn.EventStreamOpened:
			m.streams++
		case conn.EventClosed:
			m.server = ev.Err
			m.ends++
		}
	}
	c.OnEvent = func(_ time.Time, ev conn.Event) {
		switch ev.Kind {
		case conn.EventConnected:
			st, err := ev.Conn.OpenStream(conn.Uni)
			require.NoError(t, err)
			st.Write([]byte("for authenticated servers only"))
		case conn.EventClosed:
			m.client = ev.Err
			m.ends++
		}
	}
	_, err := c.Dial(m.net.Now(), conn.Target{Remote: s.Addr, ServerName: "lazo.test"}, &conn.Config{TLS: client})
	require.NoError(t, err)
	m.net.RunFor(5 * time.Second)
	return m
}

// TestCertificates: handshakes fail that must, with the alert that TLS names, and both sides learn
// why. A server that asks for a certificate gets no data before it has seen one.
func TestCertificates(t *testing.T) {
	for _, c := range handshakeCases() {
		t.Run(c.name, func(t *testing.T) {
			server, client := conntest.ServerTLS(), conntest.ClientTLS()
			c.edit(t, server, client)
			m := meet(t, server, client)
			require.Equal(t, 2, m.ends, "client %v, server %v", m.client, m.server)
			require.Zero(t, m.streams, "data came before the handshake failed")
			require.Nil(t, m.accepted)
			here, there := m.client, m.server
			if c.fault == "server" {
				here, there = there, here
			}
			var finds, learns *conn.TransportError
			require.ErrorAs(t, here, &finds)
			require.ErrorAs(t, there, &learns)
			require.True(t, !finds.Remote && learns.Remote, "%v, %v", finds, learns)
			require.Equal(t, code(0x100+c.alert), code(finds.Code), finds.Error())
			require.Equal(t, code(finds.Code), code(learns.Code), learns.Error())
			switch c.cause.(type) {
			case *x509.HostnameError:
				require.ErrorAs(t, here, new(x509.HostnameError))
			case *x509.CertificateInvalidError:
				require.ErrorAs(t, here, new(x509.CertificateInvalidError))
			case *x509.UnknownAuthorityError:
				require.ErrorAs(t, here, new(x509.UnknownAuthorityError))
			}
		})
	}
}

// TestClientCertificate: one that is required, and good, is taken, and the server sees it.
func TestClientCertificate(t *testing.T) {
	server, client := conntest.ServerTLS(), conntest.ClientTLS()
	c := issue(t, nil)
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, trust(c)
	client.Certificates = []tls.Certificate{c}
	m := meet(t, server, client)
	require.Zero(t, m.ends, "client %v, server %v", m.client, m.server)
	require.Equal(t, 1, m.streams)
	require.Equal(t, c.Leaf.Raw, m.accepted.TLS().PeerCertificates[0].Raw)
	require.Len(t, m.accepted.TLS().VerifiedChains, 1)
}
