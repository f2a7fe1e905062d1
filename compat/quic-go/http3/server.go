package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/internal/link"
)

// A QUICListener accepts connections.
type QUICListener interface {
	Accept(context.Context) (*quic.Conn, error)
	Addr() net.Addr
	io.Closer
}

// A Server serves HTTP/3. Its fields must not change once it serves.
type Server struct {
	// Addr is the address for ListenAndServe, default ":https". SetQUICHeaders uses its port if
	// Port is 0 and no listener has a port.
	Addr string
	// Port is what SetQUICHeaders announces, if not 0.
	Port int
	// TLSConfig is for ListenAndServe and Serve.
	TLSConfig *tls.Config
	// QUICConfig is for ListenAndServe and Serve. The default takes early data.
	QUICConfig *quic.Config
	// Handler answers the requests, default http.DefaultServeMux.
	Handler http.Handler
	// EnableDatagrams offers HTTP Datagrams (RFC 9297), and for ListenAndServe and Serve those of
	// QUIC.
	EnableDatagrams bool
	// MaxHeaderBytes limits the header section of a request, default http.DefaultMaxHeaderBytes.
	// It counts as RFC 9114, Section 4.2.2 does.
	MaxHeaderBytes int
	// AdditionalSettings are settings beside those of RFC 9114 and RFC 9297.
	AdditionalSettings map[uint64]uint64
	// IdleTimeout is how long a connection may be without requests before it ends. By default
	// there is no limit.
	IdleTimeout time.Duration
	// ConnContext returns the context for the requests of a connection, from one that has
	// ServerContextKey.
	ConnContext func(ctx context.Context, c *quic.Conn) context.Context

	Logger *slog.Logger // default discards

	mu        sync.Mutex
	inner     *h3http.Server
	listeners []QUICListener          // listeners that are served, in the order in which they came
	conns     map[*quic.Conn]struct{} // connections that are served
	stopping  chan struct{}           // closed by Shutdown and Close
	stopped   bool
}

// init prepares s. The caller has locked it.
func (s *Server) init() {
	if s.inner != nil {
		return
	}
	s.conns, s.stopping = make(map[*quic.Conn]struct{}), make(chan struct{})
	s.inner = &h3http.Server{
		Handler: http.HandlerFunc(s.handle),
		H3Config: &h3.Config{
			Datagrams:           s.EnableDatagrams,
			ExtendedConnect:     true,
			MaxFieldSectionSize: int64(s.MaxHeaderBytes),
			Settings:            s.AdditionalSettings,
		},
		MaxHeaderBytes:               s.MaxHeaderBytes,
		IdleTimeout:                  s.IdleTimeout,
		StallTimeout:                 -1,
		DeliveryTimeout:              -1,
		DisableGeneralOptionsHandler: true,
		Logger:                       s.Logger,
	}
	if s.MaxHeaderBytes <= 0 {
		s.inner.H3Config.MaxFieldSectionSize = http.DefaultMaxHeaderBytes
	}
	if s.IdleTimeout <= 0 {
		s.inner.IdleTimeout = -1
	}
}

// attach starts HTTP/3 on conn. If raw, the caller accepts its streams.
func (s *Server) attach(conn *quic.Conn, raw bool) (*served, error) {
	s.mu.Lock()
	s.init()
	stopped := s.stopped
	s.mu.Unlock()
	if stopped {
		return nil, http.ErrServerClosed
	}
	c := &served{conn: conn, ready: make(chan struct{})}
	ctx := context.WithValue(conn.Context(), ServerContextKey, s)
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, conn.LocalAddr())
	ctx = context.WithValue(ctx, RemoteAddrContextKey, conn.RemoteAddr())
	if s.ConnContext != nil {
		if ctx = s.ConnContext(ctx, conn); ctx == nil {
			panic("http3: ConnContext returned nil")
		}
	}
	c.ctx = ctx
	var err error
	// handle finds c there. Lazo has that value at hand, and makes no context for it. It shows ctx.
	base := context.WithValue(context.WithoutCancel(ctx), http.ServerContextKey, c)
	if c.h, err = s.inner.Attach(base, link.Of(conn.Context()), raw); err != nil {
		return nil, explain(err)
	}
	close(c.ready)
	return c, nil
}

// ServeQUICConn serves a connection until it ends.
func (s *Server) ServeQUICConn(conn *quic.Conn) error {
	if !s.add(conn) { // before attach, which may call a handler that shuts s down
		return http.ErrServerClosed
	}
	_, err := s.attach(conn, false)
	if err == nil {
		<-conn.Context().Done()
	}
	s.mu.Lock()
	stopped := s.stopped
	delete(s.conns, conn)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	err = explain(context.Cause(conn.Context()))
	e, ok := err.(*Error)
	switch {
	case stopped && ok && !e.Remote:
		return http.ErrServerClosed
	case ok && e.ErrorCode == ErrCodeNoError:
		return nil
	}
	return fmt.Errorf("accepting stream failed: %w", err)
}

// ServeListener serves the connections of ln, and always returns an error: http.ErrServerClosed
// after Shutdown or Close, which leave ln open.
func (s *Server) ServeListener(ln QUICListener) error { return s.serve(ln, false) }

// Serve serves on a net.PacketConn, which stays open. It needs TLSConfig.
func (s *Server) Serve(conn net.PacketConn) error {
	ln, err := s.listen(s.TLSConfig, func(tc *tls.Config, qc *quic.Config) (QUICListener, error) {
		return quic.ListenEarly(conn, tc, qc)
	})
	if err != nil {
		return err
	}
	return s.serve(ln, true)
}

// ListenAndServe serves on Addr. It needs TLSConfig.
func (s *Server) ListenAndServe() error { return s.listenAndServe(s.TLSConfig) }

func (s *Server) listenAndServe(tlsConf *tls.Config) error {
	addr := s.Addr
	if addr == "" {
		addr = ":https"
	}
	ln, err := s.listen(tlsConf, func(tc *tls.Config, qc *quic.Config) (QUICListener, error) {
		return quic.ListenAddrEarly(addr, tc, qc)
	})
	if err != nil {
		return err
	}
	return s.serve(ln, true)
}

// ListenAndServeTLS is ListenAndServe with a certificate from two files. It does without
// TLSConfig.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	return s.listenAndServe(&tls.Config{Certificates: []tls.Certificate{cert}})
}

// listen calls f with the configurations of s, for which tlsConf counts as TLSConfig.
func (s *Server) listen(tlsConf *tls.Config, f func(*tls.Config, *quic.Config) (QUICListener, error)) (QUICListener, error) {
	if tlsConf == nil {
		return nil, errors.New("use of http3.Server without TLSConfig")
	}
	qc := &quic.Config{Allow0RTT: true}
	if s.QUICConfig != nil {
		qc = s.QUICConfig.Clone()
	}
	qc.EnableDatagrams = qc.EnableDatagrams || s.EnableDatagrams
	s.mu.Lock()
	s.init()
	cfg := s.inner.H3Config
	s.mu.Unlock()
	return f(configureTLS(tlsConf, cfg), qc)
}

// serve serves the connections of ln until s stops. If own, it then closes ln.
func (s *Server) serve(ln QUICListener, own bool) error {
	s.mu.Lock()
	s.init()
	stopped, stopping := s.stopped, s.stopping
	if !stopped {
		s.listeners = append(s.listeners, ln)
	}
	s.mu.Unlock()
	defer s.forget(ln, own)
	if stopped {
		return http.ErrServerClosed
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		conn, err := ln.Accept(ctx)
		switch {
		case err == nil:
			go s.serveAccepted(conn)
		case ctx.Err() != nil, errors.Is(err, quic.ErrServerClosed):
			return http.ErrServerClosed
		default:
			return err
		}
	}
}

func (s *Server) forget(ln QUICListener, own bool) {
	s.mu.Lock()
	if i := slices.Index(s.listeners, ln); i >= 0 {
		s.listeners = slices.Delete(s.listeners, i, i+1)
	}
	s.mu.Unlock()
	if own {
		ln.Close()
	}
}

// add notes a connection, so that Close can close it. It returns false if s has stopped.
func (s *Server) add(conn *quic.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if !s.stopped {
		s.conns[conn] = struct{}{}
	}
	return !s.stopped
}

// serveAccepted serves a connection of a listener.
func (s *Server) serveAccepted(conn *quic.Conn) {
	err := s.ServeQUICConn(conn)
	if conn.Context().Err() == nil { // s has stopped, or could not serve it
		conn.CloseWithError(quic.ApplicationErrorCode(ErrCodeNoError), "")
	}
	if err != nil && s.Logger != nil && !errors.Is(err, http.ErrServerClosed) {
		s.Logger.Debug("http3: a connection has ended", "remote", conn.RemoteAddr(), "err", err)
	}
}

// stop makes Serve return. From then on s takes no connections. It returns those that are served.
func (s *Server) stop() (conns []*quic.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if !s.stopped {
		s.stopped = true
		close(s.stopping)
	}
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// Close ends s, and the connections that it serves, at once.
func (s *Server) Close() error {
	for _, c := range s.stop() {
		c.CloseWithError(quic.ApplicationErrorCode(ErrCodeNoError), "")
	}
	return nil
}

// Shutdown ends s. It sends GOAWAY, and waits for the requests and for the delivery of their
// responses. If ctx is done before that, it calls Close.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	err := s.inner.Shutdown(ctx)
	if ctx.Err() != nil && err != nil {
		s.Close()
		return ctx.Err()
	}
	return nil
}

// A RawServerConn is a connection for which the application accepts the streams of the client. It
// hands those of HTTP/3 over.
type RawServerConn struct{ c *served }

// NewRawServerConn starts HTTP/3 on conn. Call it before AcceptStream and AcceptUniStream of conn.
func (s *Server) NewRawServerConn(conn *quic.Conn) (*RawServerConn, error) {
	c, err := s.attach(conn, true)
	if err != nil {
		return nil, err
	}
	return &RawServerConn{c}, nil
}

// CloseWithError closes the connection.
func (c *RawServerConn) CloseWithError(code quic.ApplicationErrorCode, msg string) error {
	return c.c.conn.CloseWithError(code, msg)
}

// HandleRequestStream takes a stream. The application may have peeked at its start, but must not
// have read any of it. HandleRequestStream does not wait for the request.
func (c *RawServerConn) HandleRequestStream(str *quic.Stream) { handOver(c.c.conn, c.c.h, str) }

// HandleUnidirectionalStream takes a stream. The application may have peeked at its start, but must
// not have read any of it.
func (c *RawServerConn) HandleUnidirectionalStream(str *quic.ReceiveStream) {
	handOver(c.c.conn, c.c.h, str)
}
