package main

import (
	"io"
	"net"
	"net/http"
	"net/http/pprof"

	"github.com/lazoquic/lazo/metrics"
)

// admin returns the handler for operators, on a port of its own.
func (e *edge) admin() http.Handler {
	debug := http.NewServeMux()
	debug.Handle("/debug/quic/", &e.debug)
	debug.HandleFunc("GET /debug/pprof/", pprof.Index)
	debug.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	debug.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if e.draining.Load() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", metrics.TextType)
		metrics.WriteText(w, e.families())
	})
	mux.HandleFunc("/debug/", func(w http.ResponseWriter, r *http.Request) {
		if !e.showsDebug() {
			http.NotFound(w, r)
			return
		}
		debug.ServeHTTP(w, r)
	})
	return mux
}

// showsDebug reports whether /debug/ answers. Profiles and pages about connections tell much, and
// cost time. So who can reach the port from elsewhere gets them only where the file says so.
func (e *edge) showsDebug() bool {
	if say := e.site.Load().config.Debug; say != nil {
		return *say
	}
	a, ok := e.adminLn.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}
