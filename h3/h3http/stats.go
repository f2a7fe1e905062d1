package h3http

import (
	"sync"
	"sync/atomic"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/internal/counters"
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
	counters.Add(&t.sum.Stats, &was.Stats, -1)
	t.sum.Conns -= was.Conns
	t.sum.Stalled -= was.Stalled
	t.sum.Add(&st)
}

// Add adds o to s, for sums over Servers, or over Transports.
func (s *Stats) Add(o *Stats) {
	counters.Add(&s.Stats, &o.Stats, 1)
	s.Conns += o.Conns
	s.Stalled += o.Stalled
	s.ReadTimeouts += o.ReadTimeouts
	s.WriteTimeouts += o.WriteTimeouts
	for i := range s.Responses {
		s.Responses[i] += o.Responses[i]
	}
}
