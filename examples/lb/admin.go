package main

import (
	"io"
	"net"
	"net/http"
	"time"
)

// serveAdmin answers operators and probes at addr until stop is called. An empty addr is for none.
func (b *balancer) serveAdmin(addr string) (stop func(), err error) {
	if addr == "" {
		return func() {}, nil
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: b.admin(), ReadHeaderTimeout: 10 * time.Second}
	go srv.Serve(ln)
	return func() { srv.Close() }, nil
}

// admin returns the handler for operators and probes.
func (b *balancer) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if !b.anyWell() {
			http.Error(w, "no backend is well", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ok\n")
	})
	return mux
}

// anyWell reports whether some backend answers.
func (b *balancer) anyWell() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.backends {
		if w.health == well {
			return true
		}
	}
	return false
}
