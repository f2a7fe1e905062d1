package h3http

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/loop"
)

// stop makes Serve return and newHandler refuse, and returns what there is to end.
func (s *Server) stop() (groups []*loop.Group, conns []*serverConn, empty chan struct{}) {
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
	return slices.Collect(maps.Keys(s.groups)), slices.Collect(maps.Keys(s.conns)), s.empty
}

// Shutdown refuses new connections, sends GOAWAY, and waits for requests in
// progress and for the delivery of their responses, at most until ctx is done. Then
// it returns the error of ctx, and Close ends what is left. Streams that were taken
// over count as requests.
func (s *Server) Shutdown(ctx context.Context) error {
	groups, conns, empty := s.stop()
	for _, g := range groups {
		for _, l := range g.Loops() {
			l.Post(func(time.Time) { l.Endpoint().StopAccepting() })
		}
	}
	for _, c := range conns {
		c.post(c.drain)
	}
	select {
	case <-empty:
	case <-ctx.Done():
		return ctx.Err()
	}
	var errs []error
	for _, g := range groups {
		errs = append(errs, g.Shutdown(ctx))
		s.forgetGroup(g)
	}
	return errors.Join(errs...)
}

// Close closes all connections at once. The contexts of requests in progress end; it
// does not wait for their handlers.
func (s *Server) Close() error {
	groups, conns, empty := s.stop()
	for _, c := range conns {
		closing := func(time.Time) { c.quic.Close(uint64(h3.NoError), "") }
		if !c.post(closing) {
			s.forget(c)
		}
	}
	var errs []error
	for _, g := range groups {
		errs = append(errs, g.Close())
		s.forgetGroup(g)
	}
	<-empty
	return errors.Join(errs...)
}

func (s *Server) forgetGroup(g *loop.Group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, g)
}
