package h3http_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// HTTP/1.1, HTTP/2 and HTTP/3 at one address, until there is a signal; then all of
// them end gracefully. Certificates are looked up at each handshake, so that they can be
// renewed meanwhile.
func ExampleServer_ListenAndServeAll() {
	var current atomic.Pointer[tls.Certificate]
	srv := &h3http.Server{
		Addr:    ":443",
		Handler: http.FileServer(http.Dir("/srv/www")),
		TLSConfig: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return current.Load(), nil
		}},
	}
	load := func() {
		cert, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
		if err != nil {
			log.Fatal(err)
		}
		current.Store(&cert)
	}
	load()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ended := make(chan bool)
	go func() {
		defer close(ended)
		for {
			select {
			case <-time.After(time.Hour):
				load()
			case <-ctx.Done():
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				srv.Shutdown(ctx)
				return
			}
		}
	}()
	if err := srv.ListenAndServeAll(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-ended
}

// Shutdown lets requests in progress end, and clients know that there will be no more.
func ExampleServer_Shutdown() {
	started, goOn := make(chan bool), make(chan bool)
	srv := &h3http.Server{
		TLSConfig: conntest.ServerTLS(),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			started <- true
			<-goOn
			io.WriteString(w, "nothing is lost")
		}),
	}
	sock, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(sock)
	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}
	defer tr.Close()
	done := make(chan bool)
	go func() {
		defer close(done)
		resp, err := (&http.Client{Transport: tr}).Get("https://" + sock.LocalAddr().String())
		if err != nil {
			log.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		fmt.Println(string(b), err)
	}()
	<-started
	time.AfterFunc(10*time.Millisecond, func() { close(goOn) })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = srv.Shutdown(ctx)
	<-done
	fmt.Println(err)
	// Output:
	// nothing is lost <nil>
	// <nil>
}

// counted is a backend of one's own: here a socket that counts.
type counted struct {
	loop.Backend
	datagrams atomic.Int64
}

func (c *counted) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	n, err := c.Backend.ReadBatch(ms, deadline)
	c.datagrams.Add(int64(n))
	return n, err
}

// Serve takes any [loop.Backend], so that HTTP/3 runs on what moves datagrams otherwise.
func ExampleServer_Serve() {
	sock, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	backend := &counted{Backend: sock}
	srv := &h3http.Server{
		TLSConfig: conntest.ServerTLS(),
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }),
	}
	go srv.Serve(backend)
	defer srv.Close()
	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}
	defer tr.Close()
	resp, err := (&http.Client{Transport: tr}).Get("https://" + sock.LocalAddr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	fmt.Println(string(b), backend.datagrams.Load() > 0)
	// Output: HTTP/3.0 true
}

// The first request goes over HTTP/2, and the response offers HTTP/3. Where UDP does not
// get through, all would go over HTTP/2.
func ExampleAltSvcTransport() {
	srv := &h3http.Server{
		Addr:      "127.0.0.1:18443",
		TLSConfig: conntest.ServerTLS(),
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}),
	}
	go srv.ListenAndServeAll()
	defer srv.Close()

	tr := &h3http.AltSvcTransport{HTTP: &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		TLSClientConfig:   conntest.ClientTLS(),
		ForceAttemptHTTP2: true,
	}}
	defer tr.Close()
	client := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	for range 2 {
		resp, err := client.Get("https://127.0.0.1:18443/")
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Println(resp.Proto)
	}
}

// Datagrams go along with a request, for what is worth nothing when it is late. They
// may be lost. The Server has to offer extended CONNECT: its ExtendedConnect is set.
func ExampleStream_SendDatagram() {
	url, tr, stop := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := h3http.TakeStream(w)
		if err != nil {
			return
		}
		defer s.Close()
		buf := make([]byte, 1500)
		for {
			n, err := s.ReceiveDatagram(r.Context(), buf)
			if err != nil {
				return // the client has left
			}
			fmt.Println("position", string(buf[:n]))
			s.SendDatagram(r.Context(), []byte("seen"), time.Second)
		}
	}))
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, url+"/game", nil)
	if err != nil {
		log.Fatal(err)
	}
	r.Header[":protocol"] = []string{"game"}
	s, resp, err := tr.Connect(r)
	if err != nil || s == nil {
		log.Fatal(resp, err)
	}
	defer s.Close()
	buf := make([]byte, s.MaxDatagramSize())
	for i := range 3 {
		s.SendDatagram(ctx, fmt.Append(nil, i, ",", i), 0)
		n, err := s.ReceiveDatagram(ctx, buf)
		fmt.Println(string(buf[:n]), err)
	}
	// Output:
	// position 0,0
	// seen <nil>
	// position 1,1
	// seen <nil>
	// position 2,2
	// seen <nil>
}
