package h3http

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// TestLostEndOfResponse: a response has come whole, but was not read, while its request is still
// sent. What ends the request loses the response. Reads must not say that it was complete.
func TestLostEndOfResponse(t *testing.T) {
	for _, how := range []string{"context", "body"} {
		t.Run(how, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
				p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					io.WriteString(w, strings.Repeat("x", 10_000))
				}))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				upload, end := io.Pipe()
				resp, err := p.tr.RoundTrip(p.request("POST", "/", upload).WithContext(ctx))
				require.NoError(t, err)
				defer resp.Body.Close()
				time.Sleep(time.Second)
				if how == "context" {
					cancel()
				} else {
					end.CloseWithError(io.ErrClosedPipe)
				}
				synctest.Wait()
				if b, err := io.ReadAll(resp.Body); err == nil && len(b) < 10_000 {
					t.Errorf("%d bytes of 10,000 look like all", len(b))
				}
				end.Close()
			})
		})
	}
}

// TestLostEndOfRequest: the same of a request whose response the client does not take.
func TestLostEndOfRequest(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		done := make(chan bool)
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(done)
			time.Sleep(time.Second) // the request has come whole
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 100_000))
			}
			if b, err := io.ReadAll(r.Body); err == nil && len(b) < 5_000 {
				t.Errorf("%d bytes of 5,000 look like all", len(b))
			}
		}), func(p *pair) { p.srv.StallTimeout = 5 * time.Second })
		unknown := io.MultiReader(strings.NewReader(strings.Repeat("x", 5_000)))
		resp, err := p.tr.RoundTrip(p.request("POST", "/", unknown))
		require.NoError(t, err)
		<-done
		resp.Body.Close()
	})
}

// TestWriteSharedTooLong: WriteShared writes nothing of what does not fit Content-Length.
func TestWriteSharedTooLong(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "6000")
			k, err := WriteShared(w, make([]byte, 10_000))
			if k != 0 || err != http.ErrContentLength {
				t.Errorf("WriteShared: %d, %v", k, err)
			}
			k, err = WriteShared(w, []byte(strings.Repeat("y", 6_000)))
			if k != 6_000 || err != nil {
				t.Errorf("WriteShared of what fits: %d, %v", k, err)
			}
		}))
		resp, err := p.tr.RoundTrip(p.request("GET", "/", nil))
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		if string(b) != strings.Repeat("y", 6_000) || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%d bytes of %q", len(b), resp.Header.Get("Content-Type"))
		}
	})
}
