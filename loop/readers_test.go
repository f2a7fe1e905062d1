package loop_test

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// TestTwoReaders: two calls of Read may wait for one stream. What comes goes to one of them, once,
// even if it is more than that has asked for, and both learn of the end.
func TestTwoReaders(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		a, b := w.pair(w.dial(nil))
		type result struct {
			data []byte
			err  error
		}
		results := make(chan result, 2)
		for range 2 {
			go func() {
				var r result
				p := make([]byte, 3)
				for r.err == nil {
					var n int
					n, r.err = b.Read(p)
					r.data = append(r.data, p[:n]...)
				}
				results <- r
			}()
		}
		var want []byte
		for i := range byte(20) {
			synctest.Wait()
			some := bytes.Repeat([]byte{i}, int(i))
			a.Write(some)
			want = append(want, some...)
			if i%2 == 0 { // otherwise readers and the next bytes meet
				time.Sleep(time.Second)
			}
		}
		a.CloseWrite()
		first, second := <-results, <-results
		if got := slices.Sorted(slices.Values(append(first.data, second.data...))); !bytes.Equal(got, want) {
			t.Errorf("read %v, want %v", got, want)
		}
		if first.err != io.EOF || second.err != io.EOF {
			t.Errorf("in the end: %v, %v", first.err, second.err)
		}
	})
}

// TestReadOfEarlierStreams: streams arrive with the first that has data, also those before it that
// have none. Their Reads wait for it.
func TestReadOfEarlierStreams(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		w.pair(client, server) // from now on the server accepts
		streams := []*loop.Stream{w.open(client, conn.Bidi), w.open(client, conn.Bidi)}
		for i := range streams {
			s := streams[len(streams)-1-i]
			s.Write([]byte{byte(s.ID())})
			time.Sleep(time.Second)
			synctest.Wait()
		}
		for _, s := range streams {
			var p [1]byte
			b := w.accept(server)
			if _, err := b.Read(p[:]); err != nil || b.ID() != s.ID() || p[0] != byte(s.ID()) {
				t.Errorf("stream %d: read %d, %v", b.ID(), p[0], err)
			}
			s.CloseWrite()
			if n, err := b.Read(p[:]); n != 0 || err != io.EOF {
				t.Errorf("stream %d: %d bytes, %v in the end", b.ID(), n, err)
			}
		}
	})
}
