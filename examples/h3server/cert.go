package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/lazoquic/lazo/examples/internal/selfsigned"
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
	return selfsigned.Certificate(host)
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
