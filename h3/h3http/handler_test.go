package h3http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// These tests hold what handlers of net/http rely on: see docs/net-http.md.

// TestStatusWithoutBody checks the codes that allow no content.
func TestStatusWithoutBody(t *testing.T) {
	for _, code := range []int{204, 304} {
		wrote := make(chan error, 3)
		p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/type" {
				w.Header().Set("Content-Type", "foo/bar")
			}
			w.WriteHeader(code)
			_, err := w.Write(nil)
			wrote <- err
			_, err = io.WriteString(w, "nobody should see this")
			wrote <- err
			_, err = io.Copy(w, struct{ io.Reader }{strings.NewReader("nor this")})
			wrote <- err
		}))
		resp, body := p.get("/")
		require.Equal(t, code, resp.StatusCode)
		require.Empty(t, body)
		require.Zero(t, resp.ContentLength)
		require.Empty(t, resp.Header["Content-Type"])
		require.Empty(t, resp.Header["Content-Length"])
		for range 3 {
			require.ErrorIs(t, <-wrote, http.ErrBodyNotAllowed)
		}
		resp, _ = p.get("/type")
		require.Equal(t, "foo/bar", resp.Header.Get("Content-Type"), "that is for the handler to say")
	}
}

func TestStatusCodes(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscan(r.URL.Path[1:], &code)
		w.WriteHeader(code)
	}))
	for _, code := range []int{200, 404, 599, 999} {
		resp, body := p.get(fmt.Sprint("/", code))
		require.Equal(t, code, resp.StatusCode)
		require.Equal(t, strings.TrimSpace(fmt.Sprint(code, " ", http.StatusText(code))), strings.TrimSpace(resp.Status))
		require.Empty(t, body)
	}
	for _, code := range []int{-1, 0, 99, 1000} {
		_, err := p.c.Get(fmt.Sprint(p.url, "/", code))
		requireStreamError(t, err, h3.InternalError)
		require.Contains(t, p.log.String(), fmt.Sprintf("invalid WriteHeader code %d", code))
	}
}

// TestAutomaticContentLength checks which responses get a length and which do not.
func TestAutomaticContentLength(t *testing.T) {
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/none":  func(w http.ResponseWriter, r *http.Request) {},
		"/zero":  func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "0") },
		"/short": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "OK") },
		"/never": func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Length"] = nil
			io.WriteString(w, "OK")
		},
		"/empty": func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Length"] = []string{""}
			io.WriteString(w, "OK")
		},
		"/twice": func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Length"] = []string{"2", "3"}
			io.WriteString(w, "OK")
		},
		"/chunked": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Transfer-Encoding", "identity")
			io.WriteString(w, "OK")
		},
		"/error": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1")
			http.Error(w, "OK", http.StatusOK)
		},
	}))
	for path, want := range map[string]string{
		"/none": "0", "/zero": "0", "/short": "2", "/never": "", "/empty": "2", "/twice": "2", "/chunked": "2", "/error": "3",
	} {
		resp, body := p.get(path)
		require.Equal(t, want, resp.Header.Get("Content-Length"), path)
		require.Empty(t, resp.Header["Transfer-Encoding"])
		require.Empty(t, resp.TransferEncoding)
		if want != "0" {
			require.Equal(t, "OK", strings.TrimSpace(body), path)
		}
	}
	require.Empty(t, p.log.String())
}

// TestHeaderIsASnapshot changes the header when it is too late.
func TestHeaderIsASnapshot(t *testing.T) {
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/status": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(201)
			w.Header().Set("Late", "x")
		},
		"/write": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "<html>")
			w.Header().Set("Late", "x")
			w.Header().Set("Content-Type", "x/y")
		},
		"/nothing": func(w http.ResponseWriter, r *http.Request) {
			w.Write(nil)
			w.Header().Set("Late", "x")
		},
		"/flush": func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			w.Header().Set("Late", "x")
		},
		"/copy": func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h["List"] = []string{"a", "b"}
			w.WriteHeader(200)
			h["List"][0] = "changed"
		},
	}))
	for _, path := range []string{"/status", "/write", "/nothing", "/flush", "/copy"} {
		resp, _ := p.get(path)
		require.Empty(t, resp.Header["Late"], path)
		if path == "/write" {
			require.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"))
		}
		if path == "/copy" {
			require.Equal(t, []string{"a", "b"}, resp.Header["List"])
		}
	}
}

// TestBodiesOfAllMethods sends content with methods where it is unusual, and none where it is
// usual.
func TestBodiesOfAllMethods(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		w.Header().Set("Got", fmt.Sprintf("%s %d %q %v", r.Method, r.ContentLength, b, err))
	}))
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "Get", "CUSTOM-method"} {
		for body, length := range map[string]int64{"": 0, "content": 7, "unknown": -1} {
			var src io.Reader = strings.NewReader(body)
			if length < 0 {
				src = struct{ io.Reader }{src}
			}
			resp, _ := p.do(p.request(method, "/", src))
			require.Equal(t, fmt.Sprintf("%s %d %q <nil>", method, length, body), resp.Header.Get("Got"))
		}
	}
}

// TestMultipartCleanup checks that files of a form do not outlive the handler.
func TestMultipartCleanup(t *testing.T) {
	name := make(chan string, 1)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(0); err != nil {
			panic(err)
		}
		f, err := r.MultipartForm.File["file"][0].Open()
		if err != nil {
			panic(err)
		}
		defer f.Close()
		name <- f.(*os.File).Name()
	}))
	var form bytes.Buffer
	mw := multipart.NewWriter(&form)
	fw, err := mw.CreateFormFile("file", "f")
	require.NoError(t, err)
	fw.Write(bytes.Repeat([]byte("x"), 11<<20)) // more than is kept in memory
	mw.Close()
	resp, err := p.c.Post(p.url, mw.FormDataContentType(), &form)
	require.NoError(t, err)
	resp.Body.Close()
	file := <-name
	require.Eventually(t, func() bool {
		_, err := os.Stat(file)
		return errors.Is(err, os.ErrNotExist)
	}, time.Minute, time.Millisecond)
}

// TestHandlerBody does with the body of a request what handlers may do.
func TestHandlerBody(t *testing.T) {
	p := newPair(t, routes(map[string]http.HandlerFunc{
		"/nil":   func(w http.ResponseWriter, r *http.Request) { r.Body = nil },
		"/close": func(w http.ResponseWriter, r *http.Request) { r.Body.Close() }, // must not wait
		"/limit": func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1000))
			tooLarge, ok := errors.AsType[*http.MaxBytesError](err)
			if !ok || tooLarge.Limit != 1000 {
				panic(err)
			}
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		},
	}))
	for path, code := range map[string]int{"/nil": 200, "/close": 200, "/limit": 413} {
		var sent atomic.Int64
		resp, _ := p.do(p.request("POST", path, readerFunc(func(b []byte) (int, error) {
			sent.Add(int64(len(b)))
			return len(b), nil
		})))
		require.Equal(t, code, resp.StatusCode)
		require.Less(t, sent.Load(), int64(16<<20), "the client is stopped")
	}
}

// TestMaxBytesHandler limits bodies with http.MaxBytesHandler.
func TestMaxBytesHandler(t *testing.T) {
	h := http.MaxBytesHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	}), 100)
	p := newPair(t, h)
	for size, code := range map[int]int{0: 200, 100: 200, 101: 413} {
		resp, _ := p.do(p.request("POST", "/", bytes.NewReader(make([]byte, size))))
		require.Equal(t, code, resp.StatusCode)
	}
}

// TestTimeoutHandler wraps handlers in that of net/http.
func TestTimeoutHandler(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		cause := make(chan error, 1)
		h := http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/slow":
				<-r.Context().Done()
				cause <- r.Context().Err()
				time.Sleep(time.Second)
				_, err := io.WriteString(w, "late")
				cause <- err
			case "/panic":
				panic("oh no")
			case "/ok":
				w.Header().Set("A", "1")
				io.WriteString(w, "ok")
			}
		}), time.Second, "too slow")
		p := newSimPair(t, n, h)
		resp, body := p.get("/ok")
		require.Equal(t, "ok", body)
		require.Equal(t, "1", resp.Header.Get("A"))
		resp, body = p.get("/empty")
		require.Equal(t, 200, resp.StatusCode)
		require.Empty(t, body)
		resp, body = p.get("/slow")
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.Equal(t, "too slow", body)
		require.ErrorIs(t, <-cause, context.DeadlineExceeded)
		require.ErrorIs(t, <-cause, http.ErrHandlerTimeout)
		require.Empty(t, p.log.String())
		_, err := p.c.Get(p.url + "/panic")
		requireStreamError(t, err, h3.InternalError)
		require.Contains(t, p.log.String(), "oh no")
	})
}

// TestNilPanic panics with nil, and after the stream was taken over.
func TestNilPanic(t *testing.T) {
	taken := make(chan *Stream, 1)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			s, err := TakeStream(w)
			if err != nil {
				panic(err)
			}
			taken <- s
			panic("with the stream")
		}
		panic(nil)
	}), withConnect)
	_, err := p.c.Get(p.url)
	requireStreamError(t, err, h3.InternalError)
	require.Contains(t, p.log.String(), "panic called with nil")

	s, _, err := p.tr.Connect(p.connectRequest("/", "x"))
	require.NoError(t, err)
	other := <-taken
	io.WriteString(other, "it belongs to whom took it")
	other.Close()
	b, err := io.ReadAll(s)
	require.NoError(t, err)
	require.Equal(t, "it belongs to whom took it", string(b))
	require.Eventually(t, func() bool { return strings.Contains(p.log.String(), "with the stream") }, time.Minute, time.Millisecond)
	s.Close()
}

// TestHijack checks that Hijack is not there, and what replaces it.
func TestHijack(t *testing.T) {
	errs := make(chan error, 4)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, ok := w.(http.Hijacker)
		if ok {
			panic("a stream is no connection")
		}
		_, _, err := http.NewResponseController(w).Hijack()
		errs <- err
		w.(http.Flusher).Flush()
		s, err := TakeStream(w) // after Flush
		if err != nil {
			panic(err)
		}
		_, err = TakeStream(w)
		errs <- err
		_, err = w.Write(nil)
		errs <- err
		errs <- http.NewResponseController(w).Flush()
		io.WriteString(s, "taken")
		s.Close()
	}))
	_, body := p.get("/") // an ordinary request
	require.Equal(t, "taken", body)
	require.ErrorIs(t, <-errs, http.ErrNotSupported)
	for range 3 {
		require.ErrorIs(t, <-errs, http.ErrHijacked)
	}
}

// TestReverseProxy: a server passes bodies on to another one, both ways at once.
func TestReverseProxy(t *testing.T) {
	origin := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		w.Header().Set("Trailer", "T")
		w.Header().Set("Forwarded-For", r.Header.Get("X-Forwarded-For"))
		rc.Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			w.Write(bytes.ToUpper(buf[:n]))
			rc.Flush()
			if err != nil {
				break
			}
		}
		w.Header().Set("T", "end")
	}))
	target, err := url.Parse(origin.url)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = origin.tr
	proxy.FlushInterval = -1
	p := newPair(t, proxy)
	pr, pw := io.Pipe()
	resp, err := p.c.Do(p.request("POST", "/", pr))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", resp.Header.Get("Forwarded-For"))
	buf := make([]byte, 5)
	for range 10 {
		io.WriteString(pw, "hello")
		_, err := io.ReadFull(resp.Body, buf)
		require.NoError(t, err)
		require.Equal(t, "HELLO", string(buf))
	}
	pw.Close()
	_, err = resp.Body.Read(buf)
	require.Equal(t, io.EOF, err)
	require.Equal(t, "end", resp.Trailer.Get("T"))
}

// TestConcurrentBody reads the body of a request in one goroutine and writes the response in
// another. The second may end the exchange while the first still reads.
func TestConcurrentBody(t *testing.T) {
	var wg sync.WaitGroup
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := make(chan bool)
		wg.Go(func() {
			close(started)
			io.Copy(io.Discard, r.Body)
		})
		<-started
		w.Write(make([]byte, 100_000))
		switch r.URL.Path {
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/close":
			r.Body.Close()
		}
	}))
	for range 10 {
		for _, path := range []string{"/", "/abort", "/close"} {
			resp, err := p.c.Do(p.request("POST", path, newPattern(1, 1<<20)))
			if err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
	}
	wg.Wait()
}

// TestReadAfterAnswer reads the body of a request with Expect: 100-continue after the
// header of the response was sent, and after the handler has returned.
func TestReadAfterAnswer(t *testing.T) {
	for _, path := range []string{"/flushed", "/returned", "/aborted"} {
		simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
			read := make(chan error, 1)
			goOn := make(chan bool)
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/flushed" {
					http.NewResponseController(w).Flush()
					b, err := io.ReadAll(r.Body)
					read <- err
					w.Write(b)
					return
				}
				go func() {
					<-goOn
					_, err := io.ReadAll(r.Body)
					read <- err
				}()
				if r.URL.Path == "/aborted" {
					panic(http.ErrAbortHandler)
				}
			})
			p := newSimPair(t, n, h, func(p *pair) { p.tr.ExpectContinueTimeout = 24 * time.Hour })
			r := p.request("GET", path, strings.NewReader("body"))
			r.Header.Set("Expect", "100-Continue")
			resp, err := p.c.Do(r)
			body := ""
			if err == nil {
				b, _ := io.ReadAll(resp.Body)
				body = string(b)
				resp.Body.Close()
			}
			if path == "/flushed" {
				require.NoError(t, <-read)
				require.Equal(t, "body", body)
				return
			}
			close(goOn)
			require.Error(t, <-read)
		})
	}
}

// TestOptionsHandler: a handler answers "OPTIONS *".
func TestOptionsHandler(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Got", r.Method+" "+r.RequestURI+" "+r.URL.Path)
	}), func(p *pair) { p.srv.DisableGeneralOptionsHandler = true })
	r := p.request("OPTIONS", "", nil)
	r.URL.Path = "*"
	resp, _ := p.do(r)
	require.Equal(t, "OPTIONS * *", resp.Header.Get("Got"))
}

// TestRegisterOnShutdown: a function ends the requests that Shutdown waits for.
func TestRegisterOnShutdown(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		stop := make(chan bool)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-stop
			io.WriteString(w, "bye")
		})
		p := newSimPair(t, n, h)
		p.srv.RegisterOnShutdown(func() { close(stop) })
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		require.NoError(t, p.srv.Shutdown(context.Background()))
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "bye", string(b))
	})
}

// TestConcurrentClose closes a Server from several goroutines while it serves.
func TestConcurrentClose(t *testing.T) {
	started := make(chan bool, 4)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started <- true
		<-r.Context().Done()
	}))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := p.c.Post(p.url, "", nil); err == nil {
				t.Error("a response from a closed server")
			}
		})
	}
	for range 4 {
		<-started
	}
	for range 4 {
		wg.Go(func() { p.srv.Close() })
	}
	wg.Wait()
}
