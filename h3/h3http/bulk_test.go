package h3http

import (
	"io"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// limits returns how many bytes may wait in the pipe for their reader, and for the loop.
func (p *bodyPipe) limits() (in, out int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.in.limit, p.out.limit
}

// TestBulkBuffers: the buffers of an exchange grow if both sides are faster than the loop, and not
// if one of them is slow. They shrink when the peer becomes slow.
func TestBulkBuffers(t *testing.T) {
	const pause = 20 * time.Millisecond // in it everything comes that windows and buffers hold
	for _, tt := range []struct {
		name        string
		read, write int // bytes between two pauses
		in, out     int // the limits in the end
	}{
		{"bulk", 1 << 20, 1 << 20, bulkRecvBuffer, bulkSendBuffer},
		{"slow reader", 64 << 10, 1 << 20, recvBuffer, sendBuffer},
		{"slow writer", 1 << 20, 32 << 10, recvBuffer, sendBuffer},
		{"reader that becomes slow", 0, 1 << 20, bulkRecvBuffer, sendBuffer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: time.Millisecond}, func(t *testing.T, n *looptest.Network) {
				sender := make(chan *exchange, 1)
				p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					sender <- &w.(*response).x.exchange
					for r.Context().Err() == nil {
						w.Write(make([]byte, tt.write))
						select {
						case <-time.After(pause):
						case <-r.Context().Done():
						}
					}
				}), func(p *pair) {
					p.srv.QUICConfig = &conn.Config{UnsentBytes: 4 << 20}
					p.tr.QUICConfig = &conn.Config{MaxStreamData: 400 << 10}
				})
				resp, err := p.c.Get(p.url)
				require.NoError(t, err)
				defer resp.Body.Close()
				read := func(size int) {
					for range 5 {
						_, err := io.ReadFull(resp.Body, make([]byte, size))
						require.NoError(t, err)
						time.Sleep(pause)
					}
				}
				if tt.read > 0 {
					read(tt.read)
				} else {
					read(1 << 20)
					time.Sleep(time.Second)
				}
				synctest.Wait()
				in, _ := resp.Body.(*body).x.limits()
				_, out := (<-sender).limits()
				require.Equal(t, tt.in, in)
				require.Equal(t, tt.out, out)
			})
		})
	}
}

// TestBulkNeedsNoWakes: a writer that is slower than the network gets the largest buffer, with
// default limits too. It runs when the loop has taken what it had written, and not once the loop
// sleeps: so the loop is not woken again and again.
func TestBulkNeedsNoWakes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	simulate(t, conntest.Link{Delay: time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		const blocks, warm = 400, 100
		type result struct {
			largest int
			wakes   uint64
		}
		results := make(chan result, 1)
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stats := ConnFromContext(r.Context()).Loop().Group().Stats
			var got result
			before := stats().Wakes
			for i := range blocks {
				if i == warm {
					before = stats().Wakes
				}
				w.Write(make([]byte, blockSize))
				_, out := w.(*response).x.limits()
				got.largest = max(got.largest, out)
			}
			got.wakes = stats().Wakes - before
			results <- got
		}))
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		defer resp.Body.Close()
		got, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.Equal(t, int64(blocks*blockSize), got)
		found := <-results
		require.Equal(t, bulkSendBuffer, found.largest)
		require.Less(t, found.wakes, uint64(blocks/20))
	})
}

// TestBulkGivesWay: the buffer of an exchange has grown, and its reader stops. While memory is
// short, the buffer takes no more than a chunk or two. After that, it takes much more.
func TestBulkGivesWay(t *testing.T) {
	simulate(t, conntest.Link{Delay: time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		receiver := make(chan *exchange)
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 5 {
				time.Sleep(20 * time.Millisecond)
				io.ReadFull(r.Body, make([]byte, 1<<20))
			}
			x := r.Body.(*body).x
			x.c.pool.account.Hold(conn.DefaultMaxBuffered / 2)
			io.ReadFull(r.Body, make([]byte, 1<<20)) // what has come before
			receiver <- x
			<-r.Context().Done()
		}), func(p *pair) { p.srv.QUICConfig = &conn.Config{MaxStreamData: 400 << 10} })
		sent := make(chan error, 1)
		go func() {
			_, err := p.c.Post(p.url, "", io.LimitReader(newPattern(1, 10<<20), 10<<20))
			sent <- err
		}()
		x := <-receiver
		holds := func() int {
			time.Sleep(time.Second)
			synctest.Wait()
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.in.buf.Len()
		}
		in, _ := x.limits()
		require.Equal(t, bulkRecvBuffer, in)
		require.LessOrEqual(t, holds(), 2*chunkSize)
		x.c.pool.account.Hold(-conn.DefaultMaxBuffered / 2)
		_, err := x.read(make([]byte, 1))
		require.NoError(t, err)
		require.GreaterOrEqual(t, holds(), 400<<10)
		require.NoError(t, p.tr.Close())
		require.Error(t, <-sent)
	})
}
