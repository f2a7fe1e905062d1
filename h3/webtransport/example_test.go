package webtransport_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/loop"
)

// serve runs h on a loopback socket for an example, with sessions by up.
func serve(up *webtransport.Upgrader, h http.HandlerFunc) (url string, stop func()) {
	srv := &h3http.Server{Handler: h, TLSConfig: conntest.ServerTLS()}
	up.Configure(srv)
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig())
	if err != nil {
		log.Fatal(err)
	}
	return fmt.Sprintf("https://%v/", g.LocalAddr()), func() {
		srv.Close()
		g.Close()
	}
}

// A server that sends back what streams bring.
func ExampleUpgrader() {
	up := &webtransport.Upgrader{
		CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "https://www.example.com" },
	}
	mux := http.NewServeMux()
	mux.HandleFunc("CONNECT /echo", func(w http.ResponseWriter, r *http.Request) {
		s, err := up.Upgrade(w, r)
		if err != nil {
			log.Print(err)
			return
		}
		defer s.Close()
		for {
			st, err := s.AcceptStream(s.Context(), conn.Bidi)
			if err != nil {
				return // the client has closed the session
			}
			go func() {
				defer st.Close()
				io.Copy(st, st)
			}()
		}
	})
	srv := &h3http.Server{Addr: ":443", Handler: mux}
	up.Configure(srv)
	log.Fatal(srv.ListenAndServeTLS("cert.pem", "key.pem"))
}

// A client sends a message on a stream, and reads what comes back.
func ExampleDialer() {
	up := new(webtransport.Upgrader)
	url, stop := serve(up, func(w http.ResponseWriter, r *http.Request) {
		s, err := up.Upgrade(w, r)
		if err != nil {
			return
		}
		st, err := s.AcceptStream(s.Context(), conn.Bidi)
		if err != nil {
			return
		}
		defer st.Close()
		io.Copy(st, st)
	})
	defer stop()

	ctx := context.Background()
	d := &webtransport.Dialer{TLSClientConfig: conntest.ClientTLS()}
	defer d.Close()
	s, _, err := d.Dial(ctx, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	st, err := s.OpenStream(ctx, conn.Bidi)
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	io.WriteString(st, "hello")
	st.CloseWrite()
	b, err := io.ReadAll(st)
	fmt.Println(string(b), err)
	s.CloseWithError(1, "enough")
	fmt.Println(context.Cause(s.Context()))
	// Output:
	// hello <nil>
	// webtransport: session closed with code 1: enough
}

// Datagrams are for what is of no use when it comes late.
func ExampleSession_SendDatagram() {
	up := new(webtransport.Upgrader)
	url, stop := serve(up, func(w http.ResponseWriter, r *http.Request) {
		s, err := up.Upgrade(w, r)
		if err != nil {
			return
		}
		b := make([]byte, 1500)
		for {
			n, err := s.ReceiveDatagram(s.Context(), b)
			if err != nil {
				return
			}
			s.SendDatagram(s.Context(), b[:n], 0)
		}
	})
	defer stop()

	ctx := context.Background()
	d := &webtransport.Dialer{TLSClientConfig: conntest.ClientTLS()}
	defer d.Close()
	s, _, err := d.Dial(ctx, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := s.SendDatagram(ctx, []byte("position 3, 4"), 0); err != nil {
		log.Fatal(err)
	}
	b := make([]byte, 1500)
	n, err := s.ReceiveDatagram(ctx, b) // on a real network, it may have been lost
	fmt.Println(string(b[:n]), err)
	// Output: position 3, 4 <nil>
}

// Client and server agree on the protocol of their application.
func ExampleSession_Protocol() {
	up := &webtransport.Upgrader{Protocols: []string{"chat-2", "chat-1"}}
	url, stop := serve(up, func(w http.ResponseWriter, r *http.Request) { up.Upgrade(w, r) })
	defer stop()

	d := &webtransport.Dialer{
		TLSClientConfig: conntest.ClientTLS(),
		Protocols:       []string{"chat-3", "chat-2"},
	}
	defer d.Close()
	s, _, err := d.Dial(context.Background(), url, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Protocol())
	// Output: chat-2
}
