package webtransport

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// sessionEnds are the ways in which a session ends that its own side has not closed.
var sessionEnds = []struct {
	name string
	end  func(peer *Session) error
}{
	{"WT_CLOSE_SESSION", func(peer *Session) error { return peer.CloseWithError(7, "enough") }},
	{"end of the CONNECT stream", func(peer *Session) error { return peer.connect.CloseWrite() }},
	{"reset of the CONNECT stream", func(peer *Session) error {
		peer.connect.Cancel(h3.RequestCancelled)
		return nil
	}},
	{"reset of one direction", func(peer *Session) error {
		peer.connect.Reset(h3.InternalError)
		return nil
	}},
	{"malformed capsule", func(peer *Session) error { return peer.write(closeWithoutCode) }},
	{"end of the connection", func(peer *Session) error { return peer.Conn().Close(0, "") }},
}

// closeWithoutCode is WT_CLOSE_SESSION without a value, which no peer may send.
var closeWithoutCode = []byte{0x68, 0x43, 0}

// withKept ends sessions of each side in each way while n datagrams wait for a receiver.
func withKept(t *testing.T, n int, f func(t *testing.T, w *world, s *Session)) {
	for _, side := range []string{"client", "server"} {
		for _, c := range sessionEnds {
			t.Run(side+"/"+c.name, func(t *testing.T) {
				run(t, nil, func(t *testing.T, w *world) {
					s, peer := w.dial()
					if side == "server" {
						s, peer = peer, s
					}
					for i := range n {
						require.NoError(t, peer.SendDatagram(w.ctx(), fmt.Append(nil, i), 0))
					}
					w.wait()
					require.NoError(t, c.end(peer))
					<-s.Context().Done()
					w.wait() // the CONNECT stream has gone, too
					f(t, w, s)
				})
			})
		}
	}
}

// receiveAll receives datagrams until there are no more.
func receiveAll(ctx context.Context, s *Session) (got []string, err error) {
	b := make([]byte, 100)
	for {
		n, err := s.ReceiveDatagram(ctx, b)
		if err != nil {
			return got, err
		}
		got = append(got, string(b[:n]))
	}
}

// TestDatagramsBeforeEnd: datagrams that came before a session has ended come first, then the
// error, also if nobody has waited for them.
func TestDatagramsBeforeEnd(t *testing.T) {
	withKept(t, 3, func(t *testing.T, w *world, s *Session) {
		got, err := receiveAll(w.ctx(), s)
		require.Equal(t, []string{"0", "1", "2"}, got)
		require.Equal(t, context.Cause(s.Context()), err)
	})
}

// TestDatagramsBeforeEndOfMany: several goroutines receive what came before the end. Each datagram
// comes once, and each goroutine gets the error.
func TestDatagramsBeforeEndOfMany(t *testing.T) {
	withKept(t, 20, func(t *testing.T, w *world, s *Session) {
		var all []string
		var mu sync.Mutex
		var receivers sync.WaitGroup
		for range 4 {
			receivers.Go(func() {
				got, err := receiveAll(w.ctx(), s)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, got...)
				require.Equal(t, context.Cause(s.Context()), err)
			})
		}
		receivers.Wait()
		slices.Sort(all)
		require.Len(t, all, 20)
		require.Len(t, slices.Compact(all), 20)
	})
}

// TestWaitingReceivers: goroutines that wait for datagrams when a session ends get the error.
func TestWaitingReceivers(t *testing.T) {
	for _, c := range sessionEnds {
		t.Run(c.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, w *world) {
				client, s := w.dial()
				errs := make(chan error)
				for range 3 {
					go func() { _, err := receiveAll(w.ctx(), s); errs <- err }()
				}
				w.wait()
				require.NoError(t, c.end(client))
				for range 3 {
					err := <-errs
					require.Equal(t, context.Cause(s.Context()), err)
				}
			})
		})
	}
}

// TestKeptDatagramsCount: datagrams that are kept behind the end count in the account of the
// connection until they are received, or until Close drops them. All that the CONNECT stream had
// are kept.
func TestKeptDatagramsCount(t *testing.T) {
	withKept(t, 3, func(t *testing.T, w *world, s *Session) {
		account := s.Conn().Account()
		before, held := account.Held(), s.kept.held.Load()
		require.Greater(t, held, int64(0))
		_, err := s.ReceiveDatagram(w.ctx(), make([]byte, 1))
		require.NoError(t, err)
		require.Less(t, account.Held(), before)
		require.NoError(t, s.Close())
		require.Equal(t, before-held, account.Held())
		_, err = s.ReceiveDatagram(w.ctx(), make([]byte, 1))
		require.Equal(t, context.Cause(s.Context()), err)
	})
	run(t, nil, func(t *testing.T, w *world) {
		client, s := w.dial()
		for range 10 {
			for range 20 { // as many as no queue drops
				require.NoError(t, client.SendDatagram(w.ctx(), []byte("x"), 0))
			}
			w.wait()
		}
		require.NoError(t, client.Close())
		<-s.Context().Done()
		got, err := receiveAll(w.ctx(), s)
		require.Len(t, got, 10*20)
		require.Error(t, err)
	})
}

// TestKeptDatagramsAreBounded: all sessions of a connection that have ended keep no more datagrams
// than one may keep, however many a client opens and ends. What was closed, or received, makes
// room.
func TestKeptDatagramsAreBounded(t *testing.T) {
	share := func(w *world) { w.d.MaxSessionsPerConn, w.up.MaxSessions = 9, 9 }
	run(t, share, func(t *testing.T, w *world) {
		w.dial() // keeps the connection
		var ended []*Session
		endOne := func() (kept int64) {
			client, s := w.dial()
			for range 20 {
				for range 20 { // as many as no queue drops
					require.NoError(t, client.SendDatagram(w.ctx(), make([]byte, 1000), 0))
				}
				w.wait()
			}
			require.NoError(t, client.connect.CloseWrite())
			<-s.Context().Done()
			w.wait()
			ended = append(ended, s)
			if s.kept == nil {
				return 0
			}
			return s.kept.held.Load()
		}
		first := endOne()
		require.Greater(t, first, int64(400*1000))
		require.Less(t, first, int64(maxKept))
		second := endOne()
		require.Greater(t, second, int64(0))
		require.LessOrEqual(t, first+second, int64(maxKept+2000))
		require.Zero(t, endOne())
		require.NoError(t, ended[0].Close())
		require.Equal(t, first, endOne())
	})
}

// TestKeptDatagramsOfGarbage: a session that nobody uses any more, and that was not closed, keeps
// nothing.
func TestKeptDatagramsOfGarbage(t *testing.T) {
	withKept(t, 3, func(t *testing.T, w *world, s *Session) {
		k := s.kept
		require.Greater(t, k.held.Load(), int64(0))
		s = nil
		for range 1000 { // the cleanup has a goroutine of its own
			if runtime.GC(); k.held.Load() == 0 {
				return
			}
		}
		t.Fatal("the datagrams count still")
	})
}

// TestGarbageWithUnacknowledgedStream: packets of a stream that were not acknowledged when the
// connection ended do not keep the session, and what counts for it.
func TestGarbageWithUnacknowledgedStream(t *testing.T) {
	run(t, func(w *world) { w.d.MaxSessionsPerConn, w.up.MaxSessions = 3, 2 }, func(t *testing.T, w *world) {
		s, peer := w.dial()
		require.NotNil(t, s.flow)
		require.NoError(t, peer.SendDatagram(w.ctx(), []byte("x"), 0))
		w.wait()
		require.NoError(t, peer.Conn().Close(0, ""))
		_, err := s.OpenStream(w.ctx(), conn.Uni)
		require.NoError(t, err)
		<-s.Context().Done()
		w.wait()
		k := s.kept
		require.Greater(t, k.held.Load(), int64(0))
		s = nil
		for range 1000 { // the cleanup has a goroutine of its own
			if runtime.GC(); k.held.Load() == 0 {
				return
			}
		}
		t.Fatal("the datagrams count still")
	})
}

// TestOwnCloseDropsDatagrams: after a Close of this side nothing comes.
func TestOwnCloseDropsDatagrams(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		client, s := w.dial()
		require.NoError(t, client.SendDatagram(w.ctx(), []byte("x"), 0))
		w.wait()
		require.NoError(t, s.Close())
		got, err := receiveAll(w.ctx(), s)
		require.Empty(t, got)
		require.Equal(t, context.Cause(s.Context()), err)
		w.wait()
		got, _ = receiveAll(w.ctx(), s)
		require.Empty(t, got)
	})
}

// A pausing lets all other goroutines go on when the peer opens a stream, before the loop handles
// the next event.
type pausing struct{ h3http.Extension }

func (p pausing) HandleHTTP(now time.Time, ev h3.Event) {
	if ev.Kind == h3.EventStream {
		synctest.Wait()
	}
	p.Extension.HandleHTTP(now, ev)
}

// TestDatagramsBesideEnd: datagrams whose events still wait in the loop when the session learns of
// its end are not lost. The loop reads the packet with the end first, and those of the datagrams in
// the same turn. Between them is a stream, so that the session learns of its end meanwhile.
func TestDatagramsBesideEnd(t *testing.T) {
	pause := func(w *world) {
		w.configured = func() {
			extend := w.srv.Extend
			w.srv.Extend = func(c *loop.Conn, h *h3.Conn) h3http.Extension { return pausing{extend(c, h)} }
		}
	}
	run(t, pause, func(t *testing.T, w *world) {
		client, s := w.dial()
		held := make(chan struct{})
		require.True(t, s.Conn().Loop().Post(func(time.Time) { <-held }))
		require.NoError(t, client.write(appendClose(nil, 7, "")))
		w.wait()
		st, err := client.OpenStream(w.ctx(), conn.Uni)
		require.NoError(t, err)
		defer st.Close()
		w.wait()
		for i := range 20 {
			require.NoError(t, client.SendDatagram(w.ctx(), fmt.Append(nil, i), 0))
		}
		w.wait()
		close(held)
		<-s.Context().Done()
		got, err := receiveAll(w.ctx(), s)
		require.Len(t, got, 20)
		require.Equal(t, error(&SessionError{Code: 7, Remote: true}), err)
	})
}
