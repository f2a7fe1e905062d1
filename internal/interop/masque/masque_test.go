// Package masque holds tests alone. They run h3/masque against quic-go's HTTP/3, with a few lines
// above it for RFC 9298.
package masque

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/masque"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// prefix begins the path of every request. A host and a port follow it (RFC 9298, Section 3).
const prefix = "/.well-known/masque/udp/"

// foreignProxy relays UDP, without checks.
func foreignProxy(w http.ResponseWriter, r *http.Request) {
	target, ok := strings.CutPrefix(r.URL.Path, prefix)
	host, port, _ := strings.Cut(strings.TrimSuffix(target, "/"), "/")
	if r.Method != http.MethodConnect || r.Proto != "connect-udp" || !ok {
		http.Error(w, "connect-udp only", http.StatusBadRequest)
		return
	}
	c, err := net.Dial("udp", net.JoinHostPort(host, port))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer c.Close()
	w.Header().Set("Capsule-Protocol", "?1")
	w.WriteHeader(http.StatusOK)
	s, err := w.(http3.HTTPStreamer).HTTPStream()
	if err != nil {
		return
	}
	defer s.Close()
	go func() {
		b := make([]byte, 2048)
		for {
			n, err := c.Read(b[1:])
			if err != nil {
				return
			}
			s.SendDatagram(b[:n+1]) // context ID 0
		}
	}()
	go func() {
		for {
			b, err := s.ReceiveDatagram(r.Context())
			if err != nil {
				return
			}
			if len(b) > 0 && b[0] == 0 {
				c.Write(b[1:])
			}
		}
	}()
	io.Copy(io.Discard, s) // until the client ends it
}

// soon bounds steps that take milliseconds on an idle machine.
const soon = time.Minute

// newProxy runs a Proxy that reaches loopback, and returns its URL.
func newProxy(t *testing.T) (*masque.Proxy, string) {
	t.Helper()
	p := &masque.Proxy{Allow: func(*http.Request, netip.AddrPort) bool { return true }}
	t.Cleanup(func() { p.Close() })
	return p, serve(t, p)
}

func newClient(t *testing.T, proxy string) *masque.Client {
	t.Helper()
	c := &masque.Client{Proxy: proxy, Transport: &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}}
	t.Cleanup(func() { c.Transport.Close() })
	return c
}

// serve runs a server of ours on loopback and returns its URL.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := &h3http.Server{Handler: h, ExtendedConnect: true, Logger: slog.New(slog.DiscardHandler), TLSConfig: conntest.ServerTLS()}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig())
	require.NoError(t, err)
	t.Cleanup(func() {
		srv.Close()
		g.Close()
	})
	return "https://" + g.LocalAddr().String()
}

// newOrigin serves content.
func newOrigin(t *testing.T) string {
	t.Helper()
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(content()) }))
}

// content returns a million bytes.
func content() []byte {
	b := make([]byte, 1_000_000)
	rand.NewChaCha8([32]byte{9}).Read(b)
	return b
}

// newForeignProxy runs foreignProxy and returns its URL.
func newForeignProxy(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &http3.Server{
		Handler:         http.HandlerFunc(foreignProxy),
		TLSConfig:       http3.ConfigureTLSConfig(conntest.ServerTLS()),
		QUICConfig:      &quic.Config{EnableDatagrams: true, InitialPacketSize: 1350},
		EnableDatagrams: true,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(pc) }()
	t.Cleanup(func() {
		srv.Close()
		<-served
		pc.Close()
	})
	return "https://" + pc.LocalAddr().String()
}

// TestForeignProxy runs QUIC through a proxy made of quic-go. Its server takes no capsules, so the
// MTU of the path to it must be large from the start.
func TestForeignProxy(t *testing.T) {
	cfg := conntest.ClientConfig()
	cfg.TLS, cfg.InitialMTU = nil, 1350
	client := newClient(t, newForeignProxy(t))
	client.Transport.QUICConfig = cfg
	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS(), Dial: client.DialQUIC}
	defer tr.Close()
	inner, origin := &http.Client{Transport: tr, Timeout: soon}, newOrigin(t)
	for range 5 {
		fetch(t, inner, origin)
	}
}

// A foreignTunnel is a tunnel of quic-go's client, as a net.PacketConn.
type foreignTunnel struct {
	s      *http3.RequestStream
	target net.Addr
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	deadline context.Context // of reading
	stop     context.CancelFunc
}

func newForeignTunnel(ctx context.Context, cc *http3.ClientConn, proxy, target string) (*foreignTunnel, error) {
	host, port, _ := net.SplitHostPort(target)
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, proxy+prefix+host+"/"+port+"/", nil)
	if err != nil {
		return nil, err
	}
	r.Proto = "connect-udp"
	r.Header.Set("Capsule-Protocol", "?1")
	s, err := cc.OpenRequestStream(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.SendRequestHeader(r); err != nil {
		return nil, err
	}
	resp, err := s.ReadResponse()
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Capsule-Protocol") != "?1" {
		return nil, fmt.Errorf("status %d, %s", resp.StatusCode, resp.Header.Get("Proxy-Status"))
	}
	f := &foreignTunnel{s: s}
	f.target, err = net.ResolveUDPAddr("udp", target)
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.SetReadDeadline(time.Time{})
	return f, err
}

func (f *foreignTunnel) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		f.mu.Lock()
		ctx := f.deadline
		f.mu.Unlock()
		d, err := f.s.ReceiveDatagram(ctx)
		if f.ctx.Err() != nil {
			return 0, nil, net.ErrClosed
		}
		if errors.Is(err, context.Canceled) {
			continue // the deadline has moved
		}
		if err != nil || len(d) == 0 || d[0] != 0 {
			return 0, nil, err
		}
		return copy(b, d[1:]), f.target, nil
	}
}

func (f *foreignTunnel) WriteTo(b []byte, _ net.Addr) (int, error) {
	return len(b), f.s.SendDatagram(slices.Concat([]byte{0}, b))
}

func (f *foreignTunnel) Close() error {
	f.cancel()
	return f.s.Close()
}

func (f *foreignTunnel) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
}

func (f *foreignTunnel) SetReadDeadline(t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stop != nil {
		f.stop()
	}
	if t.IsZero() {
		f.deadline, f.stop = context.WithCancel(f.ctx)
	} else {
		f.deadline, f.stop = context.WithDeadline(f.ctx, t)
	}
	return nil
}

func (f *foreignTunnel) SetDeadline(t time.Time) error    { return f.SetReadDeadline(t) }
func (f *foreignTunnel) SetWriteDeadline(time.Time) error { return nil }

// TestForeignClient runs quic-go's QUIC through a tunnel of quic-go's client and our proxy.
func TestForeignClient(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	proxy, url := newProxy(t)
	origin := newOrigin(t)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	tlsConfig := conntest.ClientTLS()
	tlsConfig.NextProtos, tlsConfig.ServerName = []string{http3.NextProtoH3}, "127.0.0.1"
	outer := &http3.Transport{EnableDatagrams: true}
	defer outer.Close()
	q, err := quic.DialAddr(ctx, url[len("https://"):], tlsConfig, &quic.Config{EnableDatagrams: true, InitialPacketSize: 1350})
	require.NoError(t, err)
	cc := outer.NewClientConn(q)
	defer cc.CloseWithError(0, "")
	inner := &http3.Transport{
		TLSClientConfig: conntest.ClientTLS(),
		Dial: func(ctx context.Context, addr string, tlsConfig *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			f, err := newForeignTunnel(ctx, cc, url, addr)
			if err != nil {
				return nil, err
			}
			return quic.Dial(ctx, f, f.target, tlsConfig, cfg)
		},
	}
	defer inner.Close()
	fetch(t, &http.Client{Transport: inner, Timeout: soon}, origin)
	require.Greater(t, proxy.Stats().Sent, uint64(100))

	_, err = newForeignTunnel(ctx, cc, url, "127.0.0.1:0")
	require.ErrorContains(t, err, "status 400, lazo;error=http_request_error")
}

// TestForeignQUICOverConn runs quic-go's QUIC over a Conn, as a net.PacketConn.
func TestForeignQUICOverConn(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	_, url := newProxy(t)
	client := newClient(t, url)
	inner := &http3.Transport{
		TLSClientConfig: conntest.ClientTLS(),
		Dial: func(ctx context.Context, addr string, tlsConfig *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			c, err := client.Dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			t.Cleanup(func() { c.Close() })
			return quic.Dial(ctx, c, c.RemoteAddr(), tlsConfig, cfg)
		},
	}
	defer inner.Close()
	fetch(t, &http.Client{Transport: inner, Timeout: soon}, newOrigin(t))
}

// fetch gets a resource of origin.
func fetch(t *testing.T, client *http.Client, origin string) {
	t.Helper()
	resp, err := client.Get(origin + "/")
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, content(), b)
}
