package h3http

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

type attachKey struct{}

// An attachedPair is a connection with HTTP/3 attached to both of its ends.
type attachedPair struct {
	t              *testing.T
	srv            *Server
	server, client *loop.Conn
	sc             *ServerConn
	cc             *ClientConn
}

// attach makes a connection, and attaches HTTP/3 to its ends.
func attach(t *testing.T, n *looptest.Network, manual bool, h http.HandlerFunc) *attachedPair {
	t.Helper()
	p := &attachedPair{t: t, srv: &Server{Handler: h, ExtendedConnect: true, Logger: new(logBuffer).logger()}}
	ctx := t.Context()
	tc := serverConfig().Clone()
	tc.NextProtos = []string{nextProto}
	cfg := &conn.Config{TLS: tc, MaxDatagramFrameSize: 65535}
	g, err := loop.New(&loop.Config{Endpoint: conn.EndpointConfig{Server: cfg}}, n.Listen("10.0.0.1:443"))
	require.NoError(t, err)
	d, err := loop.New(nil, n.Listen("10.0.0.2:5000"))
	require.NoError(t, err)
	tc = clientConfig().Clone()
	tc.NextProtos, tc.ServerName = []string{nextProto}, "10.0.0.1"
	p.client, err = d.Dial(ctx, "10.0.0.1:443", &conn.Config{TLS: tc, MaxDatagramFrameSize: 65535})
	require.NoError(t, err)
	p.server, err = g.Accept(ctx)
	require.NoError(t, err)
	p.sc, err = p.srv.Attach(context.WithValue(ctx, attachKey{}, "value"), p.server, manual)
	require.NoError(t, err)
	p.cc, err = new(Transport).Attach(ctx, p.client, manual)
	require.NoError(t, err)
	if manual {
		go hand(p.server, p.sc.HandleStream)
		go hand(p.client, p.cc.HandleStream)
	}
	t.Cleanup(func() {
		require.NoError(t, d.Close())
		require.NoError(t, g.Close())
	})
	return p
}

// hand looks at the streams that come, and hands all but those that begin with an X to HTTP/3.
func hand(c *loop.Conn, handle func(conn.StreamID) error) {
	for {
		s, err := c.AcceptStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			b := make([]byte, 1)
			if _, err := s.Peek(b); err == nil && b[0] == 'X' {
				io.Copy(io.Discard, s)
				s.Close()
			} else {
				time.Sleep(100 * time.Millisecond) // more may happen to the stream
				handle(s.ID())
			}
		}()
	}
}

func (p *attachedPair) request(method, body string) *http.Request {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, "https://10.0.0.1/path", r)
	require.NoError(p.t, err)
	return req
}

// TestAttach: requests on a connection that others use too, whoever takes its streams.
func TestAttach(t *testing.T) {
	for name, manual := range map[string]bool{"automatic": false, "manual": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
				p := attach(t, n, manual, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Value", r.Context().Value(attachKey{}).(string))
					io.Copy(w, r.Body)
				})
				<-p.sc.ReceivedSettings()
				<-p.cc.ReceivedSettings()
				require.Equal(t, 1, int(p.cc.PeerSettings()[h3.SettingExtendedConnect]))
				body := strings.Repeat("x", 1<<20)
				for range 3 {
					other, err := p.client.OpenStream(t.Context(), conn.Uni)
					require.NoError(t, err)
					resp, err := p.cc.RoundTrip(p.request("POST", body))
					require.NoError(t, err)
					require.Equal(t, "value", resp.Header.Get("X-Value"))
					got, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					require.True(t, string(got) == body)
					resp.Body.Close()
					if manual { // otherwise the server stops a stream of an unknown type
						_, err = io.WriteString(other, "X marks it")
						require.NoError(t, err)
					}
					other.Close()
				}
				ended := make(chan error, 1)
				go func() { ended <- p.srv.Shutdown(t.Context()) }()
				require.NoError(t, <-ended)
				<-p.client.Context().Done()
				_, err := p.cc.RoundTrip(p.request("GET", ""))
				require.Error(t, err)
				_, err = p.srv.Attach(t.Context(), p.server, manual)
				require.Error(t, err)
			})
		})
	}
}

// TestDialShares: a program goes on using the connection that its Dial function has made, for
// streams and datagrams of another protocol.
func TestDialShares(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		tc := serverConfig().Clone()
		tc.NextProtos = []string{nextProto}
		cfg := &conn.Config{TLS: tc, MaxDatagramFrameSize: 65535}
		g, err := loop.New(&loop.Config{Endpoint: conn.EndpointConfig{Server: cfg}}, n.Listen("10.0.0.1:443"))
		require.NoError(t, err)
		d, err := loop.New(nil, n.Listen("10.0.0.2:5000"))
		require.NoError(t, err)
		var dialed *loop.Conn
		tr := &Transport{
			TLSClientConfig: clientConfig(),
			QUICConfig:      &conn.Config{MaxDatagramFrameSize: 65535},
			H3Config:        new(h3.Config), // datagrams are the program's
			Dial: func(ctx context.Context, addr string, cfg *conn.Config) (c *loop.Conn, err error) {
				kept := *cfg
				kept.KeepAlive = 10 * time.Second
				dialed, err = d.Dial(ctx, addr, &kept)
				return dialed, err
			},
		}
		served := make(chan error, 1)
		go func() { served <- serveBeside(t.Context(), g) }()
		p := &attachedPair{t: t}
		for range 2 {
			resp, err := tr.RoundTrip(p.request("POST", "request"))
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, "request", string(got))
			resp.Body.Close()
			s, err := dialed.OpenStream(t.Context(), conn.Bidi)
			require.NoError(t, err)
			_, err = io.WriteString(s, "X stream")
			require.NoError(t, err)
			require.NoError(t, s.CloseWrite())
			got, err = io.ReadAll(s)
			require.NoError(t, err)
			require.Equal(t, "X stream", string(got))
			require.NoError(t, s.Close())
			require.NoError(t, dialed.SendDatagram(t.Context(), []byte("datagram"), 0))
			b := make([]byte, 100)
			k, err := dialed.ReceiveDatagram(t.Context(), b)
			require.NoError(t, err)
			require.Equal(t, "datagram", string(b[:k]))
			time.Sleep(time.Minute) // the connection stays, as Dial has said
			require.NoError(t, context.Cause(dialed.Context()))
		}
		require.NoError(t, tr.Close())
		require.NoError(t, <-served)
		require.NoError(t, d.Close())
		require.NoError(t, g.Close())
	})
}

// serveBeside accepts a connection. Until it ends, it echoes requests of HTTP/3, streams that begin
// with an X, and datagrams.
func serveBeside(ctx context.Context, g *loop.Group) error {
	c, err := g.Accept(ctx)
	if err != nil {
		return err
	}
	srv := &Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }),
		H3Config: new(h3.Config),
	}
	sc, err := srv.Attach(ctx, c, true)
	if err != nil {
		return err
	}
	go func() {
		b := make([]byte, 100)
		for n, err := c.ReceiveDatagram(ctx, b); err == nil; n, err = c.ReceiveDatagram(ctx, b) {
			c.SendDatagram(ctx, b[:n], 0)
		}
	}()
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return nil
		}
		go func() {
			b := make([]byte, 1)
			if _, err := s.Peek(b); err != nil || b[0] != 'X' {
				sc.HandleStream(s.ID())
				return
			}
			io.Copy(s, s)
			s.Close()
		}()
	}
}

// TestHandleStreamAfterReset: HTTP/3 learns what happened to a stream before it was handed over.
func TestHandleStreamAfterReset(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := attach(t, n, true, func(http.ResponseWriter, *http.Request) { t.Error("a request") })
		for _, start := range []string{"", "\x01", "\x01\x00"} {
			s, err := p.client.OpenStream(t.Context(), conn.Bidi)
			require.NoError(t, err)
			io.WriteString(s, start)
			time.Sleep(50 * time.Millisecond)
			s.Reset(uint64(h3.RequestCancelled))
			s.StopSending(uint64(h3.RequestCancelled))
		}
		time.Sleep(time.Second)
		st := p.sc.stats()
		require.Equal(t, 0, st.Open)
		require.Equal(t, 3, int(st.Canceled))
		require.Error(t, p.sc.HandleStream(400))
	})
}

// stats returns the counters of HTTP/3.
func (a *attached) stats() (st h3.Stats) {
	a.c.handle.Do(context.Background(), func(time.Time, *conn.Conn) { st = a.c.h3.Stats() })
	return st
}

// open returns how many requests HTTP/3 has.
func (a *attached) open() int { return a.stats().Open }

// TestRequestStream: the parts of an exchange one by one, with datagrams before the response.
func TestRequestStream(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := attach(t, n, false, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusAccepted)
			s, err := TakeUnanswered(w)
			if err != nil {
				panic(err)
			}
			b := make([]byte, 100)
			k, err := s.ReceiveDatagram(r.Context(), b)
			if err != nil {
				panic(err)
			}
			s.SendDatagram(t.Context(), append(b[:k], '!'), 0)
			io.Copy(s, s)
			s.Close()
		})
		s, err := p.cc.OpenStream(t.Context())
		require.NoError(t, err)
		require.Equal(t, conn.StreamID(0), s.ID())
		_, err = s.ReadResponse()
		require.Error(t, err)
		require.Error(t, s.SendRequest(p.request("POST", "body")))
		r := p.request("CONNECT", "")
		r.Header[":protocol"] = []string{"test"}
		require.NoError(t, s.SendRequest(r))
		require.Error(t, s.SendRequest(r))
		require.NoError(t, s.SendDatagram(t.Context(), []byte("datagram"), 0))
		resp, err := s.ReadResponse()
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, resp.StatusCode)
		b := make([]byte, 100)
		k, err := s.ReceiveDatagram(t.Context(), b)
		require.NoError(t, err)
		require.Equal(t, "datagram!", string(b[:k]))
		s.SetPriority(conn.Priority{Urgency: -1})
		require.NoError(t, s.TryWrite([]byte("some bytes")))
		require.ErrorIs(t, s.TryWrite(make([]byte, 1<<20)), conn.ErrWouldBlock)
		require.NoError(t, s.Context().Err())
		require.NoError(t, s.CloseWrite())
		got, err := io.ReadAll(s)
		require.NoError(t, err)
		require.Equal(t, "some bytes", string(got))
		ctx := s.Context()
		require.NoError(t, ctx.Err())
		require.NoError(t, s.Close())
		require.Error(t, ctx.Err()) // otherwise the connection would keep it

		s, err = p.cc.OpenStream(t.Context()) // a stream that stays without a request
		require.NoError(t, err)
		s.Cancel(h3.RequestCancelled)
		<-s.Context().Done()
		time.Sleep(time.Second)
		require.Equal(t, 0, p.sc.open())
		require.Equal(t, 0, p.cc.open())
	})
}

// TestTakeUnanswered: a stream that is taken over without a response is reset in the end.
func TestTakeUnanswered(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := attach(t, n, false, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "PUT" {
				io.WriteString(w, "x")
				if _, err := TakeUnanswered(w); !errors.Is(err, http.ErrHijacked) {
					t.Errorf("taken after a Write: %v", err)
				}
				return
			}
			s, err := TakeUnanswered(w)
			if err != nil {
				t.Error(err)
				return
			}
			b, err := io.ReadAll(s)
			if string(b) != "content" || err != nil {
				t.Errorf("read %q, %v", b, err)
			}
			if _, err := s.Write(b); err == nil || s.TryWrite(b) == nil {
				t.Error("wrote without a header")
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		_, err := p.cc.RoundTrip(p.request("POST", "content"))
		var se *conn.StreamError
		require.ErrorAs(t, err, &se)
		require.Equal(t, uint64(h3.InternalError), se.Code)
		resp, err := p.cc.RoundTrip(p.request("PUT", ""))
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.True(t, bytes.Equal([]byte("x"), got))
		resp.Body.Close()
		time.Sleep(time.Second)
		require.Equal(t, 0, p.sc.open())
		require.Equal(t, 0, p.cc.open())
	})
}
