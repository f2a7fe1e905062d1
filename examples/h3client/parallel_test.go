package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// startFar is start behind a relay with a round trip of 50 ms, on real sockets. conns returns how
// many connections brought requests.
func startFar(t *testing.T, loss float64, h http.HandlerFunc) (url, ca string, conns func() int) {
	t.Helper()
	var mu sync.Mutex
	seen := make(map[*loop.Conn]bool)
	url, ca = start(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[h3http.ConnOf(r)] = true
		mu.Unlock()
		h(w, r)
	})
	link := netrelay.Link{Delay: 25 * time.Millisecond, Rate: 50e6, Queue: 300_000, Loss: loss}
	relay, err := netrelay.New(netrelay.Config{
		Server: netip.MustParseAddrPort(strings.TrimPrefix(url, "https://")), Up: link, Down: link, Seed: 1,
	})
	require.NoError(t, err)
	t.Cleanup(relay.Close)
	return "https://" + relay.Addr().String(), ca, func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(seen)
	}
}

// whenWhole is a Writer for a body without end. It calls done once there are whole files of size
// bytes in dir.
type whenWhole struct {
	dir         string
	files, size int
	done        func()
	next, n     int
}

func (w *whenWhole) Write(b []byte) (int, error) {
	if w.n += len(b); w.n >= w.next {
		w.next = w.n + 100_000
		if w.whole() == w.files {
			w.done()
		}
	}
	return len(b), nil
}

// whole returns how many files are whole.
func (w *whenWhole) whole() (n int) {
	entries, _ := os.ReadDir(w.dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Size() == int64(w.size) {
			n++
		}
	}
	return n
}

// TestSmallBesideEndless checks that an endless download does not hold up 149 small ones that begin
// later on the same connection.
func TestSmallBesideEndless(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const small, size = 149, 1000
	for _, loss := range []float64{0, 0.02} {
		t.Run(fmt.Sprintf("%g %% loss", 100*loss), func(t *testing.T) {
			underway := make(chan struct{})
			var once sync.Once
			url, ca, conns := startFar(t, loss, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/endless" {
					select { // the endless one has filled the connection by then
					case <-underway:
					case <-r.Context().Done():
					}
					w.Write(make([]byte, size))
					return
				}
				for sent := 0; ; sent += 10_000 {
					if _, err := w.Write(make([]byte, 10_000)); err != nil {
						return
					}
					if sent >= 1_000_000 {
						once.Do(func() { close(underway) })
					}
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			finished := false
			out := &whenWhole{dir: t.TempDir(), files: small, size: size, done: func() { finished = true; cancel() }}
			args := []string{"-ca", ca, "-parallel", "50", "-o", "-"}
			urls := []string{url + "/endless"}
			for i := range small {
				args = append(args, "-o", filepath.Join(out.dir, strconv.Itoa(i)))
				urls = append(urls, fmt.Sprintf("%s/small/%d", url, i))
			}
			err := run(ctx, append(args, urls...), out, io.Discard)
			require.True(t, finished, "%d of %d small ones came: %v", out.whole(), small, err)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorContains(t, err, "GET "+url+"/endless: ")
			require.Equal(t, 0, strings.Count(strings.TrimSpace(err.Error()), "\n"), "%v", err)
			require.Equal(t, 1, conns())
		})
	}
}

// TestDownloadsShare checks that 8 downloads at once end together, rather than one after another.
func TestDownloadsShare(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for loss, size := range map[float64]int{0: 500_000, 0.02: 100_000} {
		t.Run(fmt.Sprintf("%g %% loss", 100*loss), func(t *testing.T) {
			url, ca, conns := startFar(t, loss, func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, size)) })
			dir := t.TempDir()
			args := []string{"-ca", ca, "-parallel", "8", "-O", "-output-dir", dir}
			for i := range 8 {
				args = append(args, fmt.Sprintf("%s/%d", url, i))
			}
			began := time.Now()
			_, stderr, err := client(t, args...)
			require.NoError(t, err)
			require.Empty(t, stderr)
			var ends []time.Duration // when the last byte of each was written
			for i := range 8 {
				info, err := os.Stat(filepath.Join(dir, strconv.Itoa(i)))
				require.NoError(t, err)
				require.EqualValues(t, size, info.Size())
				ends = append(ends, info.ModTime().Sub(began))
			}
			slices.Sort(ends)
			t.Logf("ends %v", ends)
			require.Less(t, ends[7]-ends[0], ends[7]/2)
			require.Equal(t, 1, conns())
		})
	}
}

var errNoRoom = errors.New("no room")

// TestOutputFails checks that a body that cannot be written ends only its own download.
func TestOutputFails(t *testing.T) {
	url, ca := start(t, func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 100_000)) })
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	err := run(t.Context(), []string{"-ca", ca, "-parallel", "2", "-o", "-", "-o", file, url + "/1", url + "/2"}, failing{}, io.Discard)
	require.ErrorIs(t, err, errNoRoom)
	require.ErrorContains(t, err, "GET "+url+"/1: no room")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 100_000, info.Size())
}

// failing is a Writer without room.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errNoRoom }
