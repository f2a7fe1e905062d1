package main

import (
	"errors"
	"strconv"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3loop"
	"github.com/lazoquic/lazo/loop"
)

// h3loop returns what a Group serves HTTP/3 with inside the loop: GET /N answers N bytes, and POST
// takes what is sent.
func (s *server) h3loop(cfg *conn.Config) *loop.Config {
	lc := (&h3loop.Server{Handler: s.answerOnLoop}).LoopConfig(cfg)
	serve := lc.NewHandler
	lc.NewHandler = func(l *loop.Loop, q *conn.Conn) loop.Handler {
		s.conns.Add(1)
		return serve(l, q)
	}
	return lc
}

// answerOnLoop serves a request. A small answer allocates only the fields that depend on it.
func (s *server) answerOnLoop(r *h3loop.Request) {
	if r.Method() == "POST" {
		r.Follow(&loopUpload{s: s})
		return
	}
	n, err := strconv.ParseInt(r.Path()[min(1, len(r.Path())):], 10, 64)
	if err != nil || n < 0 {
		r.Respond([]h3.Field{{Name: ":status", Value: "404"}}, nil)
		return
	}
	fields := [...]h3.Field{
		{Name: ":status", Value: "200"},
		{Name: "content-length", Value: strconv.FormatInt(n, 10)},
		{Name: "content-type", Value: "application/octet-stream"},
	}
	if n <= h3loop.MaxBody {
		if r.Respond(fields[:], zeros[:n]) == nil {
			s.sent.Add(n)
			s.streams.Add(1)
		}
		return
	}
	if r.SendFields(fields[:], false) == nil {
		d := &loopDownload{s: s, left: n}
		r.Follow(d)
		d.write(r)
	}
}

// A loopDownload is a long answer.
type loopDownload struct {
	s    *server
	left int64
}

// HandleEvent is part of [h3loop.Follower].
func (d *loopDownload) HandleEvent(r *h3loop.Request, ev h3.Event) {
	if ev.Kind == h3.EventWritable {
		d.write(r)
	}
}

func (d *loopDownload) write(r *h3loop.Request) {
	for d.left > 0 {
		n, err := r.Write(zeros[:min(d.left, int64(len(zeros)))])
		d.left -= int64(n)
		d.s.sent.Add(int64(n))
		if err != nil {
			return // EventWritable or EventCanceled follows
		}
	}
	r.CloseWrite()
	d.s.streams.Add(1)
}

// A loopUpload takes a request body.
type loopUpload struct{ s *server }

// HandleEvent is part of [h3loop.Follower].
func (u *loopUpload) HandleEvent(r *h3loop.Request, ev h3.Event) {
	if ev.Kind != h3.EventReadable {
		return
	}
	for {
		b, err := r.Peek(1)
		u.s.received.Add(int64(len(b)))
		r.Discard(len(b))
		switch {
		case len(b) > 0:
		case errors.Is(err, conn.ErrWouldBlock):
			return
		default:
			r.Respond([]h3.Field{{Name: ":status", Value: "200"}}, nil)
			u.s.streams.Add(1)
			return
		}
	}
}
