package webtransport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// limited returns a change of a world in which both sides have these limits.
func limited(bidi, uni, data int64) func(w *world) {
	return func(w *world) {
		w.up.MaxStreamsBidi, w.up.MaxStreamsUni, w.up.MaxData = bidi, uni, data
		w.d.MaxStreamsBidi, w.d.MaxStreamsUni, w.d.MaxData = bidi, uni, data
	}
}

// flowSession makes a session of a raw client that has these limits.
func (w *world) flowSession(peer limits) (*raw, *Session) {
	w.Helper()
	r := w.raw(func(cfg *h3.Config) {
		cfg.Settings = map[uint64]uint64{
			settingEnabled15: 1, settingMaxData: peer.data,
			settingMaxStreamsBidi: peer.streams[conn.Bidi], settingMaxStreamsUni: peer.streams[conn.Uni],
		}
	})
	require.Equal(w, 200, r.connect(protocolName).StatusCode)
	return r, <-w.sessions
}

// capsules returns a reader of the server's capsules.
func (r *raw) capsules() capsuleReader {
	c := newCapsuleReader(r.stream)
	c.flow = true
	return c
}

// wantCapsule wants a capsule of flow control next.
func wantCapsule(t testing.TB, r capsuleReader, typ, limit uint64) {
	t.Helper()
	c, err := r.next()
	require.NoError(t, err)
	require.Equal(t, capsule{typ: typ, limit: limit}, c)
}

// wantEnd wants the session to end by a reset of its CONNECT stream with code.
func (r *raw) wantEnd(s *Session, code h3.ErrorCode) {
	r.Helper()
	<-s.Context().Done()
	r.wait()
	_, err := io.Copy(io.Discard, r.stream)
	wantCode(r, code, err)
	require.NoError(r, r.c.Context().Err(), "the connection lasts")
}

var some = limits{streams: [2]uint64{5, 5}, data: 1000}

// TestFlowCapsules sends capsules of flow control that break a rule.
// RFC 9297, Section 3.3 [3, 4].
func TestFlowCapsules(t *testing.T) {
	raw := func(typ uint64, value ...byte) []byte { return dgram.AppendCapsule(nil, typ, value) }
	type test struct {
		name  string
		bytes []byte
		want  h3.ErrorCode // 0: nothing is wrong
	}
	tests := []test{
		{"more data", appendLimit(nil, capsuleMaxData, 1001), 0},
		{"the same data", appendLimit(nil, capsuleMaxData, 1000), FlowControlError},
		{"less data", appendLimit(nil, capsuleMaxData, 999), FlowControlError},
		{"twice", bytes.Repeat(appendLimit(nil, capsuleMaxData, 2000), 2), FlowControlError},
		{"most data", appendLimit(nil, capsuleMaxData, varint.Max), 0},
		{"data blocked", appendLimit(nil, capsuleDataBlocked, varint.Max), 0},
		{"data blocked, malformed", raw(capsuleDataBlocked), h3.MessageError},
		{"a longer encoding", raw(capsuleMaxData, 0x80, 0, 0x10, 0), 0},
	}
	for dir, typ := range []uint64{capsuleMaxStreamsBidi, capsuleMaxStreamsUni} {
		blocked := capsuleStreamsBlockedBidi + uint64(dir)
		tests = append(tests,
			test{"more streams", appendLimit(nil, typ, 6), 0},
			test{"most streams", appendLimit(nil, typ, 1<<60), 0},
			test{"too many streams", appendLimit(nil, typ, 1<<60+1), FlowControlError},
			test{"the same streams", appendLimit(nil, typ, 5), FlowControlError},
			test{"fewer streams", appendLimit(nil, typ, 4), FlowControlError},
			test{"streams blocked", bytes.Repeat(appendLimit(nil, blocked, 1<<60), 3), 0},
			test{"too many streams blocked", appendLimit(nil, blocked, 1<<60+1), FlowControlError})
	}
	for _, typ := range []uint64{capsuleMaxData, capsuleMaxStreamsBidi, capsuleStreamsBlockedUni} {
		tests = append(tests,
			test{"no value", raw(typ), h3.MessageError},
			test{"half a value", raw(typ, 0x80, 1), h3.MessageError},
			test{"more than a value", raw(typ, 7, 7), h3.MessageError},
			test{"a long value", raw(typ, make([]byte, 9)...), h3.MessageError})
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, w *world) {
				r, s := w.flowSession(some)
				r.stream.Write(c.bytes)
				if c.want != 0 {
					r.wantEnd(s, c.want)
					require.Equal(t, c.want == FlowControlError, isFlowError(s))
					return
				}
				w.wait()
				require.NoError(t, s.Context().Err())
			})
		})
	}
}

// isFlowError reports whether the session ended because of flow control.
func isFlowError(s *Session) bool {
	var se *SessionError
	ok := errors.As(context.Cause(s.Context()), &se)
	return ok && se.Err != nil && errors.Is(se.Err, ErrFlowControl)
}

// TestFlowOfOldDrafts: up to draft 14 a limit may stay the same.
func TestFlowOfOldDrafts(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		r := w.raw(func(cfg *h3.Config) {
			cfg.Settings = map[uint64]uint64{settingMaxSessions13: 1, settingMaxData: 1000}
		})
		require.Equal(t, 200, r.connect(protocolName14).StatusCode)
		s := <-w.sessions
		r.stream.Write(appendLimit(nil, capsuleMaxData, 1000))
		w.wait()
		require.NoError(t, s.Context().Err())
		r.stream.Write(appendLimit(nil, capsuleMaxData, 999))
		r.wantEnd(s, FlowControlError)
	})
}

// TestFlowOff: if one side does not ask for flow control, capsules of it are ignored, and there are
// no limits.
func TestFlowOff(t *testing.T) {
	for name, c := range map[string]struct {
		own      func(w *world)
		settings map[uint64]uint64
	}{
		"client": {limited(2, 2, 10), map[uint64]uint64{settingEnabled15: 1, settingMaxData: 0}},
		"server": {limited(-1, -1, -1), map[uint64]uint64{settingEnabled15: 1, settingMaxData: 1}},
		"draft":  {limited(2, 2, 10), map[uint64]uint64{settingEnabled02: 1, settingMaxData: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, c.own, func(t *testing.T, w *world) {
				r := w.raw(func(cfg *h3.Config) { cfg.Settings = c.settings })
				require.Equal(t, 200, r.connect(protocolName14).StatusCode)
				s := <-w.sessions
				for typ := uint64(capsuleMaxData); typ <= capsuleStreamsBlockedUni; typ++ {
					if typ != capsuleMaxStreamData && typ != capsuleStreamDataBlocked {
						r.stream.Write(dgram.AppendCapsule(nil, typ, nil))
						r.stream.Write(appendLimit(nil, typ, 0))
					}
				}
				for range 5 {
					r.open(conn.Uni, append(header(typeUni, 0), make([]byte, 100)...)...)
					in, err := s.AcceptStream(w.ctx(), conn.Uni)
					require.NoError(t, err)
					_, err = io.ReadFull(in, make([]byte, 100))
					require.NoError(t, err)
					out, err := s.OpenStream(w.ctx(), conn.Uni)
					require.NoError(t, err)
					_, err = out.Write([]byte("hello"))
					require.NoError(t, err)
					_, err = io.ReadFull(<-r.streams, make([]byte, 5))
					require.NoError(t, err)
				}
			})
		})
	}
}

// TestFlowExceeded: a client sends more than the server allows.
func TestFlowExceeded(t *testing.T) {
	small := limited(2, 3, 100)
	for dir, most := range map[conn.Dir]int{conn.Bidi: 2, conn.Uni: 3} {
		t.Run(fmt.Sprint("streams ", dir), func(t *testing.T) {
			run(t, small, func(t *testing.T, w *world) {
				r, s := w.flowSession(some)
				typ := []uint64{typeBidi, typeUni}[dir]
				for range most {
					r.open(dir, header(typ, 0)...)
					w.wait()
				}
				require.NoError(t, s.Context().Err())
				r.open(dir, header(typ, 0)...)
				r.wantEnd(s, FlowControlError)
				require.True(t, isFlowError(s))
			})
		})
	}
	t.Run("data", func(t *testing.T) {
		run(t, small, func(t *testing.T, w *world) {
			r, s := w.flowSession(some)
			r.open(conn.Uni, append(header(typeUni, 0), make([]byte, 60)...)...)
			st := r.open(conn.Bidi, append(header(typeBidi, 0), make([]byte, 40)...)...)
			w.wait()
			require.NoError(t, s.Context().Err(), "headers do not count")
			st.Write([]byte{1})
			r.wantEnd(s, FlowControlError)
			require.True(t, isFlowError(s))
		})
	})
	t.Run("data of a stream that was reset", func(t *testing.T) {
		run(t, small, func(t *testing.T, w *world) {
			r, s := w.flowSession(some)
			head := header(typeUni, 0)
			st := r.open(conn.Uni, append(head, make([]byte, 60)...)...)
			w.wait() // until it is sent
			require.NoError(t, st.ResetAt(toHTTP(1), uint64(len(head))))
			st = r.open(conn.Bidi, append(header(typeBidi, 0), make([]byte, 40)...)...)
			w.wait()
			require.NoError(t, s.Context().Err())
			st.Write([]byte{1})
			r.wantEnd(s, FlowControlError)
		})
	})
	t.Run("data before the session", func(t *testing.T) {
		run(t, small, func(t *testing.T, w *world) {
			r := w.raw(nil)
			r.open(conn.Uni, append(header(typeUni, 0), make([]byte, 101)...)...)
			w.wait()
			stream, _, err := r.tr.Connect(r.request(protocolName))
			if err == nil { // the reset may overtake the response
				_, err = io.Copy(io.Discard, stream)
			}
			wantCode(t, FlowControlError, err)
			s := <-w.sessions
			<-s.Context().Done()
			require.True(t, isFlowError(s))
		})
	})
}

// TestFlowBlocked: the server keeps to the limits of the client, tells it of them, and goes on.
func TestFlowBlocked(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		r, s := w.flowSession(limits{streams: [2]uint64{0, 2}, data: 10})
		caps := r.capsules()
		var streams []*loop.Stream
		for range 2 {
			st, err := s.OpenStream(w.ctx(), conn.Uni)
			require.NoError(t, err)
			_, err = st.Write(make([]byte, 15))
			require.NoError(t, err)
			require.NoError(t, st.CloseWrite())
			streams = append(streams, <-r.streams)
		}
		wantCapsule(t, caps, capsuleDataBlocked, 10)
		w.wait()
		received := func() (n int) {
			for _, st := range streams {
				k, _ := st.Buffered()
				n += k
			}
			return n
		}
		// HTTP/3 took the types of the streams, of 2 bytes.
		body := func() int { return received() - 2*len(header(typeUni, 0)) + 2*2 }
		require.Equal(t, 10, body())
		for limit := uint64(11); limit < 30; limit++ {
			r.stream.Write(appendLimit(nil, capsuleMaxData, limit))
			wantCapsule(t, caps, capsuleDataBlocked, limit)
			w.wait()
			require.Equal(t, int(limit), body())
		}
		r.stream.Write(appendLimit(nil, capsuleMaxData, 100))
		w.wait()
		require.Equal(t, 30, body())

		for dir, blocked := range map[conn.Dir]uint64{conn.Bidi: 0, conn.Uni: 2} {
			opened := make(chan error, 1)
			go func() {
				_, err := s.OpenStream(w.ctx(), dir)
				opened <- err
			}()
			wantCapsule(t, caps, capsuleStreamsBlockedBidi+uint64(dir), blocked)
			w.wait()
			require.Empty(t, opened)
			r.stream.Write(appendLimit(nil, capsuleMaxStreamsBidi+uint64(dir), blocked+1))
			require.NoError(t, <-opened)
			<-r.streams
		}
	})
}

// TestFlowCredit: the server gives credit as its application reads and closes streams, and not
// before.
func TestFlowCredit(t *testing.T) {
	run(t, limited(2, 2, 100), func(t *testing.T, w *world) {
		r, s := w.flowSession(some)
		caps := r.capsules()
		head := header(typeUni, 0)
		a := r.open(conn.Uni, append(head, make([]byte, 60)...)...)
		b := r.open(conn.Uni, append(head, make([]byte, 40)...)...)
		sa, err := s.AcceptStream(w.ctx(), conn.Uni)
		require.NoError(t, err)
		sb, err := s.AcceptStream(w.ctx(), conn.Uni)
		require.NoError(t, err)
		w.wait()
		_, err = io.ReadFull(sa, make([]byte, 24))
		require.NoError(t, err)
		w.wait()
		_, err = io.ReadFull(sa, make([]byte, 2))
		require.NoError(t, err)
		wantCapsule(t, caps, capsuleMaxData, 126)
		// Bytes that nobody has read count once the stream ends. After a reset the final size
		// counts.
		sa.StopSending(7)
		w.wait()
		wantCapsule(t, caps, capsuleMaxData, 160)
		_, err = b.Write(make([]byte, 60)) // now all credit is used
		require.NoError(t, err)
		w.wait()
		require.NoError(t, b.ResetAt(toHTTP(1), uint64(len(head))))
		w.wait()
		_, err = io.Copy(io.Discard, sb)
		require.Equal(t, &StreamError{Code: 1, Remote: true}, err)
		sb.Close()
		var told capsule
		for told.limit < 260-100/4 {
			if told, err = caps.next(); told.typ != capsuleMaxData {
				require.Equal(t, capsule{typ: capsuleMaxStreamsUni, limit: 3}, told)
				told.limit = 0
			}
			require.NoError(t, err)
		}
		require.LessOrEqual(t, told.limit, uint64(260))
		a.Close()
		sa.Close()
		w.wait()
		r.open(conn.Uni, head...)
		r.open(conn.Uni, head...)
		w.wait()
		require.NoError(t, s.Context().Err())
	})
}

// exchange writes n bytes on a new stream, and wants them back.
func exchange(ctx context.Context, s *Session, n int) error {
	st, err := s.OpenStream(ctx, conn.Bidi)
	if err != nil {
		return err
	}
	defer st.Close()
	want := bytes.Repeat([]byte("0123456789abcdef"), n/16)
	go func() {
		st.Write(want)
		st.CloseWrite()
	}()
	got, err := io.ReadAll(st)
	if err == nil && !bytes.Equal(want, got) {
		err = fmt.Errorf("%d bytes, want %d", len(got), len(want))
	}
	return err
}

// TestFlowOfBulk moves much over small limits, over a network that loses packets.
func TestFlowOfBulk(t *testing.T) {
	change := func(w *world) {
		limited(4, 4, 64<<10)(w)
		w.link.Loss, w.link.Jitter = 0.01, delay/2
	}
	run(t, change, func(t *testing.T, w *world) {
		c, s := w.dial()
		require.NotNil(t, c.flow)
		go echo(s)
		done := make(chan error)
		for range 40 {
			go func() { done <- exchange(w.ctx(), c, 64<<10) }()
		}
		for range 40 {
			require.NoError(t, <-done)
		}
		require.NoError(t, exchange(w.ctx(), c, 4<<20))
	})
}

// TestFlowBesideUnreadStreams: a peer that waits gets credit although streams that nobody reads
// hold most of the window.
func TestFlowBesideUnreadStreams(t *testing.T) {
	run(t, limited(2, 2, 100), func(t *testing.T, w *world) {
		r, s := w.flowSession(some)
		caps := r.capsules()
		head := header(typeUni, 0)
		r.open(conn.Uni, append(head, make([]byte, 80)...)...)
		_, err := s.AcceptStream(w.ctx(), conn.Uni)
		require.NoError(t, err)
		b := r.open(conn.Uni, append(head, make([]byte, 10)...)...)
		sb, err := s.AcceptStream(w.ctx(), conn.Uni)
		require.NoError(t, err)
		_, err = io.ReadFull(sb, make([]byte, 10))
		require.NoError(t, err)
		// What the peer says of an earlier limit changes nothing.
		r.stream.Write(appendLimit(nil, capsuleDataBlocked, 99))
		w.wait()
		_, err = b.Write(make([]byte, 10))
		require.NoError(t, err)
		r.stream.Write(appendLimit(nil, capsuleDataBlocked, 100))
		wantCapsule(t, caps, capsuleMaxData, 110)
		r.stream.Write(appendLimit(nil, capsuleDataBlocked, 110))
		w.wait()
		_, err = io.ReadFull(sb, make([]byte, 10))
		require.NoError(t, err)
		wantCapsule(t, caps, capsuleMaxData, 120)
	})
}

// TestFlowOfResetBehindHeader: the header of a stream does not count either if the stream was reset
// before this side has read it.
func TestFlowOfResetBehindHeader(t *testing.T) {
	run(t, limited(2, 3, 100), func(t *testing.T, w *world) {
		r, s := w.flowSession(some)
		caps := r.capsules()
		held := make(chan struct{})
		require.True(t, s.Conn().Loop().Post(func(time.Time) { <-held }))
		head := header(typeUni, 0)
		st := r.open(conn.Uni, append(head, make([]byte, 60)...)...)
		w.wait() // until it is sent
		require.NoError(t, st.ResetAt(toHTTP(1), uint64(len(head))))
		w.wait()
		close(held) // the loop reads both packets in one turn
		wantCapsule(t, caps, capsuleMaxData, 60+100)
	})
}

// TestFlowOfResets: both sides agree on how much credit abandoned streams have used. It does not
// matter which side abandoned them, or how much was sent. Otherwise the credit of the session
// would run out.
func TestFlowOfResets(t *testing.T) {
	change := func(w *world) {
		limited(4, 4, 64<<10)(w)
		w.link.Loss = 0.02
	}
	run(t, change, func(t *testing.T, w *world) {
		c, s := w.dial()
		for i := range 60 {
			st, err := c.OpenStream(w.ctx(), conn.Uni)
			require.NoError(t, err)
			st.SetWriteDeadline(time.Now().Add(time.Duration(i%7) * delay / 2))
			st.Write(make([]byte, 300<<10))
			in, err := s.AcceptStream(w.ctx(), conn.Uni)
			require.NoError(t, err)
			in.SetReadDeadline(time.Now().Add(20 * delay))
			if i%3 > 0 {
				io.ReadFull(in, make([]byte, 10_000*(i%3)))
			}
			if i%2 == 0 {
				st.Reset(1)
				if i%4 == 0 {
					w.wait()
				}
				in.Close()
			} else {
				in.StopSending(2)
				in.Close()
				w.wait()
			}
			st.Close()
		}
		go echo(s)
		require.NoError(t, exchange(w.ctx(), c, 1<<20))
		var sent, read uint64
		require.NoError(t, c.m.run(func() { sent, _ = c.flow.group.Blocked() }))
		require.NoError(t, s.m.run(func() { read = s.flow.read.Load() + s.flow.group.Discarded() }))
		require.GreaterOrEqual(t, sent+64<<10, read)
		require.LessOrEqual(t, sent, read+64<<10, "nothing is lost to either side")
	})
}

// TestFlowOfMany: what one session does not read holds up no other session of the connection.
func TestFlowOfMany(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		r := w.raw(nil)
		require.Equal(t, 200, r.connect(protocolName).StatusCode)
		lazy := <-w.sessions
		w.wait()
		chunk := make([]byte, 10<<10)
		for range 100 { // all streams, and nearly all data, that a session may have
			r.open(conn.Uni, append(header(typeUni, r.stream.ID()), chunk...)...)
		}
		w.wait()
		require.NoError(t, lazy.Context().Err())
		for range 3 {
			require.Equal(t, 200, r.connect(protocolName).StatusCode)
			s := <-w.sessions
			go echo(s)
			r.bulk(r.stream.ID(), 1<<20)
		}
	})
}

// TestFlowOfLargeStreams is TestFlowOfMany with few streams, of which much stays in the connection:
// the loop takes only 256 KiB of each.
func TestFlowOfLargeStreams(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		r := w.raw(nil)
		for range 3 {
			require.Equal(t, 200, r.connect(protocolName).StatusCode)
			lazy := <-w.sessions
			for range 2 {
				st := r.open(conn.Uni, header(typeUni, r.stream.ID())...)
				go st.Write(make([]byte, 500<<10))
			}
			w.wait()
			require.NoError(t, lazy.Context().Err())
		}
		require.Equal(t, 200, r.connect(protocolName).StatusCode)
		go echo(<-w.sessions)
		r.bulk(r.stream.ID(), 1<<20)
	})
}

// bulk sends n bytes on a stream of a session, and wants them back.
func (r *raw) bulk(session conn.StreamID, n int) {
	r.Helper()
	st := r.open(conn.Bidi, header(typeBidi, session)...)
	go func() {
		st.Write(make([]byte, n))
		st.CloseWrite()
	}()
	got, err := io.Copy(io.Discard, st)
	require.NoError(r, err)
	require.EqualValues(r, n, got)
}
