package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// serve serves until a request asks it to shut down.
func serve(ctx context.Context) error {
	cert, err := certificate()
	if err != nil {
		return err
	}
	tc := http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}})
	qc := &quic.Config{EnableDatagrams: true, MaxIncomingStreams: 10}
	first, err := quic.ListenAddrEarly("127.0.0.1:0", tc, qc)
	if err != nil {
		return err
	}
	defer first.Close()
	second, err := quic.ListenAddr("127.0.0.1:0", tc, qc)
	if err != nil {
		return err
	}
	defer second.Close()
	shutdown := make(chan error, 1)
	var s *http3.Server
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/tunnel", tunnel)
	mux.HandleFunc("/shutdown", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun\n")
		w.(http.Flusher).Flush()
		go func() { shutdown <- s.Shutdown(ctx) }()
		time.Sleep(50 * time.Millisecond) // the GOAWAY may overtake the rest
		io.WriteString(w, "ended\n")
	})
	s = &http3.Server{
		Handler:            mux,
		EnableDatagrams:    true,
		AdditionalSettings: map[uint64]uint64{setting: 7},
		ConnContext: func(ctx context.Context, c *quic.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	served := make(chan error, 1)
	go func() { served <- s.ServeListener(first) }()
	var alt http.Header
	for alt.Get("Alt-Svc") == "" {
		alt = make(http.Header)
		s.SetQUICHeaders(alt)
	}
	_, port, _ := net.SplitHostPort(first.Addr().String())
	if want := `h3=":` + port + `"; ma=2592000`; alt.Get("Alt-Svc") != want {
		return fmt.Errorf("Alt-Svc is %q", alt)
	}
	fmt.Println(first.Addr(), second.Addr())
	if err := serveRaw(ctx, s, second); err != nil {
		return err
	}
	if err := <-shutdown; err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return s.Close()
}

type connKey struct{}

func certificate() (cert tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// echo answers with the body and the fields of the request, after an informational response, and
// with trailers.
func echo(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if ctx.Value(http3.ServerContextKey).(*http3.Server) == nil || ctx.Value(http3.RemoteAddrContextKey).(net.Addr).String() != r.RemoteAddr ||
		ctx.Value(connKey{}).(*quic.Conn).RemoteAddr().String() != r.RemoteAddr || r.TLS == nil || r.Proto != "HTTP/3.0" {
		http.Error(w, "the request is not as it should be", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Link", hint)
	w.WriteHeader(http.StatusEarlyHints)
	w.Header()["X-Echo"] = r.Header["X-Echo"]
	w.Header().Set("Trailer", "X-Sum")
	w.WriteHeader(http.StatusAccepted)
	n, err := io.Copy(w, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Sum", fmt.Sprintf("%d %s", n, r.Trailer.Get("X-End")))
}

// tunnel takes the stream over, and echoes its bytes and datagrams.
func tunnel(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect || r.Proto != protocol {
		http.Error(w, "CONNECT only", http.StatusNotImplemented)
		return
	}
	<-w.(http3.Settingser).ReceivedSettings()
	settings := w.(http3.Settingser).Settings()
	if settings.Other[setting] != 8 || !settings.EnableDatagrams {
		http.Error(w, fmt.Sprintf("the settings are %v", settings), http.StatusInternalServerError)
		return
	}
	w.Header().Set(http3.CapsuleProtocolHeader, "?1")
	w.WriteHeader(http.StatusOK)
	s, err := w.(http3.HTTPStreamer).HTTPStream()
	if err != nil {
		panic(err)
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
		panic(err)
	}
	go func() {
		for {
			b, err := s.ReceiveDatagram(context.Background())
			if err != nil {
				return
			}
			s.SendDatagram(append([]byte("re: "), b...))
		}
	}()
	_, err = io.Copy(s, s)
	if e, ok := errors.AsType[*http3.Error](err); ok && e.Remote {
		s.CancelWrite(quic.StreamErrorCode(e.ErrorCode))
		return
	}
	s.Close()
}

// serveRaw serves a connection whose streams it accepts itself, until it ends.
func serveRaw(ctx context.Context, s *http3.Server, l *quic.Listener) error {
	c, err := l.Accept(ctx)
	if err != nil {
		return err
	}
	raw, err := s.NewRawServerConn(c)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			str, err := c.AcceptStream(ctx)
			if err != nil {
				return
			}
			wg.Go(func() { raw.HandleRequestStream(str) })
		}
	})
	failed := make(chan error, 1)
	for {
		str, err := c.AcceptUniStream(ctx)
		if err != nil {
			select {
			case err := <-failed:
				return err
			default:
			}
			return nil
		}
		wg.Go(func() {
			own, err := isOwn(str)
			switch {
			case err == nil && !own:
				raw.HandleUnidirectionalStream(str)
			case err == nil:
				err = echoUni(ctx, c, str)
			}
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
}

// isOwn reports whether a stream is not of HTTP/3, and looks at its start alone.
func isOwn(str *quic.ReceiveStream) (bool, error) {
	typ, err := quicvarint.Peek(str)
	return typ == ownStream, err
}

// echoUni echoes a stream, with its type, on another one.
func echoUni(ctx context.Context, c *quic.Conn, str *quic.ReceiveStream) error {
	out, err := c.OpenUniStreamSync(ctx)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, str); err != nil {
		return err
	}
	return out.Close()
}
