package webtransport

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/loop"
)

// SendDatagram queues a copy of b, which is dropped if it waits longer than maxAge to be sent; 0
// for never. It waits, until ctx is done, for what was queued before. That takes a moment, unless
// the queue of the connection is full and [conn.Config.DatagramPolicy] is to wait. The error
// matches [conn.ErrTooLarge] if b is longer than MaxDatagramSize.
func (s *Session) SendDatagram(ctx context.Context, b []byte, maxAge time.Duration) error {
	if err := s.ended(); err != nil {
		return err
	}
	ctx, stop := s.bound(ctx)
	defer stop()
	return s.explain(s.connect.SendDatagram(ctx, b, maxAge))
}

// ReceiveDatagram copies the oldest received datagram to b, and waits for one until ctx is done. If
// b is too short, the rest is lost, and the error is io.ErrShortBuffer. Of datagrams that nobody
// receives, the oldest are dropped.
//
// When the peer ends the session, by a close, by the end of the CONNECT stream or by its reset, and
// when the connection ends, the datagrams that came before still come first. Then the error is the
// [SessionError]. After a Close of this side, also one behind such an end, and after a violation of
// flow control nothing comes.
func (s *Session) ReceiveDatagram(ctx context.Context, b []byte) (int, error) {
	if s.ended() == nil {
		bound, stop := s.bound(ctx)
		n, err := s.connect.ReceiveDatagram(bound, b)
		stop()
		if err == nil || errors.Is(err, io.ErrShortBuffer) {
			return n, err
		}
		if ctx.Err() == nil {
			<-s.ctx.Done() // datagrams end with what is received: run is about to find out why
		}
		if err = s.explain(context.Cause(ctx)); s.ended() == nil {
			return 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	from, ok := s.kept.take()
	if !ok {
		return 0, s.err
	}
	n := copy(b, from)
	if n < len(from) {
		return n, io.ErrShortBuffer
	}
	return n, nil
}

// MaxDatagramSize returns the length of the longest datagram that can be sent now. It
// follows the path MTU.
func (s *Session) MaxDatagramSize() int { return s.connect.MaxDatagramSize() }

// maxKept is how many bytes of datagrams all sessions of a connection keep that have ended, with
// what they cost. A [h3http.Stream] queues no more. Others may come while these are taken.
const maxKept = 512 << 10

// keptDatagrams are those that came before the end of a session, and that nobody has received. They
// are kept beside the CONNECT stream, so that it can be closed. They count in the account of the
// connection. The lock of the session guards them, except held. A nil one is empty.
type keptDatagrams struct {
	conn  *loop.Conn
	list  [][]byte
	held  atomic.Int64  // bytes that count
	total *atomic.Int64 // of all sessions of the connection
}

// keepDatagrams takes the datagrams of a session that is about to end. It must not run on the
// loop's goroutine.
func (s *Session) keepDatagrams() *keptDatagrams {
	// The end may be known before the events of datagrams that came with it or earlier. The loop
	// handles those first.
	s.m.run(func() {})
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // there is nothing to wait for
	k := &keptDatagrams{conn: s.m.handle, total: s.m.kept}
	for k.total.Load() < maxKept {
		b, err := s.connect.AppendDatagram(ctx, nil)
		if err != nil {
			break
		}
		k.list = append(k.list, b)
		k.count(datagramCost(b))
	}
	if len(k.list) == 0 {
		return nil
	}
	runtime.AddCleanup(s, (*keptDatagrams).uncount, k)
	return k
}

// datagramCost returns how many bytes count for a datagram that is kept.
func datagramCost(b []byte) int {
	const overhead = 48 // its place in a list that has grown
	return cap(b) + overhead
}

// count counts n more bytes.
func (k *keptDatagrams) count(n int) {
	k.held.Add(int64(n))
	k.total.Add(int64(n))
	k.conn.Account().Hold(n)
}

// uncount counts nothing any more. Any goroutine may call it.
func (k *keptDatagrams) uncount() {
	n := k.held.Swap(0)
	k.total.Add(-n)
	k.conn.Account().Hold(-int(n))
}

// take returns the oldest datagram.
func (k *keptDatagrams) take() (b []byte, ok bool) {
	if k == nil || len(k.list) == 0 {
		return nil, false
	}
	b = k.list[0]
	k.list[0] = nil
	k.list = k.list[1:]
	k.count(-datagramCost(b))
	return b, true
}

// drop drops all datagrams.
func (k *keptDatagrams) drop() {
	if k != nil {
		k.list = nil
		k.uncount()
	}
}
