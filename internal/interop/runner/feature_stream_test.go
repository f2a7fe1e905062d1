package runner

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
	"github.com/lazoquic/lazo/loop"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
)

// joined holds both ends of a connection. One end is this module's.
type joined struct {
	own     *loop.Conn
	foreign *quic.Conn
	ownUp   netrelay.Dir // the direction in which this module sends
	close   func() error // of the client
}

func (j *joined) foreignUp() netrelay.Dir { return 1 - j.ownUp }

// join connects this module and quic-go.
func (r *run) join(ctx context.Context, scenario netrelay.Config, own func(*conn.Config), foreign func(*quic.Config)) *joined {
	r.Helper()
	if r.pairing == toQUICGo {
		l := quicGo{}.listen(r, r.serverConfig(), foreign)
		r.relayTo(addrPort(l.Addr()), scenario)
		c, err := lazo{}.connect(ctx, r.clientConfig(), own)
		require.NoError(r, err)
		s, err := l.Accept(ctx)
		require.NoError(r, err)
		return &joined{own: c, foreign: s, ownUp: netrelay.Up, close: func() error { return c.Close(0, "") }}
	}
	g := lazo{}.listen(r, r.serverConfig(), own)
	r.relayTo(g.LocalAddr(), scenario)
	c, err := quicGo{}.connect(ctx, r.clientConfig(), foreign)
	require.NoError(r, err)
	s, err := g.Accept(ctx)
	require.NoError(r, err)
	return &joined{own: s, foreign: c.c, ownUp: netrelay.Down, close: c.close}
}

// bothWays runs a test with this module as client and as server.
func bothWays(t *testing.T, f func(ctx context.Context, r *run)) {
	for _, p := range []pairing{toQUICGo, fromQUICGo} {
		t.Run(p.String(), func(t *testing.T) {
			ctx, r := feature(t, p)
			f(ctx, r)
		})
	}
}

// TestResetStreamAt resets streams from either side. A first part of each must still arrive
// (draft-ietf-quic-reliable-stream-reset).
func TestResetStreamAt(t *testing.T) {
	const reliable, code = 5000, 77
	bothWays(t, func(ctx context.Context, r *run) {
		// Some data is lost, so that a reset without a reliable part would arrive before it.
		scenario := near()
		scenario.Up.Loss, scenario.Down.Loss, scenario.Seed = 0.1, 0.1, r.seed()
		j := r.join(ctx, scenario, func(*conn.Config) {}, func(cfg *quic.Config) { cfg.EnableStreamResetPartialDelivery = true })
		for _, supports := range []bool{
			j.foreign.ConnectionState().SupportsStreamResetPartialDelivery.Remote,
			j.foreign.ConnectionState().SupportsStreamResetPartialDelivery.Local,
		} {
			require.True(r, supports)
		}

		out, err := j.own.OpenStream(ctx, conn.Uni)
		require.NoError(r, err)
		_, err = out.Write(make([]byte, 2*reliable))
		require.NoError(r, err)
		require.NoError(r, out.ResetAt(code, reliable))
		in, err := j.foreign.AcceptUniStream(ctx)
		require.NoError(r, err)
		got, err := io.ReadAll(in)
		var theirs *quic.StreamError
		require.ErrorAs(r, err, &theirs)
		require.EqualValues(r, code, theirs.ErrorCode)
		require.True(r, theirs.Remote)
		require.GreaterOrEqual(r, len(got), reliable)

		back, err := j.foreign.OpenUniStreamSync(ctx)
		require.NoError(r, err)
		_, err = back.Write(make([]byte, reliable))
		require.NoError(r, err)
		back.SetReliableBoundary()
		_, err = back.Write(make([]byte, reliable))
		require.NoError(r, err)
		back.CancelWrite(code)
		arrived, err := j.own.AcceptStream(ctx)
		require.NoError(r, err)
		got, err = io.ReadAll(arrived)
		var ours *conn.StreamError
		require.ErrorAs(r, err, &ours)
		require.Equal(r, conn.StreamError{ID: arrived.ID(), Code: code, Remote: true}, *ours)
		require.GreaterOrEqual(r, len(got), reliable)
		require.NoError(r, arrived.Close())
		require.NoError(r, j.close())

		tr := r.tap.trace()
		for _, dir := range []netrelay.Dir{netrelay.Up, netrelay.Down} {
			sizes := resetSizes(tr, dir)
			require.NotEmpty(r, sizes, "no RESET_STREAM_AT in direction %d", dir)
			require.EqualValues(r, reliable, sizes[0])
			require.Zero(r, tr.count(dir, conn.Packet1RTT, wire.FrameResetStream))
		}
	})
}

// resetSizes returns the reliable sizes of RESET_STREAM_AT frames.
func resetSizes(tr *trace, dir netrelay.Dir) (sizes []uint64) {
	for _, p := range tr.of(dir, conn.Packet1RTT) {
		for _, f := range p.frames {
			if f.typ == wire.FrameResetStreamAt {
				_, _, _, size, _ := wire.ParseResetStreamAt(f.data)
				sizes = append(sizes, size)
			}
		}
	}
	return sizes
}

// TestDatagrams sends datagrams both ways over a network that loses some, and counts.
func TestDatagrams(t *testing.T) {
	const count, length = 500, 300
	bothWays(t, func(ctx context.Context, r *run) {
		scenario := near()
		scenario.Up.Loss, scenario.Down.Loss, scenario.Seed = 0.1, 0.1, r.seed()
		j := r.join(ctx, scenario, func(*conn.Config) {}, func(*quic.Config) {})
		var received struct{ own, foreign int }
		var wg sync.WaitGroup
		receiving, stop := context.WithCancel(ctx)
		wg.Go(func() {
			b := make([]byte, 1500)
			for {
				n, err := j.own.ReceiveDatagram(receiving, b)
				if err != nil {
					return
				}
				if n == length {
					received.own++
				}
			}
		})
		wg.Go(func() {
			for {
				b, err := j.foreign.ReceiveDatagram(receiving)
				if err != nil {
					return
				}
				if len(b) == length {
					received.foreign++
				}
			}
		})
		for range count {
			require.NoError(r, j.own.SendDatagram(ctx, make([]byte, length), 0))
			require.NoError(r, j.foreign.SendDatagram(make([]byte, length)))
		}
		var stats conn.Stats
		require.Eventually(r, func() bool {
			stats = j.own.Stats()
			return stats.DatagramsAcked+stats.DatagramsLost == count
		}, time.Minute, 10*time.Millisecond, "datagrams are neither acknowledged nor lost: %+v", stats)
		require.Eventually(r, func() bool { return j.own.Stats() == stats || !r.moreDatagrams(j, &stats) }, time.Minute, 50*time.Millisecond)
		stop()
		wg.Wait()
		require.NoError(r, j.close())

		tr := r.tap.trace()
		sent, arrived := r.datagrams(tr, j.ownUp)
		require.Equal(r, count, sent)
		require.EqualValues(r, count, stats.DatagramsSent)
		require.NotZero(r, stats.DatagramsLost, "of %d at a loss of a tenth", count)
		require.GreaterOrEqual(r, arrived, int(stats.DatagramsAcked))
		require.Less(r, arrived, count)
		require.NotZero(r, received.foreign)
		require.LessOrEqual(r, received.foreign, arrived) // quic-go drops unread datagrams
		_, back := r.datagrams(tr, j.foreignUp())
		require.EqualValues(r, back, stats.DatagramsReceived)
		require.EqualValues(r, received.own, stats.DatagramsReceived-stats.DatagramsDropped)
		require.NotZero(r, received.own)
	})
}

// datagrams counts the DATAGRAM frames that were sent, and those that arrived.
func (r *run) datagrams(tr *trace, dir netrelay.Dir) (sent, arrived int) {
	reached := make(map[string]bool)
	for _, d := range r.tap.recorded() {
		if !d.sent {
			reached[string(d.data)] = true
		}
	}
	for _, p := range tr.of(dir, conn.Packet1RTT) {
		for _, f := range p.frames {
			if f.typ&^1 != wire.FrameDatagram {
				continue
			}
			sent++
			if reached[string(p.data)] {
				arrived++
			}
		}
	}
	return sent, arrived
}

// moreDatagrams reports whether datagrams came since the last call, and notes the new counts.
func (r *run) moreDatagrams(j *joined, stats *conn.Stats) bool {
	now := j.own.Stats()
	more := now.DatagramsReceived != stats.DatagramsReceived
	*stats = now
	return more
}

// An ecnLog is a qlog of quic-go that keeps only the events about ECN.
type ecnLog struct {
	mu     sync.Mutex
	states []qlog.ECNState
}

func (l *ecnLog) AddProducer() qlogwriter.Recorder { return l }

func (l *ecnLog) RecordEvent(e qlogwriter.Event) {
	var state qlog.ECNState
	switch e := e.(type) {
	case qlog.ECNStateUpdated:
		state = e.State
	case *qlog.ECNStateUpdated:
		state = e.State
	default:
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states = append(l.states, state)
}

func (l *ecnLog) Close() error { return nil }

func (l *ecnLog) last() qlog.ECNState {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.states) == 0 {
		return ""
	}
	return l.states[len(l.states)-1]
}

// TestECN has a network that marks some of the packets, both ways. Both sides validate the path and
// report each mark. This module counts the marks that its peer reports (RFC 9000, Section 13.4).
func TestECN(t *testing.T) {
	bothWays(t, func(ctx context.Context, r *run) {
		scenario := near()
		scenario.Up.Mark, scenario.Down.Mark, scenario.Seed = 0.05, 0.05, r.seed()
		var log ecnLog
		j := r.join(ctx, scenario, func(*conn.Config) {}, func(cfg *quic.Config) {
			cfg.Tracer = func(context.Context, bool, quic.ConnectionID) qlogwriter.Trace { return &log }
		})
		r.exchangeMegabytes(ctx, j)
		require.Equal(r, qlog.ECNStateCapable, log.last())
		stats := j.own.Stats()
		require.NoError(r, j.close())

		tr := r.tap.trace()
		reported := lastCounts(tr, j.foreignUp())
		require.NotZero(r, reported.CE)
		require.Equal(r, reported.CE, stats.CEMarks, "marks that quic-go reported, and those that Stats has")
		for _, dir := range []netrelay.Dir{netrelay.Up, netrelay.Down} {
			counts := lastCounts(tr, 1-dir)
			delivered := r.delivered(tr, dir, counts.Largest)
			require.Greater(r, delivered[conn.ECT0]+delivered[conn.ECNCE], uint64(100), "marking went on behind the test of the path")
			require.Equal(r, [4]uint64{conn.ECT0: counts.ECT0, conn.ECT1: counts.ECT1, conn.ECNCE: counts.CE},
				[4]uint64{conn.ECT0: delivered[conn.ECT0], conn.ECNCE: delivered[conn.ECNCE]}, "reported and delivered in direction %d", dir)
		}
	})
}

// delivered counts the 1-RTT packets that arrived, up to packet number largest, by codepoint.
func (r *run) delivered(tr *trace, dir netrelay.Dir, largest uint64) (marks [4]uint64) {
	arrived := make(map[string]uint8)
	for _, d := range r.tap.recorded() {
		if !d.sent {
			arrived[string(d.data)] = d.ecn
		}
	}
	for _, p := range tr.of(dir, conn.Packet1RTT) {
		if ecn, ok := arrived[string(p.data)]; ok && p.number <= largest {
			marks[ecn]++
		}
	}
	return marks
}

// lastCounts returns the last ACK frame with counts that went in a direction.
func lastCounts(tr *trace, dir netrelay.Dir) (last wire.Ack) {
	for _, p := range tr.of(dir, conn.Packet1RTT) {
		for _, f := range p.frames {
			if f.typ == wire.FrameAckECN {
				last, _ = wire.ParseAck(f.data)
			}
		}
	}
	return last
}

// exchangeMegabytes sends a megabyte each way.
func (r *run) exchangeMegabytes(ctx context.Context, j *joined) {
	r.Helper()
	errs := make(chan error, 2)
	go func() {
		s, err := j.foreign.AcceptStream(ctx)
		if err == nil {
			_, err = io.Copy(s, s)
			err = errors.Join(err, s.Close())
		}
		errs <- err
	}()
	s, err := j.own.OpenStream(ctx, conn.Bidi)
	require.NoError(r, err)
	defer s.Close()
	go func() {
		_, err := s.Write(make([]byte, mb))
		errs <- errors.Join(err, s.CloseWrite())
	}()
	n, err := io.Copy(io.Discard, s)
	require.NoError(r, err)
	require.EqualValues(r, mb, n)
	require.NoError(r, errors.Join(<-errs, <-errs))
}
