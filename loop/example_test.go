package loop_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// A server and a client whose goroutines block, as with package net.
func Example() {
	ctx := context.Background()
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, &loop.Config{
		Endpoint: conn.EndpointConfig{Server: conntest.ServerConfig()},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()
	go func() {
		c, err := g.Accept(ctx)
		if err != nil {
			return
		}
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		defer s.Close()
		io.Copy(s, s)
	}()

	c, err := loop.Dial(ctx, g.LocalAddr().String(), conntest.ClientConfig())
	if err != nil {
		log.Fatal(err)
	}
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(s, "hello")
	s.CloseWrite()
	b, err := io.ReadAll(s)
	fmt.Println(string(b), err)
	s.Close()
	c.Shutdown(ctx, 0, "")
	// Output: hello <nil>
}

// An upper answers each stream with its content in capital letters. It runs inside
// the loop.
type upper struct{}

func (upper) HandleEvent(now time.Time, ev conn.Event) {
	if ev.Kind != conn.EventStreamReadable {
		return
	}
	s := ev.Stream
	for {
		b, err := s.Peek(1)
		for _, c := range b {
			s.Write([]byte{c &^ 0x20})
		}
		s.Discard(len(b))
		switch {
		case errors.Is(err, conn.ErrWouldBlock):
			return
		case err != nil: // io.EOF, or a reset
			s.CloseWrite()
			s.Release()
			return
		}
	}
}

func (upper) Flush(time.Time, *conn.Conn) {}

// A server that answers inside the loop, without a goroutine or a lock.
func ExampleHandler() {
	ctx := context.Background()
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, &loop.Config{
		Endpoint:   conn.EndpointConfig{Server: conntest.ServerConfig()},
		NewHandler: func(*loop.Loop, *conn.Conn) loop.Handler { return upper{} },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()

	c, err := loop.Dial(ctx, g.LocalAddr().String(), conntest.ClientConfig())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(0, "")
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(s, "hello")
	s.CloseWrite()
	b, err := io.ReadAll(s)
	fmt.Println(string(b), err)
	// Output: HELLO <nil>
}

// A client that remembers servers from one run of its program to the next: what it
// sends first then travels with its first packet.
func ExampleSessionCache() {
	const file = "/var/lib/example/sessions"
	cache := new(loop.SessionCache)
	if err := cache.Load(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		log.Print(err) // it works without
	}
	defer func() {
		if err := cache.Save(file); err != nil {
			log.Print(err)
		}
	}()

	ctx := context.Background()
	c, err := loop.Dial(ctx, "localhost:4433", &conn.Config{
		TLS:        &tls.Config{NextProtos: []string{"example"}, ClientSessionCache: cache},
		Tokens:     cache,
		Enable0RTT: true,
	})
	if err != nil {
		log.Print(err)
		return
	}
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Fprint(s, "something that may happen twice")
	s.CloseWrite()
	io.Copy(os.Stdout, s)
	c.Shutdown(ctx, 0, "")
}
