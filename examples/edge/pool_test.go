package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// A counter is a backend that counts requests, and then calls its handler.
type counter struct {
	*httptest.Server
	n atomic.Int64
}

func counting(t *testing.T, h http.HandlerFunc) *counter {
	c := new(counter)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.n.Add(1)
		h(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

// failing breaks the connection off.
func failing(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// poolWith is the configuration of one route to a pool with more keys, in braces.
func poolWith(keys string, backends ...string) string {
	return fmt.Sprintf("pools: {p: {%s, backends: %s}}\nroutes: [{pool: p}]\n", keys, list(backends...))
}

// TestHealthChecks checks that a backend whose checks fail gets no requests until they succeed.
func TestHealthChecks(t *testing.T) {
	var well atomic.Bool
	a := counting(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/well" && !well.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		io.WriteString(w, "a "+r.Host)
	})
	b := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/well" && r.Host != "check.example" {
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, "b")
	})
	e := start(t, poolWith("health: {path: /well, host: check.example, interval: 5ms, timeout: 10s}, retries: {max: 0}", a.URL, b))
	c := e.client("HTTP/2.0")
	both := func() bool {
		_, first := e.get(c, "/")
		_, second := e.get(c, "/")
		return first != second
	}
	require.Eventually(t, func() bool { return !both() }, time.Minute, time.Millisecond)
	for range 5 {
		_, body := e.get(c, "/")
		require.Equal(t, "b", body)
	}
	well.Store(true)
	require.Eventually(t, both, time.Minute, time.Millisecond)
}

// TestNoneAvailable checks that clients get an error at once if no backend is well.
func TestNoneAvailable(t *testing.T) {
	a := counting(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	e := start(t, poolWith("health: {interval: 5ms}", a.URL))
	c := e.client("HTTP/3.0")
	require.Eventually(t, func() bool {
		resp, _ := e.get(c, "/")
		return resp.StatusCode == http.StatusServiceUnavailable
	}, time.Minute, time.Millisecond)
}

// TestEjection checks that a failing backend is left out. When both fail, one of them stays.
func TestEjection(t *testing.T) {
	var bad, bothBad atomic.Bool
	bad.Store(true)
	answer := func(name string, bad *atomic.Bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if bad.Load() || bothBad.Load() {
				w.WriteHeader(http.StatusBadGateway)
			}
			io.WriteString(w, name)
		}
	}
	a, b := counting(t, answer("a", &bad)), counting(t, answer("b", new(atomic.Bool)))
	e := start(t, poolWith("eject: {failures: 3, for: 20s}, retries: {max: 0}", a.URL, b.URL))
	c := e.client("HTTP/3.0")
	for range 20 {
		e.get(c, "/")
	}
	require.EqualValues(t, 3, a.n.Load())
	require.EqualValues(t, 17, b.n.Load())
	bothBad.Store(true)
	for range 10 {
		resp, _ := e.get(c, "/")
		require.Equal(t, http.StatusBadGateway, resp.StatusCode)
	}
	require.EqualValues(t, 27, b.n.Load(), "there is no other")
}

// TestClientsEjectNobody checks that requests that their clients break off do not eject a backend.
func TestClientsEjectNobody(t *testing.T) {
	arrived := make(chan struct{}, 1)
	h := func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		io.Copy(io.Discard, r.Body)
	}
	e := start(t, poolWith("eject: {failures: 1, for: 1h}, retries: {max: 0}", serveTest(t, h), serveTest(t, h)))
	backends := e.site.Load().pools["p"].backends
	for _, proto := range protocols {
		c := e.client(proto)
		for range 2 {
			pr, pw := io.Pipe()
			r, err := http.NewRequest("POST", e.url("/"), pr)
			require.NoError(t, err)
			go func() {
				pw.Write([]byte("some"))
				<-arrived
				pw.CloseWithError(io.ErrUnexpectedEOF)
			}()
			_, err = c.Do(r)
			require.Error(t, err)
			require.Eventually(t, func() bool {
				return backends[0].inflight.Load()+backends[1].inflight.Load() == 0
			}, time.Minute, time.Millisecond)
		}
	}
	for range 4 { // the connection lasts, and the chunked coding breaks off
		go func() { <-arrived }()
		got := exchange(t, e, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nz\r\n")
		require.Equal(t, []string{"502 "}, got)
	}
	for _, one := range backends {
		require.True(t, one.condition.available(time.Now()))
	}
}

// TestRetries checks that a request that may be repeated goes to another backend when one breaks
// off.
func TestRetries(t *testing.T) {
	bad := counting(t, failing)
	good := counting(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, " ", string(b))
	})
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, row := range []struct {
		method, body string
		first        string
		want         string
	}{
		{"GET", "", bad.URL, "200 GET "},
		{"OPTIONS", "", bad.URL, "200 OPTIONS "},
		{"DELETE", "", bad.URL, "502 "},
		{"POST", "x", bad.URL, "502 "},
		{"GET", "x", bad.URL, "502 "},
		{"POST", "x", gone.URL, "200 POST x"},
		{"DELETE", "", gone.URL, "200 DELETE "},
		{"POST", "x", "h3://" + strings.TrimPrefix(gone.URL, "http://"), "200 POST x"},
	} {
		e := start(t, poolWith("eject: {failures: 100}", row.first, good.URL))
		bad.n.Store(0)
		r, err := http.NewRequest(row.method, e.url("/"), strings.NewReader(row.body))
		require.NoError(t, err)
		resp, body := e.do(e.client("HTTP/3.0"), r)
		require.Equal(t, row.want, fmt.Sprint(resp.StatusCode, " ", body), row)
		require.LessOrEqual(t, bad.n.Load(), int64(1))
	}
}

// TestRetryStatuses checks that a status of the list is a failure, and that the last one is passed
// on.
func TestRetryStatuses(t *testing.T) {
	busy := counting(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) })
	e := start(t, poolWith("retries: {statuses: [503]}, eject: {failures: 100}", busy.URL, serveTest(t, saying("good"))))
	_, body := e.get(e.client("HTTP/3.0"), "/")
	require.Equal(t, "good", body)
	require.EqualValues(t, 1, busy.n.Load())

	e = start(t, poolWith("retries: {statuses: [503], max: 5}, eject: {failures: 100}", busy.URL, busy.URL+"/"))
	resp, body := e.get(e.client("HTTP/3.0"), "/")
	require.Equal(t, 503, resp.StatusCode)
	require.Equal(t, "busy\n", body)
	require.EqualValues(t, 3, busy.n.Load())
}

// TestRetryBudget checks that failing backends get few retries on top of the requests.
func TestRetryBudget(t *testing.T) {
	bad := counting(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) })
	e := start(t, poolWith("retries: {statuses: [503], max: 3, budget: 0.1}, eject: {failures: 1000}",
		bad.URL, bad.URL+"/", strings.Replace(bad.URL, "127.0.0.1", "localhost", 1)))
	c := e.client("HTTP/2.0")
	for range 100 {
		e.get(c, "/")
	}
	require.LessOrEqual(t, bad.n.Load(), int64(100+maxSaved+10))
	require.Greater(t, bad.n.Load(), int64(100+maxSaved))
}
