package soak

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/loop"
)

// backendEnv makes the test binary a backend: "web" speaks HTTP/1.1, "quic" HTTP/3 and
// WebTransport, and sends UDP datagrams back.
const backendEnv = "LAZO_SOAK_BACKEND"

// TestMain runs a backend instead of the tests if the environment says so.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(backendEnv) {
	case "":
		os.Exit(m.Run())
	case "web":
		err = serveWeb()
	default:
		err = serveQUIC()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func handlers() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bytes/{n}", serveBytes)
	mux.HandleFunc("POST /echo", serveEcho)
	return mux
}

func serveWeb() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go endsWithParent()
	fmt.Println(ln.Addr())
	return http.Serve(ln, handlers())
}

// endsWithParent ends the process when its standard input ends.
func endsWithParent() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func serveQUIC() error {
	mux := http.NewServeMux()
	mux.Handle("/h3/", http.StripPrefix("/h3", handlers()))
	srv := &h3http.Server{
		Handler: mux, TLSConfig: conntest.ServerTLS(),
		QUICConfig: &conn.Config{MaxIdleTimeout: idleTimeout, MaxDatagramFrameSize: 65535},
	}
	up := new(webtransport.Upgrader)
	up.Configure(srv)
	mux.HandleFunc("/session", func(w http.ResponseWriter, r *http.Request) {
		if s, err := up.Upgrade(w, r); err == nil {
			go echoSession(s)
			echoSessionDatagrams(s)
		}
	})
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig())
	if err != nil {
		return err
	}
	echo, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go endsWithParent()
	fmt.Println(g.LocalAddr(), echo.LocalAddr())
	b := make([]byte, 2000)
	for {
		n, from, err := echo.ReadFrom(b)
		if err != nil {
			return err
		}
		echo.WriteTo(b[:n], from)
	}
}

func echoSession(s *webtransport.Session) {
	for {
		st, err := s.AcceptStream(s.Context(), conn.Bidi)
		if err != nil {
			return
		}
		go func() {
			defer st.Close()
			if _, err := io.Copy(st, st); err != nil {
				st.Reset(1)
			}
		}()
	}
}

func echoSessionDatagrams(s *webtransport.Session) {
	b := make([]byte, 1500)
	for {
		n, err := s.ReceiveDatagram(context.Background(), b)
		if err != nil {
			return
		}
		s.SendDatagram(context.Background(), b[:n], 0)
	}
}
