package h3http

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// simulate runs f in virtual time. link is the model of the network. The test fails if a goroutine
// is left in the end.
func simulate(t *testing.T, link conntest.Link, f func(t *testing.T, n *looptest.Network)) {
	t.Helper()
	testCert() // outside of the bubble
	synctest.Test(t, func(t *testing.T) { f(t, looptest.New(t, 1, link)) })
}

// newSimPair serves h on the network. The functions may change the Server and the
// Transport before.
func newSimPair(t *testing.T, n *looptest.Network, h http.Handler, change ...func(p *pair)) *pair {
	t.Helper()
	p := &pair{t: t, log: new(logBuffer), url: "https://10.0.0.1"}
	p.srv = &Server{Handler: h, TLSConfig: serverConfig(), Logger: p.log.logger()}
	g, err := loop.New(nil, n.Listen("10.0.0.2:5000"))
	require.NoError(t, err)
	p.tr = &Transport{TLSClientConfig: clientConfig(), Dial: g.Dial}
	p.c = &http.Client{Transport: p.tr}
	for _, f := range change {
		f(p)
	}
	backend := n.Listen("10.0.0.1:443")
	served := make(chan error, 1)
	go func() { served <- p.srv.Serve(backend) }()
	t.Cleanup(func() {
		require.NoError(t, p.tr.Close())
		require.NoError(t, p.srv.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
		require.NoError(t, g.Close())
	})
	return p
}

func TestOverLossyNetwork(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 50e6, Loss: 0.02}
	simulate(t, link, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
		body := bytes.Repeat([]byte("x"), 1<<20)
		resp, err := p.c.Post(p.url, "", bytes.NewReader(body))
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.True(t, bytes.Equal(body, got))
		resp.Body.Close()
	})
}

// TestResponsesReadInTurn: responses that nobody reads yet hold up neither the one that is being
// read nor one that comes later.
func TestResponsesReadInTurn(t *testing.T) {
	const size = 2 << 20
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/large" {
				w.Write(make([]byte, size))
			}
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		get := func(path string) *http.Response {
			r, err := http.NewRequestWithContext(ctx, "GET", p.url+path, nil)
			require.NoError(t, err)
			resp, err := p.c.Do(r)
			require.NoError(t, err)
			return resp
		}
		var all []*http.Response
		for range 50 {
			resp := get("/large")
			all = append(all, resp)
			time.Sleep(100 * time.Millisecond) // it fills its window
		}
		get("/small").Body.Close()
		for i, resp := range all {
			n, err := io.Copy(io.Discard, resp.Body)
			require.NoError(t, err, i)
			require.Equal(t, int64(size), n)
			resp.Body.Close()
		}
	})
}

// TestReadInPart: bodies of which a part was read fast, and then nothing, hold up no other exchange
// of their connection, in either direction.
func TestReadInPart(t *testing.T) {
	for _, test := range []struct {
		name       string
		bodies     int
		part, rest int64
		cfg        *conn.Config
	}{
		{"many", 4, 1 << 20, 3 << 20, nil},
		{"large windows", 2, 3 << 20, 4 << 20, &conn.Config{MaxData: 4 << 20, MaxStreamData: 3 << 20}},
	} {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
				whole := test.part + test.rest
				read := make(chan error, 1)
				goOn := make(chan struct{})
				take := func(r io.Reader) {
					_, err := io.CopyN(io.Discard, r, test.part)
					read <- err
					<-goOn
					n, err := io.Copy(io.Discard, r)
					if err == nil && n != test.rest {
						err = io.ErrUnexpectedEOF
					}
					read <- err
				}
				p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch r.URL.Path {
					case "/down":
						io.CopyN(w, zeros{}, whole)
					case "/up":
						take(r.Body)
					}
				}), func(p *pair) { p.srv.QUICConfig, p.tr.QUICConfig = test.cfg, test.cfg })
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				do := func(path string, body io.Reader) *http.Response {
					r, err := http.NewRequestWithContext(ctx, "POST", p.url+path, body)
					require.NoError(t, err)
					resp, err := p.c.Do(r)
					require.NoError(t, err)
					return resp
				}
				for range test.bodies {
					down := do("/down", nil)
					defer down.Body.Close()
					go take(down.Body)
					require.NoError(t, <-read)
					go func() {
						r, _ := http.NewRequestWithContext(ctx, "POST", p.url+"/up", io.LimitReader(zeros{}, whole))
						if resp, err := p.c.Do(r); err == nil {
							resp.Body.Close()
						}
					}()
					require.NoError(t, <-read)
					time.Sleep(200 * time.Millisecond) // the windows fill
					do("/small", strings.NewReader("small")).Body.Close()
				}
				close(goOn)
				for range 2 * test.bodies {
					require.NoError(t, <-read)
				}
			})
		})
	}
}

// TestKeepAliveWhileWaiting: a connection lives as long as a request waits for its answer, and not
// much longer.
func TestKeepAliveWhileWaiting(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * time.Minute)
			io.WriteString(w, "at last")
		}))
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "at last", string(got))
		c := ConnOf(resp.Request)
		require.NotNil(t, c)
		require.NoError(t, c.Context().Err())
		time.Sleep(time.Minute)
		require.ErrorIs(t, context.Cause(c.Context()), conn.ErrIdleTimeout)
	})
}

// TestInformationalResponsesAreBounded: a handler sends them faster than the client takes them. It
// has to wait, at most until the client is gone.
func TestInformationalResponsesAreBounded(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
			most, done := 0, make(chan struct{})
			p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(done)
				w.Header().Set("Link", strings.Repeat("x", 900))
				x := w.(*response).x
				for range 60 {
					w.WriteHeader(http.StatusEarlyHints)
					x.mu.Lock()
					most = max(most, len(x.out.sections))
					x.mu.Unlock()
				}
			}), func(p *pair) {
				p.srv.QUICConfig = &conn.Config{UnsentBytes: 4096}
				p.tr.QUICConfig = &conn.Config{InitialMaxStreamData: 2000, MaxStreamData: 2000}
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if leaves {
				time.AfterFunc(50*time.Millisecond, cancel)
			}
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
			require.NoError(t, err)
			resp, err := p.c.Do(r)
			if leaves {
				require.ErrorIs(t, err, context.Canceled)
			} else {
				require.NoError(t, err)
				require.Equal(t, http.StatusOK, resp.StatusCode)
				resp.Body.Close()
			}
			<-done
			require.Equal(t, maxSections, most)
		})
	}
}
