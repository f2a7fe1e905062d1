package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A site is a server at one end of a path, and a client at the other that has one connection to it.
type site struct {
	client   *http.Client
	priority string // field of requests; none if empty
	closes   []func()
}

const siteAddr = netrelay.ServerAddr4 + ":443"

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
	var server, client *udpio.Socket
	err := t.Server.Do(func() (err error) {
		server, err = udpio.Listen("udp", siteAddr, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	srv := &h3http.Server{Handler: h, TLSConfig: conntest.ServerTLS(), QUICConfig: &conn.Config{
		Congestion: v.cc.ours, Trace: v.cc.trace, QLog: envlog.QLog(),
	}}
	go srv.Serve(server)
	s := &site{closes: []func(){func() { srv.Close() }}}
	err = t.Client.Do(func() (err error) {
		client, err = udpio.Listen("udp", netrelay.ClientAddr4+":0", nil)
		return err
	})
	if err != nil {
		s.close()
		return nil, err
	}
	g, err := loop.New(nil, client)
	if err != nil {
		s.close()
		return nil, err
	}
	tc := conntest.ClientTLS()
	tc.KeyLogWriter = v.keys
	tr := &h3http.Transport{TLSClientConfig: tc, QUICConfig: &conn.Config{QLog: envlog.QLog()}, Dial: g.Dial}
	s.client = &http.Client{Transport: tr}
	s.closes = append(s.closes, func() { tr.Close() }, func() { g.Close() })
	return s, nil
}

// startHTTP2 makes a site of package net/http over the kernel's TCP. The server's socket holds at
// most so many unsent bytes, or with 0 as many as the kernel takes.
func startHTTP2(t *netrelay.Tunnel, v *visit, h http.Handler, unsent int) (*site, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		_ = raw.Control(func(fd uintptr) { // accepted sockets inherit both
			if err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, v.cc.kernel); err == nil && unsent > 0 {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
			}
		})
		return err
	}}
	config.SetMultipathTCP(false)
	var l net.Listener
	err := t.Server.Do(func() (err error) {
		l, err = config.Listen(context.Background(), "tcp", siteAddr)
		return err
	})
	if err != nil {
		return nil, err
	}
	tc := conntest.ServerTLS()
	tc.NextProtos = []string{"h2"}
	srv := &http.Server{Handler: h, TLSConfig: tc}
	go srv.ServeTLS(l, "", "")
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: clientTLS(v.keys), DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		err = t.Client.Do(func() error {
			c, err = new(net.Dialer).DialContext(ctx, network, addr)
			return err
		})
		return c, err
	}}
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
