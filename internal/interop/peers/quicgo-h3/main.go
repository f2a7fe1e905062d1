// Command quicgo-h3 is a server of HTTP/3 for perf compare, of quic-go:
//
//	quicgo-h3 server --listen ADDR [--cert FILE --key FILE]
//
// It answers GET /N with N bytes, and takes what POST / sends. It says "ready" on its standard
// error.
// At SIGTERM it prints a line of JSON with the CPU seconds and the allocations of its life. At
// SIGUSR1 it gives memory back.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const chunk = 64 << 10

func main() {
	log.SetFlags(0)
	log.SetPrefix("quicgo-h3: ")
	var fs flag.FlagSet
	addr := fs.String("listen", "", "UDP address")
	certFile := fs.String("cert", "", "PEM file of the certificate; default self-signed")
	keyFile := fs.String("key", "", "PEM file of its key")
	if len(os.Args) < 2 || os.Args[1] != "server" || fs.Parse(os.Args[2:]) != nil || fs.NArg() > 0 || *addr == "" {
		log.Fatal("usage: quicgo-h3 server --listen ADDR [--cert FILE --key FILE]")
	}
	if err := serve(*addr, *certFile, *keyFile); err != nil {
		log.Fatal(err)
	}
}

// serve serves until SIGTERM.
func serve(addr, certFile, keyFile string) error {
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	cert, err := certificate(certFile, keyFile)
	if err != nil {
		return err
	}
	srv := newServer(cert)
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(c) }()
	fmt.Fprintf(os.Stderr, "ready %v pid %d\n", c.LocalAddr(), os.Getpid())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	gc := make(chan os.Signal, 1)
	signal.Notify(gc, syscall.SIGUSR1)
	for {
		select {
		case <-gc:
			debug.FreeOSMemory()
		case err := <-ended:
			return err
		case <-ctx.Done():
			return report(&before)
		}
	}
}

// certificate returns that of the files, or without files a self-signed one.
func certificate(certFile, keyFile string) (tls.Certificate, error) {
	if certFile == "" {
		return selfSigned()
	}
	return tls.LoadX509KeyPair(certFile, keyFile)
}

// selfSigned returns a certificate for the name localhost.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		DNSNames:     []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// newServer returns a server with the limits of the other contenders.
func newServer(cert tls.Certificate) *http3.Server {
	tc := &tls.Config{Certificates: []tls.Certificate{cert}, CurvePreferences: []tls.CurveID{tls.X25519}}
	return &http3.Server{Handler: routes(), TLSConfig: http3.ConfigureTLSConfig(tc), QUICConfig: &quic.Config{
		MaxIncomingStreams:         128,
		MaxIdleTimeout:             time.Minute,
		MaxStreamReceiveWindow:     16 << 20,
		MaxConnectionReceiveWindow: 32 << 20,
	}}
}

func routes() http.Handler {
	zeros := make([]byte, chunk)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		w.Header().Set("Content-Type", "application/octet-stream")
		for n > 0 {
			k, err := w.Write(zeros[:min(n, chunk)])
			if err != nil {
				return
			}
			n -= int64(k)
		}
	})
	mux.HandleFunc("POST /", func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	return mux
}

// report prints what the process has used since before.
func report(before *runtime.MemStats) error {
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return err
	}
	cpu := time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"impl": "quic-go", "role": "server", "cpu": cpu, "mallocs": now.Mallocs - before.Mallocs,
	})
}
