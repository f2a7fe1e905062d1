package h3http

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// TestBlocksInFlight: many responses share blocks, while packets are lost and late, clients leave
// and handlers break off. Whatever arrives is what was written, so no block is used for something
// else before the peer has its bytes. Nothing counts in the end.
func TestBlocksInFlight(t *testing.T) {
	link := conntest.Link{Delay: 10 * time.Millisecond, Rate: 200e6, Queue: 200_000, Loss: 0.01, Reorder: 0.01}
	// A block goes to the stream in parts if less is allowed.
	for _, unsent := range []int{0, 20_000, 100_000} {
		simulate(t, link, func(t *testing.T, n *looptest.Network) {
			const size = 1<<20 + 12345
			var account atomic.Pointer[loop.Account]
			p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				account.Store(w.(*response).x.c.pool.account)
				seed, _ := strconv.Atoi(r.URL.Path[1:])
				src := io.Reader(newPattern(byte(seed), size))
				if r.URL.RawQuery == "abort" {
					src = io.LimitReader(src, size/2)
				}
				if seed%2 == 0 {
					w.(io.ReaderFrom).ReadFrom(src)
				} else { // a block gets more while its front is in flight
					io.CopyBuffer(struct{ io.Writer }{w}, src, make([]byte, 40_000))
				}
				if r.URL.RawQuery == "abort" {
					panic(http.ErrAbortHandler)
				}
			}), func(p *pair) { p.srv.QUICConfig = &conn.Config{UnsentBytes: unsent} })
			resp, err := p.c.Get(p.url + "/0")
			require.NoError(t, err)
			checkPattern(t, resp, 0, size, size)
			var wg sync.WaitGroup
			for i := range 12 {
				wg.Go(func() {
					query, read := "", size
					switch i % 4 {
					case 1:
						query = "?abort"
					case 2:
						read = i * 40_000 // the client leaves in the middle
					}
					resp, err := p.c.Get(p.url + "/" + strconv.Itoa(i) + query)
					if err != nil {
						require.Equal(t, "?abort", query)
						return
					}
					checkPattern(t, resp, byte(i), read, size)
				})
			}
			wg.Wait()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			require.Zero(t, account.Load().Held())
		})
	}
}

// checkPattern reads up to most bytes of a response. They must be those at the start of a pattern.
func checkPattern(t *testing.T, resp *http.Response, seed byte, most, size int) {
	t.Helper()
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, int64(most)))
	want := make([]byte, len(got))
	newPattern(seed, int64(size)).Read(want)
	if !bytes.Equal(want, got) {
		t.Errorf("response %d: %d bytes differ from what was written", seed, len(got))
	}
	if err == nil && len(got) != most && resp.Request.URL.RawQuery == "" {
		t.Errorf("response %d has %d bytes", seed, len(got))
	}
}

// TestBlocksOfLostConnections: connections end while blocks are in flight. Others go on with the
// blocks, and nothing counts for what has ended.
func TestBlocksOfLostConnections(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond, Rate: 200e6}, func(t *testing.T, n *looptest.Network) {
		const size = 4 << 20
		var mu sync.Mutex
		accounts := make(map[*loop.Account]bool)
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			accounts[w.(*response).x.c.pool.account] = true
			mu.Unlock()
			w.(io.ReaderFrom).ReadFrom(newPattern(r.URL.Path[1], size))
		}))
		for range 5 {
			resp, err := p.c.Get(p.url + "/a")
			require.NoError(t, err)
			_, err = io.CopyN(io.Discard, resp.Body, size/2)
			require.NoError(t, err)
			c := ConnOf(resp.Request)
			c.Close(0, "")
			resp.Body.Close()
			resp, err = p.c.Get(p.url + "/b")
			require.NoError(t, err)
			checkPattern(t, resp, 'b', size, size)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Greater(t, len(accounts), 4)
		for a := range accounts {
			require.Zero(t, a.Held())
		}
	})
}

// TestBlocksOfUploads: bodies of requests fill blocks while packets are lost and late. Some bodies
// break, and some handlers do not read all. What arrives is what was read, and nothing counts in
// the end.
func TestBlocksOfUploads(t *testing.T) {
	link := conntest.Link{Delay: 10 * time.Millisecond, Rate: 200e6, Queue: 200_000, Loss: 0.01, Reorder: 0.01}
	simulate(t, link, func(t *testing.T, n *looptest.Network) {
		const size = 1<<20 + 12345
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seed, _ := strconv.Atoi(r.URL.Path[1:])
			most := int64(size)
			if r.URL.RawQuery == "part" {
				most = 300_000
			}
			got, err := io.ReadAll(io.LimitReader(r.Body, most))
			want := make([]byte, len(got))
			newPattern(byte(seed), size).Read(want)
			if !bytes.Equal(want, got) || err == nil && int64(len(got)) != most {
				t.Errorf("request %d: %d bytes are not what was sent, %v", seed, len(got), err)
			}
		}))
		var blocks atomic.Int32
		p.tr.chunks.blocks.New = func() any {
			blocks.Add(1)
			return newBlock()
		}
		var wg sync.WaitGroup
		var account atomic.Pointer[loop.Account]
		for i := range 12 {
			wg.Go(func() {
				query, body := "", io.Reader(newPattern(byte(i), size))
				switch i % 4 {
				case 1:
					query = "?part"
				case 2:
					body = io.MultiReader(newPattern(byte(i), size/2), iotest.ErrReader(io.ErrNoProgress))
				}
				resp, err := p.c.Post(p.url+"/"+strconv.Itoa(i)+query, "", body)
				if i%4 == 2 {
					require.ErrorIs(t, err, io.ErrNoProgress)
					return
				}
				require.NoError(t, err)
				resp.Body.Close()
				account.Store(ConnOf(resp.Request).Account())
			})
		}
		wg.Wait()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Zero(t, account.Load().Held())
		require.NotZero(t, blocks.Load())
	})
}
