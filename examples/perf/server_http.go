package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
)

// routes are those of the HTTP servers: GET /N answers N bytes, and POST / takes what is sent.
func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	write := http.ResponseWriter.Write
	if s.o.api == "http3shared" {
		write = h3http.WriteShared
	}
	mux.HandleFunc("GET /{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		w.Header().Set("Content-Type", "application/octet-stream")
		for n > 0 {
			k, err := write(w, zeros[:min(n, int64(len(zeros)))])
			s.sent.Add(int64(k))
			if err != nil {
				return
			}
			n -= int64(k)
		}
		s.streams.Add(1)
	})
	mux.HandleFunc("POST /", func(_ http.ResponseWriter, r *http.Request) {
		bp := buffers.Get().(*[256 << 10]byte)
		defer buffers.Put(bp)
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, bp[:])
		if s.received.Add(n); err == nil {
			s.streams.Add(1)
		}
	})
	return mux
}

// http3 returns what a Group serves HTTP/3 with.
func (s *server) http3(cfg *conn.Config) *loop.Config {
	quic := *cfg
	quic.TLS = nil
	srv := &h3http.Server{Handler: s.routes(), TLSConfig: cfg.TLS, QUICConfig: &quic}
	srv.ConnContext = func(ctx context.Context, _ *loop.Conn) context.Context {
		s.conns.Add(1)
		return ctx
	}
	return srv.LoopConfig()
}

// serveHTTP2 serves with package net/http over TCP.
func (s *server) serveHTTP2(tc *tls.Config) (*service, error) {
	l, err := listenTCP(s.o.listen)
	if err != nil {
		return nil, err
	}
	tc.NextProtos = []string{"h2"}
	srv := &http.Server{Handler: s.routes(), TLSConfig: tc, IdleTimeout: idleTimeout}
	srv.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			s.conns.Add(1)
		}
	}
	go srv.ServeTLS(l, "", "")
	return &service{addr: addrOf(l), close: srv.Close}, nil
}

// listenTCP listens without Multipath TCP.
func listenTCP(addr string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), "tcp", addr)
}

func addrOf(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

// dialTimeout bounds a handshake.
const dialTimeout = 20 * time.Second
