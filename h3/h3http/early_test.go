package h3http

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// early makes both sides use early data.
func early(p *pair) {
	p.srv.QUICConfig = &conn.Config{Enable0RTT: true}
	p.tr.QUICConfig = &conn.Config{Enable0RTT: true}
	p.tr.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(8)
}

// TestEarlyData resumes a session. On the new connection only safe requests are sent as early data.
// RFC 9114, Section 10.9 [1].
func TestEarlyData(t *testing.T) {
	const delay = 50 * time.Millisecond
	simulate(t, conntest.Link{Delay: delay}, func(t *testing.T, n *looptest.Network) {
		var calls atomic.Int64
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			if r.URL.Path == "/careful" && !r.TLS.HandshakeComplete {
				w.WriteHeader(http.StatusTooEarly)
				return
			}
			b, _ := io.ReadAll(r.Body)
			fmt.Fprint(w, r.TLS.HandshakeComplete, string(b))
		})
		p := newSimPair(t, n, h, early)
		get := func(method, path, body string) (string, time.Duration) {
			start := time.Now()
			r, _ := http.NewRequest(method, p.url+path, nil)
			if body != "" {
				r, _ = http.NewRequest(method, p.url+path, strings.NewReader(body))
			}
			resp, err := p.c.Do(r)
			require.NoError(t, err)
			b, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
			return string(b), time.Since(start)
		}
		again := func() { // ends the connection, after tickets have come
			time.Sleep(time.Second)
			p.tr.CloseIdleConnections()
			time.Sleep(time.Second)
			calls.Store(0)
		}
		body, took := get("GET", "/", "")
		require.Equal(t, "true", body)
		require.GreaterOrEqual(t, took, 4*delay)

		again()
		body, took = get("GET", "/", "")
		require.Equal(t, "false", body)
		require.Less(t, took, 3*delay, "one round trip is enough")
		body, _ = get("GET", "/", "")
		require.Equal(t, "true", body, "the handshake is complete by now")

		again()
		body, took = get("POST", "/", "x")
		require.Equal(t, "truex", body)
		require.GreaterOrEqual(t, took, 4*delay)

		again()
		body, _ = get("GET", "/careful", "")
		require.Equal(t, "true", body)
		require.EqualValues(t, 2, calls.Load(), "after 425 it comes again")
	})
}

// TestEarlyDataRejected: the server has forgotten its keys.
func TestEarlyDataRejected(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.HandshakeComplete) })
		var accept atomic.Bool
		p := newSimPair(t, n, h, early, func(p *pair) {
			p.srv.QUICConfig.TicketData = []byte("x")
			p.srv.QUICConfig.AcceptEarlyData = func([]byte) bool { return accept.Load() }
		})
		for _, want := range []string{"true", "true", "false"} {
			resp, err := p.c.Get(p.url)
			require.NoError(t, err)
			b, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, want, string(b))
			accept.Store(want == "true" && resp.TLS.DidResume)
			time.Sleep(time.Second)
			p.tr.CloseIdleConnections()
			time.Sleep(time.Second)
		}
	})
}

// TestBrokenTickets: a server fails every handshake that would resume a session. Requests are sent
// once more without a ticket.
func TestBrokenTickets(t *testing.T) {
	for name, change := range map[string]func(p *pair){
		"early data": early,
		"resumption": func(p *pair) { p.tr.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(8) },
	} {
		simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
			var tickets atomic.Int64
			var broken atomic.Bool
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				fmt.Fprint(w, r.Method, r.TLS.DidResume, string(b))
			})
			p := newSimPair(t, n, h, change, func(p *pair) {
				tc := p.srv.TLSConfig
				tc.SetSessionTicketKeys([][32]byte{{1}})
				tc.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
					if tickets.Add(1); broken.Load() {
						return nil, errors.New("broken")
					}
					return tc.DecryptTicket(ticket, cs)
				}
			})
			for _, method := range []string{"GET", "POST"} {
				broken.Store(false)
				for _, want := range []string{method + "false", method + "true", method + "false"} {
					tickets.Store(0)
					r, err := http.NewRequest(method, p.url, http.NoBody)
					require.NoError(t, err)
					resp, err := p.c.Do(r)
					require.NoError(t, err, "%s, %s", name, method)
					b, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					require.Equal(t, want, string(b), "%s, %s", name, method)
					require.LessOrEqual(t, tickets.Load(), int64(1), "one try")
					time.Sleep(time.Second)
					p.tr.CloseIdleConnections()
					time.Sleep(time.Second)
					broken.Store(want == method+"true")
				}
				p.tr.TLSClientConfig.ClientSessionCache.Put("10.0.0.1", nil)
			}
		})
	}
}
