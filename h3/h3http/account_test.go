package h3http

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/fifo"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// Whole stacks in virtual time: clients that make a Server keep as much as they can.

// A hoarder is a client that opens requests and reads no response. It has no goroutine, so that
// what it takes itself is in the account of its connection.
type hoarder struct {
	h    *h3.Conn
	path string
	long string // a header field
	body []byte // what is sent of a longer body

	left int // requests to open
	sent map[*h3.Stream]int
}

func (r *hoarder) HandleEvent(now time.Time, ev conn.Event) {
	r.h.HandleEvent(now, ev)
	for ev, ok := r.h.NextEvent(); ok; ev, ok = r.h.NextEvent() {
		if ev.Kind == h3.EventCanceled {
			delete(r.sent, ev.Stream)
			ev.Stream.Release()
		}
	}
}

func (r *hoarder) Flush(time.Time, *conn.Conn) {
	for ; r.left > 0; r.left-- {
		s, err := r.h.OpenRequest([]h3.Field{
			{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "10.0.0.1"},
			{Name: ":path", Value: r.path}, {Name: "content-length", Value: "1000000"}, {Name: "long", Value: r.long},
		}, false)
		if err != nil {
			break
		}
		r.sent[s] = 0
	}
	for s, sent := range r.sent {
		n, _ := s.Write(r.body[sent:])
		r.sent[s] += n
	}
}

// hoard connects a hoarder that opens n requests.
func hoard(t *testing.T, g *loop.Group, r hoarder, n int) error {
	cfg := &conn.Config{TLS: clientConfig().Clone(), InitialMaxStreamData: 1000, MaxStreamData: 1000, KeepAlive: 10 * time.Second}
	cfg.TLS.NextProtos = []string{"h3"}
	c, err := g.Dial(t.Context(), "10.0.0.1:443", cfg)
	if err != nil {
		return err
	}
	r.left, r.sent = n, make(map[*h3.Stream]int)
	c.Do(t.Context(), func(_ time.Time, q *conn.Conn) {
		r.h, err = h3.NewConn(q, nil)
		c.Loop().SetHandler(q, &r)
	})
	return err
}

// hoarders are the ways in which clients make the handlers of hoardHandler hold memory.
func hoarders() map[string]hoarder {
	return map[string]hoarder{
		"requests that wait":              {path: "/wait"},
		"requests with long fields":       {path: "/wait", long: strings.Repeat("x", 20<<10)},
		"content that nobody reads":       {path: "/wait", body: make([]byte, 9<<10)},
		"content that is read in part":    {path: "/begin", body: make([]byte, 40<<10)},
		"responses that the client skips": {path: "/write"},
		"small responses that are kept":   {path: "/little"},
	}
}

// page is what handlers write. It does not count.
var page = make([]byte, 1<<20)

// hoardHandler never reads more than a little, and never returns by itself.
func hoardHandler(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/page":
		w.Write(page[:5000])
		return
	case "/begin":
		r.Body.Read(make([]byte, 10))
	case "/write":
		w.Write(page)
	case "/little":
		w.Write(page[:2000])
		return
	}
	<-r.Context().Done()
}

// A hoardWorld is a Server for hoarders.
type hoardWorld struct {
	srv             *Server
	server, clients *loop.Group
	honest          *http.Client

	mu     sync.Mutex
	blocks []*block // all that there are
}

func newHoardWorld(t *testing.T, n *looptest.Network, most int64) *hoardWorld {
	srv := &Server{
		Handler: http.HandlerFunc(hoardHandler), TLSConfig: serverConfig(), Logger: new(logBuffer).logger(),
		StallTimeout: -1, DeliveryTimeout: -1,
		QUICConfig: &conn.Config{InitialMaxStreamData: 32 << 10, InitialMaxData: 8 << 20},
	}
	cfg := srv.LoopConfig()
	cfg.Endpoint.MaxBuffered = most
	w := hoardWorld{srv: srv}
	srv.chunks.blocks.New = func() any {
		b := newBlock()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.blocks = append(w.blocks, b)
		return b
	}
	var err error
	w.server, err = loop.New(cfg, n.Listen("10.0.0.1:443"))
	require.NoError(t, err)
	w.clients, err = loop.New(nil, n.Listen("10.0.0.2:5000"))
	require.NoError(t, err)
	honest, err := loop.New(nil, n.Listen("10.0.0.3:5000"))
	require.NoError(t, err)
	tr := &Transport{TLSClientConfig: clientConfig(), Dial: honest.Dial, QUICConfig: &conn.Config{KeepAlive: 10 * time.Second}}
	w.honest = &http.Client{Transport: tr}
	t.Cleanup(func() {
		require.NoError(t, tr.Close())
		require.NoError(t, honest.Close())
		require.NoError(t, w.clients.Close())
		require.NoError(t, srv.Close())
		require.NoError(t, w.server.Close())
	})
	return &w
}

// check checks that the accounts of the Server's connections are what their exchanges really hold.
func (w *hoardWorld) check(t *testing.T) {
	t.Helper()
	synctest.Wait()
	w.srv.mu.Lock()
	conns := slices.Collect(maps.Keys(w.srv.conns))
	w.srv.mu.Unlock()
	for _, c := range conns {
		c.handle.Do(t.Context(), func(time.Time, *conn.Conn) {
			really := 0
			for x := range c.all() {
				x.mu.Lock()
				really += x.cost + memoryOf(&x.in.buf) + memoryOf(&x.out.buf)
				x.mu.Unlock()
			}
			w.mu.Lock()
			for _, b := range w.blocks {
				if b.pool == c.pool {
					really += blockSize
				}
			}
			w.mu.Unlock()
			require.EqualValues(t, really, c.handle.Account().Held())
		})
	}
}

// memoryOf returns how many bytes of memory b has, without blocks.
func memoryOf(b *fifo.Buffer) (n int) {
	for c := b.First(); c != nil; c = c.Next {
		if c.Lender == nil {
			n += len(c.Memory)
		}
	}
	return n
}

// get gets a small page.
func (w *hoardWorld) get(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", "https://10.0.0.1/page", nil)
	resp, err := w.honest.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Len(t, b, 5000)
}

// settled returns how many bytes heap and stacks have, and how many the accounts count, once
// nothing moves any more.
func (w *hoardWorld) settled() (heap, account int64) {
	time.Sleep(5 * time.Second)
	synctest.Wait()
	account = w.server.Stats().Held + w.clients.Stats().Held
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse), account
}

// TestAccountBoundsHeap: clients make a Server hold memory in every way. Heap and stacks grow by no
// more than one and a half times what the accounts say, and 64 KiB for each connection.
func TestAccountBoundsHeap(t *testing.T) {
	for name, way := range hoarders() {
		t.Run(name, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: time.Millisecond}, func(t *testing.T, n *looptest.Network) {
				const conns = 4
				w := newHoardWorld(t, n, 0)
				require.NoError(t, hoard(t, w.clients, way, 90)) // fills what is kept for reuse
				heap, account := w.settled()
				for range conns {
					require.NoError(t, hoard(t, w.clients, way, 90))
				}
				fullHeap, fullAccount := w.settled()
				w.check(t)
				heap, account = (fullHeap-heap)/conns, (fullAccount-account)/conns
				t.Logf("a connection: %d bytes of heap, %d are counted", heap, account)
				require.LessOrEqual(t, heap, account*3/2+64<<10)
				require.NoError(t, w.clients.Close())
				time.Sleep(time.Minute)
				require.Zero(t, w.server.Stats().Held)
			})
		})
	}
}

// TestHoardersKeepToMaxBuffered: clients make a Server with little memory hold as much as they can.
// It holds no more than it may, and another client gets its small page at once.
func TestHoardersKeepToMaxBuffered(t *testing.T) {
	const most = 4 << 20
	for name, way := range hoarders() {
		t.Run(name, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: time.Millisecond}, func(t *testing.T, n *looptest.Network) {
				w := newHoardWorld(t, n, most)
				w.get(t)
				reached := int64(0)
				for range 12 {
					// If it is full, and nobody holds more than a share, nobody new may come.
					if err := hoard(t, w.clients, way, 90); !errors.Is(err, conn.ErrHandshakeTimeout) {
						require.NoError(t, err)
					}
					for range 10 {
						time.Sleep(50 * time.Millisecond)
						held := w.server.Stats().Held
						// What the last turn has brought counts; the next one ends somebody for it.
						require.LessOrEqual(t, held, int64(most+most/16))
						reached = max(reached, held)
					}
					w.get(t)
					w.check(t)
				}
				t.Logf("%d bytes were held", reached)
				require.Greater(t, reached, int64(most/4))
				require.NoError(t, w.honest.Transport.(*Transport).Close())
				require.NoError(t, w.clients.Close())
				time.Sleep(time.Minute)
				require.Zero(t, w.server.Stats().Held)
			})
		})
	}
}
