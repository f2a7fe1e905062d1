package loop

// maxFreeStates bounds the memory that streamStates keep, to 320 KiB.
const maxFreeStates = 1024

// streamStates are states of Streams that are over, for new ones. They belong to the loop's
// goroutine, or to a borrower.
type streamStates struct{ free []*streamState }

// take returns the state of a new Stream. Calls for Streams that are over may lock it.
func (f *streamStates) take() *streamState {
	n := len(f.free)
	if n == 0 {
		s := new(streamState)
		s.changed.L = &s.mu
		return s
	}
	s := f.free[n-1]
	f.free[n-1] = nil
	f.free = f.free[:n-1]
	return s
}

// put takes s back, unless calls for its Stream wait: they return when they have seen that it is
// closed. The caller holds s.mu, and does not use s after that. The loop may: s stays in the
// mailbox, in Loop.ready, and among the leftovers. Then its next Stream is served once for nothing.
func (f *streamStates) put(s *streamState) {
	if s.waiting > 0 {
		return
	}
	s.handle.state.Store(nil)
	s.c, s.handle = nil, nil
	s.pull, s.closed = false, false
	s.in = receiving{listed: s.in.listed}
	s.out = sending{}
	s.rare, s.ended = nil, nil
	if len(f.free) < maxFreeStates {
		f.free = append(f.free, s)
	}
}

// wait waits for a change. The caller holds s.mu.
func (s *streamState) wait() {
	s.waiting++
	s.changed.Wait()
	s.waiting--
}

// maxHandles is how many Streams of one connection share an allocation. As long as an application
// keeps one of them, it keeps the memory of all: 256 bytes.
const maxHandles = 8

// handles are Streams of one connection that are still to be used. An allocation has room for
// twice as many as the one before, so a connection with one stream pays for no others.
type handles struct {
	free []Stream
	last int // how many the last allocation had
}

// next returns a new Stream.
func (h *handles) next() *Stream {
	if len(h.free) == 0 {
		h.last = min(max(2*h.last, 1), maxHandles)
		h.free = make([]Stream, h.last)
	}
	s := &h.free[0]
	h.free = h.free[1:]
	return s
}
