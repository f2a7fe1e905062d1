package h3loop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// A lost counts responses that were not delivered while the server was stopping.
type lost struct {
	responses int
	err       error // of the first of them
}

// stop makes NewHandler refuse, and returns the connections that there are. ended is closed when
// they have ended.
func (s *Server) stop() (conns []*serverConn, ended <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.stopping = true
		s.empty = make(chan struct{})
	}
	s.checkEmpty()
	return slices.Collect(maps.Keys(s.conns)), s.empty
}

// Shutdown refuses new connections, sends GOAWAY, and waits until clients have acknowledged the
// responses to the requests that have come, and the connections have ended. If ctx is done before,
// it returns the error of that. Otherwise the error counts responses that were lost all the same,
// because their connections ended or their clients kept them waiting for too long. What a client
// canceled does not count. End the [loop.Group] next, by its Shutdown or Close. Do not call
// Shutdown on the goroutine of a loop, as a Handler would: it would wait for itself.
func (s *Server) Shutdown(ctx context.Context) error {
	conns, ended := s.stop()
	for _, c := range conns {
		c.l.Post(c.drain)
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost.responses == 0 {
		return nil
	}
	return fmt.Errorf("h3loop: responses that were not delivered: %d: %w", s.lost.responses, s.lost.err)
}

// Close refuses new connections and closes all others at once. It returns when they have ended, and
// must not be called on the goroutine of a loop, either. It does not end the [loop.Group].
func (s *Server) Close() error {
	conns, ended := s.stop()
	for _, c := range conns {
		if !c.l.Post(func(time.Time) { c.quic.Close(uint64(h3.NoError), "") }) {
			s.forget(c) // its loop has stopped
		}
	}
	<-ended
	return nil
}

// lose counts n responses that are lost because of err, if s is stopping.
func (s *Server) lose(n int, err error) {
	if closed, ok := errors.AsType[*conn.ApplicationError](err); ok && closed.Remote {
		return // the client has closed, and knows what it has
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == 0 || !s.stopping {
		return
	}
	if s.lost.responses == 0 {
		s.lost.err = err
	}
	s.lost.responses += n
}
