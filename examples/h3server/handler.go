package main

import (
	"crypto/sha256"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
)

//go:embed index.html
var indexHTML string

// newHandler returns the routes. root is a directory, or empty.
func newHandler(root string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", indexHandler{template.Must(template.New("index").Parse(indexHTML))})
	mux.HandleFunc("GET /bytes/{n}", serveBytes)
	mux.HandleFunc("POST /echo", echo)
	mux.HandleFunc("POST /sum", sum)
	mux.HandleFunc("GET /headers", headers)
	mux.HandleFunc("GET /events", events)
	if root != "" {
		mux.Handle("GET /", http.FileServer(http.Dir(root)))
	}
	return mux
}

// An indexHandler serves the page about the connection of the request.
type indexHandler struct{ page *template.Template }

// pageData is what the page shows.
type pageData struct {
	Proto, Remote, Cipher, ID string
	RTT, MinRTT               time.Duration
	conn.Stats
}

func (h indexHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data := pageData{Proto: r.Proto, Remote: r.RemoteAddr}
	if c := h3http.ConnOf(r); c != nil {
		data.ID = c.ID().String()
		data.Stats = c.Stats()
		data.RTT = data.Stats.SmoothedRTT.Round(time.Microsecond)
		data.MinRTT = data.Stats.MinRTT.Round(time.Microsecond)
	}
	if r.TLS != nil {
		data.Cipher = tls.CipherSuiteName(r.TLS.CipherSuite)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	h.page.Execute(w, data)
}

// serveBytes serves as many bytes as the path says.
func serveBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "want /bytes/N", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	block := make([]byte, 32<<10)
	for i := range block {
		block[i] = byte(i)
	}
	for n > 0 {
		k, err := w.Write(block[:min(n, int64(len(block)))])
		if err != nil {
			return // the client has left
		}
		n -= int64(k)
	}
}

// echo sends the body back while it comes.
func echo(w http.ResponseWriter, r *http.Request) {
	kind := r.Header.Get("Content-Type")
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	rc := http.NewResponseController(w)
	rc.EnableFullDuplex()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
			rc.Flush()
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // half a body must not look like a whole one
		}
	}
}

// sum serves the SHA-256 of the body. Unlike echo, it serves clients that read no response while
// they send, such as browsers: with a long body, such a client and echo would wait for each other.
func sum(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	if _, err := io.Copy(h, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "%x\n", h.Sum(nil))
}

// headers serves the header fields of the request.
func headers(w http.ResponseWriter, r *http.Request) {
	fields := r.Header.Clone()
	fields.Set("Host", r.Host)
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.Encode(fields)
}

// events serves server-sent events that tell the round-trip time, as many as the query
// says, one every tenth of a second.
func events(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil || n < 0 {
		http.Error(w, "want /events?n=N", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	rc := http.NewResponseController(w)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := range n {
		var rtt time.Duration
		if c := h3http.ConnOf(r); c != nil {
			rtt = c.Stats().SmoothedRTT
		}
		fmt.Fprintf(w, "id: %d\ndata: %v\n\n", i, rtt)
		if rc.Flush() != nil {
			return // the client has left
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
