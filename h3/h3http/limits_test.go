package h3http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// TestRapidReset opens requests and cancels them at once. There must never be more handlers than
// streams.
func TestRapidReset(t *testing.T) {
	const streams = 10
	simulate(t, conntest.Link{Delay: time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		var running, most, calls atomic.Int64
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-r.Context().Done()
			time.Sleep(time.Second) // a handler that does not care at once
		})
		p := newSimPair(t, n, h, func(p *pair) {
			p.srv.QUICConfig = &conn.Config{InitialMaxStreamsBidi: streams}
			p.tr.MaxConnsPerHost = 1
		})
		for range 200 {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			r, _ := http.NewRequestWithContext(ctx, "GET", p.url, nil)
			_, err := p.c.Do(r)
			require.Error(t, err)
			cancel()
		}
		require.LessOrEqual(t, most.Load(), int64(streams))
		require.Greater(t, calls.Load(), int64(3*streams), "credit has to come back")
		time.Sleep(2 * time.Second)
		require.Zero(t, running.Load())
	})
}

func TestMaxHeaderBytes(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}),
		func(p *pair) { p.srv.MaxHeaderBytes = 4096 })
	r := p.request("GET", "/", nil)
	r.Header.Set("Large", strings.Repeat("x", 5000))
	resp, err := p.c.Do(r)
	// Whether the client knows the limit by now is a matter of time.
	if errors.Is(err, h3.ErrFieldsTooLarge) {
		return
	}
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
}

// TestSectionTakesLittle: what a header section becomes takes a few times its own memory, whatever
// is in it. A server has no say in what its client puts into 1 MiB.
func TestSectionTakesLittle(t *testing.T) {
	cookies := make([]h3.Field, 1000)
	for i := range cookies {
		cookies[i] = h3.Field{Name: "cookie", Value: strings.Repeat("x", 1000)}
	}
	var names strings.Builder
	for i := range 150_000 {
		fmt.Fprintf(&names, "%x,", 1<<20+i)
	}
	for name, fields := range map[string][]h3.Field{
		"1,000 cookies":          cookies,
		"150,000 trailer fields": {{Name: "trailer", Value: names.String()}},
	} {
		size := 0
		for _, f := range fields {
			size += int(f.Size())
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := newRequest(append([]h3.Field{{Name: ":authority", Value: "a"}, {Name: ":path", Value: "/"}}, fields...), new(requestMemory))
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.LessOrEqual(t, len(r.Trailer), maxDeclared)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2*size), name)
	}
}

// TestLargestHeaderBytes: programs that want no limit of headers set the largest there is.
func TestLargestHeaderBytes(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(p *pair) {
		p.srv.MaxHeaderBytes, p.tr.MaxResponseHeaderBytes = math.MaxInt, math.MaxInt64
	})
	resp, err := p.c.Get(p.url)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// TestBodyBackPressure checks that a handler that does not read holds up the client.
func TestBodyBackPressure(t *testing.T) {
	simulate(t, conntest.Link{Delay: time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Minute)
			io.Copy(io.Discard, r.Body)
		})
		p := newSimPair(t, n, h, func(p *pair) { p.srv.QUICConfig = &conn.Config{KeepAlive: time.Second} })
		var sent atomic.Int64
		body := readerFunc(func(b []byte) (int, error) {
			n := min(len(b), int(10<<20-sent.Load()))
			if n == 0 {
				return 0, io.EOF
			}
			sent.Add(int64(n))
			return n, nil
		})
		go func() {
			time.Sleep(50 * time.Second)
			// The window of the stream, and the buffers of both sides.
			if got := sent.Load(); got > 1<<20 {
				t.Errorf("the client could send %d bytes", got)
			}
		}()
		resp, err := p.c.Post(p.url, "", body)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		require.EqualValues(t, 10<<20, sent.Load())
	})
}

func TestConnectionClose(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "bye")
	}))
	first, body := p.get("/")
	require.Equal(t, "bye", body)
	require.Empty(t, first.Header.Get("Connection"))
	<-ConnOf(first.Request).Context().Done()
	second, _ := p.get("/")
	require.NotEqual(t, ConnOf(first.Request), ConnOf(second.Request))
}
