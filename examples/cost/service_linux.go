package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/tunnelhttp"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A controller names a congestion controller of this module and the same one of the kernel.
type controller struct {
	name   string
	ours   func(congestion.Params) congestion.Controller
	kernel string
}

var (
	cubic = controller{"CUBIC", congestion.NewCubic, "cubic"}
	bbr   = controller{"BBR", congestion.NewBBR, "bbr"}
)

// usualChain is about how long the certificates of a web server are, in bytes.
const usualChain = 3_000

// A service is a server at one end of a path. It serves as many bytes as the path of the URL says.
type service struct {
	tunnel *netrelay.Tunnel
	http3  bool
	keys   io.Writer
	end    func() error
}

// A serviceConfig says what a service is like.
type serviceConfig struct {
	http3    bool
	cc       controller
	chain    int // bytes of its certificates, at least
	up, down netrelay.Link
	seed     uint64
	keys     io.Writer                       // for the keys of clients; may be nil
	filter   func(netrelay.Dir, []byte) bool // of netrelay.TunnelConfig
}

func (p serviceConfig) serve() (*service, error) {
	t, err := netrelay.NewTunnel(netrelay.TunnelConfig{Up: p.up, Down: p.down, Seed: p.seed, Filter: p.filter})
	if err != nil {
		return nil, err
	}
	s := &service{tunnel: t, http3: p.http3, keys: p.keys}
	tc := conntest.ServerTLS()
	lengthen(&tc.Certificates[0], p.chain)
	if p.http3 {
		srv := &h3http.Server{
			Handler: http.HandlerFunc(serveBytes), TLSConfig: tc, Loops: 1,
			QUICConfig: &conn.Config{Congestion: p.cc.ours, Enable0RTT: true, QLog: envlog.QLog()},
		}
		s.end, err = srv.Close, tunnelhttp.ServeHTTP3(t, srv)
	} else {
		tc.NextProtos = []string{"h2"}
		srv := &http.Server{Handler: http.HandlerFunc(serveBytes), TLSConfig: tc}
		s.end, err = srv.Close, tunnelhttp.ServeHTTP2(t, srv, tunnelhttp.TCP{Congestion: p.cc.kernel})
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return s, nil
}

func (s *service) close() {
	s.end()
	s.tunnel.Close()
}

// lengthen repeats the certificate, which changes nothing but the length.
func lengthen(c *tls.Certificate, size int) {
	der := c.Certificate[0]
	for n := len(der); n < size; n += len(der) {
		c.Certificate = append(c.Certificate, der)
	}
}

// serveBytes serves as many bytes as the path of the URL says.
func serveBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Path[1:], 10, 64)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.Header().Set("Content-Type", "application/octet-stream")
	buf := make([]byte, 16<<10)
	for n > 0 {
		k, err := w.Write(buf[:min(n, int64(len(buf)))])
		if err != nil {
			return
		}
		n -= int64(k)
	}
}

// A client has connections of its own to a service.
type client struct {
	http   http.Client
	socket *udpio.Socket // nil over TCP
	leave  func()        // closes the connections
	end    func() error  // closes the socket
}

// client makes a client. With early set, it sends requests as early data if its sessions allow it.
func (s *service) client(ss *sessions, early bool) (*client, error) {
	tc := conntest.ClientTLS()
	tc.ClientSessionCache, tc.KeyLogWriter = ss, s.keys
	if !s.http3 {
		tc.NextProtos = []string{"h2"}
		tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: tc}
		tunnelhttp.DialHTTP2(s.tunnel, tr)
		return &client{http: http.Client{Transport: tr}, leave: tr.CloseIdleConnections, end: func() error { return nil }}, nil
	}
	tr := &h3http.Transport{TLSClientConfig: tc, QUICConfig: &conn.Config{Enable0RTT: early, QLog: envlog.QLog()}}
	g, socket, err := tunnelhttp.DialHTTP3(s.tunnel, tr)
	if err != nil {
		return nil, err
	}
	return &client{
		http:   http.Client{Transport: tr},
		socket: socket,
		leave:  func() { tr.Close() },
		end:    g.Close,
	}, nil
}

func (c *client) close() {
	c.leave()
	c.end()
}

// get asks for n bytes.
func (c *client) get(ctx context.Context, n int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://%s/%d", tunnelhttp.Addr, n), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("status %s", resp.Status)
	}
	return resp, nil
}

// fetch gets n bytes.
func (c *client) fetch(ctx context.Context, n int64) (*http.Response, error) {
	resp, err := c.get(ctx, n)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}

// sessions are the TLS sessions of clients.
type sessions struct {
	loop.SessionCache
	came chan struct{} // has room for one
}

func newSessions() *sessions { return &sessions{came: make(chan struct{}, 1)} }

// Put is part of [tls.ClientSessionCache].
func (s *sessions) Put(key string, cs *tls.ClientSessionState) {
	s.SessionCache.Put(key, cs)
	if cs == nil {
		return
	}
	select {
	case s.came <- struct{}{}:
	default:
	}
}

// wait waits for a session.
func (s *sessions) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	select {
	case <-s.came:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the server sends no session: %w", ctx.Err())
	}
}
