package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	_ "embed"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/selfsigned"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/loop"
)

//go:embed index.html
var indexHTML string

// serve serves until ctx is done.
func serve(ctx context.Context, o *options, stdout io.Writer) error {
	host, _, err := net.SplitHostPort(o.addr)
	if err != nil {
		return err
	}
	cert, err := selfsigned.Certificate(host)
	if err != nil {
		return err
	}
	if o.cert != "" {
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
		if err := os.WriteFile(o.cert, block, 0o644); err != nil {
			return err
		}
	}
	page, err := net.Listen("tcp", o.page)
	if err != nil {
		return err
	}
	defer page.Close()
	e := &echoServer{out: stdout}
	e.up.CheckOrigin = func(r *http.Request) bool {
		return r.Header.Get("Origin") == "http://"+page.Addr().String()
	}
	tc, cfg := &tls.Config{Certificates: []tls.Certificate{cert}}, new(conn.Config)
	endLogs, err := envlog.Attach(tc, cfg, slog.Default())
	if err != nil {
		return err
	}
	defer endLogs()
	srv := &h3http.Server{Handler: e, TLSConfig: tc, QUICConfig: cfg, Logger: slog.Default()}
	e.up.Configure(srv)
	g, err := loop.Listen("udp", o.addr, 1, srv.LoopConfig())
	if err != nil {
		return err
	}
	defer g.Close()
	url := fmt.Sprintf("https://%v/echo", g.LocalAddr())
	hash := sha256.Sum256(cert.Certificate[0])
	pages := &http.Server{Handler: pageHandler(url, hash[:])}
	failed := make(chan error, 2)
	go func() { failed <- pages.Serve(page) }()
	go func() { failed <- g.Wait() }()
	fmt.Fprintf(stdout, "open http://%v/ in a browser, or run\n\n", page.Addr())
	fmt.Fprintf(stdout, "go run ./examples/webtransport -insecure -connect %s\n\n", url)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	fmt.Fprintln(stdout, "shutting down")
	grace, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err = errors.Join(pages.Shutdown(grace), srv.Shutdown(grace))
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // some client did not close in time
	}
	return err
}

// pageHandler serves the page that measures url.
func pageHandler(url string, hash []byte) http.Handler {
	data := struct{ URL, Hash string }{url, base64.StdEncoding.EncodeToString(hash)}
	index := template.Must(template.New("index").Parse(indexHTML))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		// With these, the browser's clock tells microseconds.
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		index.Execute(w, data)
	})
	mux.HandleFunc("GET /wait", wait)
	return mux
}

// wait answers after some seconds, unless the page gives up first.
func wait(w http.ResponseWriter, r *http.Request) {
	seconds, err := strconv.ParseFloat(r.FormValue("seconds"), 64)
	if err != nil || seconds < 0 || seconds > 60 {
		http.Error(w, "want seconds", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(time.Duration(seconds * float64(time.Second))):
	case <-r.Context().Done():
	}
}

// An echoServer echoes the streams and datagrams of sessions.
type echoServer struct {
	up  webtransport.Upgrader
	out io.Writer
}

func (e *echoServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/echo" {
		http.NotFound(w, r)
		return
	}
	s, err := e.up.Upgrade(w, r)
	if err != nil {
		fmt.Fprintln(e.out, r.RemoteAddr, err)
		return
	}
	fmt.Fprintln(e.out, r.RemoteAddr, "has a session")
	go echoStreams(s, conn.Bidi)
	go echoStreams(s, conn.Uni)
	echoDatagrams(s)
	<-s.Context().Done()
	fmt.Fprintln(e.out, r.RemoteAddr, context.Cause(s.Context()))
}

// echoStreams echoes the streams of one directionality, with their error codes. The data of a
// unidirectional stream goes back on another one.
func echoStreams(s *webtransport.Session, dir conn.Dir) {
	ctx := s.Context()
	for {
		in, err := s.AcceptStream(ctx, dir)
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out := in
			if dir == conn.Uni {
				if out, err = s.OpenStream(ctx, conn.Uni); err != nil {
					return
				}
				defer out.Close()
			}
			_, err := io.Copy(out, in)
			if abandoned, ok := errors.AsType[*webtransport.StreamError](err); ok {
				out.Reset(abandoned.Code)
			}
		}()
	}
}

// echoDatagrams sends back datagrams, except those that have become old.
func echoDatagrams(s *webtransport.Session) {
	buf := make([]byte, 1<<16)
	for {
		n, err := s.ReceiveDatagram(s.Context(), buf)
		if err != nil {
			return
		}
		s.SendDatagram(s.Context(), buf[:n], time.Second)
	}
}
