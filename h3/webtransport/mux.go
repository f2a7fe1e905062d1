package webtransport

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/loop"
)

// A mux is the WebTransport of one connection. It knows the sessions, and finds the session of each
// stream. It is an [h3http.Extension]. All of it belongs to the loop's goroutine, except ready,
// peer, lost and kept.
type mux struct {
	handle    *loop.Conn
	http      *h3.Conn
	maxEarly  int           // how many streams may wait for their session
	most      int           // how many sessions there may be
	own       limits        // of each session
	forget    func()        // called when the connection has ended; may be nil
	ready     chan struct{} // closed when the peer's settings have come
	peer      offer         // valid once ready is closed
	lost      chan struct{} // closed when the connection has ended
	isReady   bool
	sessions  map[conn.StreamID]*Session
	windows   int64          // bytes; of all sessions together
	accepting int            // how many sessions are about to be added
	early     []*earlyStream // the oldest first
	opening   []*opening     // calls of OpenStream that wait for the limit of streams
	kept      *atomic.Int64  // bytes of keptDatagrams; any goroutine may use it
}

func newMux(c *loop.Conn, h *h3.Conn, maxEarly, most int, own limits) *mux {
	return &mux{
		handle: c, http: h, maxEarly: maxEarly, most: most, own: own,
		ready:    make(chan struct{}),
		lost:     make(chan struct{}),
		sessions: make(map[conn.StreamID]*Session),
		kept:     new(atomic.Int64),
	}
}

// HandleHTTP is part of [h3http.Extension].
func (m *mux) HandleHTTP(_ time.Time, ev h3.Event) {
	switch ev.Kind {
	case h3.EventSettings:
		if !m.isReady {
			m.isReady = true
			m.peer = offerOf(m.http.PeerSettings())
			// draft-ietf-webtrans-http3-15, Section 3.1: both the setting and
			// max_datagram_frame_size
			m.peer.datagrams = m.peer.datagrams && !m.http.QUIC().NoDatagrams()
			close(m.ready)
		}
	case h3.EventStream:
		m.arrive(ev.QUIC, ev.Type)
	case h3.EventGoAway:
		// draft-ietf-webtrans-http3-15, Section 4.7.
		for _, s := range m.sessions {
			s.gotDrain()
		}
	}
	m.sweep()
}

// HandleEvent is part of [h3http.Extension].
func (m *mux) HandleEvent(_ time.Time, ev conn.Event) {
	switch ev.Kind {
	case conn.EventStreamReadable, conn.EventStreamReset:
		if e, ok := ev.Stream.UserData.(*earlyStream); ok && !e.known {
			m.read(e)
		}
	case conn.EventStreamsAvailable:
		m.open()
	case conn.EventClosed:
		m.closed(ev.Err)
		return
	}
	m.sweep()
}

// closed ends what is left when the connection has ended. A session ends when it has read
// everything that came on its CONNECT stream, because the peer may have closed the session right
// before.
func (m *mux) closed(err error) {
	close(m.lost)
	for _, o := range m.opening {
		o.done <- opened{err: err}
	}
	m.opening, m.early = nil, nil
	clear(m.sessions) // what a session keeps leads here, and must not keep the session
	if m.forget != nil {
		m.forget()
	}
}

// run runs f on the loop's goroutine.
func (m *mux) run(f func()) error {
	return m.handle.Do(context.Background(), func(time.Time, *conn.Conn) { f() })
}

// add adds a session whose CONNECT stream is open. The session gets the streams that wait for it.
func (m *mux) add(s *Session) {
	if m.ended() {
		return // nobody would remove it
	}
	m.sessions[s.id] = s
	if s.flow != nil {
		m.countWindow(&s.flow.window)
		m.grow()
	}
	m.early = slices.DeleteFunc(m.early, func(e *earlyStream) bool {
		if !e.known || e.session != s.id {
			return false
		}
		s.arrive(e)
		return true
	})
}

// remove forgets a session whose CONNECT stream is closed.
func (m *mux) remove(s *Session) {
	if m.sessions[s.id] == s && s.flow != nil {
		m.windows -= s.flow.window.counted
	}
	delete(m.sessions, s.id)
}

// alive returns how many sessions have not ended. Those that are about to be added count.
func (m *mux) alive() int {
	n := m.accepting
	for _, s := range m.sessions {
		if s.ctx.Err() == nil {
			n++
		}
	}
	return n
}

// An earlyStream is a stream of the peer that came before its session, or whose header has not come
// whole.
type earlyStream struct {
	qs      *conn.Stream
	known   bool   // the session ID has been read
	header  uint64 // how many bytes were before the application's, once known
	session conn.StreamID
}

// arrive takes a stream that the peer opened. Its type, typ, has been read already.
func (m *mux) arrive(qs *conn.Stream, typ uint64) {
	e := &earlyStream{qs: qs}
	if (typ == typeBidi) != (qs.ID().Dir() == conn.Bidi) {
		e.reject(h3.StreamCreationError)
		return
	}
	m.early = append(m.early, e)
	qs.UserData = e
	m.read(e)
	if over := len(m.early) - m.maxEarly; over > 0 {
		// draft-ietf-webtrans-http3-15, Section 4.6. The newest stream goes, because earlier ones
		// have a place already.
		m.drop(len(m.early)-1, BufferedStreamRejected)
	}
}

// read reads the session ID of e, and then gives e to the session.
func (m *mux) read(e *earlyStream) {
	b, err := e.qs.Peek(8)
	id, n := varint.Parse(b)
	if n == 0 {
		if !errors.Is(err, conn.ErrWouldBlock) { // the stream ended before
			m.drop(slices.Index(m.early, e), h3.StreamCreationError)
		}
		return
	}
	if id%4 != 0 {
		// draft-ietf-webtrans-http3-15, Section 4: the ID is not that of a bidirectional stream of
		// a client.
		m.http.QUIC().Close(uint64(h3.IDError), "session ID of no request")
		return
	}
	e.known, e.session, e.header = true, conn.StreamID(id), e.qs.Offset()+uint64(n)
	e.qs.Discard(n) // a stream that was reset behind its header ends here, and then has no Offset
	switch s := m.sessions[e.session]; {
	case s != nil && s.ctx.Err() == nil:
		m.early = slices.DeleteFunc(m.early, func(other *earlyStream) bool { return other == e })
		s.arrive(e)
	case s != nil:
		m.drop(slices.Index(m.early, e), SessionGone)
	}
}

// sweep rejects the streams whose sessions will never come.
func (m *mux) sweep() {
	for i := len(m.early) - 1; i >= 0; i-- {
		if e := m.early[i]; e.known && !m.http.Expects(e.session) {
			m.drop(i, SessionGone)
		}
	}
}

// drop rejects m.early[i].
func (m *mux) drop(i int, code h3.ErrorCode) {
	e := m.early[i]
	m.early = slices.Delete(m.early, i, i+1)
	e.reject(code)
}

// reject ends both directions of the stream.
func (e *earlyStream) reject(code h3.ErrorCode) {
	e.qs.UserData = nil
	e.qs.StopSending(uint64(code))
	e.qs.Reset(uint64(code))
	e.qs.Release()
}

// ended reports whether the connection has ended. Any goroutine may call it.
func (m *mux) ended() bool {
	select {
	case <-m.lost:
		return true
	default:
		return false
	}
}

// An opening is a call of OpenStream that waits.
type opening struct {
	s    *Session
	dir  conn.Dir
	done chan opened // has room for one
}

// opened is the result of an opening.
type opened struct {
	stream *Stream
	err    error
}

// open opens the streams that calls wait for, as far as the peer's limits go.
func (m *mux) open() {
	var full [2]bool
	m.opening = slices.DeleteFunc(m.opening, func(o *opening) bool {
		if err := o.s.ended(); err != nil {
			o.done <- opened{err: err}
			return true
		}
		if full[o.dir] || o.s.flow != nil && !o.s.flow.mayOpen(o.dir) {
			return false
		}
		qs, err := m.http.QUIC().OpenStream(o.dir)
		if errors.Is(err, conn.ErrStreamLimit) {
			full[o.dir] = true
			return false
		}
		if err != nil {
			o.done <- opened{err: err}
			return true
		}
		st, err := o.s.start(qs)
		o.done <- opened{st, err}
		return true
	})
}

// giveUp takes an opening back, unless it is done.
func (m *mux) giveUp(o *opening) {
	m.opening = slices.DeleteFunc(m.opening, func(other *opening) bool { return other == o })
}
