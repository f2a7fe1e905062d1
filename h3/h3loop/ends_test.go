package h3loop

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
)

// A flood answers with n bytes, or without an end if n is negative.
type flood struct {
	left    int
	begun   bool
	written atomic.Int64
}

func (f *flood) HandleEvent(r *Request, ev h3.Event) {
	switch ev.Kind {
	case h3.EventReadable, h3.EventWritable:
		f.write(r)
	}
}

var zeros [4096]byte

func (f *flood) write(r *Request) {
	if !f.begun {
		f.begun = true
		if err := r.SendFields(okFields, false); err != nil {
			panic(err)
		}
	}
	for f.left != 0 {
		b := zeros[:]
		if f.left > 0 {
			b = b[:min(len(b), f.left)]
		}
		n, err := r.Write(b)
		f.written.Add(int64(n))
		if f.left > 0 {
			f.left -= n
		}
		if err != nil {
			return
		}
	}
	r.CloseWrite()
}

// flooded returns a Server that answers with f, and a place for the world that notes how it ends.
func flooded(f *flood) (*Server, **world) {
	w := new(*world)
	return &Server{Handler: func(r *Request) {
		(*w).note(r, f)
		f.write(r)
	}}, w
}

// keepAlive keeps a connection alive on which nothing is read.
func keepAlive() *conn.Config { return &conn.Config{KeepAlive: 10 * time.Second} }

// TestUnreadResponse: a response that the client does not read waits in bounded buffers, and is
// given up.
func TestUnreadResponse(t *testing.T) {
	f := &flood{left: -1}
	srv, w := flooded(f)
	simulate(t, srv, nil, func(world *world) {
		*w = world
		world.tr.QUICConfig = keepAlive()
		resp, err := world.http.Get(testURL)
		require.NoError(t, err)
		time.Sleep(50 * time.Second)
		require.Empty(t, world.ends())
		require.Less(t, f.written.Load(), 1<<20)
		require.Greater(t, f.written.Load(), 256<<10)
		time.Sleep(80 * time.Second)
		requireGivenUp(t, world)
		_, err = io.Copy(io.Discard, resp.Body)
		requireReset(t, err, h3.ExcessiveLoad)
	})
}

// requireGivenUp checks that one response was given up because of its client.
func requireGivenUp(t *testing.T, w *world) {
	t.Helper()
	require.Len(t, w.ends(), 1)
	require.Equal(t, h3.EventCanceled, w.ends()[0].Kind)
	require.Equal(t, h3.ExcessiveLoad, w.ends()[0].Code)
	require.ErrorIs(t, w.ends()[0].Err, os.ErrDeadlineExceeded)
	require.EqualValues(t, 1, w.srv.Stats().Stalled)
	require.Zero(t, w.srv.Stats().Open)
}

func requireReset(t *testing.T, err error, code h3.ErrorCode) {
	t.Helper()
	var reset *conn.StreamError
	require.ErrorAs(t, err, &reset)
	require.Equal(t, code, h3.ErrorCode(reset.Code))
}

// TestSlowClient: a client that takes enough of a response in each minute keeps it, though a stream
// reports room only when half of what was not sent is gone.
func TestSlowClient(t *testing.T) {
	f := &flood{left: 2 << 20}
	srv, w := flooded(f)
	simulate(t, srv, nil, func(world *world) {
		*w = world
		world.tr.QUICConfig = keepAlive()
		world.tr.QUICConfig.InitialMaxStreamData, world.tr.QUICConfig.MaxStreamData = 32<<10, 32<<10
		resp, err := world.http.Get(testURL)
		require.NoError(t, err)
		for range 10 {
			time.Sleep(50 * time.Second)
			_, err := io.CopyN(io.Discard, resp.Body, 80<<10)
			require.NoError(t, err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.EqualValues(t, 2<<20-800<<10, n)
		time.Sleep(time.Second)
		require.Len(t, world.ends(), 1)
		require.Equal(t, h3.EventAcked, world.ends()[0].Kind)
	})
}

// TestClientThatTakesLittle: a client that takes a byte now and then does not keep a response.
func TestClientThatTakesLittle(t *testing.T) {
	f := &flood{left: -1}
	srv, w := flooded(f)
	simulate(t, srv, nil, func(world *world) {
		*w = world
		world.tr.QUICConfig = keepAlive()
		world.tr.QUICConfig.InitialMaxStreamData, world.tr.QUICConfig.MaxStreamData = 500, 500
		resp, err := world.http.Get(testURL)
		require.NoError(t, err)
		for range 6 {
			time.Sleep(20 * time.Second)
			if _, err = io.CopyN(io.Discard, resp.Body, 1000); err != nil {
				break
			}
		}
		time.Sleep(10 * time.Second)
		requireGivenUp(t, world)
	})
}

// TestUndelivered: a response that has ended is given up if the client does not take it.
func TestUndelivered(t *testing.T) {
	f := &flood{left: 600 << 10}
	srv, w := flooded(f)
	simulate(t, srv, &conn.Config{UnsentBytes: 700 << 10}, func(world *world) {
		*w = world
		world.tr.QUICConfig = keepAlive()
		_, err := world.http.Get(testURL)
		require.NoError(t, err)
		time.Sleep(4*time.Minute + 50*time.Second)
		require.EqualValues(t, 600<<10, f.written.Load())
		require.Empty(t, world.ends())
		time.Sleep(20 * time.Second)
		requireGivenUp(t, world)
	})
}

// TestUnreadBody: what the Handler does not read holds the client back.
func TestUnreadBody(t *testing.T) {
	var w *world
	srv := &Server{Handler: func(r *Request) { w.note(r, nil) }}
	simulate(t, srv, nil, func(world *world) {
		w = world
		body := new(endless)
		ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "POST", testURL, body)
		require.NoError(t, err)
		_, err = w.http.Do(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, body.read.Load(), 1<<20)
		time.Sleep(time.Second)
		require.Len(t, w.ends(), 1)
		require.Equal(t, h3.EventCanceled, w.ends()[0].Kind)
	})
}

type endless struct{ read atomic.Int64 }

func (e *endless) Read(b []byte) (int, error) {
	e.read.Add(int64(len(b)))
	return len(b), nil
}

// slowly answers after d.
func slowly(d time.Duration) *Server {
	return &Server{Handler: func(r *Request) {
		q, l := &asked{r}, r.Loop()
		r.Follow(q)
		time.AfterFunc(d, func() {
			l.Post(func(time.Time) {
				if q.r != nil {
					q.r.Respond(okFields, []byte("at last"))
				}
			})
		})
	}}
}

// An asked forgets its request when that ends.
type asked struct{ r *Request }

func (q *asked) HandleEvent(_ *Request, ev h3.Event) {
	switch ev.Kind {
	case h3.EventAcked, h3.EventCanceled, h3.EventClosed:
		q.r = nil
	}
}

// TestShutdown: requests that have come are answered, and no others.
func TestShutdown(t *testing.T) {
	srv := slowly(5 * time.Second)
	simulate(t, srv, nil, func(w *world) {
		stopped := make(chan error)
		time.AfterFunc(time.Second, func() { stopped <- srv.Shutdown(context.Background()) })
		begin := time.Now()
		require.Equal(t, "at last", w.get(""))
		require.NoError(t, <-stopped)
		require.Less(t, time.Since(begin), 9*time.Second)
		require.Zero(t, srv.Stats().Conns)
		_, err := w.http.Get(testURL)
		require.Error(t, err)
	})
}

// TestShutdownWithoutTime: Shutdown waits no longer than its context.
func TestShutdownWithoutTime(t *testing.T) {
	srv := slowly(time.Hour)
	simulate(t, srv, nil, func(w *world) {
		w.tr.QUICConfig = keepAlive()
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
		defer cancel()
		failed := make(chan error)
		go func() {
			_, err := w.http.Get(testURL)
			failed <- err
		}()
		time.Sleep(time.Second)
		require.ErrorIs(t, srv.Shutdown(ctx), context.DeadlineExceeded)
		require.NoError(t, srv.Close())
		require.Error(t, <-failed)
	})
}

// TestShutdownTellsWhatIsLost: a response that its client does not take is an error of Shutdown.
func TestShutdownTellsWhatIsLost(t *testing.T) {
	f := &flood{left: -1}
	srv, w := flooded(f)
	simulate(t, srv, nil, func(world *world) {
		*w = world
		world.tr.QUICConfig = keepAlive()
		_, err := world.http.Get(testURL)
		require.NoError(t, err)
		err = srv.Shutdown(context.Background())
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Contains(t, err.Error(), "not delivered: 1")
	})
}

// TestConnectionEnds: Followers hear that the connection has ended, and can read what has come.
func TestConnectionEnds(t *testing.T) {
	var end h3.Event
	var got string
	srv := &Server{Handler: func(r *Request) {
		r.Follow(onEvent(func(r *Request, ev h3.Event) {
			if ev.Kind == h3.EventClosed {
				end = ev
				b, err := r.Peek(1)
				require.True(t, err == nil || errors.Is(err, conn.ErrWouldBlock))
				got = string(b)
			}
		}))
	}}
	simulate(t, srv, nil, func(w *world) {
		body, feed := io.Pipe()
		go func() {
			feed.Write([]byte("received"))
			time.Sleep(time.Second)
			w.tr.Close()
			feed.Close()
		}()
		_, err := w.http.Post(testURL, "", body)
		require.Error(t, err)
		time.Sleep(time.Second)
		synctest.Wait()
		var closed *conn.ApplicationError
		require.ErrorAs(t, end.Err, &closed)
		require.Equal(t, "received", got)
	})
}

// onEvent is a Follower that is a function.
type onEvent func(r *Request, ev h3.Event)

func (f onEvent) HandleEvent(r *Request, ev h3.Event) { f(r, ev) }

// TestIdleConnection: a connection without requests goes away in peace, before its client notices.
func TestIdleConnection(t *testing.T) {
	srv := &Server{Handler: func(r *Request) { r.Respond(okFields, nil) }, IdleTimeout: time.Minute}
	simulate(t, srv, nil, func(w *world) {
		w.tr.QUICConfig = keepAlive()
		w.get("")
		time.Sleep(55 * time.Second)
		require.Equal(t, 1, srv.Stats().Conns)
		time.Sleep(10 * time.Second)
		require.Zero(t, srv.Stats().Conns)
		w.get("") // over another connection
	})
}
