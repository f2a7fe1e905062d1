package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// certificate loads the certificate of the options, or makes one.
func certificate(o *options) (tls.Certificate, error) {
	if o.cert != "" {
		return tls.LoadX509KeyPair(o.cert, o.key)
	}
	host, _, err := net.SplitHostPort(o.addr)
	if err != nil {
		return tls.Certificate{}, err
	}
	return selfSigned(host)
}

// selfSigned makes a certificate for this host and the given one. Browsers accept
// such certificates, on their command line or for WebTransport, only with an ECDSA key
// and for no longer than 14 days.
func selfSigned(host string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	start := time.Now().Add(-time.Hour)
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "h3server"},
		NotBefore:    start,
		NotAfter:     start.Add(13 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else if host != "" {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// keyHash returns the hash of the public key that Chromium's flag takes.
func keyHash(cert tls.Certificate) (string, error) {
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

// printHints says where the server is and how to reach it.
func printHints(w io.Writer, addr netip.AddrPort, cert tls.Certificate, own bool) error {
	hash, err := keyHash(cert)
	if err != nil {
		return err
	}
	host := addr.String()
	if addr.Addr().IsUnspecified() {
		host = fmt.Sprintf("localhost:%d", addr.Port())
	}
	insecure, trust := "", ""
	if own {
		insecure = "-insecure "
		trust = "  --ignore-certificate-errors-spki-list=" + hash + " \\\n"
	}
	fmt.Fprintf(w, `serving HTTP/3 on https://%[1]s/ (UDP)
SHA-256 of the public key (SPKI): %[2]s

go run ./examples/h3client %[3]shttps://%[1]s/

chromium --user-data-dir="$(mktemp -d)" \
  --origin-to-force-quic-on=%[1]s \
%[4]s  https://%[1]s/

`, host, hash, insecure, trust)
	return nil
}
