package interop

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// withPairs runs f with our server and quic-go's client, and the other way round.
func withPairs(t *testing.T, h http.Handler, f func(t *testing.T, p *pair)) {
	for _, own := range []string{"Server", "Client"} {
		t.Run(own, func(t *testing.T) { f(t, newPairOf(t, own, h, false)) })
	}
}

func TestHTTPGet(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Set("X-Cookies", r.Header.Get("Cookie"))
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.RequestURI, r.Proto, r.Header.Get("X-Test"))
	})
	withPairs(t, h, func(t *testing.T, p *pair) {
		r, err := http.NewRequest("GET", p.url+"/a/b?c=d%20e", nil)
		require.NoError(t, err)
		r.Header.Set("X-Test", "yes")
		r.Header.Set("Cookie", "x=y; z=w")
		resp, err := p.http.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "GET /a/b?c=d%20e HTTP/3.0 yes", string(b))
		require.Equal(t, http.StatusTeapot, resp.StatusCode)
		require.Equal(t, []string{"a=1", "b=2"}, resp.Header["Set-Cookie"])
		require.Equal(t, "x=y; z=w", resp.Header.Get("X-Cookies"))
		require.Equal(t, tls.VersionTLS13, int(resp.TLS.Version))
	})
}

// TestHTTPStream exchanges messages in turns on one request.
func TestHTTPStream(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			if n > 0 {
				io.WriteString(w, strings.ToUpper(string(buf[:n])))
				rc.Flush()
			}
			if err != nil {
				return
			}
		}
	})
	withPairs(t, h, func(t *testing.T, p *pair) {
		pr, pw := io.Pipe()
		r, err := http.NewRequest("POST", p.url+"/", pr)
		require.NoError(t, err)
		resp, err := p.http.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		buf := make([]byte, 5)
		for i := range 20 {
			fmt.Fprintf(pw, "msg%02d", i)
			_, err := io.ReadFull(resp.Body, buf)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("MSG%02d", i), string(buf))
		}
		pw.Close()
		_, err = resp.Body.Read(buf)
		require.Equal(t, io.EOF, err)
	})
}

func TestHTTPTrailers(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Declared")
		io.WriteString(w, "body")
		w.Header().Set("X-Declared", r.Trailer.Get("X-Request"))
		w.Header().Set(http.TrailerPrefix+"X-Late", "2")
	})
	withPairs(t, h, func(t *testing.T, p *pair) {
		r, err := http.NewRequest("POST", p.url, io.LimitReader(strings.NewReader("request"), 100))
		require.NoError(t, err)
		r.Trailer = http.Header{"X-Request": {"1"}}
		resp, err := p.http.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "body", string(b))
		require.Equal(t, "1", resp.Trailer.Get("X-Declared"))
		require.Equal(t, "2", resp.Trailer.Get("X-Late"))
	})
}

func TestHTTPEarlyHints(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	})
	withPairs(t, h, func(t *testing.T, p *pair) {
		var hints []string
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, header.Get("Link")))
				return nil
			},
		})
		r, err := http.NewRequestWithContext(ctx, "GET", p.url, nil)
		require.NoError(t, err)
		resp, err := p.http.Do(r)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Equal(t, []string{"103</style.css>; rel=preload"}, hints)
	})
}

// TestHTTPCancel cancels a request while the response is under way.
func TestHTTPCancel(t *testing.T) {
	canceled := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ok" {
			return
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		canceled <- r.Context().Err()
	})
	withPairs(t, h, func(t *testing.T, p *pair) {
		ctx, cancel := context.WithCancel(context.Background())
		r, err := http.NewRequestWithContext(ctx, "GET", p.url, nil)
		require.NoError(t, err)
		resp, err := p.http.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		cancel()
		_, err = resp.Body.Read(make([]byte, 1))
		require.Error(t, err)
		require.Error(t, <-canceled)
		resp, err = p.http.Get(p.url + "/ok") // the connection still works
		require.NoError(t, err)
		resp.Body.Close()
	})
}

// TestHTTPSum sends a body longer than all windows, and its sum in a trailer.
func TestHTTPSum(t *testing.T) {
	const size = 10_000_000
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := sha256.New()
		w.Header().Set("Trailer", "Sum")
		io.Copy(w, io.TeeReader(payload(1, size), body))
		w.Header().Set("Sum", fmt.Sprintf("%x", body.Sum(nil)))
	})
	withPairs(t, h, func(t *testing.T, p *pair) {
		resp, err := p.http.Get(p.url)
		require.NoError(t, err)
		defer resp.Body.Close()
		requireSame(t, resp.Body, 1, size)
		require.Equal(t, fmt.Sprintf("%x", payloadSum(1, size)), resp.Trailer.Get("Sum"))
	})
}
