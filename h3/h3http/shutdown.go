package h3http

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/loop"
)

// ending is what there is to end.
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
// over count as requests.
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
	for _, g := range e.groups {
		errs = append(errs, g.Shutdown(ctx))
		s.forgetGroup(g)
	}
	return errors.Join(errs...)
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
