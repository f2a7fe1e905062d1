package h3http

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"time"
)

// A handling is a handler that takes no notes.
func handling(h http.HandlerFunc) func(n *notes, w http.ResponseWriter, r *http.Request) {
	return func(n *notes, w http.ResponseWriter, r *http.Request) { h(w, r) }
}

// getHead asks by GET and by HEAD.
func getHead(n *notes, s *side) {
	s.get(n, "/")
	s.do(n, s.request("HEAD", "/", nil))
}

// interims returns r with a hook that notes informational responses.
func interims(n *notes, r *http.Request) *http.Request {
	return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			n.saw("%d %s", code, headerText(http.Header(h)))
			return nil
		},
	}))
}

// responseComparisons are about what a client sees of a response.
func responseComparisons() []comparison {
	statuses := []int{200, 201, 204, 205, 206, 304, 404, 418, 500, 599, 999}
	return []comparison{
		{name: "empty response", handler: handling(func(http.ResponseWriter, *http.Request) {}), client: getHead},
		{name: "short response", handler: handling(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>") }), client: getHead},
		{name: "response in pieces", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			for range 10 {
				io.WriteString(w, "piece")
			}
		}), client: getHead},
		{name: "type that shows in the second piece", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "\n")
			io.WriteString(w, "<!DOCTYPE html>"+strings.Repeat("a", 5000))
		}), client: func(n *notes, s *side) { s.get(n, "/") }},
		{name: "long response", differs: "HTTP/1.1 HTTP/2", handler: handling(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 100_000)) }), client: getHead},
		{name: "declared length", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "12345")
		}), client: getHead},
		{name: "declared type", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "x/y")
			io.WriteString(w, "12345")
		}), client: getHead},
		{name: "neither Date nor type", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
			io.WriteString(w, "12345")
		}), client: getHead},
		{name: "own Date", handler: handling(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Date", longAgo) }), client: getHead},
		{name: "header after WriteHeader", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h["A"] = []string{"1", "2"}
			h["Date"] = nil
			h.Set("Gone", "no")
			w.WriteHeader(200)
			h["A"][0] = "changed"
			h.Add("A", "3")
			h.Set("B", "late")
			h.Del("Gone")
			h.Set("Content-Type", "late/type")
			h.Set("Content-Length", "3")
			h.Set("Date", longAgo)
			io.WriteString(w, "12345")
		}), client: getHead},
		{name: "statuses", differs: "HTTP/1.1", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			var status int
			fmt.Sscanf(r.URL.Path, "/%d", &status)
			w.Header().Set("X", "y")
			w.WriteHeader(status)
		}), client: func(n *notes, s *side) {
			for _, status := range statuses {
				s.get(n, fmt.Sprintf("/%d", status))
				s.do(n, s.request("HEAD", fmt.Sprintf("/%d", status), nil))
			}
		}},
		{name: "statuses with content", differs: "HTTP/1.1", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			var status int
			fmt.Sscanf(r.URL.Path, "/%d", &status)
			w.WriteHeader(status)
			k, err := io.WriteString(w, "12345")
			n.add("%d %s", k, kindOf(err))
		}, client: func(n *notes, s *side) {
			for _, status := range statuses {
				s.get(n, fmt.Sprintf("/%d", status))
			}
		}},
		{name: "statuses with a length", differs: "HTTP/1.1 HTTP/2", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			var status int
			fmt.Sscanf(r.URL.Path, "/%d", &status)
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Content-Type", "x/y")
			w.WriteHeader(status)
		}), client: func(n *notes, s *side) {
			for _, status := range []int{204, 304} {
				s.get(n, fmt.Sprintf("/%d", status))
				s.do(n, s.request("HEAD", fmt.Sprintf("/%d", status), nil))
			}
		}},
		{name: "invalid statuses", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			for _, status := range []int{0, 99, 1000, -1} {
				func() {
					defer func() { n.add("%d: %v", status, recover() != nil) }()
					w.WriteHeader(status)
				}()
			}
		}, client: getHead},
		{name: "two statuses", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(201)
			w.WriteHeader(202)
		}), client: getHead},
		{name: "invalid lengths", differs: "HTTP/1.1 HTTP/2", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", map[string]string{"/words": "ten", "/negative": "-1", "/empty": ""}[r.URL.Path])
			k, err := io.WriteString(w, "12345")
			n.add("%d %s", k, kindOf(err))
		}, client: func(n *notes, s *side) {
			for _, path := range []string{"/words", "/negative", "/empty"} {
				s.get(n, path)
			}
		}},
		{name: "more than the length", differs: "HTTP/1.1 HTTP/2", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			for range 2 {
				k, err := io.WriteString(w, "123")
				n.add("%d %s", k, kindOf(err))
			}
		}, client: func(n *notes, s *side) { s.get(n, "/") }},
		{name: "less than the length", differs: "HTTP/1.1 HTTP/2", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "123")
		}), client: func(n *notes, s *side) { s.get(n, "/") }},
		{name: "Flush", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Before", "x")
			w.(http.Flusher).Flush()
			w.Header().Set("After", "x")
			io.WriteString(w, "<html>")
		}), client: getHead},
		{name: "Flush after a piece", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "<html>")
			w.(http.Flusher).Flush()
			io.WriteString(w, "more")
		}), client: getHead},
		{name: "fields of the connection in a response", differs: "HTTP/1.1 HTTP/2", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			for _, f := range [][2]string{{"Connection", "x-hop"}, {"Keep-Alive", "timeout=5"}, {"Proxy-Connection", "x"}, {"Upgrade", "h2c"}, {"Te", "gzip"}, {"X-Hop", "1"}} {
				w.Header().Set(f[0], f[1])
			}
		}), client: func(n *notes, s *side) { s.get(n, "/") }},
		{name: "Transfer-Encoding of a handler", differs: "HTTP/1.1", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Transfer-Encoding", "identity")
			io.WriteString(w, "12345")
		}), client: func(n *notes, s *side) { s.get(n, "/") }},
		{name: "values of a response field", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h["Multi"] = []string{"b", "a", "", "b"}
			h["lower-case"] = []string{"1"}
			h["None"] = nil
			h["Bytes"] = []string{"\u00e4\xff\t~"}
			h["Long"] = []string{strings.Repeat("x", 40_000)}
		}), client: func(n *notes, s *side) { s.get(n, "/") }},
		{name: "a response field with a line break", differs: "HTTP/1.1", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Broken", "a\r\nInjected: 1")
			w.Header().Set("Fine", "1")
		}), client: func(n *notes, s *side) { s.get(n, "/") }},
		{name: "invalid names of response fields", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["A b"] = []string{"1"}
			w.Header()["A:b"] = []string{"1"}
			w.Header().Set("Fine", "1")
		}), client: func(n *notes, s *side) { s.get(n, "/") }},
		{name: "too large a response header", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Large", strings.Repeat("x", 100_000))
		}), client: func(n *notes, s *side) {
			if s.tr3 != nil {
				s.tr3.MaxResponseHeaderBytes = 1 << 16
			} else {
				s.tr1.MaxResponseHeaderBytes = 1 << 16
			}
			s.get(n, "/")
		}},
		{name: "trailers", differs: "HTTP/1.1 HTTP/2", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Trailer", "A, Missing")
			h.Add("Trailer", "B")
			io.WriteString(w, "body")
			h.Set("A", "1")
			h["B"] = []string{"1", "2"}
			h.Set("C", "not announced")
			h.Set(http.TrailerPrefix+"D", "4")
			h.Set(http.TrailerPrefix+"Transfer-Encoding", "x")
		}), client: getHead},
		{name: "trailers that are none", differs: "HTTP/1.1 HTTP/2", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "Content-Length, Host")
			io.WriteString(w, "body")
			w.Header().Set("Host", "x")
		}), client: func(n *notes, s *side) { s.get(n, "/") }},
		{name: "trailers of a flushed response", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			w.Header().Set(http.TrailerPrefix+"D", "4")
		}), client: getHead},
		{name: "trailers of an empty response", differs: "HTTP/1.1 HTTP/2", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "A")
			w.WriteHeader(200)
			w.Header().Set("A", "1")
		}), client: getHead},
		{name: "trailers and a length", differs: "HTTP/1.1", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "A")
			w.Header().Set("Content-Length", "4")
			io.WriteString(w, "body")
			w.Header().Set("A", "1")
		}), client: getHead},
		{name: "informational responses", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</a>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("Link", "</b>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusProcessing)
			w.WriteHeader(150)
			w.Header().Del("Link")
			w.WriteHeader(201)
			io.WriteString(w, "done")
		}), client: func(n *notes, s *side) {
			s.do(n, interims(n, s.request("GET", "/", nil)))
			s.do(n, interims(n, s.request("HEAD", "/", nil)))
		}},
		{name: "100 Continue of a handler", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusContinue)
			b, err := io.ReadAll(r.Body)
			n.add("%q %s", b, kindOf(err))
		}, client: func(n *notes, s *side) {
			s.do(n, interims(n, s.request("POST", "/", strings.NewReader("12345"))))
			s.do(n, interims(n, s.request("POST", "/", strings.NewReader("12345"), func(r *http.Request) { r.Header.Set("Expect", "100-continue") })))
		}},
		{name: "101 of a handler", differs: "HTTP/1.1 HTTP/2", handler: handling(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(101) }),
			client: func(n *notes, s *side) { s.do(n, interims(n, s.request("GET", "/", nil))) }},
		{name: "cookies of a response", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Path: "/"})
			http.SetCookie(w, &http.Cookie{Name: "b", Value: "2", Secure: true, HttpOnly: true})
			fmt.Fprint(w, r.Cookies())
		}), client: func(n *notes, s *side) {
			s.c.Jar, _ = cookiejar.New(nil)
			s.get(n, "/")
			s.get(n, "/")
		}},
		{name: "compressed responses", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			io.WriteString(z, "text")
			z.Close()
			w.Header().Set("Content-Encoding", "gzip")
			if r.URL.Path == "/broken" {
				b.Truncate(b.Len() - 4)
			}
			w.Write(b.Bytes())
		}), client: func(n *notes, s *side) {
			getHead(n, s)
			s.get(n, "/broken")
		}},
		{name: "redirects", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			var status int
			b, _ := io.ReadAll(r.Body)
			n.add("%s %s %q %s", r.Method, r.URL, b, headerText(r.Header))
			if k, _ := fmt.Sscanf(r.URL.Path, "/%d", &status); k == 1 {
				http.Redirect(w, r, "/to?from="+r.URL.Path, status)
			}
		}, client: func(n *notes, s *side) {
			for _, status := range []int{301, 302, 303, 307, 308} {
				path := fmt.Sprintf("/%d", status)
				s.get(n, path)
				s.do(n, s.request("HEAD", path, nil))
				s.do(n, s.request("POST", path, strings.NewReader("12345"), func(r *http.Request) { r.Header.Set("Authorization", "x") }))
				s.do(n, s.request("POST", path, unread{strings.NewReader("12345")}))
			}
		}},
		{name: "endless redirects", handler: handling(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }),
			client: func(n *notes, s *side) { s.get(n, "/") }},
		{name: "ranges", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"tag"`)
			http.ServeContent(w, r, "name.txt", time.Unix(1e9, 0), strings.NewReader("0123456789"))
		}), client: func(n *notes, s *side) {
			for _, f := range [][2]string{{"Range", "bytes=2-4"}, {"Range", "bytes=99-"}, {"If-None-Match", `"tag"`}, {"If-Match", `"other"`}, {"If-Modified-Since", "Sun, 09 Sep 2001 01:46:40 GMT"}} {
				s.do(n, s.request("GET", "/", nil, func(r *http.Request) { r.Header.Set(f[0], f[1]) }))
				s.do(n, s.request("HEAD", "/", nil, func(r *http.Request) { r.Header.Set(f[0], f[1]) }))
			}
		}},
		{name: "http.Error and http.NotFound", handler: handling(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1")
			http.NotFound(w, r)
		}), client: getHead},
		{name: "TimeoutHandler", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			ended := make(chan bool) // TimeoutHandler itself does not wait
			http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				if r.URL.Path == "/slow" {
					<-r.Context().Done()
					n.add("%s", kindOf(r.Context().Err()))
					return
				}
				io.WriteString(w, "in time")
			}), time.Second, "timed out").ServeHTTP(w, r)
			<-ended
		}, client: func(n *notes, s *side) {
			s.get(n, "/")
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			s.do(n, s.request("GET", "/slow", nil).WithContext(ctx))
		}},
		{name: "interfaces of the ResponseWriter", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			_, flusher := w.(http.Flusher)
			_, stringer := w.(io.StringWriter)
			_, closer := w.(http.CloseNotifier) //lint:ignore SA1019 programs may use it
			_, flushes := w.(interface{ FlushError() error })
			n.add("Flusher %v, StringWriter %v, CloseNotifier %v, FlushError %v", flusher, stringer, closer, flushes)
		}, client: getHead},
		{name: "CloseNotify", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			gone := w.(http.CloseNotifier).CloseNotify() //lint:ignore SA1019 frameworks use it
			n.add("begun")
			n.add("gone %v", <-gone)
			n.waitForClient("GET") // see outlast
		}, client: func(n *notes, s *side) {
			ctx, cancel := context.WithCancel(context.Background())
			go func() { n.waitFor("begun"); cancel() }()
			s.do(n, s.request("GET", "/", nil).WithContext(ctx))
		}},
		{name: "http.Hijacker, http.Pusher and io.ReaderFrom", differs: "HTTP/1.1 HTTP/2", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			_, hijacker := w.(http.Hijacker)
			_, pusher := w.(http.Pusher)
			_, from := w.(io.ReaderFrom)
			n.add("%v %v %v", hijacker, pusher, from)
		}, client: getHead},
		{name: "ResponseController", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			n.add("%s %s %s", kindOf(c.SetReadDeadline(time.Now().Add(time.Hour))), kindOf(c.SetWriteDeadline(time.Now().Add(time.Hour))), kindOf(c.Flush()))
			n.add("%s", kindOf(c.EnableFullDuplex()))
			io.WriteString(w, "body")
		}, client: getHead},
	}
}
