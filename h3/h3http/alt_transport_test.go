package h3http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// A pipeListener is a TCP listener in a simulation.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// An altPair is a server for HTTP/1.1 and HTTP/3, and a client that may use either.
type altPair struct {
	*pair
	alt     *AltSvcTransport
	altSvc  atomic.Pointer[string] // what the server says over TCP
	blocked atomic.Bool            // no datagram arrives
	dials   atomic.Int64           // of HTTP/3
}

// simulateAlt runs f with the server at 10.0.0.1:443.
func simulateAlt(t *testing.T, delay time.Duration, h http.Handler, f func(p *altPair), change ...func(p *pair)) {
	var p altPair
	inner := h
	h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Got-Alt-Used", r.Header.Get("Alt-Used"))
		inner.ServeHTTP(w, r)
	})
	link := conntest.Link{Delay: delay, Filter: func(*conntest.Packet) bool { return !p.blocked.Load() }}
	simulate(t, link, func(t *testing.T, n *looptest.Network) {
		p.pair = newSimPair(t, n, h, append(change, func(p3 *pair) {
			dial := p3.tr.Dial
			p3.tr.Dial = func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
				p.dials.Add(1)
				return dial(ctx, addr, cfg)
			}
		})...)
		ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		tcp := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if v := p.altSvc.Load(); v != nil {
				w.Header().Set("Alt-Svc", *v)
			}
			h.ServeHTTP(w, r)
		})}
		go tcp.Serve(ln)
		p.alt = &AltSvcTransport{HTTP: &http.Transport{DialTLSContext: ln.dial}, HTTP3: p.tr}
		p.c = &http.Client{Transport: p.alt}
		p.offer(`h3=":443"; ma=3600`)
		f(&p)
		p.alt.CloseIdleConnections()
		tcp.Close()
	})
}

func (p *altPair) offer(value string) { p.altSvc.Store(&value) }

// takes sends a request. It returns the protocol that carried it, and the time that it took.
func (p *altPair) takes(method string, body io.Reader) (string, time.Duration) {
	p.t.Helper()
	start := time.Now()
	r, err := http.NewRequest(method, p.url, body)
	require.NoError(p.t, err)
	resp, err := p.c.Do(r)
	require.NoError(p.t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	resp.Body.Close()
	want := ""
	if resp.ProtoMajor == 3 {
		want = "10.0.0.1:443"
	}
	require.Equal(p.t, want, resp.Header.Get("Got-Alt-Used"))
	return string(b), time.Since(start)
}

func (p *altPair) requireTakes(want string, least, most time.Duration) {
	p.t.Helper()
	got, took := p.takes("GET", nil)
	require.Equal(p.t, want, got)
	require.GreaterOrEqual(p.t, took, least)
	require.LessOrEqual(p.t, took, most)
}

const (
	overTCP = "HTTP/1.1"
	overUDP = "HTTP/3.0"
)

var sayProto = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, r.Proto)
	io.Copy(w, r.Body)
})

func TestAltSvcFollow(t *testing.T) {
	simulateAlt(t, 10*time.Millisecond, sayProto, func(p *altPair) {
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overUDP, 40*time.Millisecond, 100*time.Millisecond)
		p.requireTakes(overUDP, 20*time.Millisecond, 30*time.Millisecond)
		got, _ := p.takes("POST", strings.NewReader("x"))
		require.Equal(t, overUDP+"x", got)
		require.EqualValues(t, 1, p.dials.Load())

		time.Sleep(2 * time.Hour) // the offer has expired
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overUDP, 40*time.Millisecond, 100*time.Millisecond)
		p.requireTakes(overUDP, 20*time.Millisecond, 30*time.Millisecond)

		// An offer is replaced, and withdrawn.
		p.alt.cache.learn("10.0.0.1:443", http.Header{"Alt-Svc": {"clear"}}, time.Now())
		p.offer(`h2=":443", h3=":444"; ma=60, h3=":443"`)
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overTCP, defaultHeadStart, defaultHeadStart) // nobody is there
		p.offer("clear")
		p.requireTakes(overTCP, 0, 0)
		require.Empty(t, p.alt.cache.origins)
	})
}

// TestAltSvcBlocked: the network lets no UDP through at first, and later does.
// RFC 9114, Section 3.1 [3].
func TestAltSvcBlocked(t *testing.T) {
	simulateAlt(t, 10*time.Millisecond, sayProto, func(p *altPair) {
		p.blocked.Store(true)
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overTCP, defaultHeadStart, defaultHeadStart)
		p.requireTakes(overTCP, 0, 0) // the head start is over
		for range 100 {
			time.Sleep(590 * time.Millisecond)
			p.requireTakes(overTCP, 0, 0)
		}
		require.EqualValues(t, 1, p.dials.Load(), "within a minute")
		for range 100 {
			time.Sleep(time.Minute)
			p.requireTakes(overTCP, 0, 0)
		}
		require.InDelta(t, 1+6, p.dials.Load(), 1, "1, 2, 4, 8, 16, 32 minutes and an hour")

		p.blocked.Store(false)
		p.offer(`h3=":443"; ma=86400`)
		p.takes("GET", nil)
		time.Sleep(maxBackoff)
		p.requireTakes(overTCP, 0, 0) // nobody waits for what has failed
		time.Sleep(time.Second)
		p.requireTakes(overUDP, 20*time.Millisecond, 20*time.Millisecond)
		require.Zero(t, p.alt.cache.origins["10.0.0.1:443"].failures)
	})
}

// TestAltSvcSlow: a handshake takes longer than the head start.
func TestAltSvcSlow(t *testing.T) {
	simulateAlt(t, 400*time.Millisecond, sayProto, func(p *altPair) {
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overTCP, defaultHeadStart, defaultHeadStart)
		p.requireTakes(overTCP, 0, 0)
		time.Sleep(2 * time.Second)
		p.requireTakes(overUDP, 800*time.Millisecond, 800*time.Millisecond)
		require.EqualValues(t, 1, p.dials.Load())
	})
}

// TestAltSvcDies: UDP is blocked while there is a connection.
func TestAltSvcDies(t *testing.T) {
	simulateAlt(t, 10*time.Millisecond, sayProto, func(p *altPair) {
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overUDP, 40*time.Millisecond, 100*time.Millisecond)
		p.blocked.Store(true)
		p.requireTakes(overTCP, 100*time.Millisecond, time.Second)
		// Another connection is tried. Later requests do not wait for it.
		p.requireTakes(overTCP, 300*time.Millisecond, 300*time.Millisecond)
		p.requireTakes(overTCP, 0, 0)
		require.EqualValues(t, 2, p.dials.Load())
		time.Sleep(15 * time.Second) // it has failed

		p.blocked.Store(false)
		time.Sleep(firstBackoff)
		p.requireTakes(overTCP, 0, 0)
		time.Sleep(time.Second)
		p.requireTakes(overUDP, 0, 100*time.Millisecond)
		p.blocked.Store(true)
		_, err := p.c.Post(p.url, "", strings.NewReader("not to be sent twice"))
		require.ErrorIs(t, err, conn.ErrIdleTimeout)
		got, _ := p.takes("POST", strings.NewReader("x"))
		require.Equal(t, overTCP+"x", got)
	})
}

// TestAltSvcGoesAway: the server for HTTP/3 goes away. Requests that it did not process move,
// whatever their method.
func TestAltSvcGoesAway(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, r.Proto)
	})
	simulateAlt(t, 10*time.Millisecond, h, func(p *altPair) {
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overUDP, 40*time.Millisecond, 100*time.Millisecond)
		go p.srv.Shutdown(context.Background())
		time.Sleep(5 * time.Millisecond) // GOAWAY is on its way
		got, _ := p.takes("POST", strings.NewReader("x"))
		require.Equal(t, overTCP, got)
	})
}

// TestAltSvcEarlyData resumes a session while UDP is blocked. A request that was sent as early data
// moves after the head start.
func TestAltSvcEarlyData(t *testing.T) {
	simulateAlt(t, 10*time.Millisecond, sayProto, func(p *altPair) {
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overUDP, 40*time.Millisecond, 100*time.Millisecond)
		time.Sleep(time.Second)
		p.alt.CloseIdleConnections()
		time.Sleep(time.Second)
		p.requireTakes(overUDP, 20*time.Millisecond, 30*time.Millisecond)
		time.Sleep(time.Second)
		p.alt.CloseIdleConnections()
		time.Sleep(time.Second)
		p.blocked.Store(true)
		p.requireTakes(overTCP, defaultHeadStart, defaultHeadStart)
		got, took := p.takes("POST", strings.NewReader("x"))
		require.Equal(t, overTCP+"x", got)
		require.Zero(t, took)
	}, early)
}

// TestAltSvcMisdirected: the alternative does not serve the origin.
func TestAltSvcMisdirected(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 3 {
			w.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		io.Copy(w, r.Body)
		io.WriteString(w, r.Proto)
	})
	simulateAlt(t, 10*time.Millisecond, h, func(p *altPair) {
		p.requireTakes(overTCP, 0, 0)
		got, _ := p.takes("POST", strings.NewReader("x"))
		require.Equal(t, "x"+overTCP, got)
		require.EqualValues(t, 1, p.dials.Load())
	})
}

// TestAltSvcElsewhere: the offer is for another address, with the certificate of the origin.
// RFC 9114, Section 3.1 [1, 2].
func TestAltSvcElsewhere(t *testing.T) {
	simulateAlt(t, 10*time.Millisecond, sayProto, func(p *altPair) {
		_, port, err := net.SplitHostPort("10.0.0.1:443")
		require.NoError(t, err)
		p.url = "https://localhost:8443"
		p.offer(`h3="10.0.0.1:` + port + `"`)
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overUDP, 40*time.Millisecond, 100*time.Millisecond)
		p.url = "https://other.example"
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overTCP, 0, 100*time.Millisecond) // the certificate has another name
		require.Equal(t, 1, p.alt.cache.origins["other.example:443"].failures)
	})
}

// TestAltSvcLeavesAlone sends requests that cannot go over HTTP/3.
func TestAltSvcLeavesAlone(t *testing.T) {
	simulateAlt(t, 10*time.Millisecond, sayProto, func(p *altPair) {
		p.requireTakes(overTCP, 0, 0)
		p.requireTakes(overUDP, 0, 100*time.Millisecond)
		r, err := http.NewRequest("GET", p.url, nil)
		require.NoError(t, err)
		r.Header.Set("Upgrade", "x")
		r.Header.Set("Connection", "upgrade")
		resp, err := p.c.Do(r)
		require.NoError(t, err)
		require.Equal(t, 1, resp.ProtoMajor)
		resp.Body.Close()

		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err = p.c.Do(r.WithContext(ctx))
		require.ErrorIs(t, err, context.Canceled)

		_, err = p.alt.RoundTrip(&http.Request{})
		require.Error(t, err)
		proxy := errors.New("a proxy")
		p.alt.HTTP.Proxy = func(*http.Request) (*url.URL, error) { return nil, proxy }
		_, err = p.c.Get(p.url)
		require.ErrorIs(t, err, proxy, "it is for HTTP to deal with it")
	})
}

// TestAltSvcTransport follows the offer of a real server.
func TestAltSvcTransport(t *testing.T) {
	srv := &Server{Addr: "127.0.0.1:0", Loops: 1, TLSConfig: serverConfig(), Handler: sayProto}
	served := make(chan error, 1)
	go func() { served <- srv.ListenAndServeAll() }()
	for len(srv.ports()) == 0 {
		time.Sleep(time.Millisecond)
	}
	alt := &AltSvcTransport{
		HTTP:      &http.Transport{TLSClientConfig: clientConfig(), ForceAttemptHTTP2: true, Proxy: http.ProxyFromEnvironment},
		HeadStart: time.Minute,
	}
	c := &http.Client{Transport: alt}
	for _, want := range []string{"HTTP/2.0", "HTTP/3.0", "HTTP/3.0"} {
		resp, err := c.Get(fmt.Sprintf("https://127.0.0.1:%d", srv.ports()[0]))
		require.NoError(t, err)
		require.Equal(t, want, resp.Proto)
		resp.Body.Close()
	}
	c.CloseIdleConnections()
	require.NoError(t, alt.Close())
	require.NoError(t, srv.Close())
	require.ErrorIs(t, <-served, http.ErrServerClosed)
	require.NoError(t, new(AltSvcTransport).Close())
}

// TestBroken: some ends of a connection speak against HTTP/3, and others do not.
func TestBroken(t *testing.T) {
	require.True(t, broken(conn.ErrIdleTimeout))
	require.True(t, broken(&conn.TransportError{}))
	require.True(t, broken(&conn.ApplicationError{Code: uint64(h3.VersionFallback)}))
	require.False(t, broken(&conn.ApplicationError{Code: uint64(h3.NoError)}))
	require.False(t, broken(conn.ErrStatelessReset))
}
