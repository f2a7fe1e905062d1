package h3http

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/url"
	"runtime"
	"slices"
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

func TestGzip(t *testing.T) {
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	io.WriteString(zw, "hello, gzip")
	zw.Close()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Accepted", r.Header.Get("Accept-Encoding"))
		switch {
		case r.URL.Path == "/broken":
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "this is certainly not gzip")
		case r.URL.Path == "/empty":
			w.Header().Set("Content-Encoding", "gzip")
		case r.Header.Get("Accept-Encoding") == "gzip":
			w.Header().Set("Trailer", "T")
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(zipped.Bytes())
			w.Header().Set("T", "trailer")
		default:
			io.WriteString(w, "hello, plain")
		}
	})
	p := newPair(t, h)
	resp, body := p.get("/")
	require.Equal(t, "hello, gzip", body)
	require.True(t, resp.Uncompressed)
	require.Empty(t, resp.Header.Get("Content-Encoding"))
	require.Equal(t, int64(-1), resp.ContentLength)
	require.Equal(t, "trailer", resp.Trailer.Get("T"))

	resp, err := p.c.Get(p.url)
	require.NoError(t, err)
	_, err = resp.Body.Read(make([]byte, 5))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	_, err = resp.Body.Read(make([]byte, 5)) // which gzip has unpacked already
	require.ErrorIs(t, err, http.ErrBodyReadAfterClose)

	r := p.request("GET", "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	resp, body = p.do(r)
	require.Equal(t, zipped.String(), body)
	require.False(t, resp.Uncompressed)

	r = p.request("GET", "/", nil)
	r.Header.Set("Range", "bytes=0-")
	resp, body = p.do(r)
	require.Equal(t, "hello, plain", body)
	require.Empty(t, resp.Header.Get("X-Accepted"))

	resp, body = p.get("/empty")
	require.Empty(t, body)
	require.False(t, resp.Uncompressed)
	resp, err = p.c.Do(p.request("GET", "/broken", nil))
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, gzip.ErrHeader)

	p = newPair(t, h, func(p *pair) { p.tr.DisableCompression = true })
	_, body = p.get("/")
	require.Equal(t, "hello, plain", body)
}

func TestRequestMistakes(t *testing.T) {
	tr := new(Transport)
	defer tr.Close()
	closed := 0
	for want, change := range map[string]func(r *http.Request){
		"nil Request.URL":            func(r *http.Request) { r.URL = nil },
		"nil Request.Header":         func(r *http.Request) { r.Header = nil },
		`scheme "http"`:              func(r *http.Request) { r.URL.Scheme = "http" },
		"no Host":                    func(r *http.Request) { r.URL.Host = "" },
		"invalid method":             func(r *http.Request) { r.Method = "GE T" },
		"invalid header field name":  func(r *http.Request) { r.Header["a b"] = []string{"x"} },
		"invalid header field value": func(r *http.Request) { r.Header["A"] = []string{"x\ny"} },
		`Upgrade "websocket"`:        func(r *http.Request) { r.Header.Set("Upgrade", "websocket") },
		"Transfer-Encoding":          func(r *http.Request) { r.Header.Set("Transfer-Encoding", "gzip") },
		"invalid host":               func(r *http.Request) { r.Host = "a b" },
		"for CONNECT":                func(r *http.Request) { r.Header[":protocol"] = []string{"x"} },
		"invalid trailer field name": func(r *http.Request) { r.Trailer = http.Header{"Content-Length": nil} },
		"invalid request path":       func(r *http.Request) { r.URL.Opaque = "x" },
		"QUICConfig.TLS must be nil": func(r *http.Request) { tr.QUICConfig = &conn.Config{TLS: clientConfig()} },
	} {
		r, err := http.NewRequest("GET", "https://127.0.0.1:1/x", closeFunc(func() { closed++ }))
		require.NoError(t, err)
		change(r)
		_, err = tr.RoundTrip(r)
		require.ErrorContains(t, err, want)
		tr.QUICConfig = nil
	}
	require.Equal(t, 14, closed, "bodies are closed whatever happens")
	_, _, err := tr.Connect(&http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: "x"}, Header: http.Header{}})
	require.ErrorContains(t, err, "CONNECT")
}

// A closeFunc is an empty body. Close calls the function.
type closeFunc func()

func (f closeFunc) Read([]byte) (int, error) { return 0, io.EOF }
func (f closeFunc) Close() error             { f(); return nil }

func TestRequestBodyErrors(t *testing.T) {
	started, got := make(chan bool, 1), make(chan error, 9)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started <- true
		if r.URL.Path == "/early" {
			w.(http.Flusher).Flush()
		}
		_, err := io.ReadAll(r.Body)
		got <- err
	}))
	broken := errors.New("disk on fire")
	pr, pw := io.Pipe()
	go func() {
		<-started
		pw.CloseWithError(broken)
	}()
	_, err := p.c.Do(p.request("POST", "/", pr))
	require.ErrorIs(t, err, broken)
	requireStreamError(t, <-got, h3.RequestCancelled)

	pr, pw = io.Pipe()
	resp, err := p.c.Do(p.request("POST", "/early", pr))
	require.NoError(t, err)
	pw.CloseWithError(broken)
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, broken)
	requireStreamError(t, <-got, h3.RequestCancelled)

	// Only io.EOF itself is the end. Half of a body from a broken backend is not a whole body.
	<-started
	half := fmt.Errorf("backend: %w", io.EOF)
	pr, pw = io.Pipe()
	go func() {
		io.WriteString(pw, "half")
		<-started
		pw.CloseWithError(half)
	}()
	_, err = p.c.Do(p.request("POST", "/", pr))
	require.ErrorIs(t, err, half)
	requireStreamError(t, <-got, h3.RequestCancelled)

	for _, length := range []int64{3, 7} {
		r := p.request("POST", "/", io.MultiReader(strings.NewReader("12345")))
		r.ContentLength = length
		_, err = p.c.Do(r)
		require.ErrorIs(t, err, errLength)
	}
}

// TestCancelPhases cancels a request in each of its phases.
func TestCancelPhases(t *testing.T) {
	started, ended := make(chan bool, 1), make(chan bool, 1)
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/silent": func(w http.ResponseWriter, r *http.Request) {
			started <- true
			<-r.Context().Done()
			ended <- true
		},
		"/upload": func(w http.ResponseWriter, r *http.Request) {
			started <- true
			io.Copy(io.Discard, r.Body)
			ended <- true
		},
		"/body": func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			started <- true
			<-r.Context().Done()
			ended <- true
		},
		"/ok": func(w http.ResponseWriter, r *http.Request) {},
	}))
	why := errors.New("changed my mind")
	do := func(method, path string, body io.Reader) (*http.Response, error) {
		ctx, cancel := context.WithCancelCause(context.Background())
		resp := make(chan *http.Response, 1)
		go func() {
			<-started
			if path == "/body" {
				resp <- <-resp // the test has the response
			}
			cancel(why)
		}()
		got, err := p.tr.RoundTrip(p.request(method, path, body).WithContext(ctx))
		resp <- got
		return got, err
	}
	_, err := do("GET", "/silent", nil)
	require.ErrorIs(t, err, why)
	<-ended
	pr, pw := io.Pipe()
	_, err = do("POST", "/upload", pr)
	require.ErrorIs(t, err, why)
	<-ended
	for err = nil; err == nil; { // a Read may have been under way
		_, err = pw.Write([]byte("x"))
	}
	require.ErrorIs(t, err, io.ErrClosedPipe, "the body must be closed")
	resp, err := do("GET", "/body", nil)
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, why)
	<-ended

	// Closing the body cancels, too.
	resp, err = p.c.Do(p.request("GET", "/body", nil))
	require.NoError(t, err)
	<-started
	resp.Body.Close()
	<-ended
	_, err = resp.Body.Read(make([]byte, 1))
	require.ErrorIs(t, err, http.ErrBodyReadAfterClose)

	// Before anything is sent.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = p.c.Do(p.request("GET", "/ok", nil).WithContext(ctx))
	require.ErrorIs(t, err, context.Canceled)
	last, _ := p.get("/ok")
	require.Equal(t, ConnOf(resp.Request), ConnOf(last.Request), "cancellation must not cost the connection")
}

// TestWaitForStream: there are more requests than the server takes at once.
func TestWaitForStream(t *testing.T) {
	goOn := make(chan bool)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-goOn
	}), func(p *pair) {
		p.srv.QUICConfig = &conn.Config{InitialMaxStreamsBidi: 2}
		p.tr.MaxConnsPerHost = 1
	})
	var open []*http.Response
	for range 2 {
		resp, err := p.c.Do(p.request("GET", "/", nil))
		require.NoError(t, err)
		open = append(open, resp)
	}
	// One request gives up waiting. Three wait until others end.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	_, err := p.c.Do(p.request("GET", "/", nil).WithContext(ctx))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	results := make(chan error)
	for range 3 {
		go func() {
			resp, err := p.c.Get(p.url)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			results <- err
		}()
	}
	close(goOn)
	for range 3 {
		require.NoError(t, <-results)
	}
	for _, resp := range open {
		_, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
	}
}

// TestWaitersMoveOn: a connection ends while requests wait for a stream on it. No server has seen
// these requests. So they move to the next connection, whatever their method.
func TestWaitersMoveOn(t *testing.T) {
	var calls atomic.Int64
	crash := make(chan bool)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			<-crash
			ConnOf(r).Close(uint64(h3.InternalError), "crash")
			return
		}
		io.Copy(w, r.Body)
	}), func(p *pair) { p.srv.QUICConfig = &conn.Config{InitialMaxStreamsBidi: 1} })
	results := make(chan error)
	send := func() {
		resp, err := p.c.Post(p.url, "", io.MultiReader(strings.NewReader("body")))
		if err == nil {
			var b []byte
			if b, err = io.ReadAll(resp.Body); string(b) != "body" {
				err = fmt.Errorf("got %q: %w", b, err)
			}
		}
		results <- err
	}
	go send()
	for calls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 5 {
		go send()
	}
	for p.tr.inProgress() < 6 {
		time.Sleep(time.Millisecond)
	}
	crash <- true
	failed := 0
	for range 6 {
		if err := <-results; err != nil {
			require.ErrorContains(t, err, "crash")
			failed++
		}
	}
	require.Equal(t, 1, failed, "the one that the server had seen")
	require.EqualValues(t, 6, calls.Load())
}

// inProgress returns how many requests have a connection.
func (t *Transport) inProgress() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		c.mu.Lock()
		n += c.requests
		c.mu.Unlock()
	}
	return n
}

// TestAddressedConn checks the value that GotConn shows instead of a net.Conn.
func TestAddressedConn(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	resp, _ := p.get("/")
	handle := ConnOf(resp.Request)
	c := net.Conn(newAddressedConn(handle))
	require.Equal(t, handle.LocalAddr().String(), c.LocalAddr().String())
	require.Equal(t, "https://"+c.RemoteAddr().String(), p.url)
	_, err := c.Read(nil)
	_, werr := c.Write(nil)
	for _, err := range []error{err, werr, c.Close(), c.SetDeadline(time.Time{}), c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})} {
		require.Equal(t, errNoStream, err)
	}
}

// countDials makes the Transport of a pair count its dials. If hold is not nil, each dial takes two
// values from it before it goes on.
func countDials(dials *int, hold <-chan bool) func(p *pair) {
	return func(p *pair) {
		var g *loop.Group
		var mu sync.Mutex
		p.tr.Dial = func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			*dials++
			if g == nil {
				var err error
				if g, err = loop.Listen("udp", "127.0.0.1:0", 1, nil); err != nil {
					return nil, err
				}
				p.t.Cleanup(func() { g.Close() })
			}
			if hold != nil {
				<-hold
				<-hold
			}
			return g.Dial(ctx, addr, cfg)
		}
	}
}

// TestDialsCoalesce: many requests wait for one dial. The request that started it has given up.
func TestDialsCoalesce(t *testing.T) {
	var dials int
	hold := make(chan bool)
	p := newPair(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), countDials(&dials, hold))
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan error, 1)
	go func() {
		r, _ := http.NewRequestWithContext(ctx, "GET", p.url, nil)
		_, err := p.c.Do(r)
		first <- err
	}()
	hold <- true // the dial has begun
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	var wg sync.WaitGroup
	go func() { hold <- true }() // the dial goes on
	for range 20 {
		wg.Go(func() {
			resp, err := p.c.Get(p.url)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
		})
	}
	wg.Wait()
	require.Equal(t, 1, dials)
	close(hold)
	p.closeIdle()
	p.get("/")
	require.Equal(t, 2, dials)
}

// TestRepeat: the connection of a request ends before there is an answer.
func TestRepeat(t *testing.T) {
	var dials int
	var calls atomic.Int64
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		if n == 2 {
			ConnOf(r).Close(uint64(h3.InternalError), "crash")
			<-r.Context().Done()
			return
		}
		b, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, n, string(b))
	}), countDials(&dials, nil))
	for _, test := range []struct {
		method, key string
		body        io.Reader
		ok          bool
	}{
		{"GET", "", nil, true},
		{"POST", "", nil, false},
		{"POST", "k", strings.NewReader("body"), true},
		{"POST", "k", io.MultiReader(strings.NewReader("body")), false},
	} {
		p.closeIdle()
		calls.Store(0)
		dials = 0
		_, body := p.get("/")
		require.Equal(t, "1", body)
		r := p.request(test.method, "/", test.body)
		if test.key != "" {
			r.Header.Set("Idempotency-Key", test.key)
		}
		resp, err := p.c.Do(r)
		if !test.ok {
			_, is := errors.AsType[*conn.ApplicationError](err)
			require.True(t, is, "%v", err)
			require.EqualValues(t, 2, calls.Load())
			continue
		}
		require.NoError(t, err)
		b, _ := io.ReadAll(resp.Body)
		want := "3"
		if test.body != nil {
			want = "3body"
		}
		require.Equal(t, want, string(b))
		require.Equal(t, 2, dials)
	}

	// The answer of a new connection counts.
	p.closeIdle()
	calls.Store(1)
	_, err := p.c.Do(p.request("GET", "/", nil))
	require.Error(t, err)
	require.EqualValues(t, 2, calls.Load())
}

func TestTransportClose(t *testing.T) {
	before := runtime.NumGoroutine()
	started := make(chan bool, 1)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started <- true
		<-r.Context().Done()
	}))
	p.tr.CloseIdleConnections()
	result := make(chan error, 1)
	go func() {
		_, err := p.c.Get(p.url)
		result <- err
	}()
	<-started
	p.tr.CloseIdleConnections() // this leaves a busy connection alone
	select {
	case err := <-result:
		t.Fatal(err)
	case <-time.After(20 * time.Millisecond):
	}
	require.NoError(t, p.tr.Close())
	require.Error(t, <-result)
	require.NoError(t, p.tr.Close())
	_, err := p.c.Get(p.url)
	require.ErrorIs(t, err, net.ErrClosed)
	require.NoError(t, p.srv.Close())
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i == 6000 {
			buf := make([]byte, 1<<20)
			t.Fatalf("goroutines are left:\n%s", buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestTrace(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	var mu sync.Mutex
	var got []string
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, s)
	}
	trace := &httptrace.ClientTrace{
		GetConn: func(addr string) { note("get " + addr) },
		GotConn: func(info httptrace.GotConnInfo) {
			note(fmt.Sprintf("got %v %v", info.Conn.RemoteAddr(), info.Reused))
		},
		WroteHeaderField: func(key string, values []string) {
			if key == "x-test" {
				note(key + values[0])
			}
		},
		WroteHeaders:         func() { note("headers") },
		WroteRequest:         func(info httptrace.WroteRequestInfo) { note(fmt.Sprint("request ", info.Err)) },
		GotFirstResponseByte: func() { note("first byte") },
	}
	addr := strings.TrimPrefix(p.url, "https://")
	for _, reused := range []string{"false", "true"} {
		got = nil
		r := p.request("POST", "/", strings.NewReader("x"))
		r.Header.Set("X-Test", "1")
		p.do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
		sent := func() int { return slices.Index(got, "request <nil>") }
		require.Eventually(t, func() bool { // the response may overtake it
			mu.Lock()
			defer mu.Unlock()
			return sent() >= 0
		}, time.Minute, time.Millisecond)
		mu.Lock()
		got = slices.Delete(got, sent(), sent()+1)
		require.Equal(t, []string{"get " + addr, "got " + addr + " " + reused, "x-test1", "headers", "first byte"}, got)
		mu.Unlock()
	}
}

// TestHTTPClient checks that other parts of net/http work with a Transport.
func TestHTTPClient(t *testing.T) {
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/start": func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "c", Value: "1", Path: "/"})
			http.Redirect(w, r, "/end", http.StatusTemporaryRedirect)
		},
		"/end": func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			fmt.Fprint(w, r.Method, " ", string(b), " ", r.Header.Get("Cookie"))
		},
		"/slow": func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	}))
	p.c.Jar, _ = cookiejar.New(nil)
	resp, body := p.do(p.request("POST", "/start", strings.NewReader("body")))
	require.Equal(t, "POST body c=1", body)
	require.Equal(t, "/end", resp.Request.URL.Path)
	p.c.Timeout = 30 * time.Millisecond
	_, err := p.c.Get(p.url + "/slow")
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
}

// TestHeaderLimits: each side sends more than the other takes.
func TestHeaderLimits(t *testing.T) {
	var calls atomic.Int64
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if r.URL.Path == "/trailer" {
			w.Header().Set(http.TrailerPrefix+"Large", strings.Repeat("x", 5000))
		} else if r.URL.Path != "/" {
			w.Header().Set("Large", strings.Repeat("x", 5000))
		}
		if r.URL.Path == "/hint" {
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Large")
		}
	}), func(p *pair) {
		p.tr.MaxResponseHeaderBytes = 4096
		p.srv.MaxHeaderBytes = 4096
	})
	p.get("/") // both know the limits now
	_, err := p.c.Do(p.request("GET", "/large", nil))
	requireStreamError(t, err, h3.InternalError)
	const logged = "header or trailers larger than the client takes"
	require.Equal(t, 1, strings.Count(p.log.String(), logged))
	resp, _ := p.get("/hint") // the client can do without the hint
	require.Equal(t, http.StatusOK, resp.StatusCode)
	resp, err = p.c.Do(p.request("GET", "/trailer", nil))
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	requireStreamError(t, err, h3.InternalError)
	require.Equal(t, 2, strings.Count(p.log.String(), logged))
	calls.Store(0)
	r := p.request("GET", "/", nil)
	r.Header.Set("Large", strings.Repeat("x", 5000))
	_, err = p.c.Do(r)
	require.ErrorIs(t, err, h3.ErrFieldsTooLarge)
	require.Zero(t, calls.Load())
	p.get("/") // the connection lives
}

// TestKeysInLowerCase checks that fields of which there is one do not come twice if a program has
// written their keys into the maps by itself, and not in the form that http.Header has them in.
func TestKeysInLowerCase(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		w.Header()["content-length"] = []string{"5"}
		w.Header()["content-type"] = []string{"a/b"}
		w.Header()["date"] = []string{"today"}
		fmt.Fprint(w, r.Host == r.Header.Get("Expected"), r.Header["User-Agent"], r.Header["Content-Length"], string(b), err)
	}))
	r := p.request("POST", "/", strings.NewReader("body"))
	r.Header.Set("Expected", r.URL.Host)
	r.Header["host"] = []string{"other"}
	r.Header["content-length"] = []string{"7"}
	r.Header["user-agent"] = []string{"me", "you"}
	resp, body := p.do(r)
	require.Equal(t, "true [me] [4]body<nil>", body)
	require.Equal(t, []string{fmt.Sprint(len(body))}, resp.Header["Content-Length"])
	require.Equal(t, []string{"a/b"}, resp.Header["Content-Type"])
	require.Equal(t, []string{"today"}, resp.Header["Date"])
}

// TestFieldsThatNoTrailerMayHave checks that they are not sent, also if a body sets them last.
func TestFieldsThatNoTrailerMayHave(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, string(b), " ", err, r.Trailer)
	}))
	r := p.request("POST", "/", nil)
	r.ContentLength = -1
	r.Trailer = http.Header{"A": nil}
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("body"), readerFunc(func([]byte) (int, error) {
		r.Trailer["A"] = []string{"1"}
		r.Trailer["Content-Length"] = []string{"4", "5"}
		return 0, io.EOF
	})))
	_, body := p.do(r)
	require.Equal(t, "body <nil> map[A:[1]]", body)
}
