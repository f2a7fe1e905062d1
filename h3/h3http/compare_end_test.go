package h3http

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"
)

// endComparisons are about requests and responses that are not completed.
func endComparisons() []comparison {
	return []comparison{
		{name: "panics", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/begun") {
				io.WriteString(w, "begun")
				w.(http.Flusher).Flush()
				n.waitForClient(r.URL.Path)
			}
			switch {
			case strings.HasSuffix(r.URL.Path, "/abort"):
				panic(http.ErrAbortHandler)
			case strings.HasSuffix(r.URL.Path, "/exit"):
				runtime.Goexit()
			}
			panic("oh")
		}, client: func(n *notes, s *side) {
			for _, path := range []string{"/panic", "/abort"} {
				s.do(n, s.request("POST", path, nil))
			}
			for _, path := range []string{"/begun/panic", "/begun/abort"} {
				resp, err := s.c.Do(s.request("POST", path, nil))
				n.saw("%s", kindOf(err))
				b := make([]byte, 5)
				_, err = io.ReadFull(resp.Body, b)
				n.saw("%s %q %s", path, b, kindOf(err))
				_, err = io.ReadAll(resp.Body)
				n.saw("%s", kindOf(err))
				resp.Body.Close()
			}
		}},
		{name: "panic after all was written", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "12345")
			panic(http.ErrAbortHandler)
		}), client: func(n *notes, s *side) { s.do(n, s.request("POST", "/", nil)) }},
		{name: "context of a request", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			n.add("%s, server %v, address %v", kindOf(ctx.Err()), ctx.Value(http.ServerContextKey) != nil, ctx.Value(http.LocalAddrContextKey) != nil)
			context.AfterFunc(ctx, func() { n.add("after the handler: %s, %s", kindOf(ctx.Err()), kindOf(context.Cause(ctx))) })
		}, client: func(n *notes, s *side) { s.get(n, "/"); n.waitFor("after") }},
		{name: "a client that gives up before the header", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.add("begun")
			n.outlast(r, "GET")
			n.add("%s, %s", kindOf(r.Context().Err()), kindOf(context.Cause(r.Context())))
		}, client: func(n *notes, s *side) {
			ctx, cancel := context.WithCancel(context.Background())
			go func() { n.waitFor("begun"); cancel() }()
			s.do(n, s.request("GET", "/", nil).WithContext(ctx))
		}},
		{name: "a client that gives up within the body", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			n.add("%s, %s", kindOf(r.Context().Err()), kindOf(context.Cause(r.Context())))
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 10_000))
			}
			n.add("writing fails")
		}, client: func(n *notes, s *side) {
			ctx, cancel := context.WithCancel(context.Background())
			resp, err := s.c.Do(s.request("GET", "/", nil).WithContext(ctx))
			n.saw("%s", kindOf(err))
			b := make([]byte, 5)
			_, err = io.ReadFull(resp.Body, b)
			n.saw("%q %s", b, kindOf(err))
			cancel()
			for err == nil {
				_, err = resp.Body.Read(b)
			}
			n.saw("%s", kindOf(err))
			n.saw("%s", kindOf(resp.Body.Close()))
		}},
		{name: "the cause of a client's context", differs: "HTTP/2", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.add("begun")
			n.outlast(r, "canceled")
		}, client: func(n *notes, s *side) {
			ctx, cancel := context.WithCancelCause(context.Background())
			cause := errors.New("the cause")
			go func() { n.waitFor("begun"); cancel(cause) }()
			_, err := s.c.Do(s.request("GET", "/", nil).WithContext(ctx))
			n.saw("canceled %v, the cause %v", errors.Is(err, context.Canceled), errors.Is(err, cause))
		}},
		{name: "Client.Timeout", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/first":
				io.WriteString(w, "connected")
			case "/":
				n.outlast(r, "GET /:")
			case "/body":
				w.(http.Flusher).Flush()
				n.outlast(r, `body ""`) // the first one has another body
			}
		}, client: func(n *notes, s *side) {
			s.get(n, "/first") // to connect counts, too
			s.c.Timeout = time.Second
			s.get(n, "/")
			r := s.request("GET", "/body", nil)
			resp, err := s.c.Do(r)
			for err != nil && s.c.Timeout < time.Minute { // the header came too late
				s.c.Timeout *= 2
				resp, err = s.c.Do(r)
			}
			if err != nil {
				n.saw(`body "", without a header: %s`, kindOf(err))
				return
			}
			n.received(r, resp)
		}},
		{name: "a context whose deadline has passed", handler: noteRequest, client: func(n *notes, s *side) {
			ctx, cancel := context.WithTimeout(context.Background(), -1)
			defer cancel()
			s.do(n, s.request("POST", "/", strings.NewReader("x")).WithContext(ctx))
		}},
		{name: "ResponseHeaderTimeout", differs: "HTTP/2", handler: func(n *notes, w http.ResponseWriter, r *http.Request) { n.outlast(r, "GET") }, client: func(n *notes, s *side) {
			if s.tr3 != nil {
				s.tr3.ResponseHeaderTimeout = time.Second
			} else {
				s.tr1.ResponseHeaderTimeout = time.Second
			}
			s.get(n, "/")
		}},
		{name: "a body that is closed unread", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 10_000))
			}
			<-r.Context().Done()
			n.add("%s", kindOf(r.Context().Err()))
		}, client: func(n *notes, s *side) {
			resp, err := s.c.Do(s.request("GET", "/", nil))
			n.saw("%s", kindOf(err))
			n.saw("%s %s", kindOf(resp.Body.Close()), kindOf(resp.Body.Close()))
			_, err = resp.Body.Read(make([]byte, 1))
			n.saw("fails %v", err != nil)
		}},
		{name: "a handler that does not read", handler: handling(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "no, thanks") }), client: func(n *notes, s *side) {
			s.do(n, s.request("POST", "/", strings.NewReader(strings.Repeat("x", 100_000))))
			s.do(n, s.request("POST", "/", strings.NewReader("x")))
		}},
		{name: "deadlines of a handler", differs: "HTTP/1.1", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, err := io.ReadAll(r.Body)
			n.add("%s", kindOf(err))
			io.WriteString(w, "answered")
		}, client: func(n *notes, s *side) {
			pr, pw := io.Pipe()
			defer pw.Close()
			s.do(n, s.request("POST", "/", pr))
		}},
		{name: "an answer before the end of the request", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			b, err := io.ReadAll(r.Body)
			n.add("%q %s", b, kindOf(err))
			io.WriteString(w, "all read")
		}, client: func(n *notes, s *side) {
			pr, pw := io.Pipe()
			resp, err := s.c.Do(s.request("POST", "/", pr))
			n.saw("%s", kindOf(err))
			io.WriteString(pw, "late")
			pw.Close()
			b, err := io.ReadAll(resp.Body)
			n.saw("%q %s", b, kindOf(err))
			resp.Body.Close()
		}},
		{name: "a Transport that is asked twice by one Request", handler: noteRequest, client: func(n *notes, s *side) {
			r := s.request("POST", "/", strings.NewReader("12345"))
			s.do(n, r)
			r.Body, _ = r.GetBody()
			s.do(n, r)
		}},
		{name: "fields of a Response", handler: handling(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "12345") }), client: func(n *notes, s *side) {
			r := s.request("GET", "/", nil)
			resp, err := s.c.Transport.RoundTrip(r)
			n.saw("%s", kindOf(err))
			n.saw("request %v, TLS %v, encoding %v, close %v, trailer %v", resp.Request.URL == r.URL, resp.TLS.HandshakeComplete, resp.TransferEncoding, resp.Close, resp.Trailer == nil)
			resp.Body.Close()
			resp, err = s.c.Transport.RoundTrip(s.request("HEAD", "/", nil))
			n.saw("%s, a body %v", kindOf(err), resp.Body != nil)
		}},
		{name: "schemes that are not https", handler: noteRequest, client: func(n *notes, s *side) {
			for _, scheme := range []string{"ftp", ""} {
				s.do(n, s.request("GET", "/", nil, func(r *http.Request) { r.URL.Scheme = scheme }))
			}
		}},
	}
}
