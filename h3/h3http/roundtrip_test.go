package h3http

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// These tests hold what users of http.Transport rely on: see docs/net-http.md.

var echoMethod = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, r.Method, " ", r.UserAgent(), " ")
	io.Copy(w, r.Body)
})

// TestRequestFields checks the fields that a request has by itself.
// RFC 9114, Section 4.3.1 [3]; RFC 9114, Section 4.3 [5].
func TestRequestFields(t *testing.T) {
	p := newPair(t, echoMethod)
	r := p.request("", "/", nil)
	r.Method = ""
	_, body := p.do(r)
	require.Equal(t, "GET "+userAgent+" ", body)
	r.Header.Set("User-Agent", "own")
	for range 2 { // a request can be sent again
		_, body = p.do(r)
		require.Equal(t, "GET own ", body)
	}
	r.Header.Set("User-Agent", "")
	_, body = p.do(r)
	require.Equal(t, "GET  ", body)

	// Injected lines are refused.
	for _, bad := range []string{"a\nb: c", "a\r\n\r\nGET / HTTP/1.1", "a\x00"} {
		r := p.request("GET", "/", nil)
		r.Header.Set("X", bad)
		_, err := p.c.Do(r)
		require.ErrorContains(t, err, "invalid header field value")
		r = p.request("POST", "/", strings.NewReader("x"))
		r.Trailer = http.Header{"X": {bad}}
		_, err = p.c.Do(r)
		require.ErrorContains(t, err, "invalid trailer field value")
		r = p.request("GET", "/", nil)
		r.Host = bad
		_, err = p.c.Do(r)
		require.Error(t, err)
	}
}

// TestConnectByRoundTrip sends CONNECT with RoundTrip, for a client that does not want the stream.
func TestConnectByRoundTrip(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Got", r.Method+" "+r.Host+" "+r.URL.Host)
	}))
	u, err := url.Parse(p.url)
	require.NoError(t, err)
	for host, want := range map[string]string{"": u.Host, "example.com:123": "example.com:123"} {
		resp, err := p.c.Do(&http.Request{Method: "CONNECT", URL: u, Host: host, Header: http.Header{}})
		require.NoError(t, err)
		require.Equal(t, "CONNECT "+want+" "+want, resp.Header.Get("Got"))
		resp.Body.Close()
	}
}

// TestRequestClose: a request asks to be the last of its connection.
func TestRequestClose(t *testing.T) {
	goOn := make(chan bool)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-goOn
		}
	}))
	slow, err := p.c.Do(p.request("GET", "/slow", nil))
	require.NoError(t, err)
	r := p.request("GET", "/", nil)
	r.Close = true
	resp, _ := p.do(r)
	first := ConnOf(resp.Request)
	require.Equal(t, first, ConnOf(slow.Request))
	resp, _ = p.get("/")
	require.NotEqual(t, first, ConnOf(resp.Request))
	close(goOn) // what was in progress is not disturbed
	_, err = io.ReadAll(slow.Body)
	require.NoError(t, err)
	<-first.Context().Done()
}

// TestGzipOddities: responses say gzip in unusual ways.
func TestGzipOddities(t *testing.T) {
	zip := func(s string) []byte {
		var b bytes.Buffer
		zw := gzip.NewWriter(&b)
		io.WriteString(zw, s)
		zw.Close()
		return b.Bytes()
	}
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gZiP")
		switch r.URL.Path {
		case "/twice": // the client undoes only one coding
			w.Write(zip(string(zip("hello"))))
		case "/short":
			w.Write(zip("hello")[:20])
		default:
			w.Write(zip("hello"))
		}
	}))
	_, body := p.get("/")
	require.Equal(t, "hello", body)
	_, body = p.get("/twice")
	require.Equal(t, string(zip("hello")), body)
	resp, err := p.c.Do(p.request("GET", "/short", nil))
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)

	resp, err = p.c.Do(p.request("GET", "/", nil))
	require.NoError(t, err)
	dump, err := httputil.DumpResponse(resp, true)
	require.NoError(t, err)
	require.Contains(t, string(dump), "hello")
	again, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(again))

	// One who asked for it gets it, of a HEAD not even that is undone.
	r := p.request("HEAD", "/", nil)
	resp, _ = p.do(r)
	require.Equal(t, "gZiP", resp.Header.Get("Content-Encoding"))
	resp.Body.Close()
}

// TestRequestBodyIsClosed: the body is closed once, however the request ends.
func TestRequestBodyIsClosed(t *testing.T) {
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/":      func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) },
		"/early": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
		"/abort": func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		},
	}))
	for _, path := range []string{"/", "/early", "/abort"} {
		closed := make(chan bool, 2)
		body := struct {
			io.Reader
			io.Closer
		}{newPattern(1, 1<<20), closeFunc(func() { closed <- true })}
		resp, err := p.c.Do(p.request("POST", path, body))
		if path == "/abort" {
			require.Error(t, err)
		} else {
			require.NoError(t, err)
			resp.Body.Close()
		}
		<-closed
		require.Empty(t, closed)
	}
}

// TestOneOfManyCanceled cancels a request while others share its connection.
func TestOneOfManyCanceled(t *testing.T) {
	goOn, started := make(chan bool), make(chan bool, 10)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started <- true
		select {
		case <-goOn:
			io.WriteString(w, "ok")
		case <-r.Context().Done():
		}
	}))
	ctx, cancel := context.WithCancel(context.Background())
	canceled := make(chan error, 1)
	go func() {
		_, err := p.c.Do(p.request("GET", "/", nil).WithContext(ctx))
		canceled <- err
	}()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			resp, err := p.c.Get(p.url)
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "ok" {
				t.Errorf("got %q, %v", b, err)
			}
		})
	}
	for range 6 {
		<-started
	}
	cancel()
	require.ErrorIs(t, <-canceled, context.Canceled)
	close(goOn)
	wg.Wait()
}

// TestRequestIsCollected checks that a request that is over does not stay in memory.
func TestRequestIsCollected(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	collected := make(chan bool)
	func() {
		body := bytes.NewReader(make([]byte, 1000))
		runtime.AddCleanup(body, func(bool) { close(collected) }, true)
		resp, err := p.c.Do(p.request("POST", "/", io.MultiReader(body)))
		require.NoError(t, err)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}()
	for {
		runtime.GC()
		select {
		case <-collected:
			return
		case <-t.Context().Done():
			t.Fatal("the body is held")
		case <-time.After(time.Millisecond):
		}
	}
}

// TestNoRetry: a server ends a request after it has read the body. The request must not come again.
// RFC 9114, Section 4.1.1 [9]; RFC 9114, Section 5.4 [1].
func TestNoRetry(t *testing.T) {
	var calls atomic.Int64
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		calls.Add(1)
		if r.URL.Path == "/conn" {
			ConnOf(r).Close(uint64(h3.InternalError), "")
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}))
	for i, path := range []string{"/", "/conn"} {
		_, err := p.c.Do(p.request("POST", path, strings.NewReader("hello")))
		require.Error(t, err)
		require.EqualValues(t, i+1, calls.Load())
	}
}

// TestRegisterProtocol makes an http.Transport use HTTP/3, and only that.
func TestRegisterProtocol(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto)
		<-r.Context().Done()
	}))
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(true)
	tr.RegisterProtocol("https", p.tr)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err := (&http.Client{Transport: tr}).Do(p.request("GET", "/", nil).WithContext(ctx))
	require.ErrorIs(t, err, context.Canceled)
}

// TestIDNA uses a host name that is not ASCII.
// RFC 9114, Section 3.2 [1, 2].
func TestIDNA(t *testing.T) {
	broken := errors.New("nobody")
	var dialed, name string
	tr := &Transport{Dial: func(_ context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
		dialed, name = addr, cfg.TLS.ServerName
		return nil, broken
	}}
	defer tr.Close()
	var handshake error
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { handshake = err },
	})
	r, err := http.NewRequestWithContext(ctx, "GET", "https://Гофер.go/", nil)
	require.NoError(t, err)
	_, err = tr.RoundTrip(r)
	require.ErrorIs(t, err, broken)
	require.Equal(t, "xn--c1ae0ajs.go:443", dialed)
	require.Equal(t, "xn--c1ae0ajs.go", name)
	require.ErrorIs(t, handshake, broken)
	c := newCall(tr, r)
	require.NoError(t, c.prepare())
	require.Contains(t, c.fields, h3.Field{Name: ":authority", Value: "xn--c1ae0ajs.go"})
	host, err := asciiHost("Гофер.go:8443")
	require.NoError(t, err)
	require.Equal(t, "xn--c1ae0ajs.go:8443", host)
	_, err = asciiHost("Гофер go")
	require.Error(t, err)
}

// TestTraceOfDial checks the hooks of httptrace that are called while a connection is made.
func TestTraceOfDial(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var got []string
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		DNSStart:          func(info httptrace.DNSStartInfo) { got = append(got, "DNS "+info.Host) },
		TLSHandshakeStart: func() { got = append(got, "start") },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			got = append(got, fmt.Sprint("done ", state.HandshakeComplete, err))
		},
	})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(p.url, "https://"))
	require.NoError(t, err)
	p.url = "https://localhost:" + port
	r, err := http.NewRequestWithContext(ctx, "GET", p.url, nil)
	require.NoError(t, err)
	p.do(r)
	require.Equal(t, []string{"start", "DNS localhost", "done true <nil>"}, got)

	// A server that the client does not trust.
	got = nil
	tr := new(Transport)
	defer tr.Close()
	_, err = (&http.Client{Transport: tr}).Do(r)
	unknown, ok := errors.AsType[*tls.CertificateVerificationError](err)
	require.True(t, ok, "%v", err)
	require.Len(t, got, 3)
	require.Contains(t, got[2], unknown.Error())
}
