package http3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// How requests, responses, streams and connections end, where quic-go differs from net/http.

// TestContentLength: without a Content-Length the length is unknown, also if there is no body.
func TestContentLength(t *testing.T) {
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.ContentLength)
	})})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	for body, want := range map[io.Reader]string{
		nil: "-1", strings.NewReader("text"): "4", io.MultiReader(strings.NewReader("text")): "-1",
	} {
		r, err := http.NewRequestWithContext(within(t), "GET", "https://"+addr, body)
		check(t, err)
		resp, err := tr.RoundTrip(r)
		check(t, err)
		b, err := io.ReadAll(resp.Body)
		check(t, err)
		if string(b) != want {
			t.Errorf("the length is %s, not %s", b, want)
		}
	}
}

// TestTransportCloseCode: Close ends connections with the code 0.
func TestTransportCloseCode(t *testing.T) {
	conns := make(chan *quic.Conn, 1)
	addr := serve(t, &http3.Server{
		Handler:     http.NotFoundHandler(),
		ConnContext: func(ctx context.Context, c *quic.Conn) context.Context { conns <- c; return ctx },
	})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	resp, err := tr.RoundTrip(request(t, "GET", "https://"+addr))
	check(t, err)
	check(t, resp.Body.Close())
	check(t, tr.Close())
	c := <-conns
	<-c.Context().Done()
	if err := context.Cause(c.Context()); !errors.Is(err, &quic.ApplicationError{Remote: true}) {
		t.Errorf("the connection ended with %v", err)
	}
}

// TestReadAfterEnd: a body that was read to its end, or has failed, goes on to say so after Close.
func TestReadAfterEnd(t *testing.T) {
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "text")
		if r.URL.Path == "/fails" {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	})})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	for path, want := range map[string]error{
		"/": io.EOF, "/fails": &http3.Error{Remote: true, ErrorCode: http3.ErrCodeInternalError},
	} {
		resp, err := tr.RoundTrip(request(t, "GET", "https://"+addr+path))
		check(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		if want != io.EOF && !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
		check(t, resp.Body.Close())
		if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, want) {
			t.Errorf("%s: Read after Close returns %v, not %v", path, err, want)
		}
	}
}

// TestMissingTrailers: a trailer that was announced and does not come is not there at the end.
func TestMissingTrailers(t *testing.T) {
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Comes, Never")
		io.WriteString(w, "text")
		w.Header().Set("Comes", "yes")
	})})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	resp, err := tr.RoundTrip(request(t, "GET", "https://"+addr))
	check(t, err)
	if len(resp.Trailer) != 2 {
		t.Errorf("announced: %v", resp.Trailer)
	}
	_, err = io.ReadAll(resp.Body)
	check(t, err)
	if want := (http.Header{"Comes": {"yes"}}); !maps.EqualFunc(resp.Trailer, want, func(a, b []string) bool { return strings.Join(a, "|") == strings.Join(b, "|") }) {
		t.Errorf("the trailers are %v", resp.Trailer)
	}
}

// TestBodyOfCanceledRequest: its error is that of a request that this side has canceled.
func TestBodyOfCanceledRequest(t *testing.T) {
	gone := make(chan error, 1)
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		_, err := io.Copy(w, neverEnding{})
		gone <- err
	})})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	ctx, cancel := context.WithCancel(within(t))
	resp, err := tr.RoundTrip(request(t, "GET", "https://"+addr).WithContext(ctx))
	check(t, err)
	cancel()
	canceled := http3.Error{ErrorCode: http3.ErrCodeRequestCanceled}
	_, err = io.Copy(io.Discard, resp.Body)
	if !errors.Is(err, &canceled) || !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v", err)
	}
	canceled.Remote = true
	if err := <-gone; !errors.Is(err, &canceled) {
		t.Errorf("Write: %v", err)
	}
}

type neverEnding struct{}

func (neverEnding) Read(b []byte) (int, error) { return len(b), nil }

// TestDatagramsEnd: the datagrams of a request end with the direction that they come by. Those
// before the end come first.
func TestDatagramsEnd(t *testing.T) {
	for name, end := range map[string]func(server *http3.Stream, client *http3.RequestStream) (want error){
		"the client closes": func(server *http3.Stream, client *http3.RequestStream) error {
			check(t, client.Close())
			go server.Read(make([]byte, 1))
			return io.EOF
		},
		"the client resets": func(server *http3.Stream, client *http3.RequestStream) error {
			client.CancelWrite(7)
			go server.Read(make([]byte, 1))
			return &http3.Error{ErrorCode: 7, Remote: true}
		},
		"the server stops reading": func(server *http3.Stream, client *http3.RequestStream) error {
			server.CancelRead(8)
			return &http3.Error{ErrorCode: 8}
		},
	} {
		t.Run(name, func(t *testing.T) {
			taken := make(chan *http3.Stream)
			over := make(chan struct{})
			defer close(over)
			server, conn := connectWithDatagrams(t)
			s := &http3.Server{EnableDatagrams: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusOK)
				str, err := w.(http3.HTTPStreamer).HTTPStream()
				check(t, err)
				taken <- str
				<-over
			})}
			go s.ServeQUICConn(server)
			tr := &http3.Transport{TLSClientConfig: clientTLS, EnableDatagrams: true}
			client, err := tr.NewClientConn(conn).OpenRequestStream(within(t))
			check(t, err)
			r := request(t, http.MethodConnect, "https://localhost/")
			r.Proto = "protocol-with-datagrams"
			check(t, client.SendRequestHeader(r))
			str := <-taken
			check(t, client.SendDatagram([]byte("first")))
			b, err := str.ReceiveDatagram(within(t))
			check(t, err)
			if string(b) != "first" {
				t.Errorf("read %q", b)
			}
			waits := make(chan error, 1)
			go func() {
				_, err := str.ReceiveDatagram(within(t))
				waits <- err
			}()
			want := end(str, client)
			if err := <-waits; !errors.Is(err, want) {
				t.Errorf("ReceiveDatagram returned %v, not %v", err, want)
			}
			if _, err := str.ReceiveDatagram(within(t)); !errors.Is(err, want) {
				t.Errorf("ReceiveDatagram then returned %v, not %v", err, want)
			}
			for range 2 { // from the end of sending on
				<-client.Context().Done()
				if err := client.SendDatagram([]byte("late")); err == nil || !errors.Is(err, context.Cause(client.Context())) {
					t.Errorf("SendDatagram returned %v", err)
				}
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err := client.ReceiveDatagram(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("the other direction: %v", err)
			}
		})
	}
}

// TestLargeDatagram: the error names the size for QUIC, as quic-go's does. Programs subtract the number
// of the stream from it.
func TestLargeDatagram(t *testing.T) {
	server, conn := connectWithDatagrams(t)
	s := &http3.Server{EnableDatagrams: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})}
	go s.ServeQUICConn(server)
	tr := &http3.Transport{TLSClientConfig: clientTLS, EnableDatagrams: true}
	cc := tr.NewClientConn(conn)
	<-cc.ReceivedSettings()
	str, err := cc.OpenRequestStream(within(t))
	check(t, err)
	r := request(t, http.MethodConnect, "https://localhost/")
	r.Proto = "protocol-with-datagrams"
	check(t, str.SendRequestHeader(r))
	most := func(err error) int64 {
		var e *quic.DatagramTooLargeError
		if !errors.As(err, &e) {
			t.Fatalf("SendDatagram returned %v", err)
		}
		return e.MaxDatagramPayloadSize
	}
	of := most(conn.SendDatagram(make([]byte, 3000)))
	if got := most(str.SendDatagram(make([]byte, 3000))); got != of {
		t.Errorf("%d bytes fit into a datagram of a request, and %d into one of QUIC", got, of)
	}
	str.CancelRead(0)
	str.CancelWrite(0)
}

// connectWithDatagrams is connect, with datagrams on both sides.
func connectWithDatagrams(t *testing.T) (server, client *quic.Conn) {
	t.Helper()
	cfg := &quic.Config{EnableDatagrams: true, DisablePathMTUDiscovery: true}
	l, err := quic.ListenAddr("127.0.0.1:0", http3.ConfigureTLSConfig(serverTLS(t)), cfg)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	client, err = quic.DialAddr(within(t), l.Addr().String(), clientTLS, cfg)
	check(t, err)
	server, err = l.Accept(within(t))
	check(t, err)
	t.Cleanup(func() {
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
	})
	return server, client
}

// TestShortResponse: the header and what there is of a response come before the error that says
// that the rest does not.
func TestShortResponse(t *testing.T) {
	s := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "6")
		io.WriteString(w, "foo")
	})}
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	resp, err := tr.RoundTrip(request(t, "GET", "https://"+serve(t, s)))
	check(t, err)
	if b, err := io.ReadAll(resp.Body); string(b) != "foo" || err == nil || resp.ContentLength != 6 {
		t.Errorf("read %q of %d bytes, %v", b, resp.ContentLength, err)
	}
}
