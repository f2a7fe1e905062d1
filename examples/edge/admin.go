package main

import (
	"io"
	"net/http"
)

// admin returns the handler for operators, on a port of its own.
func (e *edge) admin() http.Handler {
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
		var p page
		e.write(&p)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		w.Write(p.Bytes())
	})
	return mux
}

// write appends all metrics.
func (e *edge) write(p *page) {
	p.head("edge_requests_in_progress", "gauge", "Requests in progress.")
	p.row("edge_requests_in_progress", e.visitors.count())
	e.metrics.write(p)
	e.site.Load().write(p)
	h3, quic := e.quic.Stats(), e.udp.Stats()
	p.head("edge_quic_connections", "gauge", "Connections of HTTP/3.")
	p.row("edge_quic_connections", h3.Conns)
	p.head("edge_stalled_total", "counter", "Responses whose clients took too little for too long.")
	p.row("edge_stalled_total", h3.Stalled+e.stalled.Load())
	p.head("edge_quic_packets_total", "counter", "Packets of QUIC.")
	p.row("edge_quic_packets_total", quic.PacketsSent, "what", "sent")
	p.row("edge_quic_packets_total", quic.PacketsReceived, "what", "received")
	p.row("edge_quic_packets_total", quic.PacketsLost, "what", "lost")
}
