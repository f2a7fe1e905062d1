package runner

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/lazoquic/lazo/internal/require"
)

// quicGo is github.com/quic-go/quic-go.
type quicGo struct{}

func (quicGo) String() string { return "quic-go" }

// config returns what the configurations of both sides have in common.
func (quicGo) config(versions []uint32) *quic.Config {
	cfg := &quic.Config{HandshakeIdleTimeout: time.Minute, MaxIdleTimeout: 2 * time.Minute, EnableDatagrams: true}
	for _, v := range versions {
		cfg.Versions = append(cfg.Versions, quic.Version(v))
	}
	return cfg
}

// listenUDP opens a socket until the test ends.
func listenUDP(t testing.TB, ip netip.Addr) *net.UDPConn {
	t.Helper()
	sock, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	require.NoError(t, err)
	t.Cleanup(func() { sock.Close() })
	return sock
}

func addrPort(a net.Addr) netip.AddrPort {
	p := a.(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

func (q quicGo) serve(t testing.TB, cfg serverConfig) netip.AddrPort {
	l := q.listen(t, cfg)
	serveQUICGo(l, cfg.files)
	return addrPort(l.Addr())
}

// listen runs a server without a preferred address. The caller accepts its connections.
func (q quicGo) listen(t testing.TB, cfg serverConfig, edits ...func(*quic.Config)) *quic.EarlyListener {
	t.Helper()
	tr := &quic.Transport{
		Conn:                listenUDP(t, cfg.ip),
		VerifySourceAddress: func(net.Addr) bool { return cfg.retry },
	}
	t.Cleanup(func() { tr.Close() })
	config := q.config(cfg.versions)
	config.Allow0RTT = cfg.early
	for _, edit := range edits {
		edit(config)
	}
	l, err := tr.ListenEarly(cfg.tls, config)
	require.NoError(t, err)
	return l
}

// serveQUICGo answers every request until l closes.
func serveQUICGo(l *quic.EarlyListener, f *files) {
	go func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			go serveQUICGoConn(c, f)
		}
	}()
}

func serveQUICGoConn(c *quic.Conn, f *files) {
	for {
		s, err := c.AcceptStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			if f.answer(quicGoStream{s}) != nil {
				s.CancelWrite(1)
			}
		}()
	}
}

// A quicGoStream has a method CloseWrite, as streams of this module do.
type quicGoStream struct{ *quic.Stream }

func (s quicGoStream) CloseWrite() error { return s.Close() }

func (q quicGo) serveHTTP3(t testing.TB, tlsc *tls.Config, h http.Handler) netip.AddrPort {
	sock := listenUDP(t, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	srv := &http3.Server{Handler: h, TLSConfig: http3.ConfigureTLSConfig(tlsc), QUICConfig: q.config(nil)}
	go srv.Serve(sock)
	t.Cleanup(func() { srv.Close() })
	return addrPort(sock.LocalAddr())
}

func (q quicGo) transport(tlsc *tls.Config) interface {
	http.RoundTripper
	io.Closer
} {
	return &http3.Transport{TLSClientConfig: tlsc, QUICConfig: q.config(nil)}
}

func (q quicGo) dial(ctx context.Context, cfg clientConfig) (client, error) {
	c, err := q.connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (q quicGo) connect(ctx context.Context, cfg clientConfig, edits ...func(*quic.Config)) (*quicGoClient, error) {
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if cfg.server.Addr().Is6() {
		local = netip.IPv6Loopback()
	}
	sock, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		return nil, err
	}
	tr := &quic.Transport{Conn: sock}
	config := q.config(cfg.versions)
	config.InitialConnectionReceiveWindow, config.InitialStreamReceiveWindow = smallWindow, smallStreamWindow
	config.DisablePathMTUDiscovery = cfg.leastMTU
	for _, edit := range edits {
		edit(config)
	}
	to := net.UDPAddrFromAddrPort(cfg.server)
	dial := tr.Dial
	if cfg.early {
		dial = tr.DialEarly
	}
	c, err := dial(ctx, to, cfg.tls, config)
	if err != nil {
		tr.Close()
		sock.Close()
		return nil, err
	}
	return &quicGoClient{c, tr, sock}, nil
}

type quicGoClient struct {
	c    *quic.Conn
	tr   *quic.Transport
	sock *net.UDPConn
}

func (q *quicGoClient) get(ctx context.Context, name string) ([]byte, error) {
	s, err := q.c.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Now()) })
	defer stop()
	return request(quicGoStream{s}, name)
}

// updateKeys does nothing: quic-go updates keys by itself, for the first time after 100 packets.
func (q *quicGoClient) updateKeys(context.Context) error { return nil }

func (q *quicGoClient) close() error {
	err := q.c.CloseWithError(0, "")
	q.tr.Close()
	q.sock.Close()
	return err
}
