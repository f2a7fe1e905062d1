package conntest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"

	"github.com/lazoquic/lazo/conn"
)

const (
	serverName = "lazo.test"
	nextProto  = "lazotest"
)

// ServerTLS returns the TLS configuration of a server with a fixed certificate
// for lazo.test, localhost, 10.0.0.1 to 10.0.0.20, 127.0.0.1 and ::1, valid from
// 2000 to 2099. NextProtos is "lazotest". Each call returns another one, which the
// caller may change.
func ServerTLS() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{newCertificate()},
		NextProtos:   []string{nextProto},
		MinVersion:   tls.VersionTLS13,
	}
}

// ClientTLS returns the TLS configuration of a client which trusts the
// certificate of ServerTLS, and nothing else. ServerName is "lazo.test" and
// NextProtos "lazotest". Each call returns another one, which the caller may change.
func ClientTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(newCertificate().Leaf)
	return &tls.Config{
		RootCAs:    roots,
		ServerName: serverName,
		NextProtos: []string{nextProto},
		MinVersion: tls.VersionTLS13,
	}
}

// ServerConfig returns a configuration with ServerTLS, which may be changed before
// it is used.
func ServerConfig() *conn.Config { return &conn.Config{TLS: ServerTLS(), QLog: qlog()} }

// ClientConfig returns a configuration with ClientTLS, which may be changed before
// it is used.
func ClientConfig() *conn.Config { return &conn.Config{TLS: ClientTLS(), QLog: qlog()} }

// newCertificate makes the certificate, which is the same every time: the key is
// fixed and Ed25519 signs without randomness. So sizes do not vary either.
func newCertificate() tls.Certificate {
	key := ed25519.NewKeyFromSeed([]byte("lazo.test: known to everyone!!!!"))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: serverName},
		NotBefore:    epoch, // so a Network and a bubble of testing/synctest may start
		NotAfter:     time.Date(2099, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{serverName, "localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for i := range 20 {
		template.IPAddresses = append(template.IPAddresses, net.IPv4(10, 0, 0, byte(1+i)))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic("conntest: certificate: " + err.Error()) // of fixed input
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic("conntest: certificate: " + err.Error())
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
