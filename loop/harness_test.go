package loop_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

const serverAddr, clientAddr = "10.0.0.1:443", "10.0.0.2:5000"

// A record is a log in memory. Goroutines may write to it at the same time.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(b)
}

func (r *record) Close() error { return nil }

// A world is a server and a client on a simulated network, in a bubble.
type world struct {
	*testing.T
	net            *looptest.Network
	server, client *loop.Group
}

// A setup changes what a world is made of.
type setup struct {
	link   conntest.Link
	seed   uint64
	server *loop.Config // default: conntest.ServerConfig
	wrap   func(loop.Backend) loop.Backend
}

// run runs f in a new world. In the end the accounts of memory must be what is held. Whatever
// goroutine outlives the groups fails the test.
func run(t *testing.T, s setup, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, net: looptest.New(t, s.seed, s.link)}
		if s.server == nil {
			s.server = serverConfig(nil)
		}
		if s.wrap == nil {
			s.wrap = func(b loop.Backend) loop.Backend { return b }
		}
		var err error
		if w.server, err = loop.New(s.server, s.wrap(w.net.Listen(serverAddr))); err != nil {
			t.Fatal(err)
		}
		if w.client, err = loop.New(nil, s.wrap(w.net.Listen(clientAddr))); err != nil {
			t.Fatal(err)
		}
		defer w.server.Close()
		defer w.client.Close()
		f(t, w)
		w.checkAccounts()
	})
}

// serverConfig returns the configuration of a server, with changes.
func serverConfig(change func(*conn.Config)) *loop.Config {
	cfg := conntest.ServerConfig()
	if change != nil {
		change(cfg)
	}
	return &loop.Config{Endpoint: conn.EndpointConfig{Server: cfg}}
}

// dial connects client and server, and returns both ends.
func (w *world) dial(change func(*conn.Config)) (client, server *loop.Conn) {
	w.Helper()
	client = w.dialOnly(change)
	server, err := w.server.Accept(w.ctx())
	if err != nil {
		w.Fatal("accept: ", err)
	}
	return client, server
}

func (w *world) dialOnly(change func(*conn.Config)) *loop.Conn {
	w.Helper()
	cfg := conntest.ClientConfig()
	if change != nil {
		change(cfg)
	}
	c, err := w.client.Dial(w.ctx(), serverAddr, cfg)
	if err != nil {
		w.Fatal("dial: ", err)
	}
	return c
}

// ctx returns a context that ends long after the test should.
func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	w.Cleanup(cancel)
	return ctx
}

func (w *world) open(c *loop.Conn, dir conn.Dir) *loop.Stream {
	w.Helper()
	s, err := c.OpenStream(w.ctx(), dir)
	if err != nil {
		w.Fatal("open: ", err)
	}
	return s
}

func (w *world) accept(c *loop.Conn) *loop.Stream {
	w.Helper()
	s, err := c.AcceptStream(w.ctx())
	if err != nil {
		w.Fatal("accept stream: ", err)
	}
	return s
}

// serveEcho echoes every stream of every connection of g, until g closes.
func serveEcho(t testing.TB, g *loop.Group) {
	for {
		c, err := g.Accept(context.Background())
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Error("accept: ", err)
			}
			return
		}
		go func() {
			for {
				s, err := c.AcceptStream(context.Background())
				if err != nil {
					return
				}
				go func() {
					defer s.Close()
					io.Copy(s, s)
				}()
			}
		}()
	}
}

// transfer writes n bytes to s and reads its end, which must be the same bytes.
func transfer(t testing.TB, s *loop.Stream, n int, seed uint64) {
	defer s.Close()
	go func() {
		r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
		if _, err := io.CopyN(s, r, int64(n)); err != nil {
			t.Errorf("stream %d: write: %v", s.ID(), err)
		}
		s.CloseWrite()
	}()
	want, got := sha256.New(), sha256.New()
	io.CopyN(want, rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}), int64(n))
	if k, err := io.Copy(got, s); err != nil || k != int64(n) {
		t.Errorf("stream %d: read %d of %d bytes: %v", s.ID(), k, n, err)
		return
	}
	if string(got.Sum(nil)) != string(want.Sum(nil)) {
		t.Errorf("stream %d: the bytes differ", s.ID())
	}
}

// isTimeout reports whether err is a timeout as package net has them.
func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
