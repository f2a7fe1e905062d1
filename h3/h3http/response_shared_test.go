package h3http

import (
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// onlyWriter is a ResponseWriter that looks at what is written.
type onlyWriter struct {
	http.ResponseWriter
	n int
}

func (w *onlyWriter) Write(p []byte) (int, error) {
	w.n += len(p)
	return w.ResponseWriter.Write(p)
}

// TestWriteShared: memory that is shared arrives whole and in order with what is written, while
// packets are lost and the stream takes it in parts. It goes without a copy. A wrapped
// ResponseWriter is not passed by.
func TestWriteShared(t *testing.T) {
	const size = 1<<20 + 12345
	file, err := io.ReadAll(newPattern(1, size))
	require.NoError(t, err)
	link := conntest.Link{Delay: 10 * time.Millisecond, Rate: 200e6, Queue: 200_000, Loss: 0.01, Reorder: 0.01}
	for _, unsent := range []int{0, 20_000} {
		simulate(t, link, func(t *testing.T, n *looptest.Network) {
			var seen, taken atomic.Int64
			var wrapped atomic.Bool
			p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				wrapper := &onlyWriter{ResponseWriter: w}
				if r.URL.Path == "/wrapped" {
					w = wrapper
					wrapped.Store(true)
				}
				if r.URL.RawQuery != "" {
					w.Header().Set("Content-Length", r.URL.RawQuery)
				}
				for at, i := 0, 0; at < size; i++ {
					part := file[at:min(at+[]int{300_000, 100, 5000, blockSize + 1}[i%4], size)]
					write := WriteShared
					if i%4 == 2 {
						write = http.ResponseWriter.Write
					}
					k, err := write(w, part)
					taken.Add(int64(k))
					if at += k; err != nil {
						break
					}
				}
				seen.Store(int64(wrapper.n))
			}), func(p *pair) {
				p.srv.QUICConfig = &conn.Config{UnsentBytes: unsent}
				p.srv.chunks.blocks.New = func() any {
					if !wrapped.Load() {
						t.Error("shared memory was copied to a block")
					}
					return newBlock()
				}
			})
			get := func(method, path string) *http.Response {
				taken.Store(0)
				resp, err := p.c.Do(p.request(method, path, nil))
				require.NoError(t, err)
				return resp
			}
			checkPattern(t, get("GET", "/"), 1, size, size)
			require.Zero(t, seen.Load())
			require.NoError(t, get("HEAD", "/?"+strconv.Itoa(size)).Body.Close())
			require.EqualValues(t, size, taken.Load())
			// more than its Content-Length
			_, err := io.Copy(io.Discard, get("GET", "/?400000").Body)
			require.Error(t, err)
			checkPattern(t, get("GET", "/wrapped"), 1, size, size)
			require.EqualValues(t, size, seen.Load())
		})
	}
}
