package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
)

// A recorder takes note of what goes to a client.
type recorder struct {
	http.ResponseWriter
	trip   *trip
	stall  *stall   // nil over HTTP/3
	offer  []string // the edge's own Alt-Svc; none over HTTP/3
	status int
	bytes  int64
}

// Unwrap is for http.ResponseController and h3http.TakeStream.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader keeps the offer to the end: httputil.ReverseProxy adds the fields of an informational
// response to the header, and then clears all of it.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		dropAltSvc(w.Header())
		if status >= 200 && len(w.offer) > 0 {
			w.Header()["Alt-Svc"] = w.offer
		}
	}
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.stall != nil {
		w.stall.begin()
		defer w.stall.end()
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// FlushError is for http.ResponseController. A response without content is not flushed: its header
// is its end. Clients of gRPC look for that when a call fails before it has begun.
func (w *recorder) FlushError() error {
	if w.trip.empty {
		return nil
	}
	if w.stall != nil {
		w.stall.begin()
		defer w.stall.end()
	}
	if f, ok := w.ResponseWriter.(interface{ FlushError() error }); ok {
		return f.FlushError()
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// logRequest writes the line of a request that has ended. whole is whether all of the response was
// sent. serverID is what the connection IDs say to balancers, or empty.
func logRequest(log *slog.Logger, r *http.Request, w *recorder, whole bool, serverID string) {
	t := tripOf(r)
	attrs := []slog.Attr{
		slog.String("client", t.client), slog.String("proto", r.Proto), slog.String("method", r.Method),
		slog.String("host", r.Host), slog.String("path", r.URL.Path), slog.Int("status", w.status),
		slog.Int64("bytes", w.bytes), slog.Bool("whole", whole),
		slog.Float64("ms", float64(time.Since(t.begin).Microseconds())/1000),
		slog.String("pool", t.pool), slog.String("backend", t.backend), slog.Int("attempts", t.attempts),
		slog.Bool("early", t.cameEarly),
	}
	if r.TLS != nil {
		attrs = append(attrs, slog.Bool("resumed", r.TLS.DidResume), slog.String("sni", r.TLS.ServerName),
			slog.Bool("ech", r.TLS.ECHAccepted))
	}
	if c := h3http.ConnOf(r); c != nil {
		st := c.Stats()
		of := []any{
			slog.String("id", c.ID().String()),
			slog.Float64("rtt_ms", float64(st.SmoothedRTT.Microseconds())/1000),
			slog.Float64("min_rtt_ms", float64(st.MinRTT.Microseconds())/1000),
			slog.Uint64("window", st.CongestionWindow),
			slog.Uint64("sent", st.PacketsSent), slog.Uint64("lost", st.PacketsLost),
		}
		if serverID != "" {
			of = append(of, slog.String("server_id", serverID))
		}
		attrs = append(attrs, slog.Group("quic", of...))
	}
	log.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}
