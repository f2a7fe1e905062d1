package h3http

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
)

// routes serves each path with a function of its own.
func routes(m map[string]http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	for path, f := range m {
		mux.HandleFunc(path, f)
	}
	return mux
}

func TestResponseHeader(t *testing.T) {
	big := strings.Repeat("x", 10_000)
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/empty":   func(w http.ResponseWriter, r *http.Request) {},
		"/html":    func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>") },
		"/big":     func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, big) },
		"/flushed": func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); io.WriteString(w, "x") },
		"/length": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10000")
			io.WriteString(w, big)
		},
		"/own": func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Date"] = nil
			w.Header()["Content-Type"] = nil
			io.WriteString(w, "x")
		},
		"/encoded": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			io.WriteString(w, "x")
		},
		"/hop": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "keep-alive")
			w.Header().Set("Keep-Alive", "1")
			w.Header().Set("Transfer-Encoding", "chunked")
			w.Header().Set("Bad Name", "x")
			w.Header().Set("Bad-Value", "a\nb")
		},
		"/late": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("A", "1")
			w.WriteHeader(201)
			w.Header().Set("A", "2")
		},
		"/204": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(204)
			if _, err := io.WriteString(w, "x"); err != http.ErrBodyNotAllowed {
				panic(err)
			}
		},
	}))
	for _, test := range []struct {
		path, body, kind string
		length           int64
		date             bool
	}{
		{"/empty", "", "", 0, true},
		{"/html", "<html>", "text/html; charset=utf-8", 6, true},
		{"/big", big, "text/plain; charset=utf-8", -1, true},
		{"/length", big, "text/plain; charset=utf-8", 10_000, true},
		{"/flushed", "x", "", -1, true},
		{"/own", "x", "", 1, false},
		{"/encoded", "x", "", 1, true},
	} {
		resp, body := p.get(test.path)
		require.Equal(t, test.body, body, test.path)
		require.Equal(t, test.kind, resp.Header.Get("Content-Type"), test.path)
		require.Equal(t, test.length, resp.ContentLength, test.path)
		_, err := http.ParseTime(resp.Header.Get("Date"))
		require.Equal(t, test.date, err == nil, test.path)
	}
	resp, _ := p.get("/hop")
	for _, name := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Bad Name", "Bad-Value"} {
		require.Empty(t, resp.Header[name])
	}
	resp, _ = p.get("/late")
	require.Equal(t, 201, resp.StatusCode)
	require.Equal(t, "1", resp.Header.Get("A"))
	resp, body := p.get("/204")
	require.Equal(t, 204, resp.StatusCode)
	require.Equal(t, "204 No Content", resp.Status)
	require.Empty(t, body)
	require.Empty(t, p.log.String())
}

func TestHead(t *testing.T) {
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/short": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "12345") },
		"/long":  func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 100_000)) },
		"/declared": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "77")
			w.(http.Flusher).Flush()
		},
	}))
	for path, length := range map[string]int64{"/short": 5, "/long": 100_000, "/declared": 77} {
		resp, body := p.do(p.request("HEAD", path, nil))
		require.Empty(t, body)
		require.Equal(t, length, resp.ContentLength, path)
	}
}

// TestHeadContentType: the response to HEAD has the same type as the response to GET (RFC 9110,
// Section 9.3.2).
func TestHeadContentType(t *testing.T) {
	page := "<html>" + strings.Repeat("x", 10_000)
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/html":   func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, page) },
		"/pieces": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<h"); io.WriteString(w, "tml>") },
		"/text":   func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "12345") },
		"/png":    func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "\x89PNG\x0D\x0A\x1A\x0A") },
		"/empty":  func(w http.ResponseWriter, r *http.Request) {},
		"/own": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "x/y")
			io.WriteString(w, "<html>")
		},
		"/coded": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			io.WriteString(w, "<html>")
		},
		"/none": func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = nil
			io.WriteString(w, "<html>")
		},
	}))
	for _, path := range []string{"/html", "/pieces", "/text", "/png", "/empty", "/own", "/coded", "/none"} {
		get, _ := p.get(path)
		head, _ := p.do(p.request("HEAD", path, nil))
		require.Equal(t, get.Header["Content-Type"], head.Header["Content-Type"], path)
	}
}

func TestServeContent(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x.txt", time.Unix(1e9, 0), strings.NewReader(content))
	}))
	r := p.request("GET", "/", nil)
	r.Header.Set("Range", "bytes=5-9")
	resp, body := p.do(r)
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	require.Equal(t, "56789", body)
	require.Equal(t, "bytes 5-9/10000", resp.Header.Get("Content-Range"))

	r = p.request("GET", "/", nil)
	r.Header.Set("If-Modified-Since", time.Unix(1e9, 0).UTC().Format(http.TimeFormat))
	resp, body = p.do(r)
	require.Equal(t, http.StatusNotModified, resp.StatusCode)
	require.Empty(t, body)
}

// TestContentLength checks responses that are not as long as they say.
func TestContentLength(t *testing.T) {
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/more": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			n, err := io.WriteString(w, "12345")
			if n != 5 || err != nil {
				panic(err)
			}
			if _, err := io.WriteString(w, "6"); err != http.ErrContentLength {
				panic(err)
			}
		},
		"/less": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "12345")
			w.(http.Flusher).Flush()
		},
		"/wrong": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "-5")
			io.WriteString(w, "12345")
		},
	}))
	_, body := p.get("/more")
	require.Equal(t, "12345", body)
	_, body = p.get("/wrong")
	require.Equal(t, "12345", body)

	resp, err := p.c.Do(p.request("GET", "/less", nil))
	if err == nil {
		_, err = io.ReadAll(resp.Body)
	}
	requireStreamError(t, err, h3.InternalError)
	require.Contains(t, p.log.String(), "shorter than its Content-Length")
}

// requireStreamError checks that err says that the peer ended the stream with code.
func requireStreamError(t *testing.T, err error, code h3.ErrorCode) {
	t.Helper()
	se, ok := errors.AsType[*conn.StreamError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, code, h3.ErrorCode(se.Code))
	require.True(t, se.Remote)
	require.ErrorContains(t, err, code.String())
}

func TestFlush(t *testing.T) {
	goOn := make(chan bool)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				panic(err)
			}
			<-goOn
		}
	}))
	resp, err := p.c.Do(p.request("GET", "/", nil))
	require.NoError(t, err)
	defer resp.Body.Close()
	br := bufio.NewReader(resp.Body)
	for i := range 3 {
		line, err := br.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("data: %d\n", i), line)
		goOn <- true
	}
	_, err = br.ReadByte()
	require.Equal(t, io.EOF, err)
}

func TestResponseTrailers(t *testing.T) {
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "B, a, Content-Length")
			io.WriteString(w, "x")
			w.Header().Set("A", "1")
			w.Header().Set("C", "not a trailer")
			w.Header().Set(http.TrailerPrefix+"D", "4")
			w.Header().Set(http.TrailerPrefix+"Host", "evil")
		},
		"/none": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "A")
			w.Header().Set("A", "1")
		},
	}))
	resp, body := p.get("/body")
	require.Equal(t, "x", body)
	require.Equal(t, http.Header{"A": {"1"}, "B": nil, "D": {"4"}}, resp.Trailer)
	require.Empty(t, resp.Header["A"])
	resp, body = p.get("/none")
	require.Empty(t, body)
	require.Equal(t, http.Header{"A": {"1"}}, resp.Trailer)
}

func TestInformational(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "x")
		w.WriteHeader(103)
		w.WriteHeader(101) // does not exist
		w.Header().Set("Link", "y")
		w.WriteHeader(103)
		w.Header().Del("Link")
		io.WriteString(w, "done")
		w.WriteHeader(500)
	}))
	var got []string
	r := p.request("GET", "/", nil)
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			got = append(got, fmt.Sprint(code, h.Get("Link")))
			return nil
		},
	}))
	resp, body := p.do(r)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "done", body)
	require.Equal(t, []string{"103x", "103y"}, got)
	require.Contains(t, p.log.String(), "superfluous WriteHeader")
	require.Contains(t, p.log.String(), "status 101")

	refused := errors.New("no hints please")
	r = p.request("GET", "/", nil)
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error { return refused },
	}))
	_, err := p.c.Do(r)
	require.ErrorIs(t, err, refused)
}

func TestPanics(t *testing.T) {
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/ok":    func(w http.ResponseWriter, r *http.Request) {},
		"/quiet": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
		"/loud":  func(w http.ResponseWriter, r *http.Request) { panic("oh no") },
		"/half": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic("not half")
		},
		"/code": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(7) },
	}))
	first, _ := p.get("/ok")
	_, err := p.c.Do(p.request("GET", "/quiet", nil))
	requireStreamError(t, err, h3.InternalError)
	require.Empty(t, p.log.String())

	_, err = p.c.Do(p.request("GET", "/loud", nil))
	requireStreamError(t, err, h3.InternalError)
	require.Contains(t, p.log.String(), "oh no")
	require.Contains(t, p.log.String(), "response_test.go") // the stack

	resp, err := p.c.Do(p.request("GET", "/half", nil))
	if err == nil {
		_, err = io.ReadAll(resp.Body)
	}
	requireStreamError(t, err, h3.InternalError)

	_, err = p.c.Do(p.request("GET", "/code", nil))
	require.Error(t, err)
	require.Contains(t, p.log.String(), "invalid WriteHeader code 7")

	last, _ := p.get("/ok")
	require.Equal(t, ConnOf(first.Request), ConnOf(last.Request), "panics must not cost the connection")
}

// TestReadFrom copies from a source that fails at its end.
func TestReadFrom(t *testing.T) {
	broken := errors.New("broken")
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(w, struct{ io.Reader }{newPattern(1, 100_000)})
		if n != 100_000 || err != nil {
			panic(err)
		}
		n, err = io.Copy(w, struct{ io.Reader }{iotest.ErrReader(broken)})
		if n != 0 || err != broken {
			panic(err)
		}
	}))
	_, body := p.get("/")
	require.Len(t, body, 100_000)
}

// TestEarlyClose: a client closes bodies that the server has sent whole, although part of them
// never arrives. Their streams must come back.
func TestEarlyClose(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 200<<10))
	}), slowReader)
	for i := range 250 { // more than the limit of streams
		resp, err := p.c.Do(p.request("GET", "/", nil))
		require.NoError(t, err, i)
		resp.Body.Close()
	}
}

// RFC 9114, Section 4.1 [6, 7, 9, 13].
func TestFullDuplex(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.EnableFullDuplex(); err != nil {
			panic(err)
		}
		rc.Flush()
		io.Copy(w, r.Body)
	}))
	pr, pw := io.Pipe()
	resp, err := p.c.Do(p.request("POST", "/", pr))
	require.NoError(t, err)
	go func() {
		io.Copy(pw, newPattern(1, 5<<20))
		pw.Close()
	}()
	want := newPattern(1, 5<<20)
	io.Copy(io.Discard, want)
	_, sum, err := hashOf(resp.Body)
	require.NoError(t, err)
	require.Equal(t, want.hash(), sum)
}

func TestContextOfRequest(t *testing.T) {
	started := make(chan bool, 1)
	ended := make(chan error, 1)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started <- true
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
		_, err := io.ReadAll(r.Body)
		if err == nil {
			ended <- errors.New("the body of a canceled request can be read")
		}
	}))
	ctx, cancel := context.WithCancel(context.Background())
	pr, _ := io.Pipe()
	go func() {
		<-started
		cancel()
	}()
	_, err := p.c.Do(p.request("POST", "/", pr).WithContext(ctx))
	require.ErrorIs(t, err, context.Canceled)
	requireStreamError(t, <-ended, h3.RequestCancelled)

	go func() {
		<-started
		p.tr.Close()
	}()
	_, err = p.c.Do(p.request("GET", "/", nil))
	require.Error(t, err)
	_, ok := errors.AsType[*conn.ApplicationError](<-ended)
	require.True(t, ok, "the cause is the end of the connection")
}
