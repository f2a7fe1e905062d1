package h3http

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// nextProto is the ALPN identifier of HTTP/3 (RFC 9114, Section 3.1).
const nextProto = "h3"

// withCertificate returns a copy of tc, which may be nil, that has cert before others.
func withCertificate(tc *tls.Config, cert tls.Certificate) *tls.Config {
	if tc == nil {
		tc = new(tls.Config)
	}
	tc = tc.Clone()
	tc.Certificates = append([]tls.Certificate{cert}, tc.Certificates...)
	return tc
}

// serverTLS adapts a configuration that may be made for TCP. Each handshake gets a
// fresh copy of tc: keys for session tickets that are set on it later hold, and so
// does what its own GetConfigForClient returns.
func serverTLS(tc *tls.Config) *tls.Config {
	adapt := func(c *tls.Config) *tls.Config {
		c = c.Clone()
		c.NextProtos = []string{nextProto}
		c.MinVersion = tls.VersionTLS13
		if c.MaxVersion < tls.VersionTLS13 {
			c.MaxVersion = 0
		}
		return c
	}
	outer := adapt(tc)
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if tc.GetConfigForClient != nil {
			own, err := tc.GetConfigForClient(hello)
			if err != nil {
				return nil, err
			}
			if own != nil {
				return adapt(own), nil
			}
		}
		return adapt(tc), nil
	}
	return outer
}

// quicConfig returns the configuration of connections with tc.
func (s *Server) quicConfig(tc *tls.Config) *conn.Config {
	var cfg conn.Config
	if s.QUICConfig != nil {
		cfg = *s.QUICConfig
	}
	if tc != nil {
		cfg.TLS = serverTLS(tc)
	}
	h := s.h3Config()
	if cfg.TicketData == nil && cfg.AcceptEarlyData == nil {
		cfg.TicketData, cfg.AcceptEarlyData = h.TicketData(), h.AcceptEarlyData
	}
	if h.Datagrams && cfg.MaxDatagramFrameSize == 0 {
		cfg.MaxDatagramFrameSize = maxDatagramFrame
	}
	return &cfg
}

// maxDatagramFrame takes every DATAGRAM frame (RFC 9221, Section 3).
const maxDatagramFrame = 65535

// h3Config returns the configuration of HTTP/3.
func (s *Server) h3Config() *h3.Config {
	cfg := h3.Config{ExtendedConnect: true, Datagrams: true}
	if s.H3Config != nil {
		cfg = *s.H3Config
	}
	if cfg.MaxFieldSectionSize == 0 {
		cfg.MaxFieldSectionSize = int64(s.maxHeaderBytes())
	}
	return &cfg
}

// ListenAndServeTLS serves h over HTTP/1.1 and HTTP/2 on TCP, and over HTTP/3 on
// UDP, at one address, with Alt-Svc. addr is ":https" by default. It returns when one
// of the two has failed, after it has closed the other.
func ListenAndServeTLS(addr, certFile, keyFile string, h http.Handler) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	if addr == "" {
		addr = ":https"
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	if host, port, err := net.SplitHostPort(addr); err == nil && port == "0" {
		addr = net.JoinHostPort(host, strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
	}
	tc := &tls.Config{Certificates: []tls.Certificate{cert}}
	over3 := &Server{Addr: addr, Handler: h, TLSConfig: tc}
	if h == nil {
		h = http.DefaultServeMux
	}
	over12 := &http.Server{
		Handler:           over3.AltSvc(h),
		TLSConfig:         tc.Clone(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	errc := make(chan error, 2)
	go func() { errc <- over3.ListenAndServe() }()
	go func() { errc <- over12.ServeTLS(ln, "", "") }()
	err = <-errc
	closed := errors.Join(over12.Close(), over3.Close())
	<-errc
	return errors.Join(err, closed)
}
