package webtransport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/script"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// A fuzzScript plays the applications of a client and of a server with some sessions. The input
// decides what they call. Both may be rude: they send what the package itself never sends. Who is
// polite must then not suffer.
type fuzzScript struct {
	t      *testing.T
	in     *script.Input
	flags  byte
	groups [2]*loop.Group // by side, as all that follows
	up     Upgrader
	d      Dialer

	ctx     context.Context // of calls that wait without a deadline
	stop    context.CancelFunc
	running sync.WaitGroup // counts such calls

	mu       sync.Mutex // guards the fields below, and what is in them
	sessions []*scriptSession
	served   []*Session             // of the server, also those that the client has given up
	rude     map[conn.StreamID]bool // sessions
	muddled  map[conn.StreamID]bool // streams: nobody knows what is in them

	broken atomic.Bool // a connection may have ended for what the script did
}

// The sides.
const (
	client = 0
	server = 1
)

// The flags.
const (
	flagDraft   = 3      // which drafts the server offers
	flagSmall   = 1 << 2 // small limits
	flagRude    = 1 << 3 // rude steps are possible
	flagLossy   = 1 << 4 // packets are lost
	flagShared  = 1 << 5 // sessions share a connection
	flagTight   = 1 << 6 // small windows of connections and streams
	scriptMost  = 400    // bytes of an input
	maxScripted = 6      // sessions
	soonTime    = 10 * delay
	amply       = 20 * time.Second // for what must not fail
)

// A scriptSession is both ends of a session.
type scriptSession struct {
	n       byte
	served  *Session    // the latest of the server
	ends    [2]*Session // nil if the client has none
	streams [2][]*scriptStream
	closed  [2]bool // the application has called CloseWithError
}

// A scriptStream is one end of a stream.
type scriptStream struct {
	*Stream
	x         *scriptSession
	side      int
	sent, got int  // bytes
	reads     bool // a goroutine reads
	writes    bool // a goroutine writes
}

// fill makes b what a side sends in a stream from an offset on.
func (x *scriptSession) fill(b []byte, side int, id conn.StreamID, offset int) []byte {
	for i := range b {
		b[i] = byte(int(x.n)*101 + side*57 + int(id)*31 + offset + i)
	}
	return b
}

// datagram returns a datagram of n bytes, which shows the session that it is of.
func (x *scriptSession) datagram(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = x.n<<5 | byte(i)&31
	}
	return b
}

// within returns a context for a call that may take some round trips.
func (f *fuzzScript) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	f.t.Cleanup(cancel)
	return ctx
}

// size returns the size of a piece of data: most are small.
func (f *fuzzScript) size() int {
	n := int(f.in.Byte())
	if n < 224 {
		return n
	}
	return 1 << (n % 32 / 2)
}

// step does one thing.
func (f *fuzzScript) step() {
	op := f.in.Byte()
	side := int(op & 1)
	switch op >>= 1; op % 12 {
	case 0:
		f.open()
	case 1:
		f.openStream(side)
	case 2, 3:
		f.write(side)
	case 4, 5:
		f.read(side)
	case 6:
		f.accept(side)
	case 7:
		f.datagrams(side)
	case 8:
		f.endStream(side)
	case 9:
		time.Sleep(time.Duration(f.in.Byte()) * 4 * time.Millisecond)
	case 10:
		f.aside(side)
	default:
		if f.flags&flagRude != 0 && op/12%3 != 0 {
			f.offend(side)
		} else {
			f.endSession(side)
		}
	}
	synctest.Wait()
	f.check()
}

// open opens a session.
func (f *fuzzScript) open() {
	if len(f.sessions) == maxScripted {
		return
	}
	x := &scriptSession{n: byte(len(f.sessions))}
	f.mu.Lock()
	f.sessions = append(f.sessions, x)
	f.mu.Unlock()
	s, resp, err := f.d.Dial(f.within(soonTime), "https://10.0.0.1/", http.Header{"N": {strconv.Itoa(int(x.n))}})
	if err != nil {
		require.True(f.t, s == nil)
		return
	}
	require.Equal(f.t, http.StatusOK, resp.StatusCode)
	f.mu.Lock()
	defer f.mu.Unlock()
	x.ends = [2]*Session{client: s, server: x.served}
}

// serve is the handler of the server.
func (f *fuzzScript) serve(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.Header.Get("N"))
	if err != nil {
		f.t.Error(err)
	}
	s, err := f.up.Upgrade(w, r)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions[n].served = s // in the place of one that the client has given up
	f.served = append(f.served, s)
}

// pick returns a session that has begun on both sides, or nil if there is none.
func (f *fuzzScript) pick() *scriptSession {
	n := int(f.in.Byte())
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*scriptSession
	for _, x := range f.sessions {
		if x.ends[client] != nil {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[n%len(all)]
}

// pickStream returns one of a side's streams, or nil if there is none.
func (f *fuzzScript) pickStream(side int) *scriptStream {
	x, n := f.pick(), int(f.in.Byte())
	if x == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(x.streams[side]) == 0 {
		return nil
	}
	return x.streams[side][n%len(x.streams[side])]
}

// add adds a stream of a session.
func (f *fuzzScript) add(x *scriptSession, side int, st *Stream) *scriptStream {
	s := &scriptStream{Stream: st, x: x, side: side}
	f.mu.Lock()
	defer f.mu.Unlock()
	x.streams[side] = append(x.streams[side], s)
	return s
}

func (f *fuzzScript) dir() conn.Dir { return conn.Dir(f.in.Byte() & 1) }

func (f *fuzzScript) openStream(side int) {
	if x, dir := f.pick(), f.dir(); x != nil {
		st, err := x.ends[side].OpenStream(f.within(soonTime), dir)
		if f.known(x, err); err == nil {
			f.add(x, side, st)
		}
	}
}

func (f *fuzzScript) accept(side int) {
	if x, dir := f.pick(), f.dir(); x != nil {
		st, err := x.ends[side].AcceptStream(f.within(soonTime), dir)
		if f.known(x, err); err == nil {
			f.add(x, side, st)
		}
	}
}

func (f *fuzzScript) write(side int) {
	st, n := f.pickStream(side), f.size()
	if st != nil && st.sends() && !st.writes {
		st.SetWriteDeadline(time.Now().Add(soonTime))
		f.writeSome(st, n)
	}
}

func (f *fuzzScript) writeSome(st *scriptStream, n int) error {
	n, err := st.Write(st.x.fill(make([]byte, n), st.side, st.ID(), st.sent))
	st.sent += n
	f.known(st.x, err)
	return err
}

func (f *fuzzScript) read(side int) {
	st, n := f.pickStream(side), f.size()
	if st != nil && st.receives() && !st.reads {
		st.SetReadDeadline(time.Now().Add(soonTime))
		f.readSome(st, n)
	}
}

// readSome reads, and checks that it is what the other side has sent.
func (f *fuzzScript) readSome(st *scriptStream, n int) error {
	b := make([]byte, n)
	n, err := st.Read(b)
	f.known(st.x, err)
	if !f.is(f.muddled, st.ID()) {
		want := st.x.fill(make([]byte, n), 1-st.side, st.ID(), st.got)
		if string(want) != string(b[:n]) {
			f.t.Errorf("%x from %d on instead of %x in stream %d of session %d", b[:n], st.got, want, st.ID(), st.x.n)
		}
	}
	st.got += n
	return err
}

func (f *fuzzScript) is(what map[conn.StreamID]bool, id conn.StreamID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return what[id]
}

// datagrams sends or receives some.
func (f *fuzzScript) datagrams(side int) {
	x, n, op := f.pick(), f.size(), f.in.Byte()
	if x == nil {
		return
	}
	s := x.ends[side]
	for range 1 + op>>1&7 {
		if op&1 == 0 {
			err := s.SendDatagram(f.within(soonTime), x.datagram(n), time.Duration(op>>4)*delay)
			if !errors.Is(err, conn.ErrTooLarge) {
				f.known(x, err)
			}
			continue
		}
		if f.receive(f.within(soonTime), x, s) != nil {
			break
		}
	}
}

func (f *fuzzScript) receive(ctx context.Context, x *scriptSession, s *Session) error {
	b := make([]byte, 2000)
	n, err := s.ReceiveDatagram(ctx, b)
	if f.known(x, err); err == nil && !f.is(f.rude, x.ends[client].id) && string(x.datagram(n)) != string(b[:n]) {
		f.t.Errorf("datagram %x of another session than %d", b[:n], x.n)
	}
	return err
}

// endStream ends a stream, or a direction of it.
func (f *fuzzScript) endStream(side int) {
	st, op := f.pickStream(side), f.in.Byte()
	if st == nil {
		return
	}
	switch code := uint32(op) << (op & 31); op % 6 {
	case 0:
		if st.sends() {
			f.known(st.x, st.CloseWrite())
		}
	case 1:
		st.Reset(code)
	case 2:
		st.StopSending(code)
	case 3, 4:
		f.known(st.x, st.Close())
	default:
		st.SetPriority(conn.Priority{Urgency: int8(op / 6 & 7), Incremental: op > 100})
	}
}

// endSession ends a session, or says that it should end. One step in many ends a connection.
func (f *fuzzScript) endSession(side int) {
	x, op := f.pick(), f.in.Byte()
	if x == nil {
		return
	}
	s := x.ends[side]
	switch {
	case op < 60:
		f.known(x, s.Drain())
	case op < 250:
		x.closed[side] = true
		f.known(x, s.CloseWithError(uint32(op), string(f.in.Bytes(int(op)%8))))
	default:
		f.broken.Store(true)
		s.Conn().Close(uint64(op), "")
	}
}

// aside starts a call that waits without a deadline.
func (f *fuzzScript) aside(side int) {
	op := f.in.Byte()
	if op%6 < 2 {
		st := f.pickStream(side)
		switch {
		case st == nil:
		case op%6 == 0 && st.receives() && !st.reads:
			st.reads = true
			st.SetReadDeadline(time.Time{})
			f.running.Go(func() {
				for f.readSome(st, 1000) == nil {
				}
			})
		case op%6 == 1 && st.sends() && !st.writes:
			st.writes = true
			st.SetWriteDeadline(time.Time{})
			f.running.Go(func() {
				for range op / 6 {
					if f.writeSome(st, 1000) != nil {
						return
					}
				}
				st.CloseWrite()
			})
		}
		return
	}
	x := f.pick()
	if x == nil {
		return
	}
	s, dir := x.ends[side], conn.Dir(op/6&1)
	f.running.Go(func() {
		switch op % 6 {
		case 2:
			for {
				st, err := s.AcceptStream(f.ctx, dir)
				if f.known(x, err); err != nil {
					return
				}
				f.add(x, side, st)
			}
		case 3:
			for f.receive(f.ctx, x, s) == nil {
			}
		default:
			st, err := s.OpenStream(f.ctx, dir)
			if f.known(x, err); err == nil {
				f.add(x, side, st)
			}
		}
	})
}

// known fails if err is none that the documentation names, or one that a polite peer cannot cause.
func (f *fuzzScript) known(x *scriptSession, err error) {
	if err == nil || err == io.EOF || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled) {
		return
	}
	if se, ok := err.(*SessionError); ok {
		f.checkEnd(x, se)
		return
	}
	if se, ok := err.(*StreamError); ok {
		ended := x.ends[client].ended() != nil || x.ends[server].ended() != nil
		switch {
		case se.HTTP == 0, f.is(f.rude, x.ends[client].id):
		case se.HTTP == SessionGone && ended:
		default:
			f.t.Errorf("%v in a session of polite peers", err)
		}
		return
	}
	if !errors.Is(err, net.ErrClosed) {
		f.t.Errorf("%T: %v", err, err)
	}
}

// checkEnd checks why a session has ended.
func (f *fuzzScript) checkEnd(x *scriptSession, err *SessionError) {
	if err.Err == nil {
		return
	}
	if errors.Is(err, conn.ErrIdleTimeout) {
		return
	}
	if ae, ok := errors.AsType[*conn.ApplicationError](err); ok && h3.ErrorCode(ae.Code) == h3.NoError {
		return // the client has left, because no session was left
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken.Load() {
		return
	}
	_, reset := errors.AsType[*conn.StreamError](err)
	rude := f.rude[x.ends[client].id]
	if !rude || !reset && !errors.Is(err, errMalformed) && !errors.Is(err, ErrFlowControl) && !errors.Is(err, net.ErrClosed) {
		f.t.Errorf("session %d, rude: %t: %v", x.n, rude, err)
	}
}

// check checks what holds at any time.
func (f *fuzzScript) check() {
	for _, g := range f.groups {
		require.Less(f.t, g.Stats().Held, int64(8<<20))
	}
	for _, x := range f.sessions {
		for _, s := range x.ends {
			if s == nil {
				continue
			}
			if err := s.ended(); err != nil {
				se, ok := err.(*SessionError)
				require.True(f.t, ok, "%T", err)
				f.checkEnd(x, se)
			}
			s.m.run(func() {
				if !s.m.ended() {
					f.checkMux(s.m)
				}
			})
		}
	}
}

// checkMux checks what a connection keeps for its sessions.
func (f *fuzzScript) checkMux(m *mux) {
	var windows int64
	for _, s := range m.sessions {
		if s.flow != nil {
			windows += s.flow.window.counted
		}
	}
	if m.windows != windows || len(m.early) > m.maxEarly || m.accepting != 0 {
		f.t.Errorf("windows of %d bytes, not of %d; %d streams wait; %d sessions are about to begin", m.windows, windows, len(m.early), m.accepting)
	}
}

// begin makes both sides.
func (f *fuzzScript) begin(clientTLS, serverTLS *tls.Config) {
	f.rude, f.muddled = make(map[conn.StreamID]bool), make(map[conn.StreamID]bool)
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.up.MaxSessions = 3
	f.d.TLSClientConfig = clientTLS
	if f.flags&flagShared != 0 {
		f.d.MaxSessionsPerConn = 3
	}
	if f.flags&flagSmall != 0 {
		f.up.MaxStreamsBidi, f.up.MaxStreamsUni, f.up.InitialMaxData, f.up.MaxData = 2, 1, 1000, 3000
		f.d.MaxStreamsBidi, f.d.MaxStreamsUni, f.d.InitialMaxData, f.d.MaxData = 1, 2, 2000, 2000
	}
	srv := &h3http.Server{TLSConfig: serverTLS, Handler: http.HandlerFunc(f.serve)}
	if f.flags&flagTight != 0 {
		srv.QUICConfig = &conn.Config{InitialMaxData: 4000, MaxData: 4000, InitialMaxStreamData: 1500, MaxStreamData: 1500}
		f.d.QUICConfig = srv.QUICConfig
	}
	old := f.flags&flagDraft > 1 // no limits of sessions
	if old {
		f.up.MaxStreamsBidi, f.up.MaxStreamsUni, f.up.InitialMaxData, f.up.MaxData = -1, -1, 0, -1
		f.d.MaxStreamsBidi, f.d.MaxStreamsUni, f.d.InitialMaxData, f.d.MaxData = -1, -1, 0, -1
	}
	f.up.Configure(srv)
	for _, setting := range []uint64{settingEnabled15, settingMaxSessions13, settingMaxSessions07}[:f.flags&flagDraft] {
		delete(srv.H3Config.Settings, setting)
	}
	link := conntest.Link{Delay: delay}
	if f.flags&flagLossy != 0 {
		link.Loss, link.Reorder, link.Jitter = 0.05, 0.1, delay
	}
	n := looptest.New(f.t, 1, link)
	var err error
	f.groups[server], err = loop.New(srv.LoopConfig(), n.Listen("10.0.0.1:443"))
	require.NoError(f.t, err)
	f.groups[client], err = loop.New(nil, n.Listen("10.0.0.2:5000"))
	require.NoError(f.t, err)
	f.d.NewConn = f.groups[client].Dial
}

// end ends everything. Before that, polite sessions still work, and afterwards nothing is held.
func (f *fuzzScript) end() {
	f.stop()
	time.Sleep(time.Second)
	for _, x := range f.sessions {
		f.clear(x)
	}
	time.Sleep(time.Second)
	for _, x := range f.sessions {
		f.clear(x) // streams that came meanwhile
	}
	f.running.Wait() // for calls whose sessions and streams have ended
	time.Sleep(time.Second)
	for _, x := range f.sessions {
		for side := range x.ends {
			for dir := range conn.Dir(2) {
				f.prove(x, side, dir)
			}
		}
		f.agree(x)
	}
	f.check()
	require.NoError(f.t, f.d.Close())
	f.d.mu.Lock()
	require.Empty(f.t, f.d.sessions)
	require.Empty(f.t, f.d.links)
	f.d.mu.Unlock()
	time.Sleep(time.Minute)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.sessions {
		f.served = append(f.served, x.ends[client])
	}
	for _, s := range f.served {
		if s != nil {
			require.Error(f.t, s.ended())
			s.Close() // drops datagrams that nobody has received
		}
	}
	time.Sleep(time.Second)
	f.up.mu.Lock()
	require.Empty(f.t, f.up.muxes)
	f.up.mu.Unlock()
	for _, g := range f.groups {
		if st := g.Stats(); st.Conns != 0 || st.Held != 0 {
			f.t.Errorf("%d connections and %d bytes are left over", st.Conns, st.Held)
		}
		g.Close()
	}
}

// clear closes the streams of a session, also those that nobody has accepted.
func (f *fuzzScript) clear(x *scriptSession) {
	for side, s := range x.ends {
		for dir := range conn.Dir(2) {
			for s != nil {
				st, err := s.AcceptStream(f.within(time.Nanosecond), dir)
				if f.known(x, err); err != nil {
					break
				}
				st.Close()
			}
		}
		f.mu.Lock()
		for _, st := range x.streams[side] {
			st.Close()
		}
		f.mu.Unlock()
	}
}

// prove shows that a session of polite peers has lost no credit: a side sends more than fits in its
// windows on a new stream, and all of it arrives.
func (f *fuzzScript) prove(x *scriptSession, side int, dir conn.Dir) {
	s, peer := x.ends[side], x.ends[1-side]
	if s == nil || s.ended() != nil || peer.ended() != nil || f.is(f.rude, s.id) || f.broken.Load() {
		return
	}
	st, err := s.OpenStream(f.within(amply), dir)
	if errors.Is(err, conn.ErrIdleTimeout) {
		return
	}
	require.NoError(f.t, err, "session %d has no room for a stream", x.n)
	sent := make(chan error, 1)
	go func() {
		st.SetWriteDeadline(time.Now().Add(amply))
		_, err := st.Write(x.fill(make([]byte, 10_000), side, st.ID(), 0))
		sent <- errors.Join(err, st.CloseWrite())
	}()
	in, err := peer.AcceptStream(f.within(amply), dir)
	require.NoError(f.t, err, "session %d", x.n)
	require.Equal(f.t, st.ID(), in.ID())
	in.SetReadDeadline(time.Now().Add(amply))
	got, err := io.ReadAll(in)
	require.NoError(f.t, err, "session %d, after %d bytes", x.n, len(got))
	require.NoError(f.t, <-sent)
	require.Equal(f.t, string(x.fill(make([]byte, 10_000), side, st.ID(), 0)), string(got))
	st.Close()
	in.Close()
	time.Sleep(soonTime)
}

// agree checks that both ends of a session that one of them has closed say the same.
func (f *fuzzScript) agree(x *scriptSession) {
	if x.ends[client] == nil || f.is(f.rude, x.ends[client].id) || f.broken.Load() || x.closed[client] == x.closed[server] {
		return
	}
	var errs [2]*SessionError
	for side, s := range x.ends {
		errs[side], _ = s.ended().(*SessionError)
		require.NotNil(f.t, errs[side], "session %d", x.n)
		if errs[side].Err != nil {
			return // the connection had ended before
		}
		require.Equal(f.t, x.closed[side], !errs[side].Remote)
	}
	require.Equal(f.t, fmt.Sprint(errs[client].Code, errs[client].Reason), fmt.Sprint(errs[server].Code, errs[server].Reason))
}

// FuzzScript: applications of both sides open sessions and streams, send, receive and end anything
// in any order, and send capsules, streams and datagrams that the package never sends. Data comes
// to the right stream and session, sessions of polite peers end only when somebody closes them, and
// lose no credit. In the end nothing is held. A fifth of the time goes to handshakes of TLS, which
// stand in front of each script because an h3http.Server takes no connection without one.
func FuzzScript(f *testing.F) {
	for _, b := range seedScripts() {
		f.Add(b)
	}
	var tlsConfigs [2]*tls.Config // certificates are made once
	tlsConfigs[client], tlsConfigs[server] = conntest.ClientTLS(), conntest.ServerTLS()
	tlsConfigs[client].CurvePreferences = []tls.CurveID{tls.X25519} // the cheapest
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > scriptMost {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			s := &fuzzScript{t: t, in: script.NewInput(b[1:]), flags: b[0]}
			s.begin(tlsConfigs[client].Clone(), tlsConfigs[server].Clone())
			for !s.in.Empty() && !t.Failed() {
				s.step()
			}
			s.end()
		})
	})
}

// seedScripts returns scripts to begin with.
func seedScripts() [][]byte {
	const (
		open, stream, write, read, accept, datagram, endStream, sleep, aside, endSession = 0, 2, 4, 8, 12, 14, 16, 18, 20, 22
		offend                                                                           = 46
	)
	transfer := []byte{open, stream, 0, 0, write, 0, 0, 200, accept + server, 0, 0, read + server, 0, 0, 255, datagram, 0, 9, 0, datagram + server, 0, 0, 1}
	return slices.Collect(func(yield func([]byte) bool) {
		for _, flags := range []byte{0, flagShared, flagSmall | flagShared, 2, flagTight | flagLossy} {
			_ = yield(append([]byte{flags}, transfer...)) &&
				yield(append(append([]byte{flags, open, aside + server, 2, 0, aside, 4, 0}, transfer...), endStream, 0, 0, 0, sleep, 50, endSession+server, 0, 100)) &&
				yield(append(append([]byte{flags | flagRude}, transfer...), offend, 0, 1, 2, 3, 4, 5, offend+server, 5, 4, 3, 2, 1, open))
		}
	})
}
