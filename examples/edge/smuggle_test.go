package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// A smuggled request is one of HTTP/2 or HTTP/3 that would be two, or another one, if its fields
// were copied to HTTP/1.1 as they are.
type smuggled struct {
	name   string
	fields string // name=value, one a line; ^ is CR LF, and ~ is NUL
	body   string
	want   string // what the backend sees; "" for nothing
}

// request are the fields of a good one. A field that is given again takes their place.
const requestFields = ":method=POST\n:scheme=https\n:authority=a\n:path=/x\n"

var smuggledRequests = []smuggled{
	{"a good one", requestFields + "content-length=4\n", "body", `POST /x a "body"`},
	{"no length", requestFields, "body", `POST /x a "body"`},
	{"a length that is too short", requestFields + "content-length=2\n", "body", ""},
	{"a length that is too long", requestFields + "content-length=40\n", "body", ""},
	{"two lengths", requestFields + "content-length=4\ncontent-length=40\n", "body", ""},
	{"a length with a sign", requestFields + "content-length=+4\n", "body", ""},
	{"a negative length", requestFields + "content-length=-1\n", "body", ""},
	{"a length with _", requestFields + "content_length=40\n", "body", ""},
	{"a coding", requestFields + "transfer-encoding=chunked\n", "0^^GET /y HTTP/1.1^Host: a^^", ""},
	{"a coding with _", requestFields + "transfer_encoding=chunked\n", "0^^", ""},
	{"a connection field", requestFields + "connection=keep-alive\n", "body", ""},
	{"an upgrade", requestFields + "upgrade=h2c\n", "body", ""},
	{"a line in a value", requestFields + "x=1^Transfer-Encoding: chunked\n", "0^^", ""},
	{"NUL in a value", requestFields + "x=a~b\n", "body", ""},
	{"a line in a name", requestFields + "x: 1^y=2\n", "body", ""},
	{"a colon in a name", requestFields + "x:y=2\n", "body", ""},
	{"a space in a name", requestFields + "x y=2\n", "body", ""},
	{"a name in upper case", requestFields + "Content-Length=40\n", "body", ""},
	{"a request in the path", strings.Replace(requestFields, "/x", "/x HTTP/1.1^Host: b^^GET /y", 1), "body", ""},
	{"a space in the path", strings.Replace(requestFields, "/x", "/x /y", 1), "body", ""},
	{"a path that is a URL", strings.Replace(requestFields, "/x", "https://b/x", 1), "body", ""},
	{"a path without a slash", strings.Replace(requestFields, "/x", "x", 1), "body", ""},
	{"no path", strings.Replace(requestFields, ":path=/x\n", "", 1), "body", ""},
	{"two paths", requestFields + ":path=/y\n", "body", ""},
	{"dot segments", strings.Replace(requestFields, "/x", "/x/%2e%2e/y", 1), "body", ""},
	{"a request in the method", strings.Replace(requestFields, "POST", "GET /y HTTP/1.1^Host: a^^POST", 1), "body", ""},
	{"a space in the method", strings.Replace(requestFields, "POST", "GET /y", 1), "body", ""},
	{"no method", strings.Replace(requestFields, ":method=POST\n", "", 1), "body", ""},
	{"a line in the host", strings.Replace(requestFields, "authority=a", "authority=a^X: y", 1), "body", ""},
	{"a host with a slash", strings.Replace(requestFields, "authority=a", "authority=a/b", 1), "body", ""},
	{"a host with a user", strings.Replace(requestFields, "authority=a", "authority=u@a", 1), "body", ""},
	{"another pseudo-header", requestFields + ":evil=1\n", "body", ""},
	{"a pseudo-header at the end", ":method=POST\n:scheme=https\n:authority=a\nx=y\n:path=/x\n", "body", ""},
}

// fieldsOf calls add for each field of s.
func (s *smuggled) fieldsOf(add func(name, value string)) {
	for line := range strings.Lines(raw(s.fields)) {
		line = strings.TrimSuffix(line, "\n")
		i := strings.Index(line[1:], "=") + 1
		add(strings.ReplaceAll(line[:i], "\x01", "\r\n"), strings.ReplaceAll(line[i+1:], "\x01", "\r\n"))
	}
}

// raw puts control characters in their places. Those that end a line come later, as \x01.
func raw(text string) string { return strings.NewReplacer("^", "\x01", "~", "\x00").Replace(text) }

func (s *smuggled) content() []byte { return []byte(strings.ReplaceAll(s.body, "^", "\r\n")) }

// TestSmugglingOverStreams sends requests that no server must take, byte by byte, over HTTP/2 and
// HTTP/3. What the backend sees tells which of them went on. On the same edge a good one follows
// each, which must not be changed by what came before.
func TestSmugglingOverStreams(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	backend := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprintf("%s %s %s %q", r.Method, r.URL.Path, r.Host, b))
		}
	})
	e := start(t, onePool(backend))
	for proto, send := range map[string]func(*testing.T, *running, *smuggled){"HTTP/2": sendHTTP2, "HTTP/3": sendHTTP3} {
		for _, s := range append(smuggledRequests, smuggled{
			name: "another host", fields: requestFields + "host=b\n", body: "body",
			// RFC 9113, Section 8.3.1, lets :authority count. RFC 9114, Section 4.3.1, wants the
			// same in both.
			want: map[string]string{"HTTP/2": `POST /x a "body"`}[proto],
		}) {
			t.Run(proto+"/"+s.name, func(t *testing.T) {
				send(t, e, &s)
				good := smuggledRequests[0]
				send(t, e, &good)
				mu.Lock()
				defer mu.Unlock()
				want := []string{s.want, good.want}
				if s.want == "" {
					want = want[1:]
				}
				got := seen
				seen = nil
				require.Equal(t, want, got)
			})
		}
	}
}

// sendHTTP2 sends s on a connection of its own and waits for the end of its stream.
func sendHTTP2(t *testing.T, e *running, s *smuggled) {
	t.Helper()
	tc := e.trust.Clone()
	tc.NextProtos = []string{"h2"}
	c, err := tls.Dial("tcp", e.at, tc)
	require.NoError(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	s.fieldsOf(func(name, value string) { enc.WriteField(hpack.HeaderField{Name: name, Value: value}) })
	io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.WriteSettings()
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	f.WriteData(1, true, s.content())
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return // the server has closed the connection
		}
		h := frame.Header()
		switch {
		case h.Type == http2.FrameGoAway, h.Type == http2.FrameRSTStream:
			return
		case h.StreamID == 1 && h.Flags.Has(http2.FlagDataEndStream) && (h.Type == http2.FrameData || h.Type == http2.FrameHeaders):
			return
		}
	}
}

// sendHTTP3 sends s on a connection of its own and waits for the end of its stream.
func sendHTTP3(t *testing.T, e *running, s *smuggled) {
	t.Helper()
	g, err := loop.Open("udp", "127.0.0.1:0", 1, nil)
	require.NoError(t, err)
	defer g.Close()
	tc := e.trust.Clone()
	tc.NextProtos = []string{"h3"}
	c, err := g.Dial(t.Context(), e.at, &conn.Config{TLS: tc})
	require.NoError(t, err)
	control, err := c.OpenStream(t.Context(), conn.Uni)
	require.NoError(t, err)
	control.Write([]byte{0x00, 0x04, 0x00}) // RFC 9114, Section 6.2.1: empty SETTINGS
	block := []byte{0, 0}                   // RFC 9204, Section 4.5.1
	s.fieldsOf(func(name, value string) {
		// RFC 9204, Section 4.5.6: a literal name of 3 bits of length, and a value of 7
		block = append(appendPrefix(block, 0x20, 3, len(name)), name...)
		block = append(appendPrefix(block, 0, 7, len(value)), value...)
	})
	st, err := c.OpenStream(t.Context(), conn.Bidi)
	require.NoError(t, err)
	frames := append(varint.Append(varint.Append(nil, 1), uint64(len(block))), block...)
	frames = append(varint.Append(varint.Append(frames, 0), uint64(len(s.content()))), s.content()...)
	st.Write(frames)
	st.CloseWrite()
	st.SetReadDeadline(time.Now().Add(time.Minute))
	_, err = io.Copy(io.Discard, st)
	require.True(t, !errors.Is(err, os.ErrDeadlineExceeded), "the stream does not end")
}

// appendPrefix appends an integer with a prefix of some bits (RFC 7541, Section 5.1).
func appendPrefix(b []byte, first byte, bits, n int) []byte {
	most := 1<<bits - 1
	if n < most {
		return append(b, first|byte(n))
	}
	b = append(b, first|byte(most))
	for n -= most; n >= 128; n >>= 7 {
		b = append(b, byte(n)|128)
	}
	return append(b, byte(n))
}
