package h3http

import (
	"sync"
	"sync/atomic"

	"github.com/lazoquic/lazo/h3"
)

// Stats are the counters of a [Server] or of a [Transport]. Those of QUIC are in [loop.Stats] of a
// Group.
type Stats struct {
	h3.Stats        // of all connections, including those that have ended
	Conns    int    // how many there are now
	Stalled  uint64 // a Server's: responses that StallTimeout or DeliveryTimeout ended

	// Deadlines that passed: of ReadTimeout, WriteTimeout, [http.ResponseController] and
	// Streams.
	ReadTimeouts, WriteTimeouts uint64

	// Responses, by the first digit of their final status: Responses[2] are those from 200 to 299,
	// for example. Responses[0] are those with another digit than 2 to 5.
	Responses [6]uint64
}

// A missed counts for Stats what is not in the counters of a connection.
type missed struct {
	reads, writes, datagrams atomic.Uint64
	responses                [len(Stats{}.Responses)]atomic.Uint64
}

// response counts a response with its final status.
func (m *missed) response(status int) {
	class := status / 100
	if class < 2 || class > 5 {
		class = 0
	}
	m.responses[class].Add(1)
}

func (m *missed) read()     { m.reads.Add(1) }
func (m *missed) write()    { m.writes.Add(1) }
func (m *missed) datagram() { m.datagrams.Add(1) }

// A tally sums up the counters of the connections of a Server or a Transport.
type tally struct {
	missed missed
	mu     sync.Mutex
	sum    Stats
}

// Stats returns a snapshot of the counters. Any goroutine may call it.
func (s *Server) Stats() Stats { return s.tally.stats() }

// Stats returns a snapshot of the counters. Any goroutine may call it.
func (t *Transport) Stats() Stats { return t.tally.stats() }

func (t *tally) stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	st := t.sum
	st.ReadTimeouts, st.WriteTimeouts = t.missed.reads.Load(), t.missed.writes.Load()
	st.Dropped += t.missed.datagrams.Load()
	for i := range st.Responses {
		st.Responses[i] = t.missed.responses[i].Load()
	}
	return st
}

// count adds what has happened on c since the last call. ended says that c has ended and has
// nothing open.
func (c *connection) count(ended bool, stalled uint64) {
	st := Stats{Stats: c.h3.Stats(), Conns: 1, Stalled: stalled}
	if ended {
		st.Open, st.FieldBytes, st.Conns = 0, 0, 0
	}
	was := c.counted
	if st == was {
		return
	}
	c.counted = st
	t := c.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.addTimes(&was, -1)
	t.sum.addTimes(&st, 1)
}

// Add adds o to s, for sums over Servers, or over Transports.
func (s *Stats) Add(o *Stats) { s.addTimes(o, 1) }

// addTimes adds o to s, n times. What is negative wraps around as unsigned numbers do.
func (s *Stats) addTimes(o *Stats, n int) {
	s.Open += n * o.Open
	s.FieldBytes += n * o.FieldBytes
	s.Conns += n * o.Conns
	k := uint64(n)
	s.Requests += k * o.Requests
	s.Rejected += k * o.Rejected
	s.Malformed += k * o.Malformed
	s.TooLarge += k * o.TooLarge
	s.Canceled += k * o.Canceled
	s.Floods += k * o.Floods
	s.Dropped += k * o.Dropped
	s.HeaderTimeouts += k * o.HeaderTimeouts
	s.Stalled += k * o.Stalled
	s.ReadTimeouts += k * o.ReadTimeouts
	s.WriteTimeouts += k * o.WriteTimeouts
	for i := range s.Responses {
		s.Responses[i] += k * o.Responses[i]
	}
}
