package h3http

import (
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// signalType is the type of a unidirectional stream that a signal waits for.
const signalType = 0x2a

// A signal calls f, on the loop's goroutine, when the peer opens a stream of signalType. The loop
// handles no other event meanwhile.
type signal struct{ f func() }

func (s *signal) HandleHTTP(_ time.Time, ev h3.Event) {
	if ev.Kind == h3.EventStream {
		s.f()
	}
}

func (s *signal) HandleEvent(time.Time, conn.Event) {}

// hold makes the loop of c wait until release is called.
func hold(t *testing.T, c *loop.Conn) (release func()) {
	held := make(chan struct{})
	require.True(t, c.Loop().Post(func(time.Time) { <-held }))
	synctest.Wait()
	return func() { close(held) }
}

// abortWays are the ways in which one side ends both directions of a stream and still receives.
var abortWays = map[string]func(t *testing.T, s *Stream){
	"StopSending and Reset": func(_ *testing.T, s *Stream) {
		s.StopSending(h3.MessageError)
		s.Reset(h3.MessageError)
	},
	"StopSending and CloseWrite": func(t *testing.T, s *Stream) {
		s.StopSending(h3.NoError)
		require.NoError(t, s.CloseWrite())
	},
}

// requireDatagram receives the one datagram of s, and then the end that this side has set.
func requireDatagram(t *testing.T, s *Stream) {
	t.Helper()
	b := make([]byte, 10)
	k, err := s.ReceiveDatagram(t.Context(), b)
	require.NoError(t, err)
	require.Equal(t, "datagram", string(b[:k]))
	_, err = s.ReceiveDatagram(t.Context(), b)
	require.ErrorIs(t, err, net.ErrClosed)
}

// TestDatagramsBeforeAbort: a datagram that came before this side ended its stream can be received.
// That also holds if the event of the datagram still waits in the loop when the stream ends. Three
// events are in front of it. The first is of another stream, and makes the client end the stream
// under test. The second is of the stream under test. The third is of another stream again, and
// lets the receiver run meanwhile.
func TestDatagramsBeforeAbort(t *testing.T) {
	for name, abort := range abortWays {
		t.Run(name, func(t *testing.T) {
			simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
				var opener *h3.Conn
				arrived := &signal{}
				p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					s, err := TakeStream(w)
					require.NoError(t, err)
					defer s.Close()
					open := func() {
						time.Sleep(time.Second) // each thing that is sent has a packet of its own
						err := ConnOf(r).Do(r.Context(), func(time.Time, *conn.Conn) {
							_, err := opener.OpenUni(signalType)
							require.NoError(t, err)
						})
						require.NoError(t, err)
						time.Sleep(time.Second)
					}
					open()
					_, err = s.Write([]byte("x"))
					require.NoError(t, err)
					open()
					require.NoError(t, s.SendDatagram(t.Context(), []byte("datagram"), 0))
					s.Read(make([]byte, 1))
				}), withConnect, func(p *pair) {
					p.srv.Extend = func(_ *loop.Conn, c *h3.Conn) Extension {
						opener = c
						return &signal{}
					}
					p.tr.H3Config = &h3.Config{Datagrams: true, StreamTypes: []uint64{signalType}}
					p.tr.Extend = func(*loop.Conn, *h3.Conn) Extension { return arrived }
				})
				s, resp, err := p.tr.Connect(p.connectRequest("/", "datagrams"))
				require.NoError(t, err)
				signals := 0
				arrived.f = func() {
					if signals++; signals == 1 {
						abort(t, s)
					}
					synctest.Wait() // a receiver that takes the abort for the end has returned
				}
				release := hold(t, ConnOf(resp.Request))
				// By then all packets have come, and the loop reads them at once.
				time.AfterFunc(10*time.Second, release)
				requireDatagram(t, s)
				require.Equal(t, 2, signals)
				s.Close()
			})
		})
	}
}

// TestSendDatagramAfterEnds: sending fails for the reason for which writing fails, in whatever
// order the directions end.
func TestSendDatagramAfterEnds(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		streams := make(chan *Stream, 1)
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := TakeStream(w)
			require.NoError(t, err)
			streams <- s
		}), withConnect)
		closeWrite := func(s, _ *Stream) { require.NoError(t, s.CloseWrite()) }
		reset := func(s, _ *Stream) { s.Reset(h3.MessageError) }
		closeAll := func(s, _ *Stream) { s.Close() }
		peerResets := func(_, peer *Stream) { peer.Reset(h3.MessageError) }
		peerStops := func(_, peer *Stream) { peer.StopSending(h3.MessageError) }
		var failed *conn.StreamError
		for i, c := range []struct {
			acts    []func(s, peer *Stream)
			written error // what Write and SendDatagram return matches it
			remote  bool  // or they return the peer's code
			reads   bool  // only receiving has failed, so Write works on
		}{
			{acts: []func(s, peer *Stream){closeWrite, peerResets}, written: errWriteClosed},
			{acts: []func(s, peer *Stream){peerResets, closeWrite}, written: errWriteClosed},
			{acts: []func(s, peer *Stream){reset, peerResets}, written: net.ErrClosed},
			{acts: []func(s, peer *Stream){peerResets, reset}, written: net.ErrClosed},
			{acts: []func(s, peer *Stream){peerStops, peerResets}, remote: true},
			{acts: []func(s, peer *Stream){peerResets}, remote: true, reads: true},
			{acts: []func(s, peer *Stream){peerResets, closeAll}, written: errStreamClosed},
		} {
			s, _, err := p.tr.Connect(p.connectRequest("/", "datagrams"))
			require.NoError(t, err)
			peer := <-streams
			for _, act := range c.acts {
				act(s, peer)
				time.Sleep(time.Second)
			}
			err = s.SendDatagram(t.Context(), []byte("x"), 0)
			_, werr := s.Write([]byte("x"))
			switch {
			case c.remote:
				require.ErrorAs(t, err, &failed, i)
				require.True(t, failed.Remote, i)
			default:
				require.ErrorIs(t, err, c.written, i)
			}
			if !c.reads {
				require.Equal(t, werr, err, i)
			} else {
				require.NoError(t, werr, i)
			}
			s.Close()
			peer.Close()
		}
	})
}

// TestDatagramsBeforeTakeover: a client that takes a stream over, and ends it at once, can receive
// the datagrams that came before.
func TestDatagramsBeforeTakeover(t *testing.T) {
	for name, abort := range abortWays {
		t.Run(name, func(t *testing.T) {
			simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
				p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == "GET" {
						return
					}
					w.WriteHeader(http.StatusEarlyHints)
					s, err := TakeStream(w)
					require.NoError(t, err)
					defer s.Close()
					require.NoError(t, s.SendDatagram(t.Context(), []byte("datagram"), 0))
					s.Read(make([]byte, 1))
				}), withConnect)
				release := func() {}
				r := p.connectRequest("/", "datagrams")
				first, _ := p.do(p.request("GET", "/", nil))
				c := ConnOf(first.Request) // which knows the state of TLS without its loop now
				r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
					Got1xxResponse: func(int, textproto.MIMEHeader) error {
						time.Sleep(time.Second) // all has come
						release = hold(t, c)
						return nil
					},
				}))
				s, resp, err := p.tr.Connect(r)
				require.NoError(t, err)
				require.Equal(t, c, ConnOf(resp.Request))
				abort(t, s)
				time.AfterFunc(time.Second, release)
				requireDatagram(t, s)
				s.Close()
			})
		})
	}
}

// TestDatagramsNeedSendSide: after the end of sending no datagram is sent (RFC 9297, Section 2.1).
// Datagrams from before the end leave in front of it, even if they still wait in a queue.
func TestDatagramsNeedSendSide(t *testing.T) {
	ends := map[string]func(s *Stream){
		"CloseWrite": func(s *Stream) { s.CloseWrite() },
		"Reset":      func(s *Stream) { s.Reset(h3.NoError) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
				got := make(chan []byte, 100)
				p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					s, err := TakeStream(w)
					require.NoError(t, err)
					defer s.Close()
					b := make([]byte, 10)
					for {
						k, err := s.ReceiveDatagram(r.Context(), b)
						if err != nil {
							return
						}
						got <- b[:k:k]
						b = make([]byte, 10)
					}
				}), withConnect)
				s, resp, err := p.tr.Connect(p.connectRequest("/", "datagrams"))
				require.NoError(t, err)
				require.Positive(t, s.MaxDatagramSize())
				release := hold(t, ConnOf(resp.Request)) // what follows waits for the loop
				require.NoError(t, s.SendDatagram(t.Context(), []byte("before"), 0))
				end(s)
				err = s.SendDatagram(t.Context(), []byte("behind"), 0)
				require.ErrorIs(t, err, net.ErrClosed)
				release()
				time.Sleep(time.Second)
				if name == "CloseWrite" {
					require.Len(t, got, 1)
					require.Equal(t, "before", string(<-got))
				} else {
					require.Empty(t, got, "a reset gives up what waits")
				}
				require.NoError(t, s.Close())
			})
		})
	}
}

// TestDatagramsCountUntilDropped: datagrams that wait to be received count in the account of the
// connection. A Close drops them, and those that come behind it. If the connection ends first,
// they stay readable and count still. Those that wait to be sent go with the stream.
func TestDatagramsCountUntilDropped(t *testing.T) {
	const count = 40
	for name, way := range map[string]struct {
		serverEnds bool
		end        func(t *testing.T, s *Stream)
	}{
		"Close":      {false, func(t *testing.T, s *Stream) { require.NoError(t, s.Close()) }},
		"at the end": {true, func(t *testing.T, s *Stream) { require.NoError(t, s.Close()) }},
		"Cancel":     {false, func(t *testing.T, s *Stream) { s.Cancel(h3.NoError) }},
		"connection": {true, func(t *testing.T, s *Stream) { s.x.c.handle.Close(0, "") }},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
				p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					s, err := TakeStream(w)
					require.NoError(t, err)
					defer s.Close()
					for i := range 2 * count {
						if i == count {
							time.Sleep(time.Second) // the client ends meanwhile
						}
						s.SendDatagram(r.Context(), make([]byte, 1000), 0)
						time.Sleep(time.Millisecond)
					}
					if way.serverEnds {
						return
					}
					s.Read(make([]byte, 1))
				}), withConnect)
				s, _, err := p.tr.Connect(p.connectRequest("/", "datagrams"))
				require.NoError(t, err)
				time.Sleep(500 * time.Millisecond)
				x := s.x
				x.mu.Lock()
				require.Equal(t, count, x.dg.in.n)
				x.mu.Unlock()
				require.Positive(t, s.MaxDatagramSize())
				release := hold(t, s.x.c.handle)
				require.NoError(t, s.SendDatagram(t.Context(), make([]byte, 1000), 0))
				time.AfterFunc(2*time.Second, release) // all has come by then
				way.end(t, s)
				time.Sleep(5 * time.Second)
				x.mu.Lock()
				kept, bytes := x.dg.in.n, x.dg.in.bytes
				require.Zero(t, x.dg.out.n)
				closed, released := x.closed, x.stream == nil
				x.mu.Unlock()
				require.True(t, released)
				require.EqualValues(t, bytes, s.Account().Held())
				if closed {
					require.Zero(t, kept)
					return
				}
				require.Positive(t, kept)
				for range kept {
					_, err := s.ReceiveDatagram(t.Context(), make([]byte, 1000))
					require.NoError(t, err)
				}
				require.Zero(t, s.Account().Held())
				s.Close()
			})
		})
	}
}
