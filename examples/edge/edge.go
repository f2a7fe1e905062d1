package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
)

// An edge has the sockets, which stay, and the site, which a reload replaces.
type edge struct {
	log  *slog.Logger
	site atomic.Pointer[site]

	quic *h3http.Server
	udp  *loop.Group
	tcp  *http.Server
	ln   net.Listener
}

// newEdge opens the sockets. Nothing is served before serve.
func newEdge(c *config, log *slog.Logger) (*edge, error) {
	s, err := newSite(c, log)
	if err != nil {
		return nil, err
	}
	e := &edge{log: log}
	e.site.Store(s)
	tc := &tls.Config{
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return e.site.Load().certs.choose(hello)
		},
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.site.Load().ServeHTTP(w, new(trip).with(r)) })
	e.quic = &h3http.Server{
		Handler:           h,
		TLSConfig:         tc,
		QUICConfig:        &conn.Config{Enable0RTT: true}, // settle decides, request by request
		ExtendedConnect:   true,
		ReadHeaderTimeout: time.Duration(c.Timeouts.Header),
		IdleTimeout:       time.Duration(c.Timeouts.Idle),
		Logger:            log,
	}
	e.tcp = &http.Server{
		Handler:           e.quic.AltSvc(h),
		TLSConfig:         tc.Clone(),
		ReadHeaderTimeout: time.Duration(c.Timeouts.Header),
		IdleTimeout:       time.Duration(c.Timeouts.Idle),
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return e, e.listen(c.Listen)
}

// listen opens TCP and UDP of one port. Port 0 is one that is free for both.
func (e *edge) listen(addr string) error {
	for attempt := 1; ; attempt++ {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		e.quic.Addr = ln.Addr().String()
		udp, err := loop.Listen("udp", e.quic.Addr, runtime.GOMAXPROCS(0), e.quic.LoopConfig())
		if err == nil {
			e.ln, e.udp = ln, udp
			return nil
		}
		ln.Close()
		if _, port, _ := net.SplitHostPort(addr); port != "0" || attempt == 10 {
			return err
		}
	}
}

// addr returns what clients connect to.
func (e *edge) addr() net.Addr { return e.ln.Addr() }

// serve serves until ctx is done. Then it refuses new connections, and waits for requests in
// progress as long as the configuration says.
func (e *edge) serve(ctx context.Context) error {
	ended := make(chan error, 2)
	go func() { ended <- e.udp.Wait() }()
	go func() { ended <- e.tcp.ServeTLS(e.ln, "", "") }()
	defer func() {
		e.tcp.Close()
		e.quic.Close()
		e.udp.Close()
		e.site.Load().close()
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	return e.drain(time.Duration(e.site.Load().config.Drain))
}

// drain ends both servers gracefully.
func (e *edge) drain(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	overTCP := make(chan error, 1)
	go func() { overTCP <- e.tcp.Shutdown(ctx) }()
	if err := errors.Join(e.quic.Shutdown(ctx), <-overTCP); err != nil {
		return fmt.Errorf("edge: %v after the end was asked for: %w", limit, err)
	}
	return nil
}
