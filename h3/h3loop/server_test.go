package h3loop

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
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
)

func TestRespond(t *testing.T) {
	var seen []string
	srv := &Server{Handler: func(r *Request) {
		agent, _ := r.Field("user-agent")
		_, missing := r.Field("no-such-field")
		seen = append(seen, strings.Join([]string{r.Method(), r.Scheme(), r.Authority(), r.Path(), agent}, " "))
		require.False(t, r.HasBody() || r.Early() || missing)
		require.Equal(t, h3.Field{Name: ":method", Value: r.Method()}, r.Fields()[0])
		require.NoError(t, r.Respond([]h3.Field{{Name: ":status", Value: "203"}, {Name: "a", Value: "b"}}, []byte("body")))
		require.ErrorIs(t, r.Respond(okFields, nil), errEnded)
		require.ErrorIs(t, r.CloseWrite(), errEnded)
		_, err := r.Write([]byte("more"))
		require.ErrorIs(t, err, errEnded)
		require.Zero(t, r.Available())
	}}
	simulate(t, srv, nil, func(w *world) {
		for _, method := range []string{"GET", "HEAD"} {
			req, err := http.NewRequest(method, testURL+"p?q=1", nil)
			require.NoError(t, err)
			req.Header.Set("User-Agent", "test")
			resp, err := w.http.Do(req)
			require.NoError(t, err)
			require.Equal(t, 203, resp.StatusCode)
			require.Equal(t, "b", resp.Header.Get("a"))
			require.Equal(t, map[string]string{"GET": "body", "HEAD": ""}[method], w.read(resp))
		}
		require.Equal(t, []string{"GET https 10.0.0.1 /p?q=1 test", "HEAD https 10.0.0.1 /p?q=1 test"}, seen)
		synctest.Wait()
		require.EqualValues(t, 2, srv.Stats().Requests)
		require.Equal(t, 1, srv.Stats().Conns)
	})
}

// TestEcho carries a body that is larger than all windows both ways, with trailers.
func TestEcho(t *testing.T) {
	var w *world
	srv := &Server{Handler: func(r *Request) { w.note(r, new(echo)) }}
	quic := &conn.Config{InitialMaxStreamData: 10_000, MaxStreamData: 10_000, UnsentBytes: 5000}
	simulate(t, srv, quic, func(world *world) {
		w = world
		w.tr.QUICConfig = &conn.Config{InitialMaxStreamData: 7000, MaxStreamData: 7000}
		body := bytes.Repeat([]byte("0123456789"), 30_000)
		req, err := http.NewRequest("POST", testURL, io.NopCloser(bytes.NewReader(body)))
		require.NoError(t, err)
		req.Trailer = http.Header{"Check": {"sum"}}
		resp, err := w.http.Do(req)
		require.NoError(t, err)
		require.Equal(t, string(body), w.read(resp))
		require.Equal(t, "sum", resp.Trailer.Get("check"))
		time.Sleep(time.Second) // the acknowledgment
		require.Len(t, w.ends(), 1)
		require.Equal(t, h3.EventAcked, w.ends()[0].Kind)
	})
}

// TestRespondBeyondTheWindow: what the stream does not take waits in the Request.
func TestRespondBeyondTheWindow(t *testing.T) {
	body := bytes.Repeat([]byte("x"), MaxBody)
	srv := &Server{Handler: func(r *Request) {
		require.ErrorIs(t, r.Respond(okFields, make([]byte, MaxBody+1)), ErrBodyTooLong)
		require.NoError(t, r.Respond(okFields, body))
		clear(body) // it was copied
		require.Greater(t, r.memory, MaxBody-5000)
		for i := range body {
			body[i] = 'x'
		}
	}}
	simulate(t, srv, &conn.Config{UnsentBytes: 1000}, func(w *world) {
		w.tr.QUICConfig = &conn.Config{InitialMaxStreamData: 2000, MaxStreamData: 2000}
		for range 3 {
			require.Equal(t, strings.Repeat("x", MaxBody), w.get(""))
		}
		time.Sleep(time.Second)
		kept := 0
		w.onLoop(func() {
			for c := range srv.conns {
				for _, r := range c.free {
					kept = max(kept, cap(r.rest), r.memory)
				}
			}
		})
		require.LessOrEqual(t, kept, maxKept)
	})
}

// TestMemoryOfFields: the header section of a request counts while its Follower may ask for it, and
// nothing keeps it when it is of no use any more.
func TestMemoryOfFields(t *testing.T) {
	const size, count = 30_000, 5
	long := strings.Repeat("x", size)
	srv := &Server{Handler: func(r *Request) {
		if !strings.HasPrefix(r.Path(), "/slow") {
			r.Respond(okFields, nil)
			return
		}
		q, l := &asked{r}, r.Loop()
		r.Follow(q)
		time.AfterFunc(time.Minute, func() {
			l.Post(func(time.Time) {
				require.Len(t, q.r.Path(), 1+len("slow")+size)
				q.r.Respond(okFields, nil)
			})
		})
	}}
	simulate(t, srv, nil, func(w *world) {
		w.tr.QUICConfig = keepAlive()
		state := func() (held int64, kept int) {
			w.onLoop(func() {
				held = w.server.Loops()[0].Endpoint().Stats().Held
				for c := range srv.conns {
					require.LessOrEqual(t, len(c.free), count)
					for _, r := range c.free {
						kept += len(r.method) + len(r.scheme) + len(r.authority) + len(r.path)
					}
				}
			})
			return held, kept
		}
		w.get("") // the connection
		time.Sleep(time.Second)
		before, _ := state()
		get := func(path string) {
			var all sync.WaitGroup
			for range count {
				all.Go(func() { w.get(path + long) })
			}
			if path == "slow" {
				time.Sleep(30 * time.Second)
				held, _ := state()
				require.Greater(t, held-before, int64(count*size))
			}
			all.Wait()
			time.Sleep(time.Second) // the acknowledgments
		}
		for _, path := range []string{"fast", "slow"} {
			get(path)
			held, kept := state()
			require.Zero(t, kept)
			require.Less(t, held-before, int64(size))
		}
	})
}

// TestInterimResponses sends 103 before the response.
func TestInterimResponses(t *testing.T) {
	srv := &Server{Handler: func(r *Request) {
		hint := []h3.Field{{Name: ":status", Value: "103"}, {Name: "link", Value: "</a.css>"}}
		require.NoError(t, r.SendFields(hint, false))
		require.Error(t, r.SendFields(hint, true))
		require.NoError(t, r.Respond(okFields, []byte("x")))
	}}
	simulate(t, srv, nil, func(w *world) {
		var got []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			got = append(got, h.Get("Link"))
			return nil
		}}
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(w.t.Context(), trace), "GET", testURL, nil)
		require.NoError(t, err)
		resp, err := w.http.Do(req)
		require.NoError(t, err)
		require.Equal(t, "x", w.read(resp))
		require.Equal(t, []string{"</a.css>"}, got)
	})
}

// TestUnanswered: a Handler that neither answers nor follows is an error of the server.
func TestUnanswered(t *testing.T) {
	srv := &Server{Handler: func(r *Request) {}}
	simulate(t, srv, nil, func(w *world) {
		_, err := w.http.Get(testURL)
		var reset *conn.StreamError
		require.ErrorAs(t, err, &reset)
		require.Equal(t, h3.InternalError, h3.ErrorCode(reset.Code))
	})
}

// TestAnswerStopsTheRequest: the client may stop sending once the response has ended.
func TestAnswerStopsTheRequest(t *testing.T) {
	srv := &Server{Handler: func(r *Request) {
		require.True(t, r.HasBody())
		require.NoError(t, r.Respond([]h3.Field{{Name: ":status", Value: "413"}}, nil))
	}}
	simulate(t, srv, nil, func(w *world) {
		body, feed := io.Pipe()
		defer feed.Close()
		resp, err := w.http.Post(testURL, "", body)
		require.NoError(t, err)
		require.Equal(t, 413, resp.StatusCode)
		require.Equal(t, "", w.read(resp))
		time.Sleep(time.Second)
		require.Zero(t, srv.Stats().Open)
	})
}

// TestCancel: the client gives up. The Follower hears of it, and the stream is free again.
func TestCancel(t *testing.T) {
	var w *world
	srv := &Server{Handler: func(r *Request) {
		w.note(r, nil)
		r.SendFields(okFields, false)
	}}
	simulate(t, srv, nil, func(world *world) {
		w = world
		resp, err := w.http.Get(testURL)
		require.NoError(t, err)
		resp.Body.Close()
		time.Sleep(time.Second)
		require.Len(t, w.ends(), 1)
		require.Equal(t, h3.EventCanceled, w.ends()[0].Kind)
		require.Equal(t, h3.RequestCancelled, w.ends()[0].Code)
		require.Zero(t, srv.Stats().Open)
		require.EqualValues(t, 1, srv.Stats().Canceled)
	})
}

// TestAnswerFromElsewhere: a goroutine has the answer, and the loop was idle meanwhile.
func TestAnswerFromElsewhere(t *testing.T) {
	var w *world
	srv := &Server{Handler: func(r *Request) {
		w.note(r, nil)
		l := r.Loop()
		go func() {
			time.Sleep(time.Minute)
			l.Post(func(time.Time) {
				require.NoError(t, r.Respond(okFields, []byte("late")))
			})
		}()
	}}
	simulate(t, srv, nil, func(world *world) {
		w = world
		require.Equal(t, "late", w.get(""))
		time.Sleep(time.Second)
		require.Len(t, w.ends(), 1)
		require.Equal(t, h3.EventAcked, w.ends()[0].Kind)
	})
}

// TestReadFromElsewhere: functions that were posted read a body up to its trailers.
func TestReadFromElsewhere(t *testing.T) {
	srv := &Server{Handler: func(r *Request) {
		e, l := new(echo), r.Loop()
		r.Follow(deaf{e})
		go func() {
			time.Sleep(time.Second) // all has come
			l.Post(func(time.Time) { e.copy(r) })
			time.Sleep(time.Second)
			l.Post(func(time.Time) { e.copy(r) })
		}()
	}}
	simulate(t, srv, nil, func(w *world) {
		req, err := http.NewRequest("POST", testURL, strings.NewReader("body"))
		require.NoError(t, err)
		req.Trailer = http.Header{"Check": {"sum"}}
		resp, err := w.http.Do(req)
		require.NoError(t, err)
		require.Equal(t, "body", w.read(resp))
		require.Equal(t, "sum", resp.Trailer.Get("check"))
	})
}

// A deaf Follower hears of trailers only.
type deaf struct{ e *echo }

func (d deaf) HandleEvent(r *Request, ev h3.Event) {
	if ev.Kind == h3.EventFields {
		d.e.HandleEvent(r, ev)
	}
}

// TestMalformedRequest: the Handler does not see a request that breaks a rule, and the connection
// goes on.
func TestMalformedRequest(t *testing.T) {
	served := 0
	srv := &Server{Handler: func(r *Request) {
		served++
		r.Respond(okFields, nil)
	}}
	simulate(t, srv, nil, func(w *world) {
		cfg := conntest.ClientConfig()
		cfg.TLS.NextProtos = []string{nextProto}
		c, err := w.client.Dial(w.t.Context(), "10.0.0.1:443", cfg)
		require.NoError(t, err)
		for _, test := range []struct {
			section string // a HEADERS frame of static entries
			code    h3.ErrorCode
		}{
			{"\x01\x03\x00\x00\xd1", h3.MessageError},         // :method alone
			{"\x01\x05\x00\x00\xd1\xd7\xc1", h3.MessageError}, // no :authority
			{"\x01\x08\x00\x00\xd1\xd7\xc1\x50\x01a", 0},      // all of them
		} {
			s, err := c.OpenStream(w.t.Context(), conn.Bidi)
			require.NoError(t, err)
			_, err = s.Write([]byte(test.section))
			require.NoError(t, err)
			require.NoError(t, s.CloseWrite())
			_, err = io.ReadAll(s)
			var reset *conn.StreamError
			if errors.As(err, &reset) {
				require.Equal(t, test.code, h3.ErrorCode(reset.Code))
			} else {
				require.Zero(t, test.code)
			}
			s.Close()
		}
		require.Equal(t, 1, served)
		require.NoError(t, c.Close(uint64(h3.NoError), ""))
		time.Sleep(time.Second)
	})
}

// TestEarlyRequest: a Handler knows which requests may be replays.
func TestEarlyRequest(t *testing.T) {
	var early []bool
	srv := &Server{Handler: func(r *Request) {
		early = append(early, r.Early())
		r.Respond(okFields, nil)
	}}
	simulate(t, srv, &conn.Config{Enable0RTT: true}, func(w *world) {
		cache := new(loop.SessionCache)
		tc := conntest.ClientTLS()
		tc.ClientSessionCache = cache
		for range 2 {
			tr := &h3http.Transport{TLSClientConfig: tc, Dial: w.client.Dial, QUICConfig: &conn.Config{Enable0RTT: true}}
			resp, err := (&http.Client{Transport: tr}).Get(testURL)
			require.NoError(t, err)
			w.read(resp)
			time.Sleep(time.Second)
			require.NoError(t, tr.Close())
			time.Sleep(time.Second)
		}
		require.Equal(t, []bool{false, true}, early)
	})
}
