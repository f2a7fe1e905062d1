package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// runServer serves until ctx is done.
func runServer(ctx context.Context, o *options) error {
	switch o.testCase {
	case "versionnegotiation", "handshake", "transfer", "retry", "resumption", "zerortt", "http3", "multiconnect",
		"chacha20", "v2", "ecn", "connectionmigration":
	default:
		return fmt.Errorf("%w: server of test case %q", errUnsupported, o.testCase)
	}
	www, err := os.OpenRoot(o.www)
	if err != nil {
		return err
	}
	defer www.Close()
	cert, err := tls.LoadX509KeyPair(filepath.Join(o.certs, "cert.pem"), filepath.Join(o.certs, "priv.key"))
	if err != nil {
		return err
	}
	tlsc := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{hqInterop}}
	endKeys, err := envlog.Keys(tlsc, slog.Default())
	if err != nil {
		return err
	}
	defer endKeys()
	sock, err := udpio.Listen("udp", o.addr, nil)
	if err != nil {
		return err
	}
	fmt.Println("listening on", sock.LocalAddr())
	if o.testCase == "http3" {
		return serveHTTP3(ctx, o, sock, tlsc, www)
	}
	cfg := conn.EndpointConfig{Server: o.config(tlsc)}
	if err := o.prepareServer(&cfg, sock); err != nil {
		sock.Close()
		return err
	}
	g, err := loop.New(&loop.Config{Endpoint: cfg}, sock)
	if err != nil {
		return err
	}
	defer g.Close()
	if err := serveHQ(ctx, g, www); ctx.Err() == nil {
		return err
	}
	return nil
}

// prepareServer sets what the test case asks of the server.
func (o *options) prepareServer(cfg *conn.EndpointConfig, sock *udpio.Socket) error {
	switch o.testCase {
	case "retry":
		cfg.Admit = func(i conn.AdmissionRequest) conn.Admission {
			if i.Token == conn.TokenNone {
				return conn.AdmissionRetry
			}
			return conn.AdmissionAccept
		}
	case "zerortt":
		cfg.Server.Enable0RTT = true
	case "v2":
		cfg.Server.Versions = []uint32{conn.Version2, conn.Version1}
	case "connectionmigration":
		return prefer(cfg.Server, sock)
	}
	return nil
}

// prefer offers another port of this host as preferred address.
func prefer(cfg *conn.Config, sock *udpio.Socket) error {
	local := sock.LocalAddr()
	second, err := sock.AddLocal("udp", netip.AddrPortFrom(local.Addr(), 0).String())
	if err != nil {
		return err
	}
	addrs := []netip.Addr{second.Addr()}
	if second.Addr().IsUnspecified() {
		if addrs, err = hostAddrs(); err != nil {
			return err
		}
	}
	for _, a := range addrs {
		switch at := netip.AddrPortFrom(a, second.Port()); {
		case a.Is4() && !cfg.PreferredAddress4.IsValid():
			cfg.PreferredAddress4 = at
		case a.Is6() && !cfg.PreferredAddress6.IsValid():
			cfg.PreferredAddress6 = at
		}
	}
	if !cfg.PreferredAddress4.IsValid() && !cfg.PreferredAddress6.IsValid() {
		return errors.New("the host has no address to prefer")
	}
	return nil
}

// hostAddrs returns the addresses at which others reach this host.
func hostAddrs() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			addrs = append(addrs, p.Addr())
		}
	}
	return addrs, nil
}

func serveHTTP3(ctx context.Context, o *options, sock *udpio.Socket, tlsc *tls.Config, www *os.Root) error {
	srv := &h3http.Server{Handler: http.FileServerFS(www.FS()), TLSConfig: tlsc, QUICConfig: o.config(nil), Logger: slog.Default()}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(sock); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
