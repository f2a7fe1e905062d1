package http3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// A notedBody notes Close.
type notedBody struct{ closed bool }

func (b *notedBody) Read([]byte) (int, error) { return 0, io.EOF }

func (b *notedBody) Close() error {
	b.closed = true
	return nil
}

// TestInvalidRequests: a Transport says what is wrong with a request, and closes its body.
func TestInvalidRequests(t *testing.T) {
	tr := new(http3.Transport)
	defer tr.Close()
	for want, change := range map[string]func(*http.Request){
		"http3: nil Request.URL":                                  func(r *http.Request) { r.URL = nil },
		"http3: unsupported protocol scheme: http":                func(r *http.Request) { r.URL.Scheme = "http" },
		"http3: no Host in request URL":                           func(r *http.Request) { r.URL.Host = "" },
		"http3: nil Request.Header":                               func(r *http.Request) { r.Header = nil },
		`http3: invalid method "a b"`:                             func(r *http.Request) { r.Method = "a b" },
		`http3: invalid http header field name "a b"`:             func(r *http.Request) { r.Header["a b"] = []string{"x"} },
		`http3: invalid http header field value for key "Secret"`: func(r *http.Request) { r.Header["Secret"] = []string{"\n"} },
		`http3: invalid request :protocol "a b"`: func(r *http.Request) {
			r.Method, r.Proto = http.MethodConnect, "a b"
		},
	} {
		r := request(t, http.MethodPost, "https://lazo.test/")
		b := new(notedBody)
		r.Body = b
		change(r)
		if _, err := tr.RoundTrip(r); err == nil || err.Error() != want || !b.closed {
			t.Errorf("the error is %v, not %s; the body is closed: %v", err, want, b.closed)
		}
	}
}

// TestFieldsLeftOut: fields that are for HTTP/1.1 alone are not sent, and do no harm.
func TestFieldsLeftOut(t *testing.T) {
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Upgrade", "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding"} {
			if r.Header[name] != nil {
				t.Errorf("got %s", name)
			}
		}
	})})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	r := request(t, http.MethodGet, "https://"+addr)
	r.Header = http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Keep-Alive": {"3"}, "Proxy-Connection": {"x"}, "Transfer-Encoding": {"gzip"},
	}
	resp, err := tr.RoundTrip(r)
	check(t, err)
	check(t, resp.Body.Close())
	if len(r.Header) != 5 {
		t.Errorf("the request was changed: %v", r.Header)
	}
}

// TestCauseOfRequest: a request that was canceled returns the error of its context.
func TestCauseOfRequest(t *testing.T) {
	began := make(chan struct{})
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
	})})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	ctx, cancel := context.WithCancelCause(within(t))
	go func() {
		<-began
		cancel(errors.New("why"))
	}()
	if _, err := tr.RoundTrip(request(t, http.MethodGet, "https://"+addr).WithContext(ctx)); err != context.Canceled {
		t.Errorf("the error is %v", err)
	}
}

// TestDeclaredLength: ContentLength is what the header of a response says, even without a body.
func TestDeclaredLength(t *testing.T) {
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/flush":
			w.(http.Flusher).Flush()
		case "/304":
			w.WriteHeader(http.StatusNotModified)
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/length":
			w.Header().Set("Content-Length", "7")
			w.WriteHeader(http.StatusNotModified)
		}
	})})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	for path, want := range map[string]int64{"/": 0, "/flush": -1, "/304": -1, "/204": 0, "/length": 7} {
		resp, err := tr.RoundTrip(request(t, http.MethodGet, "https://"+addr+path))
		check(t, err)
		if b, err := io.ReadAll(resp.Body); len(b) > 0 || err != nil || resp.ContentLength != want {
			t.Errorf("%s: ContentLength is %d, read %q, %v", path, resp.ContentLength, b, err)
		}
	}
}

// TestRequestStreamOrder: calls of a RequestStream have an order, and fail out of it. The stream
// survives that.
func TestRequestStreamOrder(t *testing.T) {
	server, client := connect(t)
	defer client.CloseWithError(0, "")
	s := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })}
	go s.ServeQUICConn(server)
	rs, err := new(http3.Transport).NewClientConn(client).OpenRequestStream(within(t))
	check(t, err)
	fails := func(call string, err error) {
		t.Helper()
		if err == nil || !strings.HasPrefix(err.Error(), "http3: invalid") || !strings.Contains(err.Error(), "RequestStream."+call) {
			t.Errorf("%s returned %v", call, err)
		}
	}
	reading := func() error {
		_, err := rs.Read(make([]byte, 1))
		return err
	}
	_, err = rs.ReadResponse()
	fails("ReadResponse", err)
	fails("Read", reading())
	fails("Write", writing(rs))
	fails("TryWriteAll", rs.TryWriteAll([]byte("x")))
	fails("SendDatagram", noDatagrams(rs.SendDatagram([]byte("x"))))
	r := request(t, http.MethodPost, "https://localhost/")
	r.Body = new(notedBody)
	fails("SendRequestHeader", rs.SendRequestHeader(r))
	r.Body = nil
	check(t, rs.SendRequestHeader(r))
	fails("SendRequestHeader", rs.SendRequestHeader(r))
	fails("Read", reading())
	check(t, rs.TryWriteAll([]byte("text")))
	check(t, rs.Close())
	_, err = rs.ReadResponse()
	check(t, err)
	if b, err := io.ReadAll(rs); string(b) != "text" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
}

// TestNoResponse: a RequestStream whose response does not come has ended, so that it does not count
// any more.
func TestNoResponse(t *testing.T) {
	server, client := connect(t)
	defer client.CloseWithError(0, "")
	s := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		str, err := w.(http3.HTTPStreamer).HTTPStream()
		check(t, err)
		str.CancelWrite(5)
		io.Copy(io.Discard, str)
	})}
	go s.ServeQUICConn(server)
	cc := new(http3.Transport).NewClientConn(client)
	for range 150 { // 100 may be open at a time
		rs, err := cc.OpenRequestStream(within(t))
		check(t, err)
		check(t, rs.SendRequestHeader(request(t, http.MethodGet, "https://localhost/")))
		if _, err := rs.ReadResponse(); !errors.Is(err, &http3.Error{Remote: true, ErrorCode: 5}) {
			t.Fatalf("ReadResponse returned %v", err)
		}
		if writing(rs) == nil {
			t.Fatal("the stream takes writes")
		}
	}
}

// noDatagrams turns the error of a connection without datagrams into one that fails of
// TestRequestStreamOrder takes.
func noDatagrams(err error) error {
	if err != nil && err.Error() == "datagram support disabled" {
		return errors.New("http3: invalid RequestStream.SendDatagram")
	}
	return err
}

// TestDialConfig: what Dial gets.
func TestDialConfig(t *testing.T) {
	stop := errors.New("stop")
	for name, c := range map[string]struct {
		given *quic.Config
		want  quic.Config
		err   error
	}{
		"none":     {nil, quic.Config{MaxIncomingStreams: -1, Versions: []quic.Version{quic.Version1}}, stop},
		"default":  {new(quic.Config), quic.Config{MaxIncomingStreams: -1, Versions: []quic.Version{quic.Version1}}, stop},
		"another":  {&quic.Config{MaxIncomingStreams: 3, Versions: []quic.Version{quic.Version2}}, quic.Config{MaxIncomingStreams: 3, Versions: []quic.Version{quic.Version2}}, stop},
		"versions": {&quic.Config{Versions: quic.SupportedVersions()}, quic.Config{}, nil},
	} {
		dialed := false
		tr := &http3.Transport{QUICConfig: c.given, Dial: func(_ context.Context, addr string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
			dialed = true
			if addr != "lazo.test:443" || tc.ServerName != "lazo.test" || !slices.Equal(tc.NextProtos, []string{"h3"}) {
				t.Errorf("%s: %s, for %s, %v", name, addr, tc.ServerName, tc.NextProtos)
			}
			if qc.MaxIncomingStreams != c.want.MaxIncomingStreams || !slices.Equal(qc.Versions, c.want.Versions) {
				t.Errorf("%s: %d streams, versions %v", name, qc.MaxIncomingStreams, qc.Versions)
			}
			return nil, stop
		}}
		_, err := tr.RoundTrip(request(t, http.MethodGet, "https://lazo.test/"))
		if err == nil || c.err != nil && !errors.Is(err, c.err) || dialed != (c.err != nil) {
			t.Errorf("%s: the error is %v; dialed: %v", name, err, dialed)
		}
		check(t, tr.Close())
	}
}

// TestTraceOfDial: a trace learns of a connection that the default Dial makes.
func TestTraceOfDial(t *testing.T) {
	addr := serve(t, &http3.Server{Handler: http.NotFoundHandler()})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	var got []string
	ctx := httptrace.WithClientTrace(within(t), &httptrace.ClientTrace{
		ConnectStart: func(network, to string) { got = append(got, "start "+network+" "+to) },
		ConnectDone: func(network, to string, err error) {
			check(t, err)
			got = append(got, "done "+network+" "+to)
		},
		GotConn: func(httptrace.GotConnInfo) { got = append(got, "got") },
	})
	for range 2 {
		resp, err := tr.RoundTrip(request(t, http.MethodGet, "https://"+addr).WithContext(ctx))
		check(t, err)
		check(t, resp.Body.Close())
	}
	if want := []string{"start udp " + addr, "done udp " + addr, "got", "got"}; !slices.Equal(got, want) {
		t.Errorf("the trace is %v", got)
	}
}

// TestCloseWhileDialing: Close of a Transport ends requests that wait for a connection.
func TestCloseWhileDialing(t *testing.T) {
	dialing := make(chan struct{})
	tr := &http3.Transport{Dial: func(ctx context.Context, _ string, _ *tls.Config, _ *quic.Config) (*quic.Conn, error) {
		close(dialing)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	failed := make(chan error, 1)
	go func() {
		_, err := tr.RoundTrip(request(t, http.MethodGet, "https://lazo.test/"))
		failed <- err
	}()
	<-dialing
	check(t, tr.Close())
	if err := <-failed; !errors.Is(err, context.Canceled) || !errors.Is(err, http3.ErrTransportClosed) {
		t.Errorf("the error is %v", err)
	}
}

// TestChosenConn: on a connection that the program has chosen, the URL may have any scheme, and no
// host.
func TestChosenConn(t *testing.T) {
	server, client := connect(t)
	defer client.CloseWithError(0, "")
	s := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host+r.RequestURI) })}
	go s.ServeQUICConn(server)
	cc := new(http3.Transport).NewClientConn(client)
	for url, want := range map[string]string{"http://one.test/a?b": "one.test/a?b", "/c": "two.test/c"} {
		r := request(t, http.MethodGet, url)
		if r.Host == "" {
			r.Host = "two.test"
		}
		resp, err := cc.RoundTrip(r)
		check(t, err)
		if b, err := io.ReadAll(resp.Body); string(b) != want || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
	}
}
