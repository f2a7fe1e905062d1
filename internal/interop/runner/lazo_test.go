package runner

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// lazo is this module.
type lazo struct{}

func (lazo) String() string { return "lazo" }

// config returns what the configurations of both sides have in common.
func (lazo) config(tlsc *tls.Config, versions []uint32) *conn.Config {
	return &conn.Config{TLS: tlsc, Versions: versions, HandshakeTimeout: 2 * time.Minute, MaxIdleTimeout: 2 * time.Minute, MaxDatagramFrameSize: 65535}
}

func (l lazo) serve(t testing.TB, cfg serverConfig) netip.AddrPort {
	g := l.listen(t, cfg)
	serveLazo(g, cfg.files)
	return g.LocalAddr()
}

// listen runs a server. The caller accepts its connections.
func (l lazo) listen(t testing.TB, cfg serverConfig, edits ...func(*conn.Config)) *loop.Group {
	t.Helper()
	server := l.config(cfg.tls, cfg.versions)
	server.Enable0RTT = cfg.early
	for _, edit := range edits {
		edit(server)
	}
	sock, err := udpio.Listen("udp", netip.AddrPortFrom(cfg.ip, 0).String(), nil)
	require.NoError(t, err)
	if cfg.prefer != nil {
		second, err := sock.AddLocal("udp", netip.AddrPortFrom(cfg.ip, 0).String())
		require.NoError(t, err)
		server.PreferredAddress4 = cfg.prefer(second)
	}
	endpoint := conn.EndpointConfig{Server: server}
	if cfg.retry {
		endpoint.Admit = func(i conn.AdmissionRequest) conn.Admission {
			if i.Token == conn.TokenNone {
				return conn.AdmissionRetry
			}
			return conn.AdmissionAccept
		}
	}
	g, err := loop.New(&loop.Config{Endpoint: endpoint}, sock)
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	return g
}

// serveLazo answers every request until g closes.
func serveLazo(g *loop.Group, f *files) {
	go func() {
		for {
			c, err := g.Accept(context.Background())
			if err != nil {
				return
			}
			go serveLazoConn(c, f)
		}
	}()
}

func serveLazoConn(c *loop.Conn, f *files) {
	for {
		s, err := c.AcceptStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			defer s.Close()
			if f.answer(s) != nil {
				s.Reset(1)
			}
		}()
	}
}

func (lazo) serveHTTP3(t testing.TB, tlsc *tls.Config, h http.Handler) netip.AddrPort {
	sock, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	srv := &h3http.Server{Handler: h, TLSConfig: tlsc}
	addr := sock.LocalAddr()
	go srv.Serve(sock)
	t.Cleanup(func() { srv.Close() })
	return addr
}

func (lazo) transport(tlsc *tls.Config) interface {
	http.RoundTripper
	io.Closer
} {
	return &h3http.Transport{TLSClientConfig: tlsc}
}

func (l lazo) dial(ctx context.Context, cfg clientConfig) (client, error) {
	c, err := l.connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return lazoClient{c}, nil
}

func (l lazo) connect(ctx context.Context, cfg clientConfig, edits ...func(*conn.Config)) (*loop.Conn, error) {
	return loop.Dial(ctx, cfg.server.String(), l.clientConfig(cfg, edits...))
}

func (l lazo) clientConfig(cfg clientConfig, edits ...func(*conn.Config)) *conn.Config {
	config := l.config(cfg.tls, cfg.versions)
	config.Enable0RTT = cfg.early
	config.InitialMaxData, config.InitialMaxStreamData = smallWindow, smallStreamWindow
	if cfg.leastMTU {
		config.InitialMTU, config.MaxMTU = 1200, 1200
	}
	for _, edit := range edits {
		edit(config)
	}
	return config
}

type lazoClient struct{ c *loop.Conn }

func (l lazoClient) get(ctx context.Context, name string) ([]byte, error) {
	s, err := l.c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Now()) })
	defer stop()
	return request(s, name)
}

func (l lazoClient) updateKeys(ctx context.Context) (err error) {
	if e := l.c.Do(ctx, func(_ time.Time, c *conn.Conn) { err = c.UpdateKeys() }); e != nil {
		return e
	}
	return err
}

func (l lazoClient) close() error { return l.c.Close(0, "") }
