package main

import (
	"crypto/tls"
	"io"
	"net/http"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/tunnelhttp"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/netrelay"
)

// A site is a server at one end of a path, and a client at the other that has one connection to it.
type site struct {
	client   *http.Client
	priority string // field of requests; none if empty
	closes   []func()
}

func (s *site) close() {
	for _, f := range s.closes {
		f()
	}
}

// A controller names a congestion controller of this module and the same one of the kernel.
type controller struct {
	name   string
	ours   func(congestion.Params) congestion.Controller
	kernel string
	trace  func(*conn.TraceEvent) // of our server; may be nil
}

// A protocol makes a site whose server sends under a controller.
type protocol struct {
	name     string
	start    func(t *netrelay.Tunnel, v *visit, h http.Handler) (*site, error)
	priority string // field of requests; none if empty
}

// startHTTP3 makes a site of packages loop and h3http.
func startHTTP3(t *netrelay.Tunnel, v *visit, h http.Handler) (*site, error) {
	srv := &h3http.Server{Handler: h, TLSConfig: conntest.ServerTLS(), QUICConfig: &conn.Config{
		Congestion: v.cc.ours, Trace: v.cc.trace, QLog: envlog.QLog(),
	}}
	if err := tunnelhttp.ServeHTTP3(t, srv); err != nil {
		return nil, err
	}
	tc := conntest.ClientTLS()
	tc.KeyLogWriter = v.keys
	tr := &h3http.Transport{TLSClientConfig: tc, QUICConfig: &conn.Config{QLog: envlog.QLog()}}
	g, _, err := tunnelhttp.DialHTTP3(t, tr)
	if err != nil {
		srv.Close()
		return nil, err
	}
	return &site{
		client: &http.Client{Transport: tr},
		closes: []func(){func() { srv.Close() }, func() { tr.Close() }, func() { g.Close() }},
	}, nil
}

// startHTTP2 makes a site of package net/http over the kernel's TCP. The server's socket holds at
// most so many unsent bytes, or with 0 as many as the kernel takes.
func startHTTP2(t *netrelay.Tunnel, v *visit, h http.Handler, unsent int) (*site, error) {
	tc := conntest.ServerTLS()
	tc.NextProtos = []string{"h2"}
	srv := &http.Server{Handler: h, TLSConfig: tc}
	if err := tunnelhttp.ServeHTTP2(t, srv, tunnelhttp.TCP{Congestion: v.cc.kernel, Unsent: unsent}); err != nil {
		return nil, err
	}
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: clientTLS(v.keys)}
	tunnelhttp.DialHTTP2(t, tr)
	return &site{
		client: &http.Client{Transport: tr},
		closes: []func(){func() { srv.Close() }, tr.CloseIdleConnections},
	}, nil
}

func clientTLS(keys io.Writer) *tls.Config {
	tc := conntest.ClientTLS()
	tc.NextProtos, tc.KeyLogWriter = []string{"h2"}, keys
	return tc
}
