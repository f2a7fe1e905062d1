package webtransport

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

const delay = 10 * time.Millisecond // one way

// A world is a server and a client on a simulated network, in a bubble.
type world struct {
	*testing.T
	net      *looptest.Network
	link     conntest.Link
	up       *Upgrader
	srv      *h3http.Server
	handler  http.HandlerFunc // default upgrades
	sessions chan *Session    // of the server
	group    *loop.Group      // of the client
	d        *Dialer
	url      string

	configured func() // changes srv after Configure
}

// run runs f in a new world. change may change the world before. The test fails if a goroutine is
// left in the end.
func run(t *testing.T, change func(w *world), f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, link: conntest.Link{Delay: delay}, up: new(Upgrader), url: "https://10.0.0.1/wt"}
		w.sessions = make(chan *Session, 100)
		w.handler = func(rw http.ResponseWriter, r *http.Request) {
			if s, err := w.up.Upgrade(rw, r); err == nil {
				w.sessions <- s
			}
		}
		w.srv = &h3http.Server{
			Handler:   http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.handler(rw, r) }),
			TLSConfig: conntest.ServerTLS(),
			Logger:    slog.New(slog.NewTextHandler(io.Discard, nil)),
		}
		w.d = &Dialer{TLSClientConfig: conntest.ClientTLS()}
		if change != nil {
			change(w)
		}
		w.net = looptest.New(t, 1, w.link)
		var err error
		w.group, err = loop.New(nil, w.net.Listen("10.0.0.2:5000"))
		require.NoError(t, err)
		w.d.NewConn = w.group.Dial
		w.up.Configure(w.srv)
		if w.configured != nil {
			w.configured()
		}
		backend := w.net.Listen("10.0.0.1:443")
		served := make(chan error, 1)
		go func() { served <- w.srv.Serve(backend) }()
		defer func() {
			require.NoError(t, w.d.Close())
			require.NoError(t, w.srv.Close())
			<-served
			require.NoError(t, w.group.Close())
		}()
		f(t, w)
	})
}

// ctx ends long after the test should.
func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	w.Cleanup(cancel)
	return ctx
}

// dial returns both ends of a session.
func (w *world) dial() (client, server *Session) {
	w.Helper()
	client, resp, err := w.d.Dial(w.ctx(), w.url, nil)
	require.NoError(w, err)
	require.Equal(w, 200, resp.StatusCode)
	return client, <-w.sessions
}

// echo serves a session by sending back streams and datagrams.
func echo(s *Session) {
	ctx := s.Context()
	for _, dir := range []conn.Dir{conn.Bidi, conn.Uni} {
		go func() {
			for {
				st, err := s.AcceptStream(ctx, dir)
				if err != nil {
					return
				}
				go func() {
					defer st.Close()
					out := st
					if dir == conn.Uni {
						if out, err = s.OpenStream(ctx, conn.Uni); err != nil {
							return
						}
						defer out.Close()
					}
					io.Copy(out, st)
				}()
			}
		}()
	}
	b := make([]byte, 1500)
	for {
		n, err := s.ReceiveDatagram(ctx, b)
		if err != nil {
			return
		}
		s.SendDatagram(ctx, b[:n], time.Second)
	}
}

// A raw is a client that can do anything with a connection.
type raw struct {
	*world
	tr      *h3http.Transport
	stream  *h3http.Stream // CONNECT
	c       *loop.Conn
	streams chan *loop.Stream // of the server
}

// HandleHTTP collects streams.
func (r *raw) HandleHTTP(_ time.Time, ev h3.Event) {
	if ev.Kind == h3.EventStream {
		r.streams <- r.c.Adopt(ev.QUIC)
	}
}

func (r *raw) HandleEvent(time.Time, conn.Event) {}

// raw makes a connection. Its settings are those of a Dialer, unless change changes them.
func (w *world) raw(change func(cfg *h3.Config)) *raw {
	w.Helper()
	cfg := extendConfig(nil, 1, limitsOf(0, 0, 0, 0))
	if change != nil {
		change(cfg)
	}
	r := &raw{world: w, streams: make(chan *loop.Stream, 100)}
	r.tr = &h3http.Transport{
		TLSClientConfig: conntest.ClientTLS(),
		H3Config:        cfg,
		Dial:            w.group.Dial,
		Extend:          func(c *loop.Conn, _ *h3.Conn) h3http.Extension { r.c = c; return r },
	}
	w.Cleanup(func() { r.tr.Close() })
	u, err := url.Parse(w.url)
	require.NoError(w, err)
	_, err = r.tr.Preconnect(w.ctx(), u)
	require.NoError(w, err)
	return r
}

// connect asks for a session, and returns the response. Header fields are given as name, value,
// name, value.
func (r *raw) connect(protocol string, nameValues ...string) *http.Response {
	r.Helper()
	var resp *http.Response
	var err error
	r.stream, resp, err = r.tr.Connect(r.request(protocol, nameValues...))
	require.NoError(r, err)
	return resp
}

// request returns a request for a session.
func (r *raw) request(protocol string, nameValues ...string) *http.Request {
	r.Helper()
	req, err := http.NewRequestWithContext(r.ctx(), "CONNECT", r.url, nil)
	require.NoError(r, err)
	req.Header[":protocol"] = []string{protocol}
	for i := 0; i < len(nameValues); i += 2 {
		req.Header.Set(nameValues[i], nameValues[i+1])
	}
	return req
}

// session makes a connection with one session.
func (w *world) rawSession() (*raw, *Session) {
	w.Helper()
	r := w.raw(nil)
	require.Equal(w, 200, r.connect(protocolName).StatusCode)
	return r, <-w.sessions
}

// open opens a stream that starts with b.
func (r *raw) open(dir conn.Dir, b ...byte) *loop.Stream {
	r.Helper()
	var st *loop.Stream
	err := r.c.Do(r.ctx(), func(_ time.Time, q *conn.Conn) {
		qs, err := q.OpenStream(dir)
		require.NoError(r, err)
		st = r.c.Adopt(qs)
		st.Write(b)
	})
	require.NoError(r, err)
	return st
}

// header returns the bytes at the start of a stream of a session.
func header(typ uint64, id conn.StreamID) []byte {
	return varint.Append(varint.Append(nil, typ), uint64(id))
}

// wait lets some round trips pass.
func (w *world) wait() { time.Sleep(10 * delay) }

// wantCode wants a stream to have been stopped or reset with code.
func wantCode(t testing.TB, code h3.ErrorCode, err error) {
	t.Helper()
	var se *conn.StreamError
	require.ErrorAs(t, err, &se)
	require.Equal(t, code, h3.ErrorCode(se.Code))
	require.True(t, se.Remote)
}

// wantClosed wants the server to have closed the connection with code.
func (r *raw) wantClosed(code h3.ErrorCode) {
	r.Helper()
	<-r.c.Context().Done()
	var ae *conn.ApplicationError
	require.ErrorAs(r, context.Cause(r.c.Context()), &ae)
	require.Equal(r, code, h3.ErrorCode(ae.Code))
	require.True(r, ae.Remote)
}
