package webtransport

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"weak"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/dgram"
)

// ErrFlowControl is wrapped by the [SessionError] of a session whose peer broke a rule of its flow
// control.
var ErrFlowControl = errors.New("webtransport: flow control of the session was violated")

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFlowControl, fmt.Sprintf(format, args...))
}

// maxStreams is the highest limit of streams (draft-ietf-webtrans-http3-16, Section 5.6.2).
const maxStreams = 1 << 60

// limits are what one side lets the other send in a session before it gives more credit.
type limits struct {
	streams [2]uint64 // by conn.Dir
	data    uint64    // bytes
	most    uint64    // bytes; up to where this side grows data, 0 for the peer
}

// Defaults of the limits of a session. Those of data are what package conn has for a connection and
// for a stream, so that a session is as fast as a stream.
const (
	defaultMaxStreams     = 100
	defaultInitialMaxData = 1 << 20
	defaultMaxData        = 32 << 20
)

// limitsOf returns the limits of the fields of an Upgrader or Dialer: 0 means the default, and less
// means none.
func limitsOf(bidi, uni, initial, most int64) limits {
	field := func(n, def, most int64) uint64 {
		if n == 0 {
			n = def
		}
		return uint64(min(max(n, 0), most))
	}
	l := limits{
		streams: [2]uint64{field(bidi, defaultMaxStreams, maxStreams), field(uni, defaultMaxStreams, maxStreams)},
		most:    field(most, max(defaultMaxData, initial), varint.Max),
	}
	l.data = min(field(max(initial, 0), defaultInitialMaxData, varint.Max), l.most)
	return l
}

// any reports whether the limits ask for flow control (draft-ietf-webtrans-http3-16, Section 5.1).
func (l limits) any() bool { return l.streams[conn.Bidi] > 0 || l.streams[conn.Uni] > 0 || l.data > 0 }

// A flow is the flow control of a session (draft-ietf-webtrans-http3-16, Section 5), on a
// connection where both sides want it. It belongs to the loop's goroutine, except for the counters
// of what the application has done.
type flow struct {
	s      *Session
	group  *conn.StreamGroup // counts and limits the data of all streams of the session
	own    limits
	strict bool // a limit that stays the same is an error, too

	window    window
	toldData  uint64 // the limit of data that the peer has been told
	toldBlock uint64 // the limit that WT_DATA_BLOCKED was sent for, plus 1; 0 for none
	peerData  uint64
	in        [2]incoming // by conn.Dir
	out       [2]outgoing
	failed    bool

	starved atomic.Bool // the peer waits for more data than toldData

	read   atomic.Uint64    // bytes that the application has read, or given up
	closed [2]atomic.Uint64 // streams of the peer that the application has closed
	due    atomic.Bool      // a call of update is under way
	post   func(time.Time)  // update
}

// incoming are the streams of the peer.
type incoming struct{ opened, told uint64 }

// outgoing are the streams of this side.
type outgoing struct {
	opened, max uint64
	wanted      bool   // a stream waits for max
	toldBlock   uint64 // the limit that WT_STREAMS_BLOCKED was sent for, plus 1; 0 for none
}

// newFlow makes the flow control of s.
func newFlow(s *Session, own, peer limits, strict bool) *flow {
	f := &flow{s: s, own: own, strict: strict, window: window{size: own.data}, toldData: own.data, peerData: peer.data}
	// A connection that has ended may still lead to the group, and must not keep the session.
	weakly := weak.Make(f)
	f.group = conn.NewStreamGroup(peer.data, own.data, func() {
		if f := weakly.Value(); f != nil {
			f.wake()
		}
	})
	for dir := range f.in {
		f.in[dir].told, f.out[dir].max = own.streams[dir], min(peer.streams[dir], maxStreams)
	}
	f.post = f.update
	return f
}

// wake makes the loop call update soon. Any goroutine may call it.
func (f *flow) wake() {
	if !f.due.Swap(true) {
		f.s.m.handle.Loop().Post(f.post)
	}
}

// gotData notes that the application has read n bytes, or will not read them. It has update look
// whether there is credit a quarter of the first window at a time. A peer that waits gets what
// there is, because streams that nobody reads may hold more than that quarter leaves.
func (f *flow) gotData(n int) {
	if n == 0 {
		return
	}
	step := f.own.data/4 + 1
	if after := f.read.Add(uint64(n)); after/step != (after-uint64(n))/step || f.starved.Load() {
		f.wake()
	}
}

// left notes that the application has closed a stream of the peer.
func (f *flow) left(dir conn.Dir) {
	f.closed[dir].Add(1)
	f.wake()
}

// join makes a stream of the peer count. It returns false if it is one too many.
func (f *flow) join(qs *conn.Stream, header uint64) bool {
	in := &f.in[qs.ID().Dir()]
	if in.opened >= in.told {
		f.fail(violation("more than %d streams", in.told))
		return false
	}
	in.opened++
	qs.Join(f.group, header)
	return true
}

// mayOpen reports whether the peer's limit allows another stream.
func (f *flow) mayOpen(dir conn.Dir) bool {
	out := &f.out[dir]
	if out.opened < out.max {
		return true
	}
	if !out.wanted {
		out.wanted = true
		f.wake()
	}
	return false
}

// opened counts a stream that this side has opened. The header of the stream has header bytes.
func (f *flow) opened(qs *conn.Stream, header int) {
	f.out[qs.ID().Dir()].opened++
	qs.Join(f.group, uint64(header))
}

// fail ends the session because of what the peer did.
func (f *flow) fail(err error) {
	if !f.failed {
		f.failed = true
		go f.s.abort(err, FlowControlError)
	}
}

// retryTime is how long update waits before it tries again, if there was no room for capsules.
const retryTime = 100 * time.Millisecond

// update sends the capsules that are due, and checks whether the peer keeps to the limit of data.
// If there is no room for capsules, it drops them. A later update makes new ones from the newest
// limits. So capsules that wait take no memory.
func (f *flow) update(now time.Time) {
	f.due.Store(false)
	switch {
	case f.failed || f.s.ctx.Err() != nil:
		return
	case f.group.Exceeded():
		f.fail(violation("more data than %d bytes", f.toldData))
		return
	}
	f.grow(now)
	next := *f.capsulesDue()
	if len(next.b) == 0 {
		return
	}
	f.group.SetReceiveMax(next.data) // the peer may use it at once
	if !f.s.tryWrite(next.b) {
		time.AfterFunc(retryTime, f.wake)
		return
	}
	if next.data > f.toldData {
		f.starved.Store(false)
	}
	f.toldData, f.toldBlock = next.data, next.dataBlock
	for dir := range f.in {
		f.in[dir].told, f.out[dir].toldBlock = next.streams[dir], next.streamBlock[dir]
	}
}

// news is what the peer is to be told.
type news struct {
	b           []byte // capsules
	data        uint64
	dataBlock   uint64
	streams     [2]uint64
	streamBlock [2]uint64
}

// capsulesDue returns the capsules that are due, and what the peer knows once it has them.
func (f *flow) capsulesDue() *news {
	n := &news{data: f.toldData, dataBlock: f.toldBlock}
	// Credit for data comes a quarter of the window at a time, as the application reads.
	limit := min(f.consumed()+f.window.size, varint.Max)
	if f.own.data > 0 && limit > n.data && (limit-n.data >= f.window.size/4 || f.starved.Load()) {
		n.data = limit
		n.b = appendLimit(n.b, capsuleMaxData, limit)
	}
	if limit, blocked := f.group.Blocked(); blocked && n.dataBlock != limit+1 {
		n.dataBlock = limit + 1
		n.b = appendLimit(n.b, capsuleDataBlocked, limit)
	}
	for dir := range f.in {
		in, out := f.in[dir], f.out[dir]
		n.streams[dir], n.streamBlock[dir] = in.told, out.toldBlock
		// Each closed stream gives credit at once. A peer with few streams, most of which last,
		// would wait in vain for a larger step.
		if limit := min(f.closed[dir].Load()+f.own.streams[dir], maxStreams); f.own.streams[dir] > 0 && limit > in.told {
			n.streams[dir] = limit
			n.b = appendLimit(n.b, capsuleMaxStreamsBidi+uint64(dir), limit)
		}
		if out.wanted && out.opened >= out.max && out.toldBlock != out.max+1 {
			n.streamBlock[dir] = out.max + 1
			n.b = appendLimit(n.b, capsuleStreamsBlockedBidi+uint64(dir), out.max)
		}
	}
	return n
}

// handle handles a capsule of the peer, and returns an error if it breaks a rule.
func (f *flow) handle(c capsule) error {
	switch c.typ {
	case capsuleMaxData:
		if err := f.check(c, f.peerData); err != nil || c.limit == f.peerData {
			return err
		}
		f.peerData = c.limit
		f.group.SetSendMax(c.limit)
	case capsuleDataBlocked:
		if c.limit >= f.toldData {
			f.starved.Store(true)
			f.wake()
		}
	case capsuleMaxStreamsBidi, capsuleMaxStreamsUni:
		out := &f.out[c.typ-capsuleMaxStreamsBidi]
		if c.limit > maxStreams {
			return violation("a limit of %d streams", c.limit)
		}
		if err := f.check(c, out.max); err != nil {
			return err
		}
		out.max, out.wanted = c.limit, false
		f.s.m.open()
	case capsuleStreamsBlockedBidi, capsuleStreamsBlockedUni:
		if c.limit > maxStreams {
			return violation("blocked at %d streams", c.limit)
		}
	}
	return nil
}

// check checks a new limit against the one before (draft-ietf-webtrans-http3-16, Sections 5.6.2 and
// 5.6.4). Up to draft 14 it may stay the same.
func (f *flow) check(c capsule, before uint64) error {
	if c.limit < before || f.strict && c.limit == before {
		return violation("a limit of %d after %d", c.limit, before)
	}
	return nil
}

// appendLimit appends a capsule of flow control.
func appendLimit(b []byte, typ, limit uint64) []byte {
	return dgram.AppendCapsule(b, typ, varint.Append(nil, limit))
}
