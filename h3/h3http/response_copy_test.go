package h3http

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// TestReadFromMixed copies sources that have much at a time and little, with writes between them. A
// source that ends early breaks off a response with a Content-Length.
func TestReadFromMixed(t *testing.T) {
	const size = 3<<20 + 17
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/short" {
			w.Header().Set("Content-Length", strconv.Itoa(size+1))
		}
		src := newPattern(1, size)
		for turn := int64(0); src.n > 0; turn++ {
			from := io.LimitReader(src, 10_000+turn*20_000)
			switch turn % 3 {
			case 1:
				from = iotest.HalfReader(from)
			case 2:
				from = iotest.DataErrReader(from)
			}
			if _, err := w.(io.ReaderFrom).ReadFrom(from); err != nil {
				panic(err)
			}
			b := make([]byte, 1000)
			n, _ := src.Read(b)
			if _, err := w.Write(b[:n]); err != nil {
				panic(err)
			}
		}
	}))
	want := newPattern(1, size)
	io.Copy(io.Discard, want)
	for path, end := range map[string]error{"/whole": nil, "/short": io.ErrUnexpectedEOF} {
		resp, err := p.c.Do(p.request("GET", path, nil))
		require.NoError(t, err)
		n, sum, err := hashOf(resp.Body)
		if end == nil {
			require.NoError(t, err)
			require.Equal(t, want.hash(), sum)
			require.EqualValues(t, size, n)
		} else {
			requireStreamError(t, err, h3.InternalError)
		}
		resp.Body.Close()
	}
	resp, err := p.c.Do(p.request("HEAD", "/short", nil))
	require.NoError(t, err)
	require.EqualValues(t, size+1, resp.ContentLength)
}

// askedFor notes for how much it is asked, and has all of it.
type askedFor struct{ sizes []int }

func (a *askedFor) Read(p []byte) (int, error) {
	a.sizes = append(a.sizes, len(p))
	return len(p), nil
}

// TestReadFromPieces: programs that copy a file by pieces of a block, as Caddy does, have each read
// and sent as one. Smaller pieces get no block.
func TestReadFromPieces(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var src askedFor
		copyPiece := func(n int64) {
			k, err := w.(io.ReaderFrom).ReadFrom(io.LimitReader(&src, n))
			require.NoError(t, err)
			require.Equal(t, n, k)
		}
		copyPiece(blockSize)
		copyPiece(blockSize)
		copyPiece(blockSize)
		require.Equal(t, []int{chunkSize, blockSize - chunkSize, blockSize, blockSize}, src.sizes)
		for range 3 {
			copyPiece(1000)
			require.False(t, w.(*response).bulk)
		}
	}))
	resp, err := p.c.Get(p.url)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.EqualValues(t, 3*blockSize+3*1000, n)
	resp.Body.Close()
}

// zeros has as much as is asked for.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestReadFromEnds: a client that takes no more bytes, or leaves, ends ReadFrom. What that has
// taken of memory counts no more then.
func TestReadFromEnds(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
			ended := make(chan error, 1)
			var account *loop.Account
			p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				account = w.(*response).x.c.pool.account
				if !leaves {
					http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Second))
				}
				_, err := w.(io.ReaderFrom).ReadFrom(zeros{})
				ended <- err
			}), slowReader)
			resp, err := p.c.Get(p.url)
			require.NoError(t, err)
			_, err = io.CopyN(io.Discard, resp.Body, 1<<20)
			require.NoError(t, err)
			synctest.Wait()
			held := account.Held()
			// What the stream has of it is never sent, or lies in the window of the client.
			const inStream = 256<<10 + 16<<10
			if held < blockSize || held > bulkSendBuffer+inStream+3*blockSize+requestCost {
				t.Errorf("a response in the middle holds %d bytes", held)
			}
			if leaves {
				resp.Body.Close()
				require.Error(t, <-ended)
			} else {
				require.ErrorIs(t, <-ended, os.ErrDeadlineExceeded)
				resp.Body.Close()
			}
			time.Sleep(time.Second)
			synctest.Wait()
			require.Zero(t, account.Held())
		})
	}
}
