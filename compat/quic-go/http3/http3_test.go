package http3_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within returns a context that ends long after the test should.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

var clientTLS = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}}

// serve serves on loopback until the test ends.
func serve(t *testing.T, s *http3.Server) (addr string) {
	t.Helper()
	if s.TLSConfig == nil {
		s.TLSConfig = serverTLS(t)
	}
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(pc) }()
	t.Cleanup(func() {
		check(t, s.Close())
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
		check(t, pc.Close()) // which Serve has left open
		if err := s.ServeListener(nil); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("ServeListener returned %v", err)
		}
	})
	return pc.LocalAddr().String()
}

func request(t *testing.T, method, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), method, url, nil)
	check(t, err)
	return r
}

// TestErrors: what an Error says and matches.
func TestErrors(t *testing.T) {
	for want, err := range map[string]*http3.Error{
		"H3_REQUEST_CANCELLED (local)":   {ErrorCode: http3.ErrCodeRequestCanceled},
		"H3_INCOMPLETE_REQUEST":          {Remote: true, ErrorCode: http3.ErrCodeRequestIncomplete},
		"H3_DATAGRAM_ERROR: why":         {Remote: true, ErrorCode: http3.ErrCodeDatagramError, ErrorMessage: "why"},
		"QPACK_DECOMPRESSION_FAILED":     {Remote: true, ErrorCode: http3.ErrCodeQPACKDecompressionFailed},
		"H3 error (0x9999) (local): why": {ErrorCode: 0x9999, ErrorMessage: "why"},
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		if other := *err; !errors.Is(err, &other) {
			t.Errorf("%v does not match itself", err)
		} else if other.Remote = !other.Remote; errors.Is(err, &other) {
			t.Errorf("%v matches the other side", err)
		}
	}
	if s := http3.ErrCode(0x9999).String(); s != "unknown error code: 0x9999" {
		t.Errorf("an unknown code is %q", s)
	}
}

// TestRoundTrip: the errors of requests, and early data that nobody offers.
func TestRoundTrip(t *testing.T) {
	s := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, r.Method)
	})}
	url := "https://" + serve(t, s)
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	for method, want := range map[string]string{http3.MethodGet0RTT: "GET", http3.MethodHead0RTT: "", "PUT": "PUT"} {
		r := request(t, method, url)
		resp, err := tr.RoundTripOpt(r, http3.RoundTripOpt{})
		check(t, err)
		b, err := io.ReadAll(resp.Body)
		check(t, err)
		check(t, resp.Body.Close())
		if string(b) != want || resp.Request != r {
			t.Errorf("%s: read %q", method, b)
		}
	}
	_, err := tr.RoundTrip(request(t, "GET", url+"/panic"))
	var se *quic.StreamError
	if !errors.Is(err, &http3.Error{Remote: true, ErrorCode: http3.ErrCodeInternalError}) || !errors.As(err, &se) {
		t.Errorf("the handler panics: %v", err)
	}
	tr.CloseIdleConnections()
	check(t, tr.Close())
	if _, err := tr.RoundTrip(request(t, "GET", url)); !errors.Is(err, http3.ErrTransportClosed) {
		t.Errorf("after Close: %v", err)
	}
	tr = &http3.Transport{TLSClientConfig: clientTLS, EnableDatagrams: true, QUICConfig: new(quic.Config)}
	defer tr.Close()
	if _, err := tr.RoundTrip(request(t, "GET", url)); err == nil {
		t.Error("HTTP Datagrams without those of QUIC")
	}
}

// TestServeQUICConn: how a connection ends decides what ServeQUICConn returns.
func TestServeQUICConn(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(s *http3.Server, c *quic.Conn) error
		want func(error) bool
	}{
		"no error": {
			func(_ *http3.Server, c *quic.Conn) error { return c.CloseWithError(0x100, "") },
			func(err error) bool { return err == nil },
		},
		"an error": {
			func(_ *http3.Server, c *quic.Conn) error { return c.CloseWithError(5, "why") },
			func(err error) bool { return errors.Is(err, &http3.Error{Remote: true, ErrorCode: 5}) },
		},
		"Close": {
			func(s *http3.Server, _ *quic.Conn) error { return s.Close() },
			func(err error) bool { return errors.Is(err, http.ErrServerClosed) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := new(http3.Server)
			server, client := connect(t)
			served := make(chan error, 1)
			go func() { served <- s.ServeQUICConn(server) }()
			tr := &http3.Transport{TLSClientConfig: clientTLS}
			cc := tr.NewClientConn(client)
			resp, err := cc.RoundTrip(request(t, "GET", "https://localhost/"))
			check(t, err)
			check(t, resp.Body.Close())
			check(t, c.end(s, client))
			if err := <-served; !c.want(err) {
				t.Errorf("ServeQUICConn returned %v", err)
			}
			<-client.Context().Done()
			if _, err := cc.OpenRequestStream(within(t)); err == nil {
				t.Error("opened a stream on a closed connection")
			}
		})
	}
}

// connect returns the two ends of a QUIC connection for HTTP/3.
func connect(t *testing.T) (server, client *quic.Conn) {
	t.Helper()
	l, err := quic.ListenAddr("127.0.0.1:0", http3.ConfigureTLSConfig(serverTLS(t)), nil)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	client, err = quic.DialAddr(within(t), l.Addr().String(), clientTLS, nil)
	check(t, err)
	server, err = l.Accept(within(t))
	check(t, err)
	return server, client
}

// TestRawTooLate: a stream that somebody has read cannot be handed over. That ends the connection,
// and is not ignored.
func TestRawTooLate(t *testing.T) {
	server, client := connect(t)
	raw, err := new(http3.Server).NewRawServerConn(server)
	check(t, err)
	out, err := client.OpenStream()
	check(t, err)
	_, err = out.Write([]byte("some bytes"))
	check(t, err)
	in, err := server.AcceptStream(within(t))
	check(t, err)
	_, err = in.Read(make([]byte, 1))
	check(t, err)
	raw.HandleRequestStream(in)
	<-client.Context().Done()
	want := &quic.ApplicationError{Remote: true, ErrorCode: quic.ApplicationErrorCode(http3.ErrCodeInternalError)}
	if err := context.Cause(client.Context()); !errors.Is(err, want) {
		t.Errorf("the connection ended with %v", err)
	}
}

// TestDialedConn: a program goes on using the connection that its Dial function has made, as programs
// do that authenticate by a request and then open streams of their own.
func TestDialedConn(t *testing.T) {
	qc := &quic.Config{EnableDatagrams: true}
	l, err := quic.ListenAddr("127.0.0.1:0", http3.ConfigureTLSConfig(serverTLS(t)), qc)
	check(t, err)
	defer l.Close()
	go serveBeside(within(t), l)
	var dialed *quic.Conn
	tr := &http3.Transport{
		TLSClientConfig: clientTLS,
		QUICConfig:      qc,
		Dial: func(ctx context.Context, addr string, tc *tls.Config, qc *quic.Config) (c *quic.Conn, err error) {
			dialed, err = quic.DialAddrEarly(ctx, addr, tc, qc)
			return dialed, err
		},
	}
	defer tr.Close()
	for range 2 {
		resp, err := tr.RoundTrip(request(t, http.MethodGet, "https://"+l.Addr().String()))
		check(t, err)
		check(t, resp.Body.Close())
		s, err := dialed.OpenStreamSync(within(t))
		check(t, err)
		_, err = io.WriteString(s, "X stream")
		check(t, err)
		check(t, s.Close())
		if b, err := io.ReadAll(s); err != nil || string(b) != "X stream" {
			t.Fatalf("read %q, %v", b, err)
		}
	}
	check(t, dialed.SendDatagram([]byte("datagram")))
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	if _, err := dialed.ReceiveDatagram(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ReceiveDatagram returned %v", err)
	}
}

// serveBeside accepts a connection, answers requests of HTTP/3, and echoes streams that begin with
// an X.
func serveBeside(ctx context.Context, l *quic.Listener) {
	c, err := l.Accept(ctx)
	if err != nil {
		return
	}
	raw, err := (&http3.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}).NewRawServerConn(c)
	if err != nil {
		return
	}
	go func() {
		for s, err := c.AcceptUniStream(ctx); err == nil; s, err = c.AcceptUniStream(ctx) {
			raw.HandleUnidirectionalStream(s)
		}
	}()
	for s, err := c.AcceptStream(ctx); err == nil; s, err = c.AcceptStream(ctx) {
		go func() {
			b := make([]byte, 1)
			if _, err := s.Peek(b); err != nil || b[0] != 'X' {
				raw.HandleRequestStream(s)
				return
			}
			io.Copy(s, s)
			s.Close()
		}()
	}
}

// TestLateHeader: a handler may change the header after WriteHeader, until something is sent.
func TestLateHeader(t *testing.T) {
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK) // too late
		w.Header().Set("After", "WriteHeader")
		if r.URL.Path == "/body" {
			io.WriteString(w, "body")
			w.Header().Set("Later", "too late")
		}
	})})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	for path, want := range map[string]string{"/": "", "/body": "body"} {
		resp, err := tr.RoundTrip(request(t, http.MethodGet, "https://"+addr+path))
		check(t, err)
		b, err := io.ReadAll(resp.Body)
		check(t, err)
		if resp.StatusCode != http.StatusTeapot || resp.Header.Get("After") != "WriteHeader" || resp.Header.Get("Later") != "" || string(b) != want {
			t.Errorf("%s: status %d, header %v, body %q", path, resp.StatusCode, resp.Header, b)
		}
	}
}

// TestSetQUICHeaders: without a port there is an error, and Port comes before that of the
// listener.
func TestSetQUICHeaders(t *testing.T) {
	s := &http3.Server{Port: 99}
	h := make(http.Header)
	if err := s.SetQUICHeaders(h); err != http3.ErrNoAltSvcPort || len(h) > 0 {
		t.Fatalf("before Serve: %v, %v", h, err)
	}
	serve(t, s)
	ctx := within(t)
	for s.SetQUICHeaders(h) != nil && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if got := h["Alt-Svc"]; len(got) != 1 || got[0] != `h3=":99"; ma=2592000` {
		t.Fatalf("the header is %v", h)
	}
	other := new(http3.Server)
	var want []string
	for range 3 {
		addr := serve(t, other)
		_, port, err := net.SplitHostPort(addr)
		check(t, err)
		want = append(want, `h3=":`+port+`"; ma=2592000`)
		for h = make(http.Header); strings.Count(h.Get("Alt-Svc"), "h3=") != len(want) && ctx.Err() == nil; time.Sleep(time.Millisecond) {
			h = make(http.Header)
			other.SetQUICHeaders(h)
		}
	}
	if got := h.Get("Alt-Svc"); got != strings.Join(want, ",") {
		t.Errorf("three listeners: %s", got)
	}
	if err := (&http3.Server{}).ListenAndServe(); err == nil {
		t.Fatal("served without TLSConfig")
	}
}

// TestProtocolError: what a peer does wrong ends the connection, with the code that this side sends.
func TestProtocolError(t *testing.T) {
	server, client := connect(t)
	cc := new(http3.Transport).NewClientConn(client)
	s, err := cc.OpenRequestStream(within(t))
	check(t, err)
	check(t, s.SendRequestHeader(request(t, "GET", "https://localhost/path")))
	str, err := server.AcceptStream(within(t))
	check(t, err)
	_, err = str.Write([]byte{0, 1, 'x'}) // DATA before HEADERS
	check(t, err)
	want := &http3.Error{ErrorCode: http3.ErrCodeFrameUnexpected}
	if _, err := s.ReadResponse(); !errors.Is(err, want) {
		t.Errorf("ReadResponse returned %v", err)
	}
	<-client.Context().Done()
	if err := context.Cause(client.Context()); !errors.Is(err, &quic.ApplicationError{ErrorCode: quic.ApplicationErrorCode(want.ErrorCode)}) {
		t.Errorf("the client ended with %v", err)
	}
	<-server.Context().Done()
	if err := context.Cause(server.Context()); !errors.Is(err, &quic.ApplicationError{Remote: true, ErrorCode: quic.ApplicationErrorCode(want.ErrorCode)}) {
		t.Errorf("the server ended with %v", err)
	}
}

// TestConnectWithoutBody checks that a request of CONNECT without a body ends, as with net/http.
func TestConnectWithoutBody(t *testing.T) {
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); len(b) > 0 || err != nil {
			t.Errorf("the body is %q, %v", b, err)
		}
		w.WriteHeader(http.StatusTeapot)
	})})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	r := request(t, http.MethodConnect, "https://"+addr)
	r.Host = "example.com:443"
	resp, err := tr.RoundTrip(r)
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusTeapot {
		t.Errorf("the status is %d", resp.StatusCode)
	}
}

// TestDeadlineError: the error of a deadline has the text of quic-go, and is one of the net package.
func TestDeadlineError(t *testing.T) {
	_, client := connect(t)
	defer client.CloseWithError(0, "")
	s, err := new(http3.Transport).NewClientConn(client).OpenRequestStream(within(t))
	check(t, err)
	check(t, s.SendRequestHeader(request(t, "POST", "https://localhost/path")))
	check(t, s.SetDeadline(time.Now().Add(-time.Second)))
	_, err = s.Write([]byte("x"))
	timeout, ok := errors.AsType[net.Error](err)
	if !ok || !timeout.Timeout() || err.Error() != "deadline exceeded" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write returned %v", err)
	}
}
