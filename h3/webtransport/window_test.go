package webtransport

import (
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// long is a path of 200 ms and 100 Mbit/s, which holds 2.5 MB.
func long(w *world) {
	w.link = conntest.Link{Delay: 100 * time.Millisecond, Rate: 100e6, Queue: 2_500_000}
}

// download returns how long it takes to receive n bytes on a stream of a session.
func download(t *testing.T, n int64, change func(w *world)) (took time.Duration) {
	run(t, func(w *world) { long(w); change(w) }, func(t *testing.T, w *world) {
		c, s := w.dial()
		go func() {
			st, err := s.OpenStream(w.ctx(), conn.Uni)
			if err == nil {
				io.CopyN(st, zeros{}, n)
				st.Close()
			}
		}()
		st, err := c.AcceptStream(w.ctx(), conn.Uni)
		require.NoError(t, err)
		began := time.Now()
		got, err := io.Copy(io.Discard, st)
		require.NoError(t, err)
		require.Equal(t, n, got)
		took = time.Since(began)
	})
	return took
}

// zeros reads as zero bytes without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestBulkOverLongPath: a session moves bulk about as fast as a stream without flow control of
// sessions. A window that stays at 1 MiB moves 1 MiB in a round trip.
func TestBulkOverLongPath(t *testing.T) {
	const n = 40 << 20
	plain := download(t, n, limited(-1, -1, -1))
	grown := download(t, n, func(*world) {})
	fixed := download(t, n, limited(0, 0, 1<<20))
	t.Logf("without flow control of sessions %v, with a window that grows %v, with one that does not %v", plain, grown, fixed)
	require.Less(t, grown, plain*11/10)
	require.Greater(t, fixed, plain*3/2, "the path is too short for this test")
}

// TestWindowOfSlowReader: the window stays as it is for an application that reads slowly, however
// fast the peer is.
func TestWindowOfSlowReader(t *testing.T) {
	run(t, long, func(t *testing.T, w *world) {
		c, s := w.dial()
		go func() {
			st, err := s.OpenStream(w.ctx(), conn.Uni)
			if err == nil {
				io.CopyN(st, zeros{}, 3<<20)
				st.Close()
			}
		}()
		st, err := c.AcceptStream(w.ctx(), conn.Uni)
		require.NoError(t, err)
		for b := make([]byte, 16<<10); err == nil; time.Sleep(50 * time.Millisecond) { // 0.3 MB/s
			_, err = st.Read(b)
		}
		require.Equal(t, io.EOF, err)
		require.EqualValues(t, defaultInitialMaxData, c.windowSize())
	})
}

// windowSize returns how large the window of a session is.
func (s *Session) windowSize() (size uint64) {
	s.m.run(func() { size = s.flow.window.size })
	return size
}

// wantRoom wants the windows of all sessions to fit into that of the connection.
func (m *mux) wantRoom(t *testing.T) {
	t.Helper()
	var size, windows int64
	require.NoError(t, m.run(func() {
		size, _ = m.http.QUIC().Window()
		windows = m.windows
	}))
	require.LessOrEqual(t, windows+otherData, size)
}

// TestWindowIsBounded: a session's window grows as far as MaxData, the window of the connection,
// the memory of the endpoint and AllowWindowIncrease let it. The peer never has more credit.
func TestWindowIsBounded(t *testing.T) {
	const first = 128 << 10
	for name, c := range map[string]struct {
		change func(w *world)
		most   uint64
	}{
		"MaxData":    {func(w *world) { w.up.MaxData = 1 << 20 }, 1 << 20},
		"connection": {func(w *world) { w.srv.QUICConfig = &conn.Config{MaxData: 2 << 20} }, 2<<20 - 1<<20 - otherData},
		"not asked":  {func(w *world) { w.up.MaxData = first }, first},
		"AllowWindowIncrease": {func(w *world) {
			w.srv.QUICConfig = &conn.Config{InitialMaxData: 512 << 10, AllowWindowIncrease: func(*conn.Conn, int64) bool { return false }}
		}, 512<<10 - otherData},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(w *world) {
				w.up.InitialMaxData = first
				c.change(w)
			}
			run(t, change, func(t *testing.T, w *world) {
				r, s := w.flowSession(some)
				const n = 12 << 20
				sent := r.hurry(s, first, n)
				require.Equal(t, c.most, s.windowSize())
				s.m.wantRoom(t)
				require.LessOrEqual(t, sent, n+c.most)
			})
		})
	}
}

// hurry sends on a stream of the session all that the server allows, while its application reads n
// bytes as they come. It returns how much was sent.
func (r *raw) hurry(s *Session, first uint64, n int64) uint64 {
	r.Helper()
	var sent atomic.Uint64
	st := r.open(conn.Uni, header(typeUni, r.stream.ID())...)
	credit := make(chan uint64, 1000)
	go readCredit(r.capsules(), credit)
	go sendWithin(st, first, credit, &sent)
	in, err := s.AcceptStream(r.ctx(), conn.Uni)
	require.NoError(r, err)
	_, err = io.CopyN(io.Discard, in, n)
	require.NoError(r, err)
	r.wait()
	require.NoError(r, s.Context().Err())
	return sent.Load()
}

// TestWindowLeavesRoom: a session whose window has grown leaves room for the first windows of the
// others that may come. So what it does not read holds up none of them.
func TestWindowLeavesRoom(t *testing.T) {
	const sessions = 8
	change := func(w *world) {
		w.up.MaxSessions = sessions
		w.srv.QUICConfig = &conn.Config{MaxData: 20 << 20}
	}
	run(t, change, func(t *testing.T, w *world) {
		r := w.raw(nil)
		require.Equal(t, 200, r.connect(protocolName).StatusCode)
		lazy := <-w.sessions
		r.hurry(lazy, defaultInitialMaxData, 60<<20) // and what follows fills the window, unread
		require.EqualValues(t, 20<<20-(sessions-1)<<20-otherData, lazy.windowSize())
		for range sessions - 1 {
			require.Equal(t, 200, r.connect(protocolName).StatusCode)
			s := <-w.sessions
			go echo(s)
			lazy.m.wantRoom(t)
			r.bulk(r.stream.ID(), 1<<20)
		}
	})
}

// readCredit passes on the limits of data of a peer.
func readCredit(caps capsuleReader, credit chan<- uint64) {
	defer close(credit)
	for {
		c, err := caps.next()
		if err != nil {
			return
		}
		if c.typ == capsuleMaxData {
			credit <- c.limit
		}
	}
}

// sendWithin sends all that the peer allows.
func sendWithin(st *loop.Stream, limit uint64, credit <-chan uint64, sent *atomic.Uint64) {
	for ok := true; ok; limit, ok = <-credit {
		n, err := io.CopyN(st, zeros{}, int64(limit-sent.Load()))
		sent.Add(uint64(n))
		if err != nil {
			return
		}
	}
}

// TestWindowsOfMany: what a session had of the connection's window is free again when it ends, and
// the windows of all fit into it.
func TestWindowsOfMany(t *testing.T) {
	change := func(w *world) {
		long(w)
		w.d.MaxSessionsPerConn = 4
		w.d.QUICConfig = &conn.Config{MaxData: 20 << 20}
	}
	run(t, change, func(t *testing.T, w *world) {
		var sum int64
		for range 3 {
			var sessions []*Session
			done := make(chan error)
			for range 3 {
				c, s := w.dial()
				sessions = append(sessions, c)
				go func() {
					st, err := s.OpenStream(w.ctx(), conn.Uni)
					if err == nil {
						io.CopyN(st, zeros{}, 8<<20)
						st.Close()
					}
				}()
				go func() {
					st, err := c.AcceptStream(w.ctx(), conn.Uni)
					if err == nil {
						_, err = io.Copy(io.Discard, st)
					}
					done <- err
				}()
			}
			for range sessions {
				require.NoError(t, <-done)
			}
			m := sessions[0].m
			require.NoError(t, m.run(func() {
				sum = 0
				for _, s := range m.sessions {
					sum += int64(s.flow.window.size)
				}
				require.Equal(t, sum, m.windows)
			}))
			m.wantRoom(t)
			require.Greater(t, sum, int64(3*defaultInitialMaxData))
			for _, s := range sessions[1:] {
				s.Close()
			}
			time.Sleep(10 * time.Second) // they leave
			require.NoError(t, m.run(func() { sum = m.windows }))
			require.Equal(t, sum, int64(sessions[0].windowSize()))
			sessions[0].Close()
			time.Sleep(10 * time.Second)
		}
	})
}

// TestLimitsOf: what the fields of an Upgrader mean.
func TestLimitsOf(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		initial, most         int64
		wantInitial, wantMost uint64
	}{
		{0, 0, mib, 32 * mib},
		{0, 5, 5, 5},
		{0, 8 * mib, mib, 8 * mib},
		{8 * mib, 0, 8 * mib, 32 * mib},
		{64 * mib, 0, 64 * mib, 64 * mib},
		{8 * mib, 4 * mib, 4 * mib, 4 * mib},
		{-1, 0, mib, 32 * mib},
		{7, -1, 0, 0},
	} {
		l := limitsOf(0, 0, c.initial, c.most)
		require.Equal(t, [2]uint64{c.wantInitial, c.wantMost}, [2]uint64{l.data, l.most}, fmt.Sprint(c))
	}
	require.False(t, limitsOf(-1, -1, 7, -1).any())
	require.Equal(t, uint64(7), extendConfig(new(h3.Config), 1, limitsOf(0, 0, 7, 9)).Settings[settingMaxData])
}
