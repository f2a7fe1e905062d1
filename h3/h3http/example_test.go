package h3http_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
)

// A server for HTTP/3 alone, which ends gracefully.
func ExampleServer() {
	cert, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		log.Fatal(err)
	}
	srv := &h3http.Server{
		Addr:      ":443",
		Handler:   http.FileServer(http.Dir("/srv/www")),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		drained <- srv.Shutdown(ctx)
	}()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-drained; err != nil {
		srv.Close()
	}
}

// One call serves HTTP/1.1, HTTP/2 and HTTP/3 at one address.
func ExampleListenAndServeTLS() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello over", r.Proto)
	})
	log.Fatal(h3http.ListenAndServeTLS(":443", "cert.pem", "key.pem", nil))
}

// A service that has HTTP/1.1 and HTTP/2 already adds HTTP/3, and tells its clients.
func ExampleServer_AltSvc() {
	mux := http.NewServeMux()
	tlsConfig := &tls.Config{ /* certificates */ }
	over3 := &h3http.Server{Addr: ":443", Handler: mux, TLSConfig: tlsConfig}
	over12 := &http.Server{Addr: ":443", Handler: over3.AltSvc(mux), TLSConfig: tlsConfig.Clone()}
	go over3.ListenAndServe()
	log.Fatal(over12.ListenAndServeTLS("", ""))
}

// serve runs h on a loopback socket for an example, and returns its URL and a client
// for it.
func serve(h http.Handler) (url string, tr *h3http.Transport, stop func()) {
	srv := &h3http.Server{Handler: h, TLSConfig: conntest.ServerTLS(), ExtendedConnect: true}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig())
	if err != nil {
		log.Fatal(err)
	}
	tr = &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}
	return "https://" + g.LocalAddr().String(), tr, func() {
		tr.Close()
		srv.Close()
		g.Close()
	}
}

// A Transport is what makes an http.Client speak HTTP/3.
func ExampleTransport() {
	url, _, stop := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s over %s", r.URL.Path, r.Proto)
	}))
	defer stop()

	// conntest has certificates for tests. The zero Transport trusts those of the system.
	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}
	defer tr.Close()
	client := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	resp, err := client.Get(url + "/world")
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		log.Fatal("unknown authority: ", unknown.Cert.Issuer)
	case err != nil:
		log.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(b), err)
	// Output: 200 OK hello /world over HTTP/3.0 <nil>
}

// ConnOf tells about the connection of a request, on either side.
func ExampleConnOf() {
	url, tr, stop := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		st := h3http.ConnOf(r).Stats()
		fmt.Fprint(w, st.PacketsReceived > 0 && st.CongestionWindow > 0)
	}))
	defer stop()
	resp, err := (&http.Client{Transport: tr}).Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(os.Stdout, resp.Body)
	fmt.Println("", h3http.ConnOf(resp.Request).Stats().SmoothedRTT > 0)
	// Output: true true
}

// Server-sent events are a response that is flushed from time to time.
func Example_serverSentEvents() {
	url, tr, stop := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		rc := http.NewResponseController(w)
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			if err := rc.Flush(); err != nil {
				return // the client has left
			}
			select {
			case <-r.Context().Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
	}))
	defer stop()
	resp, err := (&http.Client{Transport: tr}).Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			fmt.Println(data)
		}
	}
	// Output:
	// 0
	// 1
	// 2
}

// Bodies stream both ways at the same time.
func Example_fullDuplex() {
	url, tr, stop := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.Flush() // the client need not wait for the first line
		for lines := bufio.NewScanner(r.Body); lines.Scan(); rc.Flush() {
			fmt.Fprintln(w, strings.ToUpper(lines.Text()))
		}
	}))
	defer stop()
	pr, pw := io.Pipe()
	resp, err := (&http.Client{Transport: tr}).Post(url, "text/plain", pr)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	answers := bufio.NewScanner(resp.Body)
	for _, word := range []string{"one", "two", "three"} {
		fmt.Fprintln(pw, word)
		answers.Scan()
		fmt.Println(answers.Text())
	}
	pw.Close()
	// Output:
	// ONE
	// TWO
	// THREE
}

// Extended CONNECT carries other protocols, with bytes and datagrams. The Server has to
// offer it: its ExtendedConnect is set.
func ExampleTakeStream() {
	url, tr, stop := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(":protocol") != "shout" {
			http.Error(w, "shout only", http.StatusNotImplemented)
			return
		}
		s, err := h3http.TakeStream(w)
		if err != nil {
			return
		}
		defer s.Close()
		buf := make([]byte, 1500)
		n, err := s.ReceiveDatagram(r.Context(), buf)
		if err != nil {
			return
		}
		s.SendDatagram(r.Context(), bytes.ToUpper(buf[:n]), time.Second)
		io.Copy(s, s)
	}))
	defer stop()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, url+"/", nil)
	if err != nil {
		log.Fatal(err)
	}
	r.Header[":protocol"] = []string{"shout"}
	s, resp, err := tr.Connect(r)
	if err != nil || s == nil {
		log.Fatal(resp, err)
	}
	defer s.Close()
	buf := make([]byte, 1500)
	s.SendDatagram(ctx, []byte("datagram"), 0)
	n, err := s.ReceiveDatagram(ctx, buf)
	fmt.Println(string(buf[:n]), err)
	fmt.Fprint(s, "stream")
	s.CloseWrite()
	b, err := io.ReadAll(s)
	fmt.Println(string(b), err)
	// Output:
	// DATAGRAM <nil>
	// stream <nil>
}
