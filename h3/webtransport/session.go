package webtransport

import (
	"context"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
)

// A Session is a WebTransport session, of either side. Any goroutine may use it. It ends when one
// side closes it, and when its connection ends; its streams and datagrams end with it.
type Session struct {
	m        *mux
	connect  *h3http.Stream
	id       conn.StreamID // ID of the CONNECT stream
	protocol string
	ctx      context.Context // done when the session has ended
	cancel   context.CancelCauseFunc
	draining chan struct{} // closed when the peer wants an end
	flow     *flow         // nil if there is no flow control of sessions

	writing sync.Mutex // held while a capsule is written

	mu      sync.Mutex
	err     error          // a *SessionError, once the session has ended
	kept    *keptDatagrams // may be nil
	drained bool           // draining is closed
	streams map[*Stream]struct{}
	arrived [2]arrivals // by Dir
}

// arrivals are streams of the peer that wait for AcceptStream. The limits of streams of
// the connection bound them.
type arrivals struct {
	streams []*Stream
	more    chan struct{} // has a token if there are streams
}

func newSession(m *mux, connect *h3http.Stream, protocol string) *Session {
	s := &Session{
		m: m, connect: connect, id: connect.ID(), protocol: protocol,
		draining: make(chan struct{}),
		streams:  make(map[*Stream]struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	for dir := range s.arrived {
		s.arrived[dir].more = make(chan struct{}, 1)
	}
	if m.peer.flows(m.own) {
		s.flow = newFlow(s, m.own, m.peer.limits, m.peer.draft >= draft15)
	}
	return s
}

// Protocol returns the protocol that was negotiated, "" if none was.
func (s *Session) Protocol() string { return s.protocol }

// Conn returns the connection of the session, for its statistics and addresses. It may
// carry requests and other sessions too, and its streams belong to them.
func (s *Session) Conn() *loop.Conn { return s.m.handle }

// Context returns a context that is done when the session has ended. context.Cause
// returns the [SessionError].
func (s *Session) Context() context.Context { return s.ctx }

// ended returns why the session has ended, or nil if it has not.
func (s *Session) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// OpenStream waits until the peer's limit allows another stream. The peer learns of it
// at once.
func (s *Session) OpenStream(ctx context.Context, dir conn.Dir) (*Stream, error) {
	if dir > conn.Uni {
		return nil, errDir
	}
	if err := s.ended(); err != nil {
		return nil, err
	}
	o := &opening{s: s, dir: dir, done: make(chan opened, 1)}
	err := s.m.handle.Do(ctx, func(time.Time, *conn.Conn) {
		s.m.opening = append(s.m.opening, o)
		s.m.open()
	})
	if err != nil {
		return nil, s.explain(err)
	}
	select {
	case r := <-o.done:
		return r.stream, s.explain(r.err)
	case <-ctx.Done():
	}
	s.m.run(func() { s.m.giveUp(o) })
	select {
	case r := <-o.done: // the result came meanwhile
		return r.stream, s.explain(r.err)
	default:
		return nil, s.explain(context.Cause(ctx))
	}
}

// explain returns err. If err is a consequence of the end of the session, it returns why that has
// ended.
func (s *Session) explain(err error) error {
	if err == nil {
		return nil
	}
	if s.m.ended() {
		<-s.ctx.Done() // run is about to find out why
	}
	if ended := s.ended(); ended != nil {
		return ended
	}
	return err
}

// start makes a stream of the session from cs, which this side opened. It runs on the loop's
// goroutine.
func (s *Session) start(cs *conn.Stream) (*Stream, error) {
	typ := uint64(typeBidi)
	if cs.ID().Dir() == conn.Uni {
		typ = typeUni
	}
	b := varint.Append(varint.Append(make([]byte, 0, 10), typ), uint64(s.id))
	if s.flow != nil {
		s.flow.opened(cs, len(b))
	}
	qs := s.m.handle.Adopt(cs)
	if _, err := qs.Write(b); err != nil { // a new stream always has room for it
		return nil, err
	}
	st := &Stream{s: s, qs: qs, header: uint64(len(b))}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		qs.Reset(uint64(SessionGone))
		qs.Close()
		return nil, s.err
	}
	s.streams[st] = struct{}{}
	return st, nil
}

// arrive takes a stream that the peer opened. It runs on the loop's goroutine.
func (s *Session) arrive(e *earlyStream) {
	if s.flow != nil && !s.flow.join(e.qs, e.header) {
		e.reject(SessionGone)
		return
	}
	st := &Stream{s: s, qs: s.m.handle.Adopt(e.qs)}
	s.mu.Lock()
	gone := s.err != nil
	if !gone {
		s.streams[st] = struct{}{}
		a := &s.arrived[st.ID().Dir()]
		a.streams = append(a.streams, st)
		a.notify()
	}
	s.mu.Unlock()
	if gone {
		st.abandon()
	}
}

// leave forgets a stream that was closed.
func (s *Session) leave(st *Stream) {
	s.mu.Lock()
	_, open := s.streams[st]
	delete(s.streams, st)
	s.mu.Unlock()
	if open && s.flow != nil && st.header == 0 {
		s.flow.left(st.ID().Dir())
	}
}

func (a *arrivals) notify() {
	select {
	case a.more <- struct{}{}:
	default:
	}
}

// AcceptStream returns the next stream of a directionality that the peer opened, and
// waits for it.
func (s *Session) AcceptStream(ctx context.Context, dir conn.Dir) (*Stream, error) {
	if dir > conn.Uni {
		return nil, errDir
	}
	a := &s.arrived[dir]
	for {
		s.mu.Lock()
		// also if the connection has ended: the streams may have all their data
		if len(a.streams) > 0 {
			defer s.mu.Unlock()
			st := a.streams[0]
			a.streams[0] = nil
			if a.streams = a.streams[1:]; len(a.streams) > 0 {
				a.notify()
			}
			return st, nil
		}
		if s.err != nil {
			defer s.mu.Unlock()
			return nil, s.err
		}
		s.mu.Unlock()
		select {
		case <-a.more:
		case <-s.ctx.Done():
		case <-ctx.Done():
			return nil, s.explain(context.Cause(ctx))
		}
	}
}

// bound returns a context that ends with ctx and with the session.
func (s *Session) bound(ctx context.Context) (context.Context, func()) {
	if ctx.Done() == nil || ctx == s.ctx {
		return s.ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}
