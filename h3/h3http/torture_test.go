package h3http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// A torturer sends requests and ends them in all the ways in which programs do.
type torturer struct {
	p    *pair
	size int // of bodies, in bytes
}

// TestTorture sends requests from many goroutines at once. Most requests are not completed: they
// are canceled, closed unread, closed while they are read, or aborted by the handler or by the
// body. Those that are completed have the right bytes. Nothing is left of the others. The race
// detector finds other faults.
func TestTorture(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("LAZO_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("LAZO_SEED=%d go test -race -count=1 -run '^TestTorture$' ./h3/h3http", seed)
	p := newPair(t, http.HandlerFunc(tortureHandler), func(p *pair) {
		p.srv.Logger = slog.New(slog.DiscardHandler)
		p.srv.QUICConfig = &conn.Config{InitialMaxStreamsBidi: 20} // some have to wait
	})
	tt := &torturer{p: p, size: 100_000}
	var wg sync.WaitGroup
	for i := range uint64(16) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, i))
			for range 60 {
				tt.once(t, rng)
			}
		})
	}
	wg.Wait()
	p.awaitIdle()
	require.Eventually(t, func() bool { return p.srv.Stats().Open == 0 }, time.Minute, time.Millisecond, "requests of the Server")
	_, body := p.get("/echo") // the connection, or another, still serves
	require.Equal(t, "", body)
}

// tortureHandler does what the path says.
func tortureHandler(w http.ResponseWriter, r *http.Request) {
	buf := make([]byte, 5000)
	switch r.URL.Path {
	case "/echo":
		io.Copy(w, r.Body)
	case "/unread":
		io.WriteString(w, "no, thanks")
	case "/both": // reads and writes at once
		read := make(chan struct{})
		go func() {
			defer close(read)
			io.Copy(io.Discard, r.Body)
		}()
		for range 20 {
			w.Write(buf)
			w.(http.Flusher).Flush()
		}
		r.Body.Close()
		<-read
	case "/abort":
		io.ReadFull(r.Body, buf)
		w.Write(buf)
		panic(http.ErrAbortHandler)
	case "/endless":
		for err := error(nil); err == nil; _, err = w.Write(buf) {
		}
	case "/silent":
		<-r.Context().Done()
	case "/deadline":
		c := http.NewResponseController(w)
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		c.SetWriteDeadline(time.Now().Add(2 * time.Millisecond))
		io.Copy(w, r.Body)
	}
}

// once sends a request and ends it in one way.
func (tt *torturer) once(t *testing.T, rng *rand.Rand) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	paths := []string{"/echo", "/echo", "/unread", "/both", "/abort", "/endless", "/silent", "/deadline"}
	path := paths[rng.IntN(len(paths))]
	content := bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(tt.size))
	body := io.Reader(bytes.NewReader(content))
	broken := rng.IntN(8) == 0
	if broken {
		body = io.MultiReader(body, readerFunc(func([]byte) (int, error) { return 0, errors.New("broken") }))
	}
	r, err := http.NewRequestWithContext(ctx, "POST", tt.p.url+path, body)
	if err != nil {
		t.Error(err)
		return
	}
	leave := rng.IntN(5)
	if path == "/endless" || path == "/silent" {
		leave = rng.IntN(2) // otherwise the request would not end
	}
	if leave == 0 { // at any time
		time.AfterFunc(time.Duration(rng.IntN(5000))*time.Microsecond, cancel)
	}
	if path == "/silent" {
		time.AfterFunc(10*time.Millisecond, cancel)
	}
	resp, err := tt.p.tr.RoundTrip(r)
	if err != nil {
		return // it may: which error, other tests say
	}
	if err := finishOne(resp, leave, content, rng); err != nil && leave != 0 && path == "/echo" && !broken {
		t.Errorf("%s of %d bytes: %v", path, len(content), err)
	}
}

// finishOne ends a response in the way of leave.
func finishOne(resp *http.Response, leave int, content []byte, rng *rand.Rand) error {
	defer resp.Body.Close()
	switch leave {
	case 1: // unread, or in the middle
		io.CopyN(io.Discard, resp.Body, int64(rng.IntN(10_000)))
	case 2: // while another goroutine reads
		done := make(chan struct{})
		go func() {
			defer close(done)
			io.Copy(io.Discard, resp.Body)
		}()
		resp.Body.Close()
		<-done
	default:
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if strings.HasSuffix(resp.Request.URL.Path, "/echo") && !bytes.Equal(got, content) {
			return fmt.Errorf("%d other bytes came back", len(got))
		}
	}
	return nil
}

// TestStoppedUploadIsOver: a server does not read a body. It stops it after all of it was handed
// over, and before it was acknowledged. The request is over then, because nothing more comes.
func TestStoppedUploadIsOver(t *testing.T) {
	simulate(t, conntest.Link{Delay: 20 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "no, thanks")
		}))
		resp, err := p.c.Post(p.url, "", strings.NewReader(strings.Repeat("x", 60_000)))
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "no, thanks", string(b))
		resp.Body.Close()
		time.Sleep(time.Second)
		require.Zero(t, p.tr.inProgress())
	})
}
