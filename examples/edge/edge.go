package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/debug"
	"github.com/lazoquic/lazo/metrics"
)

// An edge has the sockets, which stay, and the site, which a reload replaces.
type edge struct {
	log      *slog.Logger
	trouble  *slog.Logger // log, within the limits of loop.LimitLog
	site     atomic.Pointer[site]
	visitors visitors
	counts   counts
	metrics  metrics.Metrics // of QUIC and HTTP/3
	debug    debug.Pages     // about connections of QUIC
	draining atomic.Bool     // /readyz says so
	hurry    chan os.Signal  // ends the wait of announce
	stalled  atomic.Uint64   // responses over TCP
	sockets  *sockets
	fresh    newcomers
	resets   *resets
	changing sync.Mutex // held while files are read again

	quic    *h3http.Server
	udp     *loop.Group
	lb      lbSources // of udp; empty for random connection IDs
	tcp     *http.Server
	tcpTLS  *tls.Config // of each connection over TCP; its ticket keys change
	served  chan error  // gets the result of tcp.ServeTLS
	ln      net.Listener
	adminLn net.Listener // nil for none
}

// newEdge opens the sockets. Nothing is served before serve.
func newEdge(c *config, log *slog.Logger, sockets *sockets) (_ *edge, err error) {
	trouble := slog.New(loop.LimitLog(log.Handler()))
	s, err := newSite(c, trouble, nil)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	e := &edge{log: log, trouble: trouble, sockets: sockets, served: make(chan error, 1), hurry: make(chan os.Signal, 1)}
	e.site.Store(s)
	if e.resets, err = loadResets(c); err != nil {
		return nil, err
	}
	tc := &tls.Config{
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return e.site.Load().certs.choose(hello)
		},
		GetEncryptedClientHelloKeys: e.echKeys,
	}
	// The file of keys, if the environment asks for one, stays open as long as the program runs.
	if _, err = envlog.Keys(tc, log); err != nil {
		return nil, err
	}
	e.quic = &h3http.Server{
		Handler:   e,
		TLSConfig: tc,
		// settle decides about early data, request by request. Over TCP the header timeout bounds
		// the handshake, too.
		QUICConfig:        &conn.Config{Enable0RTT: true, HandshakeTimeout: time.Duration(c.Timeouts.Header), QLog: envlog.QLog()},
		ExtendedConnect:   true,
		ReadHeaderTimeout: time.Duration(c.Timeouts.Header),
		IdleTimeout:       time.Duration(c.Timeouts.Idle),
		StallTimeout:      time.Duration(c.Timeouts.Stall),
		Logger:            log,
	}
	e.tcpTLS = tc.Clone()
	e.tcpTLS.NextProtos = []string{"h2", "http/1.1"}
	overTCP := tc.Clone()
	overTCP.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return e.tcpTLS, nil }
	e.tcp = &http.Server{
		Handler:           e.quic.AltSvc(e),
		TLSConfig:         overTCP,
		ReadHeaderTimeout: time.Duration(c.Timeouts.Header),
		IdleTimeout:       time.Duration(c.Timeouts.Idle),
		ErrorLog:          slog.NewLogLogger(trouble.Handler(), slog.LevelDebug),
		ConnState:         e.fresh.note,
	}
	if c.Admin != "" {
		if e.adminLn, err = sockets.listen(c.Admin); err != nil {
			return nil, err
		}
	}
	if err := e.listen(c); err != nil {
		if e.adminLn != nil {
			e.adminLn.Close()
		}
		return nil, err
	}
	return e, nil
}

// listen opens TCP and UDP of one port. Port 0 is one that is free for both.
func (e *edge) listen(c *config) error {
	for attempt := 1; ; attempt++ {
		ln, err := e.sockets.listen(c.Listen)
		if err != nil {
			return err
		}
		e.quic.Addr = ln.Addr().String()
		cfg := e.quic.LoopConfig()
		cfg.Endpoint.ResetKey = e.resets.key
		cfg.Endpoint.Admit = e.admit
		keys := e.site.Load().keys.current.Load()
		cfg.Endpoint.TokenKeys = keys.tokens
		e.lb.issue(cfg, keys.lb)
		c.Katran.issue(cfg)
		e.metrics.Observe(cfg)
		if e.adminLn != nil {
			e.debug.Observe(cfg)
		}
		udp, err := e.sockets.group(e.quic.Addr, cfg)
		if err == nil {
			e.metrics.AddGroup(udp)
			e.debug.AddGroup(udp)
			e.metrics.AddServer(e.quic)
			e.ln, e.udp = ln, udp
			e.useKeys()
			return nil
		}
		ln.Close()
		if _, port, _ := net.SplitHostPort(c.Listen); port != "0" || attempt == 10 {
			return err
		}
	}
}

// addr returns what clients connect to.
func (e *edge) addr() net.Addr { return e.ln.Addr() }

// ServeHTTP serves a request with the site that is current when it comes.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.visitors.enter()
	defer e.visitors.leave()
	t := &trip{begin: time.Now()}
	r = t.with(r)
	rec := &recorder{ResponseWriter: w, trip: t, offer: w.Header()["Alt-Svc"]}
	if r.ProtoMajor < 3 {
		rec.stall = newStall(w, time.Duration(e.site.Load().config.Timeouts.Stall), &e.stalled)
	}
	whole, returned := false, false
	defer func() {
		if !returned {
			rec.FlushError() // a response breaks off after the last byte that came, not before
		}
		if rec.status == 0 {
			rec.status = http.StatusOK
		}
		e.counts.add(t, r.ProtoMajor, rec.status)
		if s := e.site.Load(); s.config.AccessLog == nil || *s.config.AccessLog {
			logRequest(e.log, r, rec, whole, s.keys.current.Load().serverID)
		}
	}()
	e.site.Load().ServeHTTP(rec, r)
	returned = true
	whole = r.Context().Err() == nil
}

// serve serves until ctx is done. Then it says so at /readyz, refuses new connections, and waits
// for requests in progress, each as long as the configuration says. Signals reload the
// configuration.
func (e *edge) serve(ctx context.Context, signals <-chan os.Signal) error {
	ended := make(chan error, 1)
	go func() { ended <- e.udp.Wait() }()
	go func() { e.served <- e.tcp.ServeTLS(e.ln, "", "") }()
	if e.adminLn != nil {
		admin := &http.Server{Handler: e.admin(), ReadHeaderTimeout: 10 * time.Second}
		go admin.Serve(e.adminLn)
		defer admin.Close()
	}
	defer e.close()
	current, stop := context.WithCancel(ctx)
	defer stop()
	go e.keepCurrent(current, signals, filePoll)
	select {
	case err := <-ended:
		e.log.Error("UDP is not served any more", "err", err)
		return err
	case err := <-e.served:
		e.log.Error("TCP is not served any more", "err", err)
		return err
	case <-e.sockets.superseded():
		e.log.Info("another process has taken over")
		if e.adminLn != nil {
			e.adminLn.Close() // the other process answers
		}
	case <-ctx.Done():
		e.announce(time.Duration(*e.site.Load().config.DrainDelay))
	}
	return e.drain(time.Duration(e.site.Load().config.Drain))
}

// announce makes /readyz fail, and goes on serving for some time. What asks there sends new clients
// elsewhere meanwhile, so that nobody is refused. Another signal ends the wait.
func (e *edge) announce(delay time.Duration) {
	e.draining.Store(true)
	if delay == 0 {
		return
	}
	e.log.Info("not ready", "delay", delay.String())
	signal.Notify(e.hurry, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(e.hurry)
	select {
	case <-time.After(delay):
	case <-e.hurry:
	case <-e.sockets.superseded():
	}
}

// close ends all that newEdge began.
func (e *edge) close() {
	e.tcp.Close()
	e.ln.Close()
	e.quic.Close()
	e.udp.Close()
	e.site.Load().close()
}

// drain ends both servers gracefully.
func (e *edge) drain(limit time.Duration) error {
	e.draining.Store(true)
	e.log.Info("draining", "requests", e.visitors.count(), "limit", limit.String())
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	overTCP := make(chan error, 1)
	go func() { overTCP <- e.drainTCP(ctx) }()
	err := errors.Join(e.quic.Shutdown(ctx), <-overTCP)
	select {
	case <-e.visitors.gone(): // with connections that were taken over
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("edge: %d requests were in progress %v after the end was asked for: %w", e.visitors.count(), limit, err)
	}
	return nil
}

// drainTCP refuses new connections, and waits for the requests of those that are there.
func (e *edge) drainTCP(ctx context.Context) error {
	e.ln.Close()
	<-e.served
	e.fresh.wait(ctx)
	return e.tcp.Shutdown(ctx)
}
