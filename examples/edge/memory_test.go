//go:build !race

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// A cannedBackend answers every request with a body of a size, and takes no memory but for that.
type cannedBackend int

func (size cannedBackend) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(size),
		Header: http.Header{"Content-Type": {"text/plain"}, "Content-Length": {strconv.Itoa(int(size))}},
		Body:   io.NopCloser(strings.NewReader(strings.Repeat("x", int(size)))),
	}, nil
}

// discarding is an http.ResponseWriter that keeps nothing but the header.
type discarding struct{ header http.Header }

func (w *discarding) Header() http.Header         { return w.header }
func (w *discarding) Write(b []byte) (int, error) { return len(b), nil }
func (w *discarding) WriteHeader(int)             {}
func (w *discarding) FlushError() error           { return nil }

// TestMemoryOfRequest checks that a request allocates what is its own, but no buffers: these come
// from pools. With buffers of its own it would be more than 40 KiB. (Under the race detector, a
// sync.Pool drops at random what it is given.)
func TestMemoryOfRequest(t *testing.T) {
	e := start(t, "access_log: false\n"+onePool("http://127.0.0.1:1"))
	e.site.Load().pools["p"].backends[0].way.Store(&way{cannedBackend(1000), func() {}})
	ask := func() {
		r := httptest.NewRequest("GET", "https://example.org/a/b?c=d", nil)
		r.Header = http.Header{"User-Agent": {"test"}, "Accept": {"*/*"}, "Accept-Language": {"en"}}
		e.ServeHTTP(&discarding{make(http.Header)}, r)
	}
	ask()
	const requests = 500
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range requests {
		ask()
	}
	runtime.ReadMemStats(&after)
	each := (after.TotalAlloc - before.TotalAlloc) / requests
	t.Logf("%d bytes and %d allocations a request", each, (after.Mallocs-before.Mallocs)/requests)
	require.Less(t, each, uint64(24<<10))
}
