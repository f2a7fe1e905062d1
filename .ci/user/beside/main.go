// Command beside is a program with two libraries of QUIC. It runs an echo server on quic-go, and a
// client on Lazo that connects to it. The program chooses its version of quic-go.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
	"github.com/quic-go/quic-go"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cert, roots := certificate()
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"echo"}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	go serve(ctx, l)
	c, err := loop.Dial(ctx, l.Addr().String(), &conn.Config{TLS: &tls.Config{RootCAs: roots, NextProtos: []string{"echo"}}})
	if err != nil {
		log.Fatal(err)
	}
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		log.Fatal(err)
	}
	io.WriteString(s, "hello")
	s.CloseWrite()
	b, err := io.ReadAll(s)
	if err != nil || string(b) != "hello" {
		log.Fatalf("%q came back, %v", b, err)
	}
	c.Shutdown(ctx, 0, "")
	fmt.Printf("quic-go echoes %q to Lazo\n", b)
}

func serve(ctx context.Context, l *quic.Listener) {
	c, err := l.Accept(ctx)
	if err != nil {
		log.Fatal(err)
	}
	s, err := c.AcceptStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	io.Copy(s, s)
	s.Close()
}

func certificate() (tls.Certificate, *x509.CertPool) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	if err != nil {
		log.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
