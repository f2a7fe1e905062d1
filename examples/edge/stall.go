package main

import (
	"net/http"
	"sync/atomic"
	"time"
)

// A stall ends responses over TCP whose clients take nothing, as h3http.Server does for HTTP/3. Its
// time runs only while data waits to be sent, so a quiet response may last.
type stall struct {
	rc    *http.ResponseController
	limit time.Duration
	count *atomic.Uint64 // responses that it has ended
	timer *time.Timer
}

func newStall(w http.ResponseWriter, limit time.Duration, count *atomic.Uint64) *stall {
	return &stall{rc: http.NewResponseController(w), limit: limit, count: count}
}

// begin starts the time for one Write or Flush.
func (s *stall) begin() {
	if s.timer == nil {
		s.timer = time.AfterFunc(s.limit, func() {
			s.count.Add(1)
			s.rc.SetWriteDeadline(time.Unix(1, 0))
		})
		return
	}
	s.timer.Reset(s.limit)
}

func (s *stall) end() { s.timer.Stop() }
