package webtransport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
)

// TestEcho exchanges many streams of both directions and datagrams at once.
func TestEcho(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		c, s := w.dial()
		go echo(s)
		done := make(chan error)
		const streams = 150 // more than the limit at once
		for i := range streams {
			go func() {
				st, err := c.OpenStream(w.ctx(), conn.Bidi)
				if err != nil {
					done <- err
					return
				}
				defer st.Close()
				want := bytes.Repeat([]byte{byte(i)}, i*1000)
				go func() {
					st.Write(want)
					st.CloseWrite()
				}()
				got, err := io.ReadAll(st)
				if err == nil && !bytes.Equal(want, got) {
					err = fmt.Errorf("stream %d: wrong bytes", i)
				}
				done <- err
			}()
		}
		for range streams {
			require.NoError(t, <-done)
		}

		out, err := c.OpenStream(w.ctx(), conn.Uni)
		require.NoError(t, err)
		io.WriteString(out, "one way")
		require.NoError(t, out.CloseWrite())
		in, err := c.AcceptStream(w.ctx(), conn.Uni)
		require.NoError(t, err)
		b, err := io.ReadAll(in)
		require.NoError(t, err)
		require.Equal(t, "one way", string(b))
		require.Same(t, c, in.Session())
		_, err = in.Write(nil)
		require.Error(t, err)
		require.NoError(t, in.Close())
		require.NoError(t, out.Close())
		require.Equal(t, "10.0.0.1:443", in.RemoteAddr().String())
		require.Equal(t, "10.0.0.2:5000", in.LocalAddr().String())

		require.Greater(t, c.MaxDatagramSize(), 1000)
		for i := range 100 {
			require.NoError(t, c.SendDatagram(w.ctx(), []byte(fmt.Sprint("datagram ", i)), 0))
			b := make([]byte, 100)
			n, err := c.ReceiveDatagram(w.ctx(), b)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("datagram ", i), string(b[:n]))
		}
		require.ErrorIs(t, c.SendDatagram(w.ctx(), make([]byte, 1500), 0), conn.ErrTooLarge)
		require.NoError(t, c.SendDatagram(w.ctx(), []byte("long"), 0))
		_, err = c.ReceiveDatagram(context.Background(), make([]byte, 1))
		require.ErrorIs(t, err, io.ErrShortBuffer)
	})
}

// TestOverLossyNetwork: streams arrive whole over a network that loses and reorders. So do the
// resets and closes of other streams.
func TestOverLossyNetwork(t *testing.T) {
	lossy := func(w *world) {
		w.link = conntest.Link{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.05, Rate: 20e6}
	}
	run(t, lossy, func(t *testing.T, w *world) {
		c, s := w.dial()
		go echo(s)
		const streams = 40
		done := make(chan error, streams)
		for i := range streams {
			go func() {
				st, err := c.OpenStream(w.ctx(), conn.Bidi)
				if err != nil {
					done <- err
					return
				}
				defer st.Close()
				want := bytes.Repeat([]byte{byte(i)}, 50_000)
				go func() {
					st.Write(want)
					if i%4 == 0 {
						st.Reset(uint32(i))
					} else {
						st.CloseWrite()
					}
				}()
				got, err := io.ReadAll(st)
				if i%4 != 0 && err == nil && !bytes.Equal(want, got) {
					err = fmt.Errorf("stream %d: wrong bytes", i)
				}
				done <- err
			}()
		}
		for range streams {
			require.NoError(t, <-done)
		}
		require.NoError(t, c.CloseWithError(9, "enough"))
		<-s.Context().Done()
		require.Equal(t, &SessionError{Code: 9, Reason: "enough", Remote: true}, context.Cause(s.Context()))
	})
}

// TestServerStreams: the server opens streams at once, before the client knows of the session.
func TestServerStreams(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.handler = func(rw http.ResponseWriter, r *http.Request) {
			s, err := w.up.Upgrade(rw, r)
			if err != nil {
				return
			}
			for _, dir := range []conn.Dir{conn.Bidi, conn.Uni, conn.Bidi} {
				st, err := s.OpenStream(r.Context(), dir)
				if err == nil {
					io.WriteString(st, "hello")
					st.CloseWrite()
				}
			}
			s.SendDatagram(r.Context(), []byte("datagram"), 0)
		}
		c, _, err := w.d.Dial(w.ctx(), w.url, nil)
		require.NoError(t, err)
		for _, dir := range []conn.Dir{conn.Bidi, conn.Uni, conn.Bidi} {
			st, err := c.AcceptStream(w.ctx(), dir)
			require.NoError(t, err)
			b, err := io.ReadAll(st)
			require.NoError(t, err)
			require.Equal(t, "hello", string(b))
			require.NoError(t, st.Close())
		}
		b := make([]byte, 100)
		n, err := c.ReceiveDatagram(w.ctx(), b)
		require.NoError(t, err)
		require.Equal(t, "datagram", string(b[:n]))
	})
}

// TestStreamCodes carries error codes of the application both ways.
func TestStreamCodes(t *testing.T) {
	for _, code := range []uint32{0, 1, 29, 30, 31, 1 << 31, 1<<32 - 1} {
		run(t, nil, func(t *testing.T, w *world) {
			c, s := w.dial()
			st, err := c.OpenStream(w.ctx(), conn.Bidi)
			require.NoError(t, err)
			st.Reset(code) // right behind the header
			peer, err := s.AcceptStream(w.ctx(), conn.Bidi)
			require.NoError(t, err)
			_, err = peer.Read(make([]byte, 1))
			require.Equal(t, &StreamError{Code: code, Remote: true}, err)
			st.StopSending(code)
			w.wait()
			_, err = peer.Write([]byte("x"))
			require.Equal(t, &StreamError{Code: code, Remote: true}, err)
			_, err = st.Read(make([]byte, 1))
			require.Equal(t, &StreamError{Code: code}, err)
			_, err = st.Write([]byte("x"))
			require.Equal(t, &StreamError{Code: code}, err)
		})
	}
}

func TestDeadlines(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		c, _ := w.dial()
		st, err := c.OpenStream(w.ctx(), conn.Bidi)
		require.NoError(t, err)
		require.NoError(t, st.SetDeadline(time.Now().Add(time.Second)))
		_, err = st.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		_, err = io.Copy(st, endless{})
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		ctx, cancel := context.WithTimeout(w.ctx(), time.Second)
		defer cancel()
		_, err = c.AcceptStream(ctx, conn.Uni)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = c.ReceiveDatagram(ctx, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestOpenStreamWaits: OpenStream waits for the limit of the peer, and gives up with its context.
// Without flow control of sessions it is the limit of the connection.
func TestOpenStreamWaits(t *testing.T) {
	limit := func(w *world) {
		limited(-1, -1, -1)(w)
		w.srv.QUICConfig = &conn.Config{InitialMaxStreamsBidi: 3}
	}
	run(t, limit, func(t *testing.T, w *world) {
		c, s := w.dial() // takes one
		var streams []*Stream
		for range 2 {
			st, err := c.OpenStream(w.ctx(), conn.Bidi)
			require.NoError(t, err)
			streams = append(streams, st)
		}
		ctx, cancel := context.WithTimeout(w.ctx(), time.Second)
		defer cancel()
		_, err := c.OpenStream(ctx, conn.Bidi)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		u, err := c.OpenStream(w.ctx(), conn.Uni)
		require.NoError(t, err)
		require.NoError(t, u.Close())

		for range 2 {
			st, err := s.AcceptStream(w.ctx(), conn.Bidi)
			require.NoError(t, err)
			require.NoError(t, st.Close())
		}
		streams[0].Close()
		streams[1].Close()
		st, err := c.OpenStream(w.ctx(), conn.Bidi)
		require.NoError(t, err)
		require.NoError(t, st.Close())

		// A session that ends makes the calls that wait return.
		_, err = c.OpenStream(w.ctx(), conn.Bidi)
		require.NoError(t, err)
		failed := make(chan error)
		for range 3 {
			go func() {
				for {
					if _, err := c.OpenStream(w.ctx(), conn.Bidi); err != nil {
						failed <- err
						return
					}
				}
			}()
		}
		w.wait()
		s.CloseWithError(5, "")
		for range 3 {
			require.Equal(t, &SessionError{Code: 5, Remote: true}, <-failed)
		}
	})
}

// TestNoDir: streams of no directionality there is are an error, and no fault of the loop.
func TestNoDir(t *testing.T) {
	share := func(w *world) { w.d.MaxSessionsPerConn, w.up.MaxSessions = 2, 2 } // with flow control
	for _, change := range []func(w *world){nil, share} {
		run(t, change, func(t *testing.T, w *world) {
			for range 2 {
				s, _ := w.dial()
				_, err := s.OpenStream(w.ctx(), conn.Uni+1)
				require.ErrorIs(t, err, errDir)
				_, err = s.AcceptStream(w.ctx(), conn.Uni+1)
				require.ErrorIs(t, err, errDir)
			}
		})
	}
}

// TestLargestLimits: programs that want no limits set the largest there are.
func TestLargestLimits(t *testing.T) {
	largest := func(w *world) {
		w.d.MaxSessionsPerConn, w.up.MaxSessions = math.MaxInt, math.MaxInt
		w.d.MaxStreamsBidi, w.d.MaxStreamsUni, w.d.MaxData, w.d.InitialMaxData = math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64
		w.up.MaxStreamsBidi, w.up.MaxStreamsUni, w.up.MaxData, w.up.InitialMaxData = math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64
	}
	run(t, largest, func(t *testing.T, w *world) {
		first, server := w.dial()
		second, _ := w.dial()
		require.Same(t, first.Conn(), second.Conn())
		st, err := first.OpenStream(w.ctx(), conn.Bidi)
		require.NoError(t, err)
		_, err = st.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, st.CloseWrite())
		peer, err := server.AcceptStream(w.ctx(), conn.Bidi)
		require.NoError(t, err)
		got, err := io.ReadAll(peer)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	})
}

// TestClose ends a session from either side. Everything that belongs to it ends on both sides.
func TestClose(t *testing.T) {
	for _, side := range []string{"client", "server"} {
		t.Run(side, func(t *testing.T) {
			run(t, nil, func(t *testing.T, w *world) {
				closer, other := w.dial()
				if side == "server" {
					closer, other = other, closer
				}
				st, err := closer.OpenStream(w.ctx(), conn.Bidi)
				require.NoError(t, err)
				peer, err := other.AcceptStream(w.ctx(), conn.Bidi)
				require.NoError(t, err)
				_, err = other.OpenStream(w.ctx(), conn.Uni) // nobody accepts it
				require.NoError(t, err)
				w.wait()
				waiting := make(chan error)
				for _, f := range []func() error{
					func() error { _, err := other.AcceptStream(w.ctx(), conn.Bidi); return err },
					func() error { _, err := other.ReceiveDatagram(w.ctx(), nil); return err },
					func() error { _, err := other.ReceiveDatagram(context.Background(), nil); return err },
				} {
					go func() { waiting <- f() }()
				}
				read := make(chan error)
				go func() { _, err := peer.Read(make([]byte, 1)); read <- err }()
				w.wait()
				require.NoError(t, closer.CloseWithError(42, "enough"))
				here, there := &SessionError{Code: 42, Reason: "enough"}, &SessionError{Code: 42, Reason: "enough", Remote: true}
				for range 3 {
					require.Equal(t, there, <-waiting)
				}
				err = <-read // what comes first, the end of the stream or of the session
				var se *StreamError
				if errors.As(err, &se) {
					require.Equal(t, &StreamError{HTTP: SessionGone, Remote: true}, se)
				} else {
					require.Equal(t, there, err)
				}
				<-other.Context().Done()
				require.Equal(t, there, context.Cause(other.Context()))
				_, err = peer.Write([]byte("x"))
				require.Equal(t, there, err)
				_, err = other.OpenStream(w.ctx(), conn.Bidi)
				require.Equal(t, there, err)
				require.Equal(t, there, other.SendDatagram(w.ctx(), nil, 0))
				require.NotErrorIs(t, there, net.ErrClosed)

				_, err = st.Read(make([]byte, 1))
				require.Equal(t, here, err)
				require.Equal(t, here, closer.SendDatagram(w.ctx(), nil, 0))
				_, err = closer.AcceptStream(w.ctx(), conn.Bidi)
				require.Equal(t, here, err)
				require.ErrorIs(t, err, net.ErrClosed)
				require.NoError(t, closer.Close(), "again")
				require.Equal(t, here, st.Close())
			})
		})
	}
}

// TestCloseReason: a long reason is cut between two characters, and an invalid one is repaired.
func TestCloseReason(t *testing.T) {
	for _, c := range []struct{ reason, want string }{
		{strings.Repeat("x", 1024), strings.Repeat("x", 1024)},
		{strings.Repeat("x", 2000), strings.Repeat("x", 1024)},
		{strings.Repeat("x", 1023) + "é", strings.Repeat("x", 1023)},
		{strings.Repeat("x", 1021) + "🙂", strings.Repeat("x", 1021)},
		{"\xffend", "\uFFFDend"},
	} {
		run(t, nil, func(t *testing.T, w *world) {
			c1, s := w.dial()
			require.NoError(t, s.CloseWithError(1, c.reason))
			<-c1.Context().Done()
			require.Equal(t, &SessionError{Code: 1, Reason: c.want, Remote: true}, context.Cause(c1.Context()))
		})
	}
}

// TestDrain tells the peer to finish, by capsule and by GOAWAY.
func TestDrain(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		c, s := w.dial()
		require.NoError(t, c.Drain())
		<-s.Draining()
		select {
		case <-c.Draining():
			t.Fatal("the other way round")
		default:
		}
		go w.srv.Shutdown(w.ctx())
		<-c.Draining()
		st, err := c.OpenStream(w.ctx(), conn.Uni) // still works
		require.NoError(t, err)
		require.NoError(t, st.Close())
		require.NoError(t, c.Close())
		<-s.Context().Done()
		require.ErrorIs(t, c.Drain(), net.ErrClosed)
	})
}

// TestConnectionLost ends sessions with the connection.
func TestConnectionLost(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		c, s := w.dial()
		st, err := c.OpenStream(w.ctx(), conn.Bidi)
		require.NoError(t, err)
		errs := make(chan error)
		go func() { _, err := c.ReceiveDatagram(w.ctx(), nil); errs <- err }()
		go func() { _, err := st.Read(make([]byte, 1)); errs <- err }()
		w.wait()
		s.Conn().Close(uint64(h3.InternalError), "")
		for range 2 {
			err := <-errs
			_, ok := err.(*SessionError)
			require.True(t, ok, "%v", err)
			require.Equal(t, context.Cause(c.Context()), err)
		}
		for _, s := range []*Session{c, s} {
			<-s.Context().Done()
			var se *SessionError
			require.ErrorAs(t, context.Cause(s.Context()), &se)
			var ae *conn.ApplicationError
			require.ErrorAs(t, se, &ae)
			require.NoError(t, s.Close())
		}
		_, err = st.Read(make([]byte, 1))
		require.Equal(t, context.Cause(c.Context()), err)
		_, err = c.OpenStream(w.ctx(), conn.Bidi)
		require.Error(t, err)
	})
}

// TestExportKeyingMaterial derives secrets that both sides share.
func TestExportKeyingMaterial(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		c, s := w.dial()
		seen := make(map[string]bool)
		for _, in := range []struct{ label, context string }{{"a", ""}, {"b", ""}, {"a", "x"}, {"ax", ""}} {
			here, err := c.ExportKeyingMaterial(in.label, []byte(in.context), 32)
			require.NoError(t, err)
			there, err := s.ExportKeyingMaterial(in.label, []byte(in.context), 32)
			require.NoError(t, err)
			require.Equal(t, here, there)
			require.Len(t, here, 32)
			require.False(t, seen[string(here)])
			seen[string(here)] = true
		}
		for _, in := range []struct{ label, context string }{{"", ""}, {strings.Repeat("x", 256), ""}, {"a", strings.Repeat("x", 256)}} {
			_, err := c.ExportKeyingMaterial(in.label, []byte(in.context), 32)
			require.Error(t, err)
		}
	})
}
