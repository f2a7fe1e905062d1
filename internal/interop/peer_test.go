package interop

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	randv2 "math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/lazoquic/lazo/internal/require"
)

// alpn is the protocol of all tests that are not about HTTP/3.
const alpn = "interop"

// tlsConfigs returns the configurations of a server and of a client that trusts it.
func tlsConfigs(t testing.TB, protos ...string) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // picoquic knows no Ed25519
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos:   protos,
	}
	client = &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: protos}
	return server, client
}

// testContext ends with the test, or when it takes too long.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// udpSocket opens a socket on loopback, until the test ends.
func udpSocket(t testing.TB) *net.UDPConn {
	t.Helper()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { sock.Close() })
	return sock
}

// payload returns n bytes that differ for each seed.
func payload(seed byte, n int64) io.Reader {
	return io.LimitReader(randv2.NewChaCha8([32]byte{seed}), n)
}

// payloadSum is the SHA-256 of payload.
func payloadSum(seed byte, n int64) []byte { return sum(payload(seed, n)) }

// sum reads r to its end, and returns its SHA-256. If r fails, it returns bytes that equal no sum.
func sum(r io.Reader) []byte {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return fmt.Appendf(nil, "read: %v", err)
	}
	return h.Sum(nil)
}

// requireSame fails the test if r is not payload(seed, n).
func requireSame(t testing.TB, r io.Reader, seed byte, n int64) {
	t.Helper()
	got := sum(r)
	require.True(t, bytes.Equal(payloadSum(seed, n), got), "%d bytes of seed %d: got %q", n, seed, got)
}

// foreignConfig returns a quic-go configuration with all features that these tests use.
func foreignConfig() *quic.Config {
	return &quic.Config{
		EnableDatagrams:      true,
		HandshakeIdleTimeout: 30 * time.Second,
		MaxIdleTimeout:       30 * time.Second,
		MaxIncomingStreams:   1000,
	}
}

// foreignTransport runs quic-go on a socket of its own.
func foreignTransport(t testing.TB) *quic.Transport {
	t.Helper()
	tr := &quic.Transport{Conn: udpSocket(t)}
	t.Cleanup(func() { tr.Close() })
	return tr
}

// foreignServer accepts connections with quic-go and serves each.
func foreignServer(t testing.TB, tr *quic.Transport, tlsc *tls.Config, serve func(context.Context, *quic.Conn)) net.Addr {
	t.Helper()
	l, err := tr.Listen(tlsc, foreignConfig())
	require.NoError(t, err)
	ctx := testContext(t)
	go func() {
		for {
			c, err := l.Accept(ctx)
			if err != nil {
				return
			}
			go serve(ctx, c)
		}
	}()
	return l.Addr()
}

// foreignEcho sends the data of each stream back as it comes.
func foreignEcho(ctx context.Context, c *quic.Conn) {
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			if _, err := io.Copy(s, s); err != nil {
				s.CancelWrite(1)
				return
			}
			s.Close()
		}()
	}
}

// foreignExchange sends payload(seed, n) on a new stream and expects it back.
func foreignExchange(ctx context.Context, t testing.TB, c *quic.Conn, seed byte, n int64) {
	t.Helper()
	s, err := c.OpenStreamSync(ctx)
	require.NoError(t, err)
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(s, payload(seed, n))
		if err == nil {
			err = s.Close()
		}
		sent <- err
	}()
	requireSame(t, s, seed, n)
	require.NoError(t, <-sent)
}
