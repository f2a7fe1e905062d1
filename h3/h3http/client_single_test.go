package h3http

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// get sends a GET on c, and returns the response with its body still open.
func (c *ClientConn) get(t *testing.T, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	require.NoError(t, err)
	resp, err := c.RoundTrip(r)
	require.NoError(t, err)
	return resp
}

// TestNewClientConn: places of a connection are reserved, used and given back, and the owner of the
// connection hears of it.
func TestNewClientConn(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		open := make(chan struct{})
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-open
		}), func(p *pair) { p.srv.QUICConfig = &conn.Config{InitialMaxStreamsBidi: 3} })
		changes := make(chan struct{}, 100)
		c, err := p.tr.NewClientConn(t.Context(), "10.0.0.1:443", func() { changes <- struct{}{} })
		require.NoError(t, err)
		state := func(available, inFlight int) {
			t.Helper()
			synctest.Wait()
			require.Equal(t, available, c.Available())
			require.Equal(t, inFlight, c.InFlight())
		}
		state(3, 0)
		require.NoError(t, c.Reserve())
		state(2, 1)
		first := c.get(t, p.url) // takes what is reserved
		state(2, 1)
		require.NoError(t, c.Reserve())
		require.NoError(t, c.Reserve())
		require.ErrorIs(t, c.Reserve(), ErrNoPlace)
		c.Release()
		state(1, 2)
		c.Release()
		c.Release() // there is none
		state(2, 1)

		for len(changes) > 0 {
			<-changes
		}
		close(open)
		_, err = io.Copy(io.Discard, first.Body)
		require.NoError(t, err)
		<-changes
		for range 10 { // more than the server allows at first
			resp := c.get(t, p.url)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		require.Zero(t, c.InFlight())
		require.GreaterOrEqual(t, c.Available(), 2)

		require.NoError(t, c.Close())
		<-changes
		state(0, 0)
		require.Error(t, c.Err())
		require.Error(t, c.Reserve())
		_, err = c.RoundTrip(mustRequest(t, p.url))
		require.ErrorIs(t, err, ErrUnprocessed)
	})
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	require.NoError(t, err)
	return r
}

// TestNewClientConnEnds: a connection takes no request after CloseIdle, GOAWAY or one with Close,
// and finishes those that it has.
func TestNewClientConnEnds(t *testing.T) {
	for name, end := range map[string]func(p *pair, c *ClientConn){
		"CloseIdle": func(p *pair, c *ClientConn) { c.CloseIdle() },
		"GOAWAY":    func(p *pair, c *ClientConn) { go p.srv.Shutdown(context.Background()) },
		"Close": func(p *pair, c *ClientConn) {
			r := mustRequest(p.t, p.url)
			r.Close = true
			resp, err := c.RoundTrip(r)
			require.NoError(p.t, err)
			resp.Body.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
				p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.(http.Flusher).Flush()
					time.Sleep(time.Second)
					io.WriteString(w, "whole")
				}))
				c, err := p.tr.NewClientConn(t.Context(), "10.0.0.1:443", nil)
				require.NoError(t, err)
				resp := c.get(t, p.url)
				end(p, c)
				time.Sleep(100 * time.Millisecond)
				require.Error(t, c.Err())
				_, err = c.RoundTrip(mustRequest(t, p.url))
				require.ErrorIs(t, err, ErrUnprocessed)
				b, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, "whole", string(b))
				select {
				case <-c.Conn().Context().Done():
				case <-time.After(5 * time.Second):
					t.Fatal("the connection stays open")
				}
				time.Sleep(time.Second) // handlers return
			})
		})
	}
}

// TestNewClientConnOfClosed: Close of the Transport ends what NewClientConn has made, and what it
// is making.
func TestNewClientConnOfClosed(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, nil)
		c, err := p.tr.NewClientConn(t.Context(), "10.0.0.1:443", nil)
		require.NoError(t, err)
		late := make(chan error)
		go func() {
			_, err := p.tr.NewClientConn(t.Context(), "10.0.0.9:443", nil) // nobody is there
			late <- err
		}()
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, p.tr.Close())
		require.ErrorIs(t, <-late, net.ErrClosed)
		<-c.Conn().Context().Done()
		_, err = p.tr.NewClientConn(t.Context(), "10.0.0.1:443", nil)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// TestFloodOfInformational: a server that answers with 1xx responses without end fails the request,
// unless the application takes each.
func TestFloodOfInformational(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Header", strings.Repeat("a", 100))
			for range 20 {
				w.WriteHeader(123)
				time.Sleep(10 * time.Millisecond)
			}
			w.WriteHeader(204)
		}), func(p *pair) { p.tr.MaxResponseHeaderBytes = 2000 })
		_, err := p.c.Get(p.url)
		require.ErrorIs(t, err, errManyInfo)

		got := 0
		trace := &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { got++; return nil }}
		r := mustRequest(t, p.url)
		resp, err := p.c.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
		require.NoError(t, err)
		require.Equal(t, 204, resp.StatusCode)
		require.Equal(t, 20, got)
	})
}

// TestMaxFields: a request with too many fields gets status 431.
func TestMaxFields(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(p *pair) { p.srv.MaxFields = 10 })
		for fields, status := range map[int]int{5: 200, 11: 431} {
			r := mustRequest(t, p.url)
			for range fields {
				r.Header.Add("X-Field", "value")
			}
			resp, err := p.c.Do(r)
			require.NoError(t, err)
			require.Equal(t, status, resp.StatusCode)
			resp.Body.Close()
		}
	})
}
