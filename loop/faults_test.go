package loop_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// faulty is a Backend that works for a while, fails for a while, and works again.
type faulty struct {
	loop.Backend
	written int           // messages
	after   int           // it fails when so many were written
	last    time.Duration // for so long
	until   time.Time     // when it works again; zero before the fault
	write   error         // what writing returns meanwhile; nil if it takes nothing
	freeze  bool          // reading does not return meanwhile
	hits    int
}

// broken reports whether the fault lasts. It begins once.
func (f *faulty) broken() bool {
	if f.until.IsZero() && f.written >= f.after {
		f.until = time.Now().Add(f.last)
	}
	return time.Now().Before(f.until)
}

func (f *faulty) WriteBatch(ms []udpio.Message) (int, error) {
	if !f.freeze && f.broken() {
		f.hits++
		return 0, f.write
	}
	n, err := f.Backend.WriteBatch(ms)
	f.written += n
	return n, err
}

func (f *faulty) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	if f.freeze && f.broken() {
		f.hits++
		time.Sleep(time.Until(f.until))
	}
	return f.Backend.ReadBatch(ms, deadline)
}

// TestFaultsOfTheMachine: whatever fails on either side in the middle of a transfer, it goes on
// when the machine does, and nothing is lost. The times are those that TCP would survive.
func TestFaultsOfTheMachine(t *testing.T) {
	cases := []struct {
		name   string
		write  error
		last   time.Duration
		freeze bool
	}{
		{"EPERM: a firewall drops", syscall.EPERM, 5 * time.Second, false},
		{"ENOBUFS: the kernel lacks memory", syscall.ENOBUFS, 5 * time.Second, false},
		{"EIO: a device refuses offloads", syscall.EIO, 5 * time.Second, false},
		{"EINVAL: the kernel refuses offloads", syscall.EINVAL, 5 * time.Second, false},
		{"ECONNREFUSED: the peer restarts its host", syscall.ECONNREFUSED, 5 * time.Second, false},
		{"ENETUNREACH: the route is gone", syscall.ENETUNREACH, 5 * time.Second, false},
		{"EHOSTUNREACH: a neighbor is gone", syscall.EHOSTUNREACH, 5 * time.Second, false},
		{"ENETDOWN: the interface is down", syscall.ENETDOWN, 15 * time.Second, false},
		{"EADDRNOTAVAIL: the address is gone", syscall.EADDRNOTAVAIL, 5 * time.Second, false},
		{"EMSGSIZE: the path is narrow", syscall.EMSGSIZE, 5 * time.Second, false},
		{"the process is frozen", nil, 20 * time.Second, true},
	}
	for _, c := range cases {
		for side, name := range []string{"server", "client"} {
			t.Run(c.name+", "+name, func(t *testing.T) {
				var wrapped []*faulty
				wrap := func(b loop.Backend) loop.Backend {
					f := &faulty{Backend: b, write: c.write, last: c.last, freeze: c.freeze, after: 100}
					if len(wrapped) != side {
						f.after = 1 << 30
					}
					wrapped = append(wrapped, f)
					return f
				}
				run(t, setup{link: near, wrap: wrap}, func(t *testing.T, w *world) {
					go serveEcho(t, w.server)
					began := time.Now()
					transfer(t, w.open(w.dialOnly(nil), conn.Bidi), 2<<20, 1)
					took := time.Since(began)
					stats := []loop.Stats{w.server.Stats(), w.client.Stats()}[side]
					w.server.Close()
					w.client.Close()
					require.Positive(t, wrapped[side].hits, "nothing failed")
					require.Greater(t, took, c.last)
					require.Less(t, took, 3*c.last, "it should go on soon after the fault")
					if c.write != nil {
						require.EqualValues(t, wrapped[side].hits, stats.WriteErrors)
					}
				})
			})
		}
	}
}

// TestSleepOfHours: one side sleeps for hours in the middle of a transfer, as a machine does that
// was suspended. When it wakes, its connection ends at once, with the error of an idle timeout or
// of a reset by its peer, which has forgotten it. New connections come about at once, too.
func TestSleepOfHours(t *testing.T) {
	for side, name := range map[int]string{0: "server", 1: "client"} {
		t.Run(name, func(t *testing.T) {
			var wrapped []*faulty
			wrap := func(b loop.Backend) loop.Backend {
				f := &faulty{Backend: b, last: 8 * time.Hour, freeze: true, after: 1 << 30}
				wrapped = append(wrapped, f)
				return f
			}
			run(t, setup{link: near, wrap: wrap}, func(t *testing.T, w *world) {
				client, server := w.dial(nil)
				read := make(chan error, 2)
				for _, c := range []*loop.Conn{client, server} {
					go func() {
						_, err := c.AcceptStream(context.Background())
						read <- err
					}()
				}
				synctest.Wait()
				wrapped[side].after = 0
				wrapped[side].Wake() // and it falls asleep
				began := time.Now()
				require.ErrorIs(t, <-read, conn.ErrIdleTimeout) // of the side that is awake
				err := <-read
				require.True(t, errors.Is(err, conn.ErrIdleTimeout) || errors.Is(err, conn.ErrStatelessReset), err)
				require.GreaterOrEqual(t, time.Since(began), 8*time.Hour)
				require.Less(t, time.Since(began), 8*time.Hour+time.Second)
				w.dial(nil)
				require.Less(t, time.Since(began), 8*time.Hour+2*time.Second)
			})
		})
	}
}
