package h3http

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// RFC 9114, Section 4.2.1 [1]; RFC 9114, Section 4.3.1 [4].
func TestNewRequest(t *testing.T) {
	pseudo := func(method, path string, more ...h3.Field) []h3.Field {
		return append([]h3.Field{
			{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"},
			{Name: ":authority", Value: "example.com:4433"}, {Name: ":path", Value: path},
		}, more...)
	}
	newRequest := func(fields []h3.Field) (http.Request, error) { return newRequest(fields, new(requestMemory)) }
	r, err := newRequest(pseudo("POST", "/a%20b?c=d",
		h3.Field{Name: "cookie", Value: "a=1"}, h3.Field{Name: "x", Value: "1"}, h3.Field{Name: "cookie", Value: "b=2"},
		h3.Field{Name: "x", Value: "2"}, h3.Field{Name: "content-length", Value: "5"}, h3.Field{Name: "content-length", Value: "5"},
		h3.Field{Name: "trailer", Value: "sum, X-Y, host"}, h3.Field{Name: "expect", Value: "100-continue"}))
	require.NoError(t, err)
	require.Equal(t, "POST", r.Method)
	require.Equal(t, &url.URL{Path: "/a b", RawPath: "", RawQuery: "c=d"}, r.URL)
	require.Equal(t, "/a%20b?c=d", r.RequestURI)
	require.Equal(t, "example.com:4433", r.Host)
	require.Equal(t, int64(5), r.ContentLength)
	require.Equal(t, http.Header{"Sum": nil, "X-Y": nil}, r.Trailer)
	require.True(t, takeExpect(r.Header))
	require.False(t, takeExpect(r.Header))
	require.Equal(t, http.Header{"Cookie": {"a=1; b=2"}, "X": {"1", "2"}, "Content-Length": {"5"}}, r.Header)

	r, err = newRequest(pseudo("OPTIONS", "*"))
	require.NoError(t, err)
	require.Equal(t, "*", r.URL.Path)
	require.Equal(t, int64(-1), r.ContentLength)

	r, err = newRequest([]h3.Field{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"},
		{Name: ":path", Value: "//x"}, {Name: "host", Value: "h"}})
	require.NoError(t, err)
	require.Equal(t, "h", r.Host)
	require.Empty(t, r.Header)
	require.Equal(t, "//x", r.URL.Path)

	r, err = newRequest([]h3.Field{{Name: ":method", Value: "CONNECT"}, {Name: ":authority", Value: "a:1"}})
	require.NoError(t, err)
	require.Equal(t, "a:1", r.Host)
	require.Equal(t, "a:1", r.RequestURI)
	require.Equal(t, "a:1", r.URL.Host)

	r, err = newRequest(pseudo("CONNECT", "/chat", h3.Field{Name: ":protocol", Value: "websocket"}))
	require.NoError(t, err)
	require.Equal(t, "websocket", r.Header.Get(":protocol"))
	require.Equal(t, "/chat", r.URL.Path)

	for _, bad := range [][]h3.Field{
		pseudo("GET", ""), pseudo("GET", "/%zz"), pseudo("GET", "x"),
		{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: "/"}, {Name: ":authority", Value: "a b"}},
	} {
		_, err := newRequest(bad)
		require.Error(t, err, "%v", bad)
	}
}

// RFC 9114, Section 4.2 [1, 6].
func TestAppendHeader(t *testing.T) {
	got := appendHeader(nil, http.Header{
		"B":             {"2", "3"},
		"A-Long-Name":   {"1"},
		"Connection":    {"close"},
		"Te":            {"trailers", "gzip"},
		"Authorization": {"secret"},
		"Skipped":       {"x"},
		"Bad Name":      {"x"},
		"Bad":           {"a\rb", "good"},
	}, func(key, _ string) bool { return key == "Skipped" })
	require.Equal(t, []h3.Field{
		{Name: "a-long-name", Value: "1"},
		{Name: "authorization", Value: "secret", Sensitive: true},
		{Name: "b", Value: "2"}, {Name: "b", Value: "3"},
		{Name: "bad", Value: "good"},
		{Name: "te", Value: "trailers"},
	}, got)
}

// TestFieldNames: names change their case as package net/http would change it, common ones too.
func TestFieldNames(t *testing.T) {
	source, err := os.ReadFile("field_names.go")
	require.NoError(t, err)
	names := []string{"X-Other", "A", "Te"}
	for _, m := range regexp.MustCompile(`"([^"]*)"`).FindAllSubmatch(source, -1) {
		names = append(names, string(m[1]))
	}
	require.Greater(t, len(names), 50)
	for _, name := range names {
		key := http.CanonicalHeaderKey(name)
		require.Equal(t, strings.ToLower(name), lowerName(key))
		require.Equal(t, key, canonicalName(strings.ToLower(name)))
	}
}

// TestParsePath: a path means what it means to package net/url.
func TestParsePath(t *testing.T) {
	paths := []string{"", "*", "/a/b-c_d.e~f", "/A0?", "/a??", "http://a/b", "/%41%zz", "/a:b;c+d!"}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	const bytes = "//??aZ0-._~%2f #:;+*!\x01\x7f\x80"
	for range 50_000 {
		b := []byte("/")
		for range r.IntN(8) {
			b = append(b, bytes[r.IntN(len(bytes))])
		}
		paths = append(paths, string(b[r.IntN(2):]))
	}
	for _, path := range paths {
		want, wantErr := url.ParseRequestURI(path)
		var got url.URL
		err := parsePath(path, &got)
		if wantErr != nil {
			require.EqualError(t, err, wantErr.Error())
		} else if err != nil || got != *want {
			t.Fatalf("%q: %+v, %v; want %+v", path, got, err, *want)
		}
	}
}

// TestRequestInHandler checks what a handler sees of a request.
func TestRequestInHandler(t *testing.T) {
	type key struct{}
	var calls atomic.Int64
	seen := make(chan *http.Request, 1)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen <- r }), func(p *pair) {
		p.srv.ConnContext = func(ctx context.Context, c *loop.Conn) context.Context {
			calls.Add(1)
			return context.WithValue(ctx, key{}, c)
		}
	})
	for range 2 {
		resp, _ := p.get("/x")
		got := <-seen
		client := ConnOf(resp.Request)
		require.Equal(t, "GET", got.Method)
		require.Equal(t, "HTTP/3.0", got.Proto)
		require.Equal(t, 3, got.ProtoMajor)
		require.Equal(t, strings.TrimPrefix(p.url, "https://"), got.Host)
		require.True(t, got.TLS.HandshakeComplete)
		require.Equal(t, "h3", got.TLS.NegotiatedProtocol)
		require.Equal(t, http.NoBody, got.Body)
		require.Equal(t, int64(0), got.ContentLength)
		require.Equal(t, userAgent, got.UserAgent())

		ctx := got.Context()
		require.Equal(t, ConnOf(got), ctx.Value(key{}))
		require.Equal(t, client.ID(), ConnOf(got).ID())
		_, ok := ctx.Value(http.ServerContextKey).(*http.Server)
		require.True(t, ok)
		require.Equal(t, got.Host, ctx.Value(http.LocalAddrContextKey).(net.Addr).String())
		_, port, err := net.SplitHostPort(got.RemoteAddr)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(client.LocalAddr().Port()), port)
	}
	require.EqualValues(t, 1, calls.Load(), "ConnContext is called once for a connection")
	require.Nil(t, ConnOf(&http.Request{}))
}

func TestRequestBody(t *testing.T) {
	type seen struct {
		length  int64
		body    string
		err     error
		trailer http.Header
		again   error
	}
	got := make(chan seen, 1)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := seen{length: r.ContentLength}
		before := r.Trailer.Clone()
		b, err := io.ReadAll(r.Body)
		s.body, s.err, s.trailer = string(b), err, r.Trailer
		if before != nil && before["A"] != nil {
			panic("trailer before the end")
		}
		r.Body.Close()
		_, s.again = r.Body.Read(b)
		got <- s
	}))
	_, _ = p.do(p.request("POST", "/", strings.NewReader("known")))
	require.Equal(t, seen{length: 5, body: "known", trailer: http.Header{}, again: http.ErrBodyReadAfterClose}, <-got)

	r := p.request("PUT", "/", io.MultiReader(strings.NewReader("unknown")))
	r.Trailer = http.Header{"A": {"1"}, "B": nil}
	p.do(r)
	require.Equal(t, seen{length: -1, body: "unknown", trailer: http.Header{"A": {"1"}, "B": nil}, again: http.ErrBodyReadAfterClose}, <-got)

	// Trailers that no field has announced, some of them beside one that was announced.
	for _, announced := range []http.Header{nil, {"A": {"1"}}} {
		r = p.request("PUT", "/", nil)
		r.Trailer = announced
		r.Body = io.NopCloser(readerFunc(func([]byte) (int, error) {
			r.Trailer = http.Header{"A": {"1"}, "Late": {"x", "y"}}
			return 0, io.EOF
		}))
		resp, err := p.tr.RoundTrip(r) // the Client would take a copy of r
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, seen{length: -1, trailer: http.Header{"A": {"1"}, "Late": {"x", "y"}}, again: http.ErrBodyReadAfterClose}, <-got)
	}

	p.do(p.request("POST", "/", nil))
	require.Equal(t, int64(0), (<-got).length)
}

// TestUnreadBody: a handler need not read a body, whatever its size. The stream comes back
// nevertheless.
func TestUnreadBody(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "no, thanks")
	}))
	for i := range 150 { // more than the limit of streams
		r := p.request("POST", "/", newPattern(1, 5<<20))
		resp, err := p.c.Do(r)
		require.NoError(t, err, i)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err, i)
		require.Equal(t, "no, thanks", string(b))
		resp.Body.Close()
	}
}

func TestExpectContinue(t *testing.T) {
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/want": func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			fmt.Fprint(w, string(b), err, r.Header["Expect"])
		},
		"/refuse": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		},
	}), func(p *pair) { p.tr.ExpectContinueTimeout = time.Hour }) // or the body goes without a 100
	r := p.request("POST", "/want", strings.NewReader("body"))
	r.Header.Set("Expect", "100-continue")
	_, body := p.do(r)
	require.Equal(t, "body<nil> []", body)
	r = p.request("POST", "/want", nil)
	r.Header.Set("Expect", "100-continue")
	_, body = p.do(r)
	require.Equal(t, "<nil> []", body, "there is nothing to wait for")

	for range 150 {
		read := false
		r := p.request("POST", "/refuse", readerFunc(func([]byte) (int, error) {
			read = true
			return 0, io.EOF
		}))
		r.Header.Set("Expect", "100-continue")
		resp, _ := p.do(r)
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		require.False(t, read, "a body that was refused must not be read")
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestOptionsAsterisk(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { panic("not for handlers") }))
	r := p.request("OPTIONS", "/", nil)
	r.URL = &url.URL{Scheme: "https", Host: r.URL.Host, Opaque: "*"}
	resp, _ := p.do(r)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, int64(0), resp.ContentLength)
}
