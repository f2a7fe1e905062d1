package h3http

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
)

// noteRequest notes everything that a handler sees of a request. It reads the body too.
func noteRequest(n *notes, w http.ResponseWriter, r *http.Request) {
	n.add("%s url %s (scheme %q, host %q, path %q, raw %q, query %q) uri %q", r.Method, r.URL, r.URL.Scheme, r.URL.Host, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.RequestURI)
	n.add("host %s, length %d, close %v, TLS %v", r.Host, r.ContentLength, r.Close, r.TLS.HandshakeComplete)
	n.add("header %s", headerText(r.Header))
	n.add("announced %s", headerText(r.Trailer))
	b, err := io.ReadAll(r.Body)
	n.add("%d bytes, %s; trailer %s", len(b), kindOf(err), headerText(r.Trailer))
}

// noteBody notes the body of a request. It does not note the length: over HTTP/3 that is -1 until
// the end of an empty body has come, and then 0.
func noteBody(n *notes, w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	n.add("%d bytes, %s", len(b), kindOf(err))
}

// unread is a reader that hides the type of the reader below, so that its length is not known.
type unread struct{ io.Reader }

// requestComparisons are about what a handler sees of a request.
func requestComparisons() []comparison {
	set := func(f func(r *http.Request)) func(n *notes, s *side) {
		return func(n *notes, s *side) { s.do(n, s.request("GET", "/", nil, f)) }
	}
	// body sends content with a length, -1 if it is not to be known.
	body := func(method string, length int64, content string) func(n *notes, s *side) {
		return func(n *notes, s *side) {
			s.do(n, s.request(method, "/", unread{strings.NewReader(content)}, func(r *http.Request) { r.ContentLength = length }))
		}
	}
	return []comparison{
		{name: "GET", handler: noteRequest, client: func(n *notes, s *side) { s.get(n, "/path?query") }},
		{name: "methods", handler: noteRequest, client: func(n *notes, s *side) {
			for _, m := range []string{"", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"} {
				s.do(n, s.request(m, "/", nil))
			}
		}},
		{name: "forms of URLs", handler: noteRequest, client: func(n *notes, s *side) {
			for _, path := range []string{"", "?", "/?", "/a%2Fb?x=%20&y=a+b", "//a//b/../c", "/;p?a;b", "/%7euser", "/\u00e4", "/a:b@c", "/#fragment", "/|", "/*"} {
				s.get(n, path)
			}
		}},
		{name: "opaque URL", differs: "HTTP/1.1", handler: noteRequest, client: func(n *notes, s *side) {
			s.do(n, s.request("GET", "/", nil, func(r *http.Request) { r.URL.Opaque = "/opaque%2F" }))
			s.do(n, s.request("GET", "/", nil, func(r *http.Request) { r.URL.Opaque = "//" + r.URL.Host + "/opaque" }))
			s.do(n, s.request("OPTIONS", "/", nil, func(r *http.Request) { r.URL.Opaque = "*" }))
		}},
		{name: "user in the URL", handler: noteRequest, client: set(func(r *http.Request) { r.URL.User = url.UserPassword("user", "secret") })},
		{name: "Host", handler: noteRequest, client: func(n *notes, s *side) {
			for _, host := range []string{"other.example", "Other.EXAMPLE:8443", "other.example:443", "[::1]:80", "b\u00fccher.example"} {
				s.do(n, s.request("GET", "/", nil, func(r *http.Request) { r.Host = host; r.Header.Set("Host", "ignored") }))
			}
		}},
		{name: "values of a header field", handler: noteRequest, client: set(func(r *http.Request) {
			r.Header["Multi"] = []string{"b", "a", "", "b"}
			r.Header["lower-case"] = []string{"1"}
			r.Header["X_under"] = []string{"1"}
			r.Header["None"] = nil
			r.Header["Bytes"] = []string{"\u00e4\xff\t~"}
			r.Header["Long"] = []string{strings.Repeat("x", 40_000)}
		})},
		{name: "many header fields", handler: noteRequest, client: set(func(r *http.Request) {
			for i := range 100 {
				r.Header.Set(fmt.Sprintf("Field-%d", i), "v")
			}
		})},
		{name: "too large a request header", differs: "HTTP/1.1", handler: noteRequest, client: func(n *notes, s *side) {
			s.get(n, "/") // settings are known now
			s.do(n, s.request("GET", "/", nil, func(r *http.Request) { r.Header.Set("Large", strings.Repeat("x", 100_000)) }))
		}},
		{name: "cookies", differs: "HTTP/1.1", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.add("%q %v", r.Header["Cookie"], r.Cookies())
		}, client: func(n *notes, s *side) {
			s.do(n, s.request("GET", "/", nil, func(r *http.Request) {
				for _, name := range []string{"a", "b", "c"} {
					r.AddCookie(&http.Cookie{Name: name, Value: "v; " + name})
				}
			}))
			s.do(n, s.request("GET", "/", nil, func(r *http.Request) { r.Header["Cookie"] = []string{"a=1", "b=2; c=3"} }))
		}},
		{name: "fields of the connection in a request", differs: "HTTP/1.1 HTTP/2", handler: noteRequest, client: func(n *notes, s *side) {
			for _, f := range [][2]string{{"Connection", "keep-alive"}, {"Connection", "close"}, {"Connection", "x-hop"}, {"Keep-Alive", "timeout=5"}, {"Proxy-Connection", "keep-alive"},
				{"Te", "trailers"}, {"Te", "gzip"}, {"Upgrade", "websocket"}, {"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "gzip"}, {"Content-Length", "5"}, {"Trailer", "X"}} {
				n.saw("%s: %s", f[0], f[1])
				s.do(n, s.request("GET", "/", nil, func(r *http.Request) { r.Header.Set(f[0], f[1]); r.Header.Set("X-Hop", "1") }))
			}
		}},
		{name: "invalid requests", differs: "HTTP/1.1", handler: noteRequest, client: func(n *notes, s *side) {
			for _, f := range []func(r *http.Request){
				func(r *http.Request) { r.Method = "GE T" },
				func(r *http.Request) { r.Header["A b"] = []string{"x"} },
				func(r *http.Request) { r.Header[""] = []string{"x"} },
				func(r *http.Request) { r.Header["A"] = []string{"x\ny"} },
				func(r *http.Request) { r.Header["A"] = []string{"x\x00"} },
				func(r *http.Request) { r.Header = nil },
				func(r *http.Request) { r.URL.Host = "" },
				func(r *http.Request) { r.RequestURI = "/" },
				func(r *http.Request) { r.Host = "a b" },
				func(r *http.Request) { r.Trailer = http.Header{"Content-Length": nil} },
				func(r *http.Request) { r.Trailer = http.Header{"A b": nil} },
			} {
				s.do(n, s.request("GET", "/", nil, f))
			}
		}},
		{name: "User-Agent", handler: noteRequest, client: func(n *notes, s *side) {
			for _, v := range [][]string{nil, {""}, {"mine"}, {"a", "b"}} {
				s.do(n, s.request("GET", "/", nil, func(r *http.Request) { r.Header["User-Agent"] = v }))
			}
		}},
		{name: "Accept-Encoding", handler: noteRequest, client: func(n *notes, s *side) {
			s.do(n, s.request("HEAD", "/", nil))
			s.do(n, s.request("GET", "/", nil, func(r *http.Request) { r.Header.Set("Accept-Encoding", "br") }))
			s.do(n, s.request("GET", "/", nil, func(r *http.Request) { r.Header.Set("Range", "bytes=0-1") }))
		}},
		{name: "known body", handler: noteRequest, client: body("POST", 5, "12345")},
		{name: "body of a GET", handler: noteRequest, client: body("GET", 5, "12345")},
		{name: "unknown body", handler: noteRequest, client: body("PUT", -1, "12345")},
		{name: "unknown body that is empty", handler: noteBody, client: body("PUT", -1, "")},
		{name: "length 0 and a body", handler: noteRequest, client: body("POST", 0, "12345")},
		{name: "length 0 and an empty body", handler: noteBody, client: body("POST", 0, "")},
		{name: "large body", handler: noteRequest, client: body("POST", -1, strings.Repeat("x", 1<<20))},
		{name: "no body", differs: "HTTP/2", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.add("NoBody %v", r.Body == http.NoBody)
		}, client: func(n *notes, s *side) { s.do(n, s.request("POST", "/", http.NoBody)) }},
		{name: "bodies that are not as long as they say", differs: "HTTP/1.1 HTTP/2", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.add("begun %s", r.URL.Path)
			_, err := io.Copy(io.Discard, r.Body)
			n.add("fails %v", err != nil)
		}, client: func(n *notes, s *side) {
			for path, length := range map[string]int64{"/longer": 3, "/shorter": 10} {
				rest := strings.NewReader("45")
				s.do(n, s.request("POST", path, io.MultiReader(strings.NewReader("123"), readerFunc(func(b []byte) (int, error) {
					n.waitFor("begun " + path)
					return rest.Read(b)
				})), func(r *http.Request) { r.ContentLength = length }))
				n.waitFor("fails")
			}
		}},
		{name: "body whose Read fails", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.add("begun")
			_, err := io.Copy(io.Discard, r.Body)
			n.add("fails %v", err != nil)
		}, client: func(n *notes, s *side) {
			s.do(n, s.request("POST", "/", readerFunc(func([]byte) (int, error) {
				n.waitFor("begun")
				return 0, errors.New("broken")
			})))
		}},
		{name: "trailers of a request", differs: "HTTP/1.1", handler: noteRequest, client: func(n *notes, s *side) {
			for _, trailer := range []http.Header{{"A": {"1", "2"}, "Empty": {""}, "Missing": nil}, {}, {"lower": {"x"}}} {
				s.do(n, s.request("POST", "/", unread{strings.NewReader("12345")}, func(r *http.Request) { r.Trailer = trailer }))
			}
			s.do(n, s.request("POST", "/", strings.NewReader("12345"), func(r *http.Request) { r.Trailer = http.Header{"A": {"1"}} }))
		}},
		{name: "trailers that are set while the body is read", handler: noteRequest, client: func(n *notes, s *side) {
			trailer := http.Header{"Sum": nil}
			s.do(n, s.request("POST", "/", readerFunc(func([]byte) (int, error) {
				trailer.Set("Sum", "1")
				return 0, io.EOF
			}), func(r *http.Request) { r.Trailer = trailer }))
		}},
		{name: "Expect: 100-continue", differs: "HTTP/1.1", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.add("%q", r.Header["Expect"])
			switch r.URL.Path {
			case "/read":
				b, err := io.ReadAll(r.Body)
				n.add("%q %s", b, kindOf(err))
			case "/refuse":
				http.Error(w, "no", http.StatusExpectationFailed)
			case "/success":
				io.WriteString(w, "yes")
			}
		}, client: func(n *notes, s *side) {
			for _, path := range []string{"/read", "/refuse", "/success"} {
				s.do(n, s.request("POST", path, strings.NewReader("12345"), func(r *http.Request) { r.Header.Set("Expect", "100-continue") }))
			}
		}},
		{name: "another expectation", differs: "HTTP/1.1", handler: noteRequest, client: set(func(r *http.Request) { r.Header.Set("Expect", "the unexpected") })},
		{name: "forms", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			err := r.ParseForm()
			n.add("%v %v %s %v", r.Form, r.PostForm, kindOf(err), r.FormValue("a"))
			err = r.ParseMultipartForm(1 << 10)
			n.add("%v %s", r.MultipartForm != nil && len(r.MultipartForm.File["file"]) == 1, kindOf(err))
		}, client: func(n *notes, s *side) {
			s.do(n, s.request("POST", "/?a=1&b", strings.NewReader("a=2&c=%20"), func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }))
			var b bytes.Buffer
			m := multipart.NewWriter(&b)
			part, _ := m.CreateFormFile("file", "name")
			part.Write(make([]byte, 10_000))
			m.Close()
			s.do(n, s.request("POST", "/", &b, func(r *http.Request) { r.Header.Set("Content-Type", m.FormDataContentType()) }))
		}},
		{name: "MaxBytesReader", differs: "HTTP/1.1", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 1000)
			b, err := io.ReadAll(r.Body)
			n.add("%d %s", len(b), kindOf(err))
			if err != nil {
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			}
		}, client: func(n *notes, s *side) {
			s.do(n, s.request("POST", "/", bytes.NewReader(make([]byte, 1000))))
			s.do(n, s.request("POST", "/", bytes.NewReader(make([]byte, 1001))))
		}},
		{name: "Body after Close", differs: "HTTP/2", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.add("%s %s", kindOf(r.Body.Close()), kindOf(r.Body.Close()))
			_, err := r.Body.Read(make([]byte, 1))
			n.add("%s", kindOf(err))
		}, client: body("POST", 5, "12345")},
		{name: "Body after its end", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			_, err := r.Body.Read(make([]byte, 1))
			n.add("%s", kindOf(err))
			_, err = r.Body.Read(nil)
			n.add("%s", kindOf(err))
		}, client: body("POST", 5, "12345")},
		{name: "patterns of a ServeMux", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) { n.add("%s %s", r.Pattern, r.PathValue("id")) })
			mux.HandleFunc("/tree/", func(w http.ResponseWriter, r *http.Request) { n.add("%s %s", r.Pattern, r.URL.Path) })
			mux.ServeHTTP(w, r)
		}, client: func(n *notes, s *side) {
			for _, path := range []string{"/items/5", "/items/a%2Fb", "/tree", "/tree/x/../y", "//tree/", "/none"} {
				s.get(n, path)
			}
			s.do(n, s.request("POST", "/items/5", nil))
		}},
		{name: "hooks of httptrace", differs: "HTTP/2", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
			io.Copy(w, r.Body)
		}, client: func(n *notes, s *side) {
			r := s.request("POST", "/", strings.NewReader("12345"), func(r *http.Request) { r.Header.Set("Expect", "100-continue") })
			s.do(n, r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
				Got100Continue:       func() { n.saw("Got100Continue") },
				WroteHeaders:         func() { n.saw("WroteHeaders") },
				GotFirstResponseByte: func() { n.saw("GotFirstResponseByte") },
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					n.saw("Got1xxResponse %d", code)
					return nil
				},
			})))
		}},
		{name: "a compressed request", handler: noteRequest, client: func(n *notes, s *side) {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			z.Write([]byte("text"))
			z.Close()
			s.do(n, s.request("POST", "/", &b, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }))
		}},
	}
}
