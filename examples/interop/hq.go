package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// hqInterop is HTTP/0.9 over QUIC: a stream carries one request and its response.
const hqInterop = "hq-interop"

// maxRequest is the length of the longest request, in bytes.
const maxRequest = 4096

// serveHQ answers the requests of connections to g until it is closed.
func serveHQ(ctx context.Context, g *loop.Group, www *os.Root) error {
	for {
		c, err := g.Accept(ctx)
		if err != nil {
			return err
		}
		go serveConn(ctx, c, www)
	}
}

func serveConn(ctx context.Context, c *loop.Conn, www *os.Root) {
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			defer s.Close()
			if err := answer(s, www); err != nil {
				fmt.Fprintln(os.Stderr, "interop: request:", err)
				s.Reset(1)
			}
		}()
	}
}

// answer reads a request and sends the file that it asks for.
func answer(s *loop.Stream, www *os.Root) error {
	b, err := io.ReadAll(io.LimitReader(s, maxRequest))
	if err != nil {
		return err
	}
	name, ok := strings.CutPrefix(strings.TrimRight(string(b), "\r\n "), "GET /")
	if !ok {
		return fmt.Errorf("not understood: %q", b)
	}
	f, err := www.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(s, f)
	return err
}

// get sends a request and copies the response to w.
func get(ctx context.Context, c *loop.Conn, path string, w io.Writer) error {
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = fmt.Fprintf(s, "GET %s\r\n", path)
	if err := errors.Join(err, s.CloseWrite()); err != nil {
		return err
	}
	_, err = io.Copy(w, s)
	return err
}
