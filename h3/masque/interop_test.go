package masque

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// These tests run one side of the tunnel on quic-go's HTTP/3, with the little that RFC 9298
// needs above it. quic-go shares no code with this project.

// foreignProxy relays UDP, without checks.
func foreignProxy(w http.ResponseWriter, r *http.Request) {
	template, _ := parseTemplate(WellKnown)
	host, port, ok := template.match(r.URL.EscapedPath())
	if r.Method != http.MethodConnect || r.Proto != "connect-udp" || !ok {
		http.Error(w, "connect-udp only", http.StatusBadRequest)
		return
	}
	target, err := net.Dial("udp", net.JoinHostPort(host, port))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer target.Close()
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
			n, err := target.Read(b[1:])
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
				target.Write(b[1:])
			}
		}
	}()
	io.Copy(io.Discard, s) // until the client ends it
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

// TestForeignProxy runs QUIC through a tunnel of quic-go's. Its server hears no capsules, so
// the path to it has to be wide from the start.
func TestForeignProxy(t *testing.T) {
	p := newPair(t, func(p *pair) {
		p.client.Transport.QUICConfig = conntest.ClientConfig()
		p.client.Transport.QUICConfig.TLS = nil
		p.client.Transport.QUICConfig.InitialMTU = 1350
	})
	p.client.Proxy = newForeignProxy(t)
	c := p.dial(newEcho(t))
	for i := range 50 {
		exchange(t, c, fmt.Appendf(nil, "payload %d", i))
	}
	require.Zero(t, c.Stats().CapsulesSent)
	c.Close()
	getThrough(t, p.client.DialQUIC, newOrigin(t), 5)
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
	template, _ := parseTemplate(WellKnown)
	host, port, _ := net.SplitHostPort(target)
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, proxy+template.expand(host, port), nil)
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
	p := newPair(t)
	origin := newOrigin(t)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	tlsConfig := conntest.ClientTLS()
	tlsConfig.NextProtos, tlsConfig.ServerName = []string{http3.NextProtoH3}, "127.0.0.1"
	outer := &http3.Transport{EnableDatagrams: true}
	defer outer.Close()
	q, err := quic.DialAddr(ctx, p.url[len("https://"):], tlsConfig, &quic.Config{EnableDatagrams: true, InitialPacketSize: 1350})
	require.NoError(t, err)
	cc := outer.NewClientConn(q)
	defer cc.CloseWithError(0, "")
	inner := &http3.Transport{
		TLSClientConfig: conntest.ClientTLS(),
		Dial: func(ctx context.Context, addr string, tlsConfig *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			f, err := newForeignTunnel(ctx, cc, p.url, addr)
			if err != nil {
				return nil, err
			}
			return quic.Dial(ctx, f, f.target, tlsConfig, cfg)
		},
	}
	defer inner.Close()
	fetch(t, &http.Client{Transport: inner, Timeout: soon}, origin)
	require.Greater(t, p.proxy.Stats().Sent, uint64(100))

	_, err = newForeignTunnel(ctx, cc, p.url, "127.0.0.1:0")
	require.ErrorContains(t, err, "status 400, lazo; error=http_request_error")
}

// TestForeignQUICOverConn runs quic-go's QUIC over a Conn, as a net.PacketConn.
func TestForeignQUICOverConn(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	p := newPair(t)
	inner := &http3.Transport{
		TLSClientConfig: conntest.ClientTLS(),
		Dial: func(ctx context.Context, addr string, tlsConfig *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			c, err := p.client.Dial(ctx, addr)
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
	resp, err := client.Get(origin + "/9")
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, content(9), b)
}
