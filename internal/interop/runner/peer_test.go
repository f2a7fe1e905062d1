package runner

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// An implementation of QUIC is a client and a server of the runner.
type implementation interface {
	fmt.Stringer

	// serve runs a server of hq-interop until the test ends, and returns its address.
	serve(t testing.TB, cfg serverConfig) netip.AddrPort

	// serveHTTP3 runs a server of HTTP/3.
	serveHTTP3(t testing.TB, tlsc *tls.Config, h http.Handler) netip.AddrPort

	// dial connects to a server of hq-interop. With early data it returns at once, if a session
	// allows that.
	dial(ctx context.Context, cfg clientConfig) (client, error)

	// transport returns a client of HTTP/3.
	transport(tlsc *tls.Config) interface {
		http.RoundTripper
		io.Closer
	}
}

// A client downloads over one connection.
type client interface {
	get(ctx context.Context, name string) ([]byte, error)
	updateKeys(ctx context.Context) error
	close() error
}

type serverConfig struct {
	tls      *tls.Config
	files    *files
	ip       netip.Addr
	retry    bool
	early    bool
	versions []uint32

	// prefer, if not nil, is called with the second address of the server. It returns the preferred
	// address to offer in its place.
	prefer func(netip.AddrPort) netip.AddrPort
}

type clientConfig struct {
	tls      *tls.Config
	server   netip.AddrPort
	early    bool
	leastMTU bool // keeps the smallest MTU
	versions []uint32
}

// Windows that grow during transfers of a megabyte.
const (
	smallWindow       = 32 << 10
	smallStreamWindow = 16 << 10
)

// hqInterop is the protocol of the runner: HTTP/0.9, one request on a stream.
const hqInterop = "hq-interop"

// files holds the content of the files of a server, by name.
type files struct {
	mu      sync.Mutex
	content map[string][]byte
}

// add adds a file of random content, and returns its name.
func (f *files) add(size int) string {
	f.mu.Lock()
	name := fmt.Sprintf("file%d", len(f.content))
	f.mu.Unlock()
	f.addNamed(name, size)
	return name
}

func (f *files) addNamed(name string, size int) {
	b := make([]byte, size)
	rand.Read(b)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.content == nil {
		f.content = make(map[string][]byte)
	}
	f.content[name] = b
}

func (f *files) get(name string) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.content[name]
	return b, ok
}

// handler serves f over HTTP/3.
func (f *files) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, ok := f.get(strings.TrimPrefix(r.URL.Path, "/"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(b)
	})
}

// A stream is a stream of either implementation.
type stream interface {
	io.ReadWriter
	CloseWrite() error
}

// answer serves one request of hq-interop.
func (f *files) answer(s stream) error {
	b, err := io.ReadAll(io.LimitReader(s, 1024))
	if err != nil {
		return err
	}
	name, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "GET /")
	content, found := f.get(name)
	if !ok || !found {
		return fmt.Errorf("runner: no answer to %q", b)
	}
	if _, err := s.Write(content); err != nil {
		return err
	}
	return s.CloseWrite()
}

// request asks for a file of hq-interop, and reads it.
func request(s stream, name string) ([]byte, error) {
	if _, err := fmt.Fprintf(s, "GET /%s\r\n", name); err != nil {
		return nil, err
	}
	if err := s.CloseWrite(); err != nil {
		return nil, err
	}
	return io.ReadAll(s)
}

// credentials returns the configurations of a server and of a client that trusts it. The chain of
// the server has length certificates, and the client knows the last one. Each is padded with names.
func credentials(t testing.TB, length, names int) (server, client *tls.Config) {
	t.Helper()
	var chain [][]byte
	var issuer *x509.Certificate
	var issuerKey, key *ecdsa.PrivateKey
	roots := x509.NewCertPool()
	for i := range length {
		var err error
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		template := &x509.Certificate{
			SerialNumber:          big.NewInt(int64(i + 1)),
			Subject:               pkix.Name{CommonName: fmt.Sprintf("runner %d", i)},
			NotBefore:             time.Now().Add(-time.Hour),
			NotAfter:              time.Now().Add(time.Hour),
			DNSNames:              []string{"localhost"},
			IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
			IsCA:                  i < length-1,
			BasicConstraintsValid: true,
		}
		for j := range names {
			template.DNSNames = append(template.DNSNames, fmt.Sprintf("name%d.certificate%d.example.org", j, i))
		}
		if issuer == nil {
			issuer, issuerKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
		require.NoError(t, err)
		issuer, err = x509.ParseCertificate(der)
		require.NoError(t, err)
		issuerKey = key
		if i == 0 {
			roots.AddCert(issuer)
		}
		chain = append([][]byte{der}, chain...)
	}
	server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key}},
		NextProtos:   []string{hqInterop},
	}
	client = &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{hqInterop}}
	return server, client
}

// A ticketCache tells when a session ticket has come.
type ticketCache struct {
	tls.ClientSessionCache
	came chan struct{}
}

func newTicketCache() *ticketCache {
	return &ticketCache{tls.NewLRUClientSessionCache(8), make(chan struct{}, 16)}
}

// Put drops the signal if nobody waits for so many tickets.
func (c *ticketCache) Put(key string, s *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, s)
	if s == nil {
		return
	}
	select {
	case c.came <- struct{}{}:
	default:
	}
}

// wait returns when a ticket has come.
func (c *ticketCache) wait(ctx context.Context) error {
	select {
	case <-c.came:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("runner: no session ticket: %w", ctx.Err())
	}
}

// check downloads files at the same time and compares them.
func (f *files) check(ctx context.Context, c client, names ...string) error {
	errs := make(chan error, len(names))
	for _, name := range names {
		go func() {
			got, err := c.get(ctx, name)
			if want, _ := f.get(name); err == nil && !bytes.Equal(got, want) {
				err = fmt.Errorf("runner: %s: %d bytes came, which differ from the %d of the file", name, len(got), len(want))
			}
			errs <- err
		}()
	}
	for range names {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}
