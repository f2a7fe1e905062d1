package h3http

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// A pattern is a reader of n bytes that follow from a seed. It sums up the bytes that were read.
type pattern struct {
	rnd *rand.ChaCha8
	n   int64
	sum hash.Hash
}

func newPattern(seed byte, n int64) *pattern {
	return &pattern{rnd: rand.NewChaCha8([32]byte{seed}), n: n, sum: sha256.New()}
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.n == 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.n)]
	p.rnd.Read(b)
	p.sum.Write(b)
	p.n -= int64(len(b))
	return len(b), nil
}

func (p *pattern) hash() string { return fmt.Sprintf("%x", p.sum.Sum(nil)) }

// hashOf reads r to its end. It returns the length and the hash.
func hashOf(r io.Reader) (n int64, sum string, err error) {
	h := sha256.New()
	n, err = io.Copy(h, r)
	return n, fmt.Sprintf("%x", h.Sum(nil)), err
}

// sumHandler answers POST with the length and hash of the body, and GET with a body
// whose hash is in a trailer.
func sumHandler(size int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			n, sum, err := hashOf(r.Body)
			fmt.Fprint(w, n, " ", sum, " ", err)
			return
		}
		src := newPattern(1, size)
		w.Header().Set("Trailer", "Sum")
		io.Copy(w, src)
		w.Header().Set("Sum", src.hash())
	})
}

// largeSize is the length of large bodies. The race detector is for short tests.
func largeSize() int64 {
	if testing.Short() {
		return 8 << 20
	}
	return 100 << 20
}

func TestLargeBodies(t *testing.T) {
	size := largeSize()
	p := newPair(t, sumHandler(size))
	t.Run("download", func(t *testing.T) {
		resp, err := p.c.Do(p.request("GET", "/", nil))
		require.NoError(t, err)
		defer resp.Body.Close()
		n, sum, err := hashOf(resp.Body)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.Equal(t, resp.Trailer.Get("Sum"), sum)
	})
	t.Run("upload", func(t *testing.T) {
		src := newPattern(2, size)
		_, body := p.do(p.request("POST", "/", src))
		require.Equal(t, fmt.Sprint(size, " ", src.hash(), " <nil>"), body)
	})
}

func TestManyRequests(t *testing.T) {
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
		io.WriteString(w, r.URL.Path)
	}))
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			r, err := http.NewRequest("POST", fmt.Sprint(p.url, "/", i), newPattern(byte(i), 5000))
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := p.c.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			want, _ := io.ReadAll(newPattern(byte(i), 5000))
			if err != nil || string(b) != fmt.Sprint(string(want), "/", i) {
				t.Errorf("request %d: %d bytes, %v", i, len(b), err)
			}
		})
	}
	wg.Wait()
}
