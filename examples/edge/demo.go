package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/lazoquic/lazo/examples/internal/selfsigned"
)

// A demo has backends, a configuration and a certificate for an edge.
type demo struct {
	dir      string // with a configuration and a certificate
	hash     string // of the public key, for Chromium
	backends []*http.Server
}

// demoConfig has one route to two backends.
const demoConfig = `listen: %q
certificates:
  - cert: %q
    key: %q
pools:
  demo:
    backends:
      - http://%s
      - http://%s
routes:
  - pool: demo
`

// startDemo starts two backends, and writes a configuration that has them.
func startDemo(addr string) (_ *demo, err error) {
	d := new(demo)
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.dir, err = os.MkdirTemp("", "edge-"); err != nil {
		return nil, err
	}
	var addrs []any
	for i := range 2 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		srv := &http.Server{Handler: demoBackend(fmt.Sprintf("backend %d", i+1)), ReadHeaderTimeout: time.Minute}
		d.backends = append(d.backends, srv)
		addrs = append(addrs, ln.Addr())
		go srv.Serve(ln)
	}
	if err := d.writeCertificate(); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(demoConfig, append([]any{addr, d.cert(), d.key()}, addrs...)...)
	return d, os.WriteFile(d.config(), []byte(text), 0o600)
}

func (d *demo) config() string { return filepath.Join(d.dir, "edge.yaml") }
func (d *demo) cert() string   { return filepath.Join(d.dir, "cert.pem") }
func (d *demo) key() string    { return filepath.Join(d.dir, "key.pem") }

func (d *demo) close() {
	for _, srv := range d.backends {
		srv.Close()
	}
	if d.dir != "" {
		os.RemoveAll(d.dir)
	}
}

// writeCertificate makes a certificate for this host.
func (d *demo) writeCertificate(hosts ...string) error {
	cert, err := selfsigned.Certificate(hosts...)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	d.hash = base64.StdEncoding.EncodeToString(hash[:])
	if err := writePEM(d.cert(), "CERTIFICATE", cert.Certificate[0]); err != nil {
		return err
	}
	return writePEM(d.key(), "PRIVATE KEY", private)
}

func writePEM(name, kind string, der []byte) error {
	return os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// demoBackend answers with its name and the request.
func demoBackend(name string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s answers %s %s for %s\n\n", name, r.Method, r.URL, r.Host)
		r.Header.Write(w)
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%s got %d bytes\n", name, n)
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 10 {
			fmt.Fprintf(w, "data: event %d of %s\n\n", i+1, name)
			http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(500 * time.Millisecond):
			}
		}
	})
	return mux
}

// tell prints commands to try.
func (d *demo) tell(w io.Writer, addr net.Addr) {
	fmt.Fprintf(w, `a demonstration with two backends; its configuration is %[2]s
serving https://%[1]s/ over HTTP/3 (UDP), HTTP/2 and HTTP/1.1 (TCP)

curl --cacert %[3]s https://%[1]s/hello
curl --cacert %[3]s -N https://%[1]s/events
go run ./examples/h3client -ca %[3]s https://%[1]s/hello

chromium --user-data-dir="$(mktemp -d)" \
  --origin-to-force-quic-on=%[1]s \
  --ignore-certificate-errors-spki-list=%[4]s \
  https://%[1]s/

`, addr, d.config(), d.cert(), d.hash)
}
