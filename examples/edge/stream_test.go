package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestFullDuplex checks that request and response go on piece by piece, both ways at once.
func TestFullDuplex(t *testing.T) {
	backend := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		rc.Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			if n > 0 {
				w.Write(bytes.ToUpper(buf[:n]))
				rc.Flush()
			}
			if err != nil {
				return
			}
		}
	})
	e := start(t, onePool(backend))
	for _, proto := range protocols[1:] { // a client of HTTP/1.1 reads after it has written
		pr, pw := io.Pipe()
		resp, err := e.client(proto).Post(e.url("/"), "", pr)
		require.NoError(t, err)
		for _, text := range []string{"one", "two"} {
			io.WriteString(pw, text)
			got := make([]byte, len(text))
			_, err = io.ReadFull(resp.Body, got)
			require.NoError(t, err)
			require.Equal(t, strings.ToUpper(text), string(got))
		}
		pw.Close()
		rest, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Empty(t, rest)
		resp.Body.Close()
	}
}

// TestContentInParts checks that a response whose length is known goes on piece by piece: first its
// header, then each part, although the backend is not done with it.
func TestContentInParts(t *testing.T) {
	next := make(chan struct{})
	e := start(t, onePool(serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		for _, part := range []string{"", "hello", "world"} {
			io.WriteString(w, part)
			http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
			}
		}
	})))
	for _, proto := range protocols {
		resp, err := e.client(proto).Get(e.url("/"))
		require.NoError(t, err)
		next <- struct{}{}
		for _, part := range []string{"hello", "world"} {
			got := make([]byte, len(part))
			_, err := io.ReadFull(resp.Body, got)
			require.NoError(t, err)
			require.Equal(t, part, string(got), proto)
			next <- struct{}{}
		}
		resp.Body.Close()
	}
}

// TestBrokenResponse checks that what a backend sent before its response broke off goes to the
// client.
func TestBrokenResponse(t *testing.T) {
	e := start(t, onePool(serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "hello")
	})))
	for range 20 {
		resp, err := e.client("HTTP/1.1").Get(e.url("/"))
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.Equal(t, "hello", string(b))
		require.True(t, errors.Is(err, io.ErrUnexpectedEOF), err)
		resp.Body.Close()
	}
}

// TestTrailers sends trailers both ways. Those of responses are announced or not.
func TestTrailers(t *testing.T) {
	backend := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Announced")
		w.Write(b)
		w.Header().Set("X-Announced", r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "5")
	})
	e := start(t, onePool(backend))
	for _, proto := range protocols {
		r, err := http.NewRequest("POST", e.url("/"), io.MultiReader(strings.NewReader("body")))
		require.NoError(t, err)
		r.Trailer = http.Header{"X-Sum": {"42"}}
		resp, err := e.client(proto).Do(r)
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, "body", string(b))
		require.Equal(t, http.Header{"X-Announced": {"42"}, "Grpc-Status": {"5"}}, resp.Trailer, proto)
	}
}

// TestUnsafeTrailers: what a trailer must not be does not get to a backend as one.
func TestUnsafeTrailers(t *testing.T) {
	got := make(chan http.Header, 1)
	backend := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		got <- r.Trailer
	})
	e := start(t, onePool(backend))
	for _, proto := range protocols {
		r, err := http.NewRequest("POST", e.url("/"), io.MultiReader(strings.NewReader("body")))
		require.NoError(t, err)
		r.Trailer = http.Header{"X-Sum": {"42"}, "X-Real-Ip": {"192.0.2.1"}, "X-Forwarded-For": {"192.0.2.1"}, "X_forwarded_for": {"192.0.2.1"},
			"Via": {"1.1 x"}, "Cookie": {"a=b"}}
		resp, err := e.client(proto).Do(r)
		require.NoError(t, err)
		resp.Body.Close()
		trailer := <-got
		// others are not announced either
		require.Equal(t, http.Header{"X-Sum": {"42"}}, trailer, proto)
	}
}

// TestEmptyResponse checks that a response without content is not flushed, so that its header also
// ends it. Otherwise a gRPC client would not take the status from the header. It is a matter of
// timing whether ReverseProxy flushes, so the test asks the recorder directly.
func TestEmptyResponse(t *testing.T) {
	e := start(t, onePool(serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})))
	for _, content := range []string{"", "content"} {
		w := httptest.NewRecorder()
		tr := new(trip)
		rec := &recorder{ResponseWriter: w, trip: tr}
		e.site.Load().ServeHTTP(rec, tr.with(httptest.NewRequest("POST", "https://a/", strings.NewReader(content))))
		require.Equal(t, content, w.Body.String())
		require.NoError(t, http.NewResponseController(rec).Flush())
		require.Equal(t, content != "", w.Flushed)
	}
}

// bound is more than what one stream can have on its way: the edge's own buffers of 32 KiB,
// windows of HTTP/2, HTTP/3 and TCP, and the buffers of the kernel on both sides.
const bound = 24 << 20

// TestClientThatDoesNotRead checks that a backend that sends without end has to wait for the
// client.
func TestClientThatDoesNotRead(t *testing.T) {
	for _, proto := range protocols {
		var sent atomic.Int64
		backend := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			block := make([]byte, 64<<10)
			for {
				n, err := w.Write(block)
				if err != nil {
					return
				}
				sent.Add(int64(n))
			}
		})
		e := start(t, onePool(backend))
		resp, err := e.client(proto).Get(e.url("/"))
		require.NoError(t, err)
		got := settled(t, &sent)
		require.Positive(t, got)
		require.Less(t, got, int64(bound), "%s: the edge takes all that there is", proto)
		t.Logf("%s: %d KiB sent to a client that reads nothing", proto, got>>10)
		resp.Body.Close()
	}
}

// TestBackendThatDoesNotRead checks that a client that sends without end has to wait for the
// backend.
func TestBackendThatDoesNotRead(t *testing.T) {
	for _, proto := range protocols {
		done := make(chan struct{})
		backend := serveTest(t, func(w http.ResponseWriter, r *http.Request) { <-done })
		e := start(t, onePool(backend))
		var sent atomic.Int64
		body := &endless{n: &sent}
		c := e.client(proto)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			resp, err := c.Post(e.url("/"), "", body)
			if err == nil {
				resp.Body.Close()
			}
		}()
		got := settled(t, &sent)
		require.Less(t, got, int64(bound), "%s: the edge takes all that there is", proto)
		t.Logf("%s: %d KiB sent to a backend that reads nothing", proto, got>>10)
		body.end.Store(true)
		close(done)
		<-ended
	}
}

// endless is a body until it is told to end.
type endless struct {
	n   *atomic.Int64
	end atomic.Bool
}

func (b *endless) Read(p []byte) (int, error) {
	if b.end.Load() {
		return 0, io.EOF
	}
	b.n.Add(int64(len(p)))
	return len(p), nil
}

// settled waits until a count has not changed for a while, or is too high, and returns it.
func settled(t *testing.T, n *atomic.Int64) (got int64) {
	t.Helper()
	same := 0
	require.Eventually(t, func() bool {
		now := n.Load()
		if now != got || now == 0 {
			got, same = now, 0
		}
		same++
		return same > 20 || got > bound
	}, time.Minute, 10*time.Millisecond)
	return got
}

// TestSlowBackend checks that each stage has its limit, and that the status says which side was
// slow.
func TestSlowBackend(t *testing.T) {
	backend := serveTest(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	e := start(t, poolWith("timeouts: {header: 20ms}", backend))
	for _, proto := range protocols {
		resp, _ := e.get(e.client(proto), "/")
		require.Equal(t, http.StatusGatewayTimeout, resp.StatusCode, proto)
	}
	// Nobody answers at this backend of HTTP/3, not even with a refusal.
	hole := silent(t)
	e = start(t, poolWith("timeouts: {connect: 50ms}", "h3://"+hole))
	resp, _ := e.get(e.client("HTTP/2.0"), "/")
	require.Contains(t, []int{http.StatusGatewayTimeout, http.StatusBadGateway}, resp.StatusCode)
}

// TestStall checks that a response ends whose client takes nothing. A response that is quiet for
// longer does not end.
func TestStall(t *testing.T) {
	late := make(chan struct{}, 1)
	backend := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/idle" {
			io.WriteString(w, "early, ")
			http.NewResponseController(w).Flush()
			select {
			case <-late:
				io.WriteString(w, "late")
			case <-r.Context().Done():
			}
			return
		}
		block := make([]byte, 64<<10)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	e := start(t, "timeouts: {stall: 300ms}\n"+onePool(backend))
	for i, proto := range protocols {
		c := e.client(proto)
		quiet, err := c.Get(e.url("/idle"))
		require.NoError(t, err)
		begin := make([]byte, len("early, "))
		_, err = io.ReadFull(quiet.Body, begin)
		require.NoError(t, err, proto)
		resp, err := c.Get(e.url("/endless"))
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			return e.stalled.Load()+e.quic.Stats().Stalled == uint64(i+1)
		}, time.Minute, time.Millisecond)
		_, err = io.Copy(io.Discard, resp.Body)
		require.Error(t, err, proto)
		resp.Body.Close()
		late <- struct{}{}
		end, err := io.ReadAll(quiet.Body)
		require.NoError(t, err, proto)
		require.Equal(t, "early, late", string(begin)+string(end), proto)
		quiet.Body.Close()
	}
}

// silent returns the address of a UDP socket that nobody reads.
func silent(t *testing.T) string {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { pc.Close() })
	return pc.LocalAddr().String()
}
