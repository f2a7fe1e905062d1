package conntest

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

func TestCertificateIsFixed(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	before := make([]byte, 8)
	rand.Read(before)
	first := newCertificate()
	cryptotest.SetGlobalRandom(t, 1)
	second := newCertificate()
	require.Equal(t, first.Certificate, second.Certificate)

	after := make([]byte, 8)
	rand.Read(after)
	require.Equal(t, before, after, "making a certificate draws nothing")
}

func TestCertificateNames(t *testing.T) {
	leaf, roots := newCertificate().Leaf, ClientTLS().RootCAs
	names := []string{"lazo.test", "localhost", "127.0.0.1", "::1"}
	for i := range 20 {
		names = append(names, fmt.Sprintf("10.0.0.%d", i+1))
	}
	for _, at := range []time.Time{epoch, time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 12, 1, 0, 0, 0, 0, time.UTC)} {
		for _, name := range names {
			_, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: at})
			require.NoError(t, err, "%s in %d", name, at.Year())
		}
	}
	for _, name := range []string{"10.0.0.21", "10.0.0.0", "example.com"} {
		_, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: epoch})
		require.Error(t, err, name)
	}
}

func TestTLSConfigsTrustEachOther(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server := tls.Server(a, ServerTLS())
	client := tls.Client(b, ClientTLS())
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	require.NoError(t, client.Handshake())
	require.NoError(t, <-done)
	require.Equal(t, "lazotest", client.ConnectionState().NegotiatedProtocol)
	require.EqualValues(t, tls.VersionTLS13, client.ConnectionState().Version)
}

func TestConfigsAreTheCallersToChange(t *testing.T) {
	one, other := ServerConfig(), ServerConfig()
	require.False(t, one == other)
	a, b := ServerTLS(), ServerTLS()
	a.NextProtos[0] = "other"
	require.Equal(t, "lazotest", b.NextProtos[0])
}
