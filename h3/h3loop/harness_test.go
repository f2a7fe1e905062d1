package h3loop

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

const testURL = "https://10.0.0.1/"

var okFields = []h3.Field{{Name: ":status", Value: "200"}}

// A world has a Server and a client of h3http on a simulated network, in virtual time.
type world struct {
	t      *testing.T
	srv    *Server
	server *loop.Group
	client *loop.Group
	tr     *h3http.Transport
	http   *http.Client

	mu   sync.Mutex
	last []h3.Event // of requests that note follows
}

// simulate runs f on a network with a delay of 10 ms each way.
func simulate(t *testing.T, srv *Server, quic *conn.Config, f func(w *world)) {
	conntest.ServerTLS() // outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		n := looptest.New(t, 1, conntest.Link{Delay: 10 * time.Millisecond})
		if quic == nil {
			quic = new(conn.Config)
		}
		quic.TLS = conntest.ServerTLS()
		w := &world{t: t, srv: srv}
		var err error
		w.server, err = loop.New(srv.LoopConfig(quic), n.Listen("10.0.0.1:443"))
		require.NoError(t, err)
		w.client, err = loop.New(nil, n.Listen("10.0.0.2:5000"))
		require.NoError(t, err)
		w.tr = &h3http.Transport{TLSClientConfig: conntest.ClientTLS(), Dial: w.client.Dial}
		w.http = &http.Client{Transport: w.tr}
		f(w)
		require.NoError(t, w.tr.Close())
		require.NoError(t, w.srv.Close())
		require.NoError(t, w.server.Close())
		require.NoError(t, w.client.Close())
		st := srv.Stats()
		require.Zero(t, st.Conns)
		require.Zero(t, st.Open)
	})
}

// get gets a path, and returns the body.
func (w *world) get(path string) string {
	w.t.Helper()
	resp, err := w.http.Get(testURL + path)
	require.NoError(w.t, err)
	return w.read(resp)
}

// read reads the body of a response to the end.
func (w *world) read(resp *http.Response) string {
	w.t.Helper()
	body, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	require.NoError(w.t, resp.Body.Close())
	return string(body)
}

// note follows a request, and keeps its last event.
func (w *world) note(r *Request, f Follower) { r.Follow(&noted{w, f}) }

// ends returns the last events of the requests that have ended.
func (w *world) ends() []h3.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.last)
}

// A noted passes events on, and notes the last one.
type noted struct {
	w *world
	f Follower // nil for none
}

func (n *noted) HandleEvent(r *Request, ev h3.Event) {
	if n.f != nil {
		n.f.HandleEvent(r, ev)
	}
	switch ev.Kind {
	case h3.EventAcked, h3.EventCanceled, h3.EventClosed:
		n.w.mu.Lock()
		defer n.w.mu.Unlock()
		n.w.last = append(n.w.last, ev)
	}
}

// An echo answers with the body and the trailers of the request. It reads no faster than the client
// takes the answer.
type echo struct {
	begun    bool
	trailers []h3.Field
}

func (e *echo) HandleEvent(r *Request, ev h3.Event) {
	switch ev.Kind {
	case h3.EventFields:
		e.trailers = slices.Clone(ev.Fields)
	case h3.EventReadable, h3.EventWritable:
		e.copy(r)
	}
}

func (e *echo) copy(r *Request) {
	if !e.begun {
		e.begun = true
		if err := r.SendFields(okFields, false); err != nil {
			panic(err)
		}
	}
	for {
		b, err := r.Peek(1)
		if len(b) > 0 {
			n, err := r.Write(b)
			r.Discard(n)
			if err != nil {
				return
			}
			continue
		}
		switch {
		case errors.Is(err, io.EOF) && e.trailers != nil:
			r.SendFields(e.trailers, true)
		case errors.Is(err, io.EOF):
			r.CloseWrite()
		}
		return
	}
}

// onLoop runs f on the loop of the server, and waits.
func (w *world) onLoop(f func()) {
	require.NoError(w.t, w.server.Loops()[0].Do(w.t.Context(), func(time.Time) { f() }))
}
