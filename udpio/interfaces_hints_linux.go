package udpio

import (
	"context"
	"os"
	"slices"
	"sync"
)

// A hintSource tells all who listen that the interfaces may have changed. It has a netlink socket,
// and a goroutine that reads it, while somebody listens. The zero value is ready.
type hintSource struct {
	open func() (*os.File, error) // nil for openHints

	mu        sync.Mutex
	listeners []*hintListener
	stop      func() // ends the goroutine; nil if there is none
}

// A hintListener is one who listens to a hintSource.
type hintListener struct {
	hint  chan struct{} // has a token if something may have changed since the last one was taken
	ended chan struct{} // closed if no more hints come, because of err
	err   error
}

// join begins to listen.
func (s *hintSource) join() (*hintListener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == nil {
		open := s.open
		if open == nil {
			open = openHints
		}
		hints, err := open()
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(context.Background())
		s.stop = func() { cancel(); hints.Close() }
		go s.run(ctx, hints)
	}
	l := &hintListener{hint: make(chan struct{}, 1), ended: make(chan struct{})}
	s.listeners = append(s.listeners, l)
	return l, nil
}

// leave ends what join began.
func (s *hintSource) leave(l *hintListener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.listeners, l); i >= 0 {
		s.listeners = slices.Delete(s.listeners, i, i+1)
	}
	s.rest()
}

// rest closes the socket if nobody listens any more. The caller holds s.mu.
func (s *hintSource) rest() {
	if len(s.listeners) == 0 && s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// run passes hints on until ctx is done, or none can be had any more.
func (s *hintSource) run(ctx context.Context, hints *os.File) {
	for {
		err := awaitHints(ctx, hints)
		s.mu.Lock()
		if ctx.Err() != nil {
			s.mu.Unlock()
			return
		}
		for _, l := range s.listeners {
			if err != nil {
				l.err = err
				close(l.ended)
				continue
			}
			select {
			case l.hint <- struct{}{}:
			default:
			}
		}
		if err != nil {
			s.listeners = nil
			s.rest()
		}
		s.mu.Unlock()
	}
}

// wait waits for a hint.
func (l *hintListener) wait(ctx context.Context) error {
	select {
	case <-l.hint:
		return nil
	case <-l.ended:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
