package webtransport

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// TestEarlyStreams: streams that come before their session are kept for it, up to a limit.
func TestEarlyStreams(t *testing.T) {
	few := func(w *world) { w.up.MaxEarlyStreams = 5 }
	run(t, few, func(t *testing.T, w *world) {
		r := w.raw(nil)
		const session = 0
		var streams []*loop.Stream
		for i := range 8 {
			streams = append(streams, r.open(conn.Uni, append(header(typeUni, session), byte(i))...))
		}
		w.wait()
		for i, st := range streams {
			_, err := st.Write([]byte("more"))
			if i < 5 {
				require.NoError(t, err)
			} else {
				wantCode(t, BufferedStreamRejected, err)
			}
		}
		require.Equal(t, 200, r.connect(protocolName).StatusCode)
		require.EqualValues(t, session, r.stream.ID())
		s := <-w.sessions
		for i := range 5 {
			st, err := s.AcceptStream(w.ctx(), conn.Uni)
			require.NoError(t, err)
			b := make([]byte, 5)
			_, err = io.ReadFull(st, b)
			require.NoError(t, err)
			require.Equal(t, append([]byte{byte(i)}, "more"...), b)
		}
		r.open(conn.Bidi, header(typeBidi, session)...) // there is room again
		_, err := s.AcceptStream(w.ctx(), conn.Bidi)
		require.NoError(t, err)
	})
}

// TestEarlyBidi: a bidirectional stream is rejected in both directions.
func TestEarlyBidi(t *testing.T) {
	few := func(w *world) { w.up.MaxEarlyStreams = 1 }
	run(t, few, func(t *testing.T, w *world) {
		r := w.raw(nil)
		first := r.open(conn.Bidi, header(typeBidi, 400)...)
		second := r.open(conn.Bidi, header(typeBidi, 400)...)
		w.wait()
		_, err := second.Read(make([]byte, 1))
		wantCode(t, BufferedStreamRejected, err)
		_, err = second.Write([]byte("x"))
		wantCode(t, BufferedStreamRejected, err)
		_, err = first.Write([]byte("x"))
		require.NoError(t, err)
	})
}

// TestEarlyDatagrams: datagrams that come before their session are kept, up to a limit.
func TestEarlyDatagrams(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		r := w.raw(nil)
		err := r.c.Do(w.ctx(), func(_ time.Time, q *conn.Conn) {
			for i := range 100 {
				// quarter stream ID 0
				_, err := q.SendDatagram([]byte{0, byte(i)}, conn.DatagramOptions{})
				require.NoError(t, err)
			}
		})
		require.NoError(t, err)
		w.wait()
		r.connect(protocolName)
		s := <-w.sessions
		w.wait()
		ctx, cancel := context.WithTimeout(w.ctx(), time.Second)
		defer cancel()
		n := 0
		for b := make([]byte, 10); ; n++ {
			if _, err := s.ReceiveDatagram(ctx, b); err != nil {
				break
			}
		}
		require.Equal(t, 32, n)
	})
}

// TestRejectedSession: the streams that waited for the session are released.
func TestRejectedSession(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.handler = func(rw http.ResponseWriter, r *http.Request) { http.NotFound(rw, r) }
		r := w.raw(nil)
		st := r.open(conn.Uni, header(typeUni, 0)...)
		require.Equal(t, 404, r.connect(protocolName).StatusCode)
		w.wait()
		r.open(conn.Uni, header(typeUni, 0)...) // any event will do
		w.wait()
		_, err := st.Write([]byte("x"))
		wantCode(t, SessionGone, err)
	})
}

// TestStreamsOfNoSession: streams name a stream that is not a request, or not any more, or a
// session that has ended.
func TestStreamsOfNoSession(t *testing.T) {
	for _, id := range []conn.StreamID{1, 2, 3, 1<<62 - 1} {
		for typ, dir := range map[uint64]conn.Dir{typeUni: conn.Uni, typeBidi: conn.Bidi} {
			run(t, nil, func(t *testing.T, w *world) {
				r := w.raw(nil)
				r.open(dir, header(typ, id)...)
				r.wantClosed(h3.IDError)
			})
		}
	}
	run(t, nil, func(t *testing.T, w *world) {
		r, s := w.rawSession()
		w.handler = func(rw http.ResponseWriter, r *http.Request) {}
		resp, err := (&http.Client{Transport: r.tr}).Get(w.url)
		require.NoError(t, err)
		resp.Body.Close()
		w.wait()
		st := r.open(conn.Uni, header(typeUni, 4)...)
		w.wait()
		_, err = st.Write([]byte("x"))
		wantCode(t, SessionGone, err)

		require.NoError(t, s.Close()) // the client says nothing to that
		st = r.open(conn.Bidi, header(typeBidi, 0)...)
		w.wait()
		_, err = st.Write([]byte("x"))
		wantCode(t, SessionGone, err)
		time.Sleep(lingerTime)
		st = r.open(conn.Uni, header(typeUni, 0)...)
		w.wait()
		_, err = st.Write([]byte("x"))
		wantCode(t, SessionGone, err)
		require.NoError(t, r.c.Context().Err())
	})
}

// TestBrokenHeaders: a broken header ends its stream, and nobody waits for that.
func TestBrokenHeaders(t *testing.T) {
	few := func(w *world) { w.up.MaxEarlyStreams = 1 }
	run(t, few, func(t *testing.T, w *world) {
		r, s := w.rawSession()
		st := r.open(conn.Uni, header(typeUni, 1<<20)[:4]...) // half of a session ID
		require.NoError(t, st.CloseWrite())
		w.wait()
		bad := r.open(conn.Bidi, header(typeUni, 0)...) // the type of the other direction
		w.wait()
		_, err := bad.Write([]byte("x"))
		wantCode(t, h3.StreamCreationError, err)
		bad = r.open(conn.Uni, header(typeBidi, 0)...)
		w.wait()
		_, err = bad.Write([]byte("x"))
		wantCode(t, h3.StreamCreationError, err)

		b := append(header(typeUni, 0), "in pieces"...)
		st = r.open(conn.Uni)
		for i := range b {
			st.Write(b[i : i+1])
			w.wait()
		}
		st.CloseWrite()
		got, err := s.AcceptStream(w.ctx(), conn.Uni)
		require.NoError(t, err)
		all, err := io.ReadAll(got)
		require.NoError(t, err)
		require.Equal(t, "in pieces", string(all))
	})
}

// TestDatagramsForDeadSession: they are dropped.
func TestDatagramsForDeadSession(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		r, s := w.rawSession()
		require.NoError(t, s.Close())
		time.Sleep(2 * lingerTime)
		err := r.c.Do(w.ctx(), func(_ time.Time, q *conn.Conn) {
			for range 1000 {
				q.SendDatagram([]byte{0, 1, 2}, conn.DatagramOptions{})
			}
		})
		require.NoError(t, err)
		w.wait()
		require.NoError(t, r.c.Context().Err())
	})
}

// TestCapsules sends the capsules of a hostile client on the CONNECT stream.
// RFC 9297, Section 3.3 [3, 4].
func TestCapsules(t *testing.T) {
	closing := appendClose(nil, 7, "bye")
	for _, c := range []struct {
		name  string
		bytes []byte
		fin   bool
		want  *SessionError // nil: the stream is reset as malformed
	}{
		{"close", closing, true, &SessionError{Code: 7, Reason: "bye", Remote: true}},
		{"close without an end", closing, false, &SessionError{Code: 7, Reason: "bye", Remote: true}},
		{"end alone", nil, true, &SessionError{Remote: true}},
		{"unknown capsules first", bytes.Join([][]byte{
			dgram.AppendCapsule(nil, 0x1234, make([]byte, 100_000)),
			dgram.AppendCapsule(nil, dgram.CapsuleDatagram, []byte("x")),
			closing,
		}, nil), true, &SessionError{Code: 7, Reason: "bye", Remote: true}},
		// RFC 9297, Section 3.3 [2].
		{"longest reason", appendClose(nil, 1, strings.Repeat("x", 1024)), true,
			&SessionError{Code: 1, Reason: strings.Repeat("x", 1024), Remote: true}},
		{"reason too long", appendClose(nil, 1, strings.Repeat("x", 1025)), true, nil},
		{"reason of a terabyte", varint.Append(varint.Append(nil, capsuleClose), 1<<40), false, nil},
		{"reason not UTF-8", appendClose(nil, 1, "\xff"), true, nil},
		{"close without a code", dgram.AppendCapsule(nil, capsuleClose, []byte{1, 2, 3}), true, nil},
		{"close cut short", closing[:6], true, nil},
		{"header cut short", []byte{0x40}, true, nil},
		{"unknown capsule cut short", dgram.AppendCapsule(nil, 0x1234, []byte("x"))[:3], true, nil},
		{"drain with a value", dgram.AppendCapsule(nil, capsuleDrain, []byte{0}), true, nil},
		{"flow control of streams", dgram.AppendCapsule(nil, capsuleMaxStreamData, []byte{0, 1}), false, nil},
		{"streams blocked", dgram.AppendCapsule(nil, capsuleStreamDataBlocked, []byte{0, 1}), false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, w *world) {
				r, s := w.rawSession()
				r.stream.Write(c.bytes)
				if c.fin {
					r.stream.CloseWrite()
				}
				<-s.Context().Done()
				err := context.Cause(s.Context())
				if c.want != nil {
					require.Equal(t, c.want, err)
					b, err := io.ReadAll(r.stream)
					require.NoError(t, err)
					require.Empty(t, b)
					return
				}
				require.ErrorIs(t, err, errMalformed)
				_, err = r.stream.Read(make([]byte, 1))
				wantCode(t, h3.MessageError, err)
			})
		})
	}
}

// TestDataAfterClose: data behind WT_CLOSE_SESSION makes the CONNECT stream malformed.
func TestDataAfterClose(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		r, s := w.rawSession()
		r.stream.Write(append(appendClose(nil, 7, ""), 1))
		<-s.Context().Done()
		require.Equal(t, &SessionError{Code: 7, Remote: true}, context.Cause(s.Context()))
		w.wait()
		_, err := r.stream.Write([]byte("x"))
		wantCode(t, h3.MessageError, err)
	})
}

// TestResetOfConnect: a reset of the CONNECT stream ends the session.
func TestResetOfConnect(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		r, s := w.rawSession()
		st, err := s.OpenStream(w.ctx(), conn.Bidi)
		require.NoError(t, err)
		r.stream.Cancel(h3.RequestCancelled)
		<-s.Context().Done()
		_, err = st.Read(make([]byte, 1))
		require.Equal(t, context.Cause(s.Context()), err)
		var se *SessionError
		require.ErrorAs(t, context.Cause(s.Context()), &se)
		require.True(t, se.Remote)
		wantCode(t, h3.RequestCancelled, se)
	})
}

// TestManySessions: many sessions follow each other on one connection, with streams that nobody
// closes. Each session gives back what it had. Otherwise the limits of streams would be reached.
func TestManySessions(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		r := w.raw(func(cfg *h3.Config) { cfg.Settings = map[uint64]uint64{settingEnabled02: 1} })
		for i := range 250 {
			require.Equal(t, 200, r.connect(protocolName14).StatusCode)
			s := <-w.sessions
			id := r.stream.ID()
			streams := []*loop.Stream{r.open(conn.Bidi, header(typeBidi, id)...), r.open(conn.Uni, header(typeUni, id)...)}
			_, err := s.AcceptStream(w.ctx(), conn.Bidi)
			require.NoError(t, err)
			_, err = s.OpenStream(w.ctx(), conn.Uni)
			require.NoError(t, err)
			streams = append(streams, <-r.streams)
			switch i % 3 {
			case 0:
				s.Close()
				r.stream.Close()
			case 1:
				r.stream.Write(appendClose(nil, 1, ""))
				r.stream.Close()
			default:
				r.stream.Cancel(h3.RequestCancelled)
			}
			<-s.Context().Done()
			for _, st := range streams {
				st.Close()
			}
			w.wait()
		}
	})
}

// TestSilentPeer: a session that was closed on this side does not stay for long, even if the peer
// is silent.
func TestSilentPeer(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		_, s := w.rawSession()
		require.NoError(t, s.Close())
		count := func() (n int) {
			s.m.run(func() { n = len(s.m.sessions) })
			return n
		}
		require.Equal(t, 1, count())
		time.Sleep(lingerTime + time.Second)
		require.Zero(t, count())
	})
}
