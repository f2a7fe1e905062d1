package h3http

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"

	"github.com/lazoquic/lazo/h3/internal/lifetime"
	"github.com/lazoquic/lazo/loop"
)

// ListenAndServeTLS serves h over HTTP/1.1 and HTTP/2 on TCP, and over HTTP/3 on
// UDP, at one address, with Alt-Svc. addr is ":https" by default. It returns when one
// of the two has failed, after it has closed the other. To end it otherwise, use
// [Server.ListenAndServeAll].
func ListenAndServeTLS(addr, certFile, keyFile string, h http.Handler) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	s := &Server{Addr: addr, Handler: h, TLSConfig: withCertificate(nil, cert)}
	return s.ListenAndServeAll()
}

// ListenAndServeAll serves HTTP/3 on UDP, and HTTP/1.1 and HTTP/2 on TCP, at Addr, with the same
// Handler, certificates and timeouts. Responses over TCP have the header of AltSvc. When Shutdown
// or Close of s has ended both, it returns http.ErrServerClosed. When one of the two fails, it
// closes s.
func (s *Server) ListenAndServeAll() error {
	if err := s.check(s.TLSConfig); err != nil {
		return err
	}
	ln, g, err := s.listenBoth(s.addr())
	if err != nil {
		return err
	}
	defer ln.Close()
	if _, err := s.add(g); err != nil {
		return err
	}
	tcp := s.overTCP()
	if !s.addTCP(tcp) {
		return http.ErrServerClosed
	}
	ended := make(chan error, 2)
	go func() { ended <- s.serve(g) }()
	go func() { ended <- tcp.ServeTLS(ln, "", "") }()
	if err = <-ended; !errors.Is(err, http.ErrServerClosed) {
		err = errors.Join(err, s.Close())
	}
	<-ended
	return err
}

// listenBoth listens on one port of TCP and UDP.
func (s *Server) listenBoth(addr string) (net.Listener, *loop.Group, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, err
	}
	var lc net.ListenConfig
	for attempt := 1; ; attempt++ {
		ln, err := lc.Listen(context.Background(), "tcp", addr)
		if err != nil {
			return nil, nil, err
		}
		same := addr
		if port == "0" {
			same = net.JoinHostPort(host, strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
		}
		g, err := s.listen(same, s.TLSConfig)
		if err == nil {
			return ln, g, nil
		}
		ln.Close()
		if port != "0" || attempt == 10 { // the port is free for TCP, but may be taken for UDP
			return nil, nil, err
		}
	}
}

// overTCP returns a server of HTTP/1.1 and HTTP/2 with the settings of s.
func (s *Server) overTCP() *http.Server {
	tcp := &http.Server{
		Handler:           s.AltSvc(s.handler()),
		TLSConfig:         s.TLSConfig.Clone(),
		ReadHeaderTimeout: lifetime.Timeout(s.ReadHeaderTimeout, defaultReadHeaderTimeout),
		ReadTimeout:       s.ReadTimeout,
		WriteTimeout:      s.WriteTimeout,
		IdleTimeout:       lifetime.Timeout(s.IdleTimeout, defaultIdleTimeout),
		MaxHeaderBytes:    s.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.logger().Handler(), slog.LevelError),
	}
	if f := s.BaseContext; f != nil {
		tcp.BaseContext = func(net.Listener) context.Context { return f(nil) }
	}
	return tcp
}

// addTCP makes tcp end with s. It reports false if s has ended.
func (s *Server) addTCP(tcp *http.Server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	if s.tcp == nil {
		s.tcp = make(map[*http.Server]struct{})
	}
	s.tcp[tcp] = struct{}{}
	return true
}
