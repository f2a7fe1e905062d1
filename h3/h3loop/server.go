package h3loop

import (
	"crypto/tls"
	"log/slog"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/internal/counters"
	"github.com/lazoquic/lazo/loop"
)

// Defaults of [Server].
const (
	defaultReadHeaderTimeout = 10 * time.Second
	defaultIdleTimeout       = 2 * time.Minute
	defaultStallTimeout      = time.Minute
	defaultDeliveryTimeout   = 5 * time.Minute
)

// nextProto is the ALPN identifier of HTTP/3 (RFC 9114, Section 3.1).
const nextProto = "h3"

// A Server serves HTTP/3 inside of loops. Its fields must not change once it serves. For a timeout
// zero means the default, and a negative value none.
type Server struct {
	// Handler answers requests. It is called on the goroutine of a loop when the header section of
	// a request has come, and must not block. It ends the response, or calls [Request.Follow];
	// otherwise the stream is reset with H3_INTERNAL_ERROR. A panic is the program's.
	Handler func(r *Request)

	// H3Config configures HTTP/3. Default as in package h3.
	H3Config *h3.Config

	// ReadHeaderTimeout bounds the time from the first byte of a request to the end of its header
	// section; default 10s. A slower request is reset with H3_REQUEST_INCOMPLETE.
	ReadHeaderTimeout time.Duration

	// IdleTimeout is how long a connection stays without a request, after its handshake, before it
	// goes away; default 2m. It is not [conn.Config.MaxIdleTimeout], which says how long nothing at
	// all may come.
	IdleTimeout time.Duration

	// StallTimeout bounds how long a response may wait for a slow client: in that time the client
	// has to take 16 KiB, or all there is; default 1m. DeliveryTimeout bounds the time from the end
	// of the response to the client's acknowledgment of all of it; default 5m. Responses beyond
	// either are reset with H3_EXCESSIVE_LOAD.
	StallTimeout, DeliveryTimeout time.Duration

	// Logger gets errors of the configuration; default discards.
	Logger *slog.Logger

	mu       sync.Mutex
	stopping bool // Shutdown or Close was called
	conns    map[*serverConn]struct{}
	empty    chan struct{} // closed when the server is stopping and conns is empty
	sum      Stats
	lost     lost
}

// LoopConfig returns what a [loop.Group] serves HTTP/3 with. q configures the connections. It is
// not changed: its TLS, without which there is no server, is cloned, and offers "h3" alone. If
// TLS.GetConfigForClient returns others, they have to offer it, too.
func (s *Server) LoopConfig(q *conn.Config) *loop.Config {
	own := *q
	if own.TLS != nil {
		own.TLS = own.TLS.Clone()
		own.TLS.NextProtos = []string{nextProto}
		own.TLS.MinVersion = max(own.TLS.MinVersion, tls.VersionTLS13)
	}
	if own.TicketData == nil && own.AcceptEarlyData == nil {
		h := s.h3Config()
		own.TicketData, own.AcceptEarlyData = h.TicketData(), h.AcceptEarlyData
	}
	return &loop.Config{
		Endpoint:   conn.EndpointConfig{Server: &own},
		NewHandler: s.NewHandler,
		Logger:     s.Logger,
	}
}

// NewHandler serves the connection q. It is the NewHandler of the [loop.Config] that LoopConfig
// returns. A program with several protocols calls it for the connections with ALPN "h3", and then
// sets TicketData and AcceptEarlyData of H3Config for them.
func (s *Server) NewHandler(l *loop.Loop, q *conn.Conn) loop.Handler {
	c, err := newServerConn(s, l, q)
	if err != nil {
		if s.Logger != nil {
			s.Logger.Error("h3loop: cannot start HTTP/3", "remote", q.RemoteAddr(), "err", err)
		}
		q.Close(uint64(h3.InternalError), "")
		return refused{}
	}
	if !s.register(c) {
		q.Close(uint64(h3.NoError), "shutting down")
		return refused{}
	}
	return c
}

// refused is the handler of a connection that was closed right away.
type refused struct{}

func (refused) HandleEvent(time.Time, conn.Event) {}
func (refused) Flush(time.Time, *conn.Conn)       {}

func (s *Server) h3Config() *h3.Config {
	if s.H3Config == nil {
		return new(h3.Config)
	}
	return s.H3Config
}

// register makes s end c when it ends. It reports false if s is ending.
func (s *Server) register(c *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[*serverConn]struct{})
	}
	s.conns[c] = struct{}{}
	return true
}

// forget is called when c has ended.
func (s *Server) forget(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.checkEmpty()
}

// checkEmpty closes empty if s has nothing left to end. The caller has locked s.
func (s *Server) checkEmpty() {
	if s.stopping && len(s.conns) == 0 {
		select {
		case <-s.empty:
		default:
			close(s.empty)
		}
	}
}

// Stats are the counters of a [Server]. Those of QUIC are in [loop.Stats] of a Group.
type Stats struct {
	h3.Stats        // of all connections, including those that have ended
	Conns    int    // how many there are now
	Stalled  uint64 // responses that StallTimeout or DeliveryTimeout ended
}

// Add adds o to s, for sums over Servers.
func (s *Stats) Add(o *Stats) {
	counters.Add(&s.Stats, &o.Stats, 1)
	s.Conns += o.Conns
	s.Stalled += o.Stalled
}

// Stats returns a snapshot of the counters. Any goroutine may call it.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.sum
	st.Conns = len(s.conns)
	return st
}

// count adds to the counters of s what has happened on a connection.
func (s *Server) count(was, is *h3.Stats, stalled uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counters.Add(&s.sum.Stats, was, -1)
	counters.Add(&s.sum.Stats, is, 1)
	s.sum.Stalled += stalled
}
