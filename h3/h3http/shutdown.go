package h3http

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/loop"
)

// An ending holds what Shutdown or Close has to end.
type ending struct {
	groups []*loop.Group
	tcp    []*http.Server
	conns  []*serverConn
	empty  <-chan struct{} // closed when the conns have ended
	onStop []func()
}

// stop makes Serve return and newHandler refuse.
func (s *Server) stop() ending {
	s.mu.Lock()
	defer s.mu.Unlock()
	stopped := s.stoppedLocked()
	if !s.stopping {
		s.stopping = true
		close(stopped)
	}
	if len(s.conns) == 0 {
		s.closeEmpty()
	}
	return ending{
		groups: slices.Collect(maps.Keys(s.groups)),
		tcp:    slices.Collect(maps.Keys(s.tcp)),
		conns:  slices.Collect(maps.Keys(s.conns)),
		empty:  s.empty,
		onStop: s.onStop,
	}
}

// RegisterOnShutdown has Shutdown call f in a goroutine of its own, and not wait for it. Such a
// function can for example end streams that were taken over.
func (s *Server) RegisterOnShutdown(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onStop = append(s.onStop, f)
}

// Shutdown refuses new connections, sends GOAWAY, and waits for requests in
// progress and for the delivery of their responses, at most until ctx is done. Then
// it returns the error of ctx, and Close ends what is left. Streams that were taken
// over count as requests. The error is or wraps an *[UndeliveredError] if all has ended, and
// clients have not acknowledged all that they were to get.
func (s *Server) Shutdown(ctx context.Context) error {
	e := s.stop()
	for _, f := range e.onStop {
		go f()
	}
	overTCP := make(chan error, len(e.tcp))
	for _, tcp := range e.tcp {
		go func() { overTCP <- tcp.Shutdown(ctx) }()
	}
	for _, g := range e.groups {
		for _, l := range g.Loops() {
			l.Post(func(time.Time) { l.Endpoint().StopAccepting() })
		}
	}
	for _, c := range e.conns {
		c.post(c.drain)
	}
	var errs []error
	for range e.tcp {
		errs = append(errs, <-overTCP)
	}
	select {
	case <-e.empty:
	case <-ctx.Done():
		return ctx.Err()
	}
	// What is left are handshakes. They would be refused at their end, and a single datagram from
	// anywhere can begin one that has no end.
	for _, g := range e.groups {
		errs = append(errs, g.Close())
		s.forgetGroup(g)
	}
	if lost := s.undelivered(); lost != nil {
		errs = append(errs, lost)
	}
	return errors.Join(errs...)
}

// An UndeliveredError says that responses were lost after Shutdown was called: their connections
// ended, or Server.StallTimeout or DeliveryTimeout gave them up, before clients had acknowledged
// them. What a client canceled does not count, nor what was open when it closed the connection
// itself, nor what a handler aborted.
type UndeliveredError struct {
	Responses int
	Err       error // the error of the first of them
}

// Error counts the responses.
func (e *UndeliveredError) Error() string {
	return fmt.Sprintf("h3http: responses that were not delivered: %d: %v", e.Responses, e.Err)
}

// Unwrap returns e.Err.
func (e *UndeliveredError) Unwrap() error { return e.Err }

// lose counts n responses that were lost because of err, if s is stopping.
func (s *Server) lose(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == 0 || !s.stopping {
		return
	}
	if s.lost.Responses == 0 {
		s.lost.Err = err
	}
	s.lost.Responses += n
}

// undelivered returns an error about lost responses, or nil if none were lost.
func (s *Server) undelivered() *UndeliveredError {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost.Responses == 0 {
		return nil
	}
	lost := s.lost
	return &lost
}

// loseActive counts the responses that are lost because the connection has ended with err.
func (c *serverConn) loseActive(err error) {
	if closed, ok := errors.AsType[*conn.ApplicationError](err); ok && closed.Remote {
		return // the client has closed, and knows what it has
	}
	n := 0
	for x := range c.all() {
		x.mu.Lock()
		if !x.delivered() {
			n++
		}
		x.mu.Unlock()
	}
	c.s.lose(n, err)
}

// Close closes all connections at once. The contexts of requests in progress end; it
// does not wait for their handlers.
func (s *Server) Close() error {
	e := s.stop()
	var errs []error
	for _, tcp := range e.tcp {
		errs = append(errs, tcp.Close())
	}
	for _, c := range e.conns {
		closing := func(time.Time) { c.quic.Close(uint64(h3.NoError), "") }
		if !c.post(closing) {
			s.forget(c)
		}
	}
	for _, g := range e.groups {
		errs = append(errs, g.Close())
		s.forgetGroup(g)
	}
	<-e.empty
	return errors.Join(errs...)
}

func (s *Server) forgetGroup(g *loop.Group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, g)
}
