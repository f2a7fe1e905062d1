package main

import (
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// zeros is the data that is sent.
var zeros [64 << 10]byte

// A serverHandler serves a connection inside the loop.
type serverHandler struct {
	s *server
	c *conn.Conn
}

func (s *server) newHandler(_ *loop.Loop, c *conn.Conn) loop.Handler {
	s.conns.Add(1)
	return &serverHandler{s: s, c: c}
}

// A request is the state of a stream: how many bytes are to be sent. It lies in UserData.
type request struct {
	left    int64
	started bool // the header was read
	ended   bool // the FIN was read
}

// HandleEvent serves streams and datagrams.
func (h *serverHandler) HandleEvent(_ time.Time, ev conn.Event) {
	switch ev.Kind {
	case conn.EventStreamReadable:
		h.read(ev.Stream)
	case conn.EventStreamWritable:
		h.write(ev.Stream)
	case conn.EventStreamReset, conn.EventStreamStopped:
		ev.Stream.Release()
	case conn.EventDatagramReadable:
		for b, ok := h.c.ReceiveDatagram(); ok; b, ok = h.c.ReceiveDatagram() {
			h.s.datagram(len(b))
		}
	case conn.EventClosed:
		h.s.connClosed()
	}
}

// Flush has nothing to do: answers are written as requests come.
func (h *serverHandler) Flush(time.Time, *conn.Conn) {}

// requestOf returns the state of a stream.
func requestOf(s *conn.Stream) *request {
	r, _ := s.UserData.(*request)
	if r == nil {
		r = new(request)
		s.UserData = r
	}
	return r
}

// read reads a request. A small request lies in memory as a whole, and needs no state.
func (h *serverHandler) read(s *conn.Stream) {
	b, err := s.Peek(9)
	if s.UserData == nil && len(b) == 8 && err == io.EOF {
		n := int64(binary.BigEndian.Uint64(b))
		s.Discard(8)
		h.s.received.Add(8)
		if n <= int64(s.Available()) {
			h.answer(s, n)
			return
		}
		r := requestOf(s)
		r.left, r.started, r.ended = n, true, true
		h.write(s)
		return
	}
	r := requestOf(s)
	for {
		if !r.started {
			if b, err = s.Peek(8); len(b) < 8 {
				h.stop(s, err)
				return
			}
			r.left, r.started = int64(binary.BigEndian.Uint64(b)), true
			s.Discard(8)
			h.s.received.Add(8)
		}
		b, err := s.Peek(1)
		if len(b) > 0 {
			h.s.received.Add(int64(len(b)))
			s.Discard(len(b))
			continue
		}
		if err == io.EOF {
			r.ended = true
			h.write(s)
			return
		}
		h.stop(s, err)
		return
	}
}

// stop ends a stream that failed; one that waits for more goes on.
func (h *serverHandler) stop(s *conn.Stream, err error) {
	if !errors.Is(err, conn.ErrWouldBlock) {
		s.Release()
	}
}

// answer answers n bytes at once.
func (h *serverHandler) answer(s *conn.Stream, n int64) {
	for n > 0 {
		k, err := s.WriteShared(zeros[:min(n, int64(len(zeros)))])
		if err != nil {
			break
		}
		n -= int64(k)
		h.s.sent.Add(int64(k))
	}
	s.CloseWrite()
	s.Release()
	h.s.streams.Add(1)
}

// write goes on with an answer.
func (h *serverHandler) write(s *conn.Stream) {
	r := requestOf(s)
	if !r.ended {
		return
	}
	for r.left > 0 {
		k, err := s.WriteShared(zeros[:min(r.left, int64(len(zeros)))])
		r.left -= int64(k)
		h.s.sent.Add(int64(k))
		if err != nil {
			h.stop(s, err)
			return
		}
	}
	s.CloseWrite()
	s.Release()
	h.s.streams.Add(1)
}
