package h3http

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

type contextKey string

// TestServerContexts checks the values in the context of a request, and that each request has its
// own context.
func TestServerContexts(t *testing.T) {
	var bases, conns atomic.Int64
	own := make(chan context.Context, 10)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		own <- ctx
		srv, _ := ctx.Value(http.ServerContextKey).(*http.Server)
		addr, _ := ctx.Value(http.LocalAddrContextKey).(net.Addr)
		fmt.Fprint(w, ctx.Value(contextKey("base")), " ", ctx.Value(contextKey("conn")), " ", srv != nil, " ", addr)
	}), func(p *pair) {
		p.srv.BaseContext = func(g *loop.Group) context.Context {
			bases.Add(1)
			return context.WithValue(context.Background(), contextKey("base"), g.LocalAddr())
		}
		p.srv.ConnContext = func(ctx context.Context, c *loop.Conn) context.Context {
			if ConnFromContext(ctx) != c {
				t.Error("the context has no connection")
			}
			return context.WithValue(ctx, contextKey("conn"), conns.Add(1))
		}
	})
	for i := range 4 {
		if i == 2 {
			p.closeIdle()
		}
		_, body := p.get("/")
		addr := strings.TrimPrefix(p.url, "https://")
		require.Equal(t, fmt.Sprint(addr, " ", i/2+1, " true ", addr), body)
	}
	for range 4 {
		ctx := <-own
		<-ctx.Done()
		require.ErrorIs(t, context.Cause(ctx), context.Canceled, "it ends with the handler")
	}
	require.EqualValues(t, 1, bases.Load())
	require.Nil(t, ConnFromContext(context.Background()))
}

// TestBaseContextEnds: the base context ends during a request.
func TestBaseContextEnds(t *testing.T) {
	base, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel(why)
		<-r.Context().Done()
		fmt.Fprint(w, context.Cause(r.Context()))
	}), func(p *pair) { p.srv.BaseContext = func(*loop.Group) context.Context { return base } })
	_, body := p.get("/")
	require.Equal(t, "enough", body)
}

// TestSharedTLSConfig starts servers for TCP and UDP at once with one configuration, and changes
// that while they serve. The race detector finds faults.
func TestSharedTLSConfig(t *testing.T) {
	tc := serverConfig()
	p := newPair(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(p *pair) { p.srv.TLSConfig = tc.Clone() })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	other := &Server{TLSConfig: tc}
	cfg := other.LoopConfig()
	tcp := &http.Server{TLSConfig: tc}
	served := make(chan error, 1)
	go func() { served <- tcp.ServeTLS(ln, "", "") }() // may set NextProtos of tc: Go 1.26 does
	outer := cfg.Endpoint.Server.TLS
	require.Equal(t, []string{"h3"}, outer.NextProtos)
	for range 10 {
		p.get("/")
		p.closeIdle()
	}
	tc.SetSessionTicketKeys([][32]byte{{1}})
	require.NoError(t, tcp.Close())
	require.ErrorIs(t, <-served, http.ErrServerClosed)
	require.Equal(t, []string{"h3"}, outer.NextProtos)
}

// TestConfigForClient: a server chooses a configuration by the name that the client wants. It
// changes the configuration while it serves.
func TestConfigForClient(t *testing.T) {
	first, _ := testCert()
	second, _, err := newCert(2)
	require.NoError(t, err)
	var asked atomic.Pointer[string]
	p := newPair(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(p *pair) {
		p.srv.TLSConfig = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			asked.Store(&hello.ServerName)
			cert := first
			if hello.ServerName == "second.example" {
				cert = second
			}
			return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}, nil
		}}
		p.tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	})
	resp, _ := p.get("/")
	require.Equal(t, first.Leaf.SerialNumber, resp.TLS.PeerCertificates[0].SerialNumber)
	tr := &Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "second.example"}}
	defer tr.Close()
	resp, err = (&http.Client{Transport: tr}).Get(p.url)
	require.NoError(t, err)
	require.Equal(t, second.Leaf.SerialNumber, resp.TLS.PeerCertificates[0].SerialNumber)
	require.Equal(t, "second.example", *asked.Load())
	require.Equal(t, "h3", resp.TLS.NegotiatedProtocol)
}

// TestHelloConn: callbacks of a TLS configuration see the addresses of the connection, as with
// [http.Server]. The test uses each way in which a server can get its configuration.
func TestHelloConn(t *testing.T) {
	cert, _ := testCert()
	var seen []string
	look := func(where string, hello *tls.ClientHelloInfo) {
		if hello.Conn == nil {
			seen = append(seen, where+" without Conn")
			return
		}
		_, err := hello.Conn.Read(nil)
		seen = append(seen, fmt.Sprint(where, hello.Conn.RemoteAddr(), " to ", hello.Conn.LocalAddr(), ", ", err))
	}
	chosen := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		look("GetCertificate ", hello)
		return &cert, nil
	}}
	choosing := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		look("GetConfigForClient ", hello)
		return chosen, nil
	}}
	addresses := " 10.0.0.2:5000 to 10.0.0.1:443, loop: ClientHelloInfo.Conn has the addresses of a QUIC connection and no byte stream"
	want := []string{"GetConfigForClient" + addresses, "GetCertificate" + addresses}
	for tc, want := range map[*tls.Config][]string{chosen: want[1:], choosing: want} {
		seen = nil
		simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
			p := newSimPair(t, n, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(p *pair) { p.srv.TLSConfig = tc })
			p.get("/")
		})
		require.Equal(t, want, seen)
	}
}

// TestServerReadTimeout sends a body too slowly. Then a handler asks for more time.
func TestServerReadTimeout(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/patient" {
				http.NewResponseController(w).SetReadDeadline(time.Time{})
			}
			_, err := io.ReadAll(r.Body)
			fmt.Fprint(w, errors.Is(err, os.ErrDeadlineExceeded))
		})
		p := newSimPair(t, n, h, func(p *pair) { p.srv.ReadTimeout = time.Second })
		for path, want := range map[string]string{"/": "true", "/patient": "false"} {
			pr, pw := io.Pipe()
			var wg sync.WaitGroup
			wg.Go(func() {
				time.Sleep(2 * time.Second)
				pw.Close()
			})
			_, body := p.do(p.request("POST", path, pr))
			require.Equal(t, want, body)
			wg.Wait()
		}
	})
}

// TestServerWriteTimeout: one handler takes too long. Others ask for more time, or need none.
func TestServerWriteTimeout(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/slow":
				<-r.Context().Done()
			case "/patient":
				http.NewResponseController(w).SetWriteDeadline(time.Time{})
				time.Sleep(2 * time.Second)
			}
			io.WriteString(w, "ok")
		})
		p := newSimPair(t, n, h, func(p *pair) { p.srv.WriteTimeout = time.Second })
		first, body := p.get("/")
		require.Equal(t, "ok", body)
		start := time.Now()
		_, err := p.c.Get(p.url + "/slow")
		requireStreamError(t, err, h3.RequestCancelled)
		require.InDelta(t, 1, time.Since(start).Seconds(), 0.1)
		_, body = p.get("/patient")
		require.Equal(t, "ok", body)
		time.Sleep(2 * time.Second)
		last, body := p.get("/") // each request has its own time
		require.Equal(t, "ok", body)
		require.Equal(t, ConnOf(first.Request), ConnOf(last.Request), "only the stream ends")
	})
}

// TestPatientWriter: without timeouts, a handler waits.
func TestPatientWriter(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Minute)
			io.Copy(w, r.Body)
		})
		keepAlive := func(p *pair) { p.srv.QUICConfig = keepAliveConfig() }
		p := newSimPair(t, n, h, keepAlive)
		pr, pw := io.Pipe()
		go func() {
			time.Sleep(2 * time.Minute)
			io.WriteString(pw, "late")
			pw.Close()
		}()
		resp, err := p.c.Post(p.url, "", pr)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "late", string(body))
	})
}

// TestListenAndServeAll shuts down while requests are in progress over TCP and UDP.
func TestListenAndServeAll(t *testing.T) {
	started, goOn := make(chan bool, 2), make(chan bool)
	log := new(logBuffer)
	srv := &Server{
		Addr: "127.0.0.1:0", Loops: 1, TLSConfig: serverConfig(), Logger: log.logger(),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			started <- true
			<-goOn
			fmt.Fprint(w, r.Proto, r.Context().Value(contextKey("base")))
		}),
		BaseContext: func(g *loop.Group) context.Context {
			return context.WithValue(context.Background(), contextKey("base"), g != nil)
		},
	}
	served := make(chan error, 1)
	go func() { served <- srv.ListenAndServeAll() }()
	var ports []uint16
	for ports = srv.ports(); len(ports) == 0; ports = srv.ports() {
		time.Sleep(time.Millisecond)
	}
	tr := &Transport{TLSClientConfig: clientConfig()}
	defer tr.Close()
	over2 := &http.Transport{TLSClientConfig: clientConfig(), ForceAttemptHTTP2: true}
	defer over2.CloseIdleConnections()
	var wg sync.WaitGroup
	for want, rt := range map[string]http.RoundTripper{"HTTP/3.0true": tr, "HTTP/2.0false": over2} {
		wg.Go(func() {
			resp, err := (&http.Client{Transport: rt}).Get(fmt.Sprintf("https://127.0.0.1:%d", ports[0]))
			if err != nil {
				t.Error(err)
				return
			}
			b, _ := io.ReadAll(resp.Body)
			if string(b) != want {
				t.Errorf("got %q, want %q", b, want)
			}
		})
	}
	<-started
	<-started
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- srv.Shutdown(ctx) }()
	require.ErrorIs(t, <-served, http.ErrServerClosed)
	close(goOn)
	wg.Wait()
	require.NoError(t, <-ended)
	require.ErrorIs(t, srv.ListenAndServeAll(), http.ErrServerClosed)
	require.ErrorContains(t, new(Server).ListenAndServeAll(), "no certificate")
}

// TestSimultaneousServe starts a Server on several backends while it is shut down.
func TestSimultaneousServe(t *testing.T) {
	simulate(t, conntest.Link{}, func(t *testing.T, n *looptest.Network) {
		srv := &Server{TLSConfig: serverConfig()}
		var wg sync.WaitGroup
		for i := range 8 {
			backend := n.Listen(fmt.Sprintf("10.0.0.1:%d", 1000+i))
			wg.Go(func() {
				if err := srv.Serve(backend); !errors.Is(err, http.ErrServerClosed) {
					t.Error(err)
				}
			})
			if i == 4 {
				wg.Go(func() { srv.Shutdown(context.Background()) })
			}
		}
		wg.Wait()
	})
}
