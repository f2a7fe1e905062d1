package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/selfsigned"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/loop"
)

// A server is the game on one UDP port: over WebTransport for pages, and over QUIC alone, with a
// protocol of its own, for everybody else. One loop has all connections and the world.
type server struct {
	r    *realm
	g    *loop.Group
	srv  *h3http.Server
	cert tls.Certificate
	stop chan struct{}
	logs func() error // ends the logs
}

// listen starts a server. origin is that of the page, which alone may play.
func listen(addr, origin string, seed uint64) (*server, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	s := &server{r: newRealm(time.Now(), seed), stop: make(chan struct{})}
	if s.cert, err = selfsigned.Certificate(host); err != nil {
		return nil, err
	}
	tc, cfg := &tls.Config{Certificates: []tls.Certificate{s.cert}}, new(conn.Config)
	endLogs, err := envlog.Attach(tc, cfg, slog.Default())
	if err != nil {
		return nil, err
	}
	s.logs = endLogs
	up := &webtransport.Upgrader{
		CheckOrigin:    func(r *http.Request) bool { return r.Header.Get("Origin") == origin },
		MaxStreamsBidi: 8, MaxStreamsUni: -1, MaxData: 64 << 10,
	}
	s.srv = &h3http.Server{Handler: s.r.visits(up), TLSConfig: tc, QUICConfig: cfg, Logger: slog.Default()}
	up.Configure(s.srv)
	lc := s.srv.LoopConfig()
	lc.Endpoint.Server.TLS.NextProtos = append(lc.Endpoint.Server.TLS.NextProtos, protocol)
	http3 := lc.NewHandler
	lc.NewHandler = func(l *loop.Loop, c *conn.Conn) loop.Handler {
		if c.TLS().NegotiatedProtocol == protocol {
			return newInline(s.r, c)
		}
		return http3(l, c)
	}
	if s.g, err = loop.Listen("udp", addr, 1, lc); err != nil {
		return nil, errors.Join(err, endLogs())
	}
	go s.r.run(s.g.Loops()[0], s.stop)
	return s, nil
}

// close tells all players that the server ends, and waits a moment for their answers.
func (s *server) close() error {
	close(s.stop)
	grace, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.g.Loops()[0].Post(func(time.Time) { s.r.end() })
	err := s.srv.Shutdown(grace)
	if shut := s.g.Shutdown(grace); err == nil {
		err = shut
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // some client did not answer in time
	}
	return errors.Join(err, s.logs())
}

// path returns where clients find the server: at the relay, if the path is to be bad.
func (o *options) path(s *server) (at netip.AddrPort, end func(), err error) {
	at = s.g.LocalAddr()
	if at.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	}
	if o.loss == 0 && o.delay == 0 {
		return at, func() {}, nil
	}
	link := netrelay.Link{Delay: o.delay, Loss: o.loss / 100}
	relay, err := netrelay.New(netrelay.Config{Server: at, Up: link, Down: link, Seed: o.seed})
	if err != nil {
		return at, nil, err
	}
	return relay.Addr(), relay.Close, nil
}

// serve serves until ctx is done.
func serve(ctx context.Context, o *options, stdout io.Writer) error {
	page, err := net.Listen("tcp", o.page)
	if err != nil {
		return err
	}
	defer page.Close()
	s, err := listen(o.addr, "http://"+page.Addr().String(), o.seed)
	if err != nil {
		return err
	}
	err = s.serve(ctx, o, page, stdout)
	return errors.Join(err, s.close())
}

// serve serves the page, and lets bots play, until ctx is done.
func (s *server) serve(ctx context.Context, o *options, page net.Listener, stdout io.Writer) error {
	if o.cert != "" {
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Certificate[0]})
		if err := os.WriteFile(o.cert, block, 0o644); err != nil {
			return err
		}
	}
	at, endPath, err := o.path(s)
	if err != nil {
		return err
	}
	defer endPath()
	hash := sha256.Sum256(s.cert.Certificate[0])
	pages := &http.Server{Handler: pageHandler(fmt.Sprintf("https://%v/play", at), base64.StdEncoding.EncodeToString(hash[:]))}
	defer pages.Close()
	failed := make(chan error, 2)
	go func() { failed <- pages.Serve(page) }()
	go func() { failed <- s.g.Wait() }()
	fmt.Fprintf(stdout, "open http://%v/ in Chromium or Firefox, or run\n\n", page.Addr())
	fmt.Fprintf(stdout, "go run ./examples/realtime -insecure -connect %v\n\n", at)
	var f *fleet
	if o.bots > 0 {
		roots := x509.NewCertPool()
		roots.AddCert(s.cert.Leaf)
		if f, err = newFleet(o, at.String(), &tls.Config{RootCAs: roots}); err != nil {
			return err
		}
		defer f.close()
	}
	return o.watch(ctx, failed, func() { s.report(stdout); f.report(stdout) })
}

// watch reports from time to time, until ctx is done, the time is over, or something has failed.
func (o *options) watch(ctx context.Context, failed <-chan error, report func()) error {
	over := make(<-chan time.Time)
	if o.duration > 0 {
		over = time.After(o.duration)
	}
	every := time.NewTicker(o.every)
	defer every.Stop()
	for {
		select {
		case err := <-failed:
			if ctx.Err() != nil {
				return nil // that is why
			}
			return err
		case <-ctx.Done():
			return nil
		case <-over:
			report()
			return nil
		case <-every.C:
			report()
		}
	}
}
