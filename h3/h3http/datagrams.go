package h3http

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/dgram"
)

// Bounds of the datagrams that wait between a Stream and the loop. The connection has queues of its
// own besides. Of those to be sent, maxDatagrams wait. Of those that were received, at most
// maxReceived bytes wait, with what they cost. That is twice as much as a turn of the loop brings:
// a reader that runs between two turns loses nothing.
const (
	maxDatagrams = 64
	maxReceived  = 512 << 10
	minReceived  = 64 << 10 // as memory gets short
)

// datagramsCost is what the queues of datagrams take beside their datagrams, in bytes.
const datagramsCost = 1 << 10

// datagrams holds the datagrams of a stream that was taken over (RFC 9297). The lock of the
// exchange guards it.
type datagrams struct {
	in, out  datagramQueue
	readable sync.Cond
	writable sync.Cond
	maxSize  atomic.Int64 // MaxSize of the flow when the loop looked last
	stats    dgram.Stats  // Stats of the flow at that time
	dropped  uint64       // datagrams that newer ones pushed out of in
	err      error        // why no more come behind those of in; nil while more may come
}

// takeDatagrams makes the loop move datagrams between the flow of x and its queues. The caller has
// locked x.
func (x *exchange) takeDatagrams() {
	if x.dg != nil {
		return // drainDatagrams has done it
	}
	x.dg = new(datagrams)
	x.charge(datagramsCost)
	x.dg.readable.L = &x.mu
	x.dg.writable.L = &x.mu
	if x.stream == nil {
		x.dg.end(cmp.Or(x.life.failure, x.in.err))
	}
}

// pumpDatagrams moves datagrams both ways. It runs on the loop's goroutine. The caller has locked
// x.
func (x *exchange) pumpDatagrams(now time.Time) {
	flow := x.stream.Datagrams()
	if flow == nil {
		return
	}
	d := x.dg
	d.maxSize.Store(int64(flow.MaxSize()))
	defer func() { d.stats = flow.Stats() }()
	x.receiveDatagrams(flow)
	if x.out.over() {
		x.dropUnsent() // RFC 9297, Section 2.1: none is sent unless the send side is open
	} else {
		x.sendDatagrams(now, flow)
	}
}

// receiveDatagrams takes the datagrams that have come. If there are too many, it drops the oldest,
// as the flow does. When the application has finished with the exchange, it drops all.
func (x *exchange) receiveDatagrams(flow *dgram.Flow) {
	d := x.dg
	if x.closed {
		for _, ok := flow.Receive(); ok; _, ok = flow.Receive() {
		}
		return
	}
	room := x.c.pool.account.Room(maxReceived, minReceived)
	for b, ok := flow.Receive(); ok; b, ok = flow.Receive() {
		for d.in.n > 0 && d.in.bytes+len(b)+datagramCost > room {
			x.c.tally.missed.datagram()
			d.dropped++
			x.dropDatagram(&d.in)
		}
		x.queueDatagram(&d.in, b, time.Time{})
		d.readable.Broadcast()
	}
}

// queueDatagram appends a copy of b to a queue of x. The caller has locked x.
func (x *exchange) queueDatagram(q *datagramQueue, b []byte, until time.Time) {
	d := x.c.pool.datagram()
	d.b, d.until = append(d.b[:0], b...), until
	q.push(d)
	x.charge(d.cost())
}

// dropDatagram removes the oldest datagram from a queue of x. The caller has locked x.
func (x *exchange) dropDatagram(q *datagramQueue) {
	d := q.pop()
	x.charge(-d.cost())
	x.c.pool.putDatagram(d)
}

// dropUnsent drops the datagrams that wait to be sent. The caller has locked x.
func (x *exchange) dropUnsent() {
	for x.dg.out.n > 0 {
		x.dropDatagram(&x.dg.out)
	}
	x.dg.writable.Broadcast()
}

// dropReceived drops the datagrams that wait to be received. The caller has locked x.
func (x *exchange) dropReceived() {
	for x.dg.in.n > 0 {
		x.dropDatagram(&x.dg.in)
	}
}

// sendDatagrams hands the queued datagrams to the flow, as many as it takes. The caller has locked
// x.
func (x *exchange) sendDatagrams(now time.Time, flow *dgram.Flow) {
	for out := &x.dg.out; out.n > 0; {
		d := out.front()
		opt, tooOld := conn.DatagramOptions{}, false
		if !d.until.IsZero() {
			opt.MaxAge = d.until.Sub(now)
			tooOld = opt.MaxAge <= 0
		}
		if !tooOld {
			if _, err := flow.Send(d.b, opt); errors.Is(err, conn.ErrWouldBlock) {
				return // EventDatagramWritable follows
			}
			// Any other error loses the datagram. The path may have become narrower since the
			// datagram was queued.
		}
		x.dropDatagram(out)
		x.dg.writable.Broadcast()
	}
}

// end says that no more datagrams come, because of err. Those that have come stay readable.
func (d *datagrams) end(err error) {
	if d.err == nil {
		d.err = err
		d.readable.Broadcast()
	}
}

// endDatagrams ends the receiving of datagrams if both directions of the stream have ended, or if
// what is received has failed. It does so only while no event waits for the loop. The end of a
// direction, and an abort by this side too, may be known before the events of datagrams that came
// with it or earlier. The caller has locked x.
func (x *exchange) endDatagrams() {
	over := x.in.ended && (x.life.failure != nil || x.out.over())
	switch {
	case !over || x.dg.err != nil:
	case x.c.upToDate:
		x.dg.end(cmp.Or(x.life.failure, x.in.err))
	default:
		x.c.wake(x)
	}
}

// drainDatagrams takes all datagrams of the flow when the connection has ended. It does so for a
// stream that is not taken over yet, too: a client may have the response, and not have looked at
// it. The caller has locked x.
func (x *exchange) drainDatagrams(now time.Time) {
	if flow := x.stream.Datagrams(); x.dg == nil && flow != nil && flow.Len() > 0 {
		x.takeDatagrams()
	}
	if x.dg != nil {
		x.pumpDatagrams(now)
	}
}

// SendDatagram queues a copy of b. It is dropped if it waits longer than maxAge to be sent, unless
// maxAge is 0. SendDatagram waits, until ctx is done, for the loop to take what was queued before.
// That takes a moment, unless the queue of the connection is full and [conn.Config.DatagramPolicy]
// is to wait. The error is a *[dgram.TooLargeError] if b is longer than MaxDatagramSize. After
// CloseWrite and [Stream.Reset] it matches [net.ErrClosed] (RFC 9297, Section 2.1).
func (s *Stream) SendDatagram(ctx context.Context, b []byte, maxAge time.Duration) error {
	x, d := s.x, s.x.dg
	if int64(len(b)) > d.maxSize.Load() {
		if fits := s.MaxDatagramSize(); len(b) > fits {
			x.mu.Lock()
			defer x.mu.Unlock()
			return cmp.Or(x.sendEnded(), error(&dgram.TooLargeError{Len: len(b), Max: fits}))
		}
	}
	var until time.Time
	if maxAge > 0 {
		until = time.Now().Add(maxAge)
	}
	var stop func() bool
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		if err := x.sendEnded(); err != nil {
			return err
		}
		switch {
		case d.out.n < maxDatagrams:
			x.queueDatagram(&d.out, b, until)
			x.c.wake(x)
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if stop == nil {
			stop = wakeWhenDone(ctx, &d.writable)
			defer stop()
		}
		d.writable.Wait()
	}
}

// sendEnded returns why no datagram can be sent any more, or nil. That is why nothing can be
// written any more, or the failure of receiving. The caller has locked x.
func (x *exchange) sendEnded() error {
	if x.closed {
		return errStreamClosed // whatever has ended before, as for Read
	}
	return cmp.Or(x.endErr(), x.life.failure)
}

// ReceiveDatagram copies the oldest received datagram to b, and waits for one until ctx is done. If
// b is too short, the rest is lost, and the error is io.ErrShortBuffer. Datagrams end when both
// directions of the stream have ended, or when receiving has failed. The error is then io.EOF or
// that of Read. Datagrams that had arrived before come first, even if this side has ended the
// stream by [Stream.StopSending], [Stream.Reset] or CloseWrite. After [Stream.Close] and
// [Stream.Cancel] nothing comes.
func (s *Stream) ReceiveDatagram(ctx context.Context, b []byte) (int, error) {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	from, err := s.x.nextDatagram(ctx)
	if err != nil {
		return 0, err
	}
	n := copy(b, from)
	if n < len(from) {
		err = io.ErrShortBuffer
	}
	s.x.dropDatagram(&s.x.dg.in)
	return n, err
}

// AppendDatagram is ReceiveDatagram for those who do not know how long the datagram is: it appends
// the datagram to b, and returns the extended slice. If it returns an error, that is b itself.
func (s *Stream) AppendDatagram(ctx context.Context, b []byte) ([]byte, error) {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	from, err := s.x.nextDatagram(ctx)
	if err != nil {
		return b, err
	}
	b = append(b, from...)
	s.x.dropDatagram(&s.x.dg.in)
	return b, nil
}

// nextDatagram returns the oldest received datagram, and waits for one until ctx is done. The
// caller has locked x, and calls dropDatagram next.
func (x *exchange) nextDatagram(ctx context.Context) ([]byte, error) {
	d := x.dg
	var stop func() bool
	for {
		switch {
		case x.closed:
			return nil, net.ErrClosed
		case d.in.n > 0:
			return d.in.front().b, nil
		case d.err != nil:
			return nil, d.err
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		if stop == nil {
			stop = wakeWhenDone(ctx, &d.readable)
			defer stop()
		}
		d.readable.Wait()
	}
}

// DatagramStats returns the counters of the stream's datagrams. They do not tell what became of
// datagrams that were sent.
func (s *Stream) DatagramStats() dgram.Stats {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	st := s.x.dg.stats
	st.Dropped += s.x.dg.dropped
	return st
}

// wakeWhenDone wakes the goroutines that wait for cond when ctx is done.
func wakeWhenDone(ctx context.Context, cond *sync.Cond) (stop func() bool) {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, func() {
		cond.L.Lock()
		defer cond.L.Unlock()
		cond.Broadcast()
	})
}

// MaxDatagramSize returns the length of the longest datagram that can be sent now, or 0
// if the peer takes none. It follows the path MTU.
func (s *Stream) MaxDatagramSize() int {
	x := s.x
	x.c.handle.Do(context.Background(), func(now time.Time, _ *conn.Conn) {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.stream == nil {
			x.dg.maxSize.Store(0)
		} else {
			x.pumpDatagrams(now)
		}
	})
	return int(x.dg.maxSize.Load())
}
