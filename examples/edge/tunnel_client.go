package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
)

// A clientEnd is the side of a tunnel that the request came from.
type clientEnd interface {
	end
	finish(whole bool) // comes last; whole is whether both sides have ended
}

// takeClient answers r with 200, and takes the stream or connection from w.
func takeClient(w http.ResponseWriter, r *http.Request) (clientEnd, error) {
	switch r.ProtoMajor {
	case 1:
		return hijack(w)
	case 2:
		return newStreamEnd(w, r)
	}
	w.WriteHeader(http.StatusOK)
	s, err := h3http.TakeStream(w)
	return quicEnd{s}, err
}

// A quicEnd is a stream of HTTP/3.
type quicEnd struct{ *h3http.Stream }

// abort says that the tunnel has broken off (RFC 9114, Section 4.4).
func (s quicEnd) abort() { s.Cancel(h3.ConnectError) }

func (s quicEnd) finish(bool) { s.Close() }

// A streamEnd is a stream of HTTP/2.
type streamEnd struct {
	io.Reader
	io.Writer
	rc    *http.ResponseController
	body  io.Closer
	ended atomic.Bool // by the target
}

func newStreamEnd(w http.ResponseWriter, r *http.Request) (*streamEnd, error) {
	w.WriteHeader(http.StatusOK)
	s := &streamEnd{Reader: r.Body, Writer: w, rc: http.NewResponseController(w), body: r.Body}
	return s, s.rc.Flush()
}

func (s *streamEnd) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && s.ended.Load() {
		err = io.EOF
	}
	return n, err
}

func (s *streamEnd) Write(b []byte) (int, error) {
	n, err := s.Writer.Write(b)
	if err == nil {
		err = s.rc.Flush()
	}
	return n, err
}

// CloseWrite ends both directions: net/http has no other way to end what a handler sends.
func (s *streamEnd) CloseWrite() error {
	s.ended.Store(true)
	return s.body.Close()
}

func (s *streamEnd) abort() {
	s.body.Close()
	s.rc.SetWriteDeadline(time.Unix(1, 0))
}

// finish resets the stream if the tunnel has broken off (RFC 9113, Section 8.5).
func (s *streamEnd) finish(whole bool) {
	if !whole {
		panic(http.ErrAbortHandler)
	}
}

// A tlsEnd is a connection of HTTP/1.1.
type tlsEnd struct {
	net.Conn
	in *bufio.Reader // may have read ahead
}

func hijack(w http.ResponseWriter) (*tlsEnd, error) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	// RFC 9110, Section 9.3.6: a successful response has no length and no coding.
	if _, err := fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		c.Close()
		return nil, err
	}
	return &tlsEnd{c, rw.Reader}, nil
}

func (c *tlsEnd) Read(b []byte) (int, error) { return c.in.Read(b) }

func (c *tlsEnd) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (c *tlsEnd) abort() { c.Conn.Close() }

func (c *tlsEnd) finish(bool) { c.Conn.Close() }
