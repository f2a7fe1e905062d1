package loop

import (
	"bytes"
	"runtime"
	"time"

	"github.com/lazoquic/lazo/conn"
)

const (
	// slowTurn is how long a turn may last. A longer one makes other connections wait.
	slowTurn = 5 * time.Millisecond

	// retryWait is how soon a full Backend is tried again if it does not say that it has room. The
	// endpoint's Timeout cannot decide it: that is due for as long as there is something to send.
	retryWait = time.Millisecond

	// maxIdle is how many turns in a row may be due and achieve nothing. Only an endpoint that
	// never makes progress gets there.
	maxIdle = 1000
)

// A turn sends after sendEvents events, or as many streams, so that the peer has work while it goes
// on. Later it sends after more of them, up to maxSendEvents: see sendPace. 64 small requests at a
// time cost least if a turn sends in the middle of them.
const (
	sendEvents    = 32
	maxSendEvents = 128
)

// A sendPace says when a turn sends between events: each time after twice as many of them as
// before, up to maxSendEvents. To send costs a system call, and the goroutines run that wait. So
// what a short turn has leaves soon, and what a long one has costs less.
type sendPace struct{ share, next int }

// due reports whether to send now that so many events were handled.
func (p *sendPace) due(events int) bool {
	if events < p.next {
		return false
	}
	p.share = min(2*p.share, maxSendEvents)
	p.next += p.share
	return true
}

// turn runs one turn. It reports whether the loop is over, and returns the error of its Backend.
func (l *Loop) turn() (over bool, err error) {
	l.yield()
	n, err := l.read()
	l.mail.awake()
	if err != nil {
		return true, err
	}
	l.turns++
	start := time.Now()
	l.now = start
	if l.hasRead {
		l.readAt = start
	}
	late := time.Duration(0)
	if l.observer != nil {
		late = l.lateness()
	}
	l.leftovers.collect()
	l.mail.take(&l.letters)
	l.settle()
	progress := n > 0 || !l.letters.empty()

	l.receive(n)
	// What goroutines have posted happens at the present time, not at the time of the last turn.
	if l.due() || !l.letters.empty() {
		l.ep.HandleTimeout(l.now)
	}
	events, sent, err := l.dispatch()
	l.runLetters() // also when the loop ends: goroutines may wait for these functions
	if err != nil {
		return true, err
	}
	more, err := l.sendAnswered(true)
	if err != nil {
		return true, err
	}
	took := l.now.Sub(start) - l.yielded
	l.yielded = 0
	if took > slowTurn {
		l.slowTurns++
	}
	if l.observer != nil {
		l.observer.TurnDone(took, late)
	}
	sent += more
	l.publish()
	l.watch(progress || events+sent > 0)
	return l.over(sent), nil
}

// freshRead is how long the Backend counts as empty after a read that has emptied it. In this time
// the handler of one request answers. Many handlers take longer, and then a read may find
// datagrams.
const freshRead = 100 * time.Microsecond

// read waits for datagrams, a wake-up or the endpoint's Timeout, and reads a batch. It saves the
// read if letters wait and the turn before has emptied the Backend a moment ago. Otherwise each
// answer of a goroutine would cost a read that finds nothing.
func (l *Loop) read() (n int, err error) {
	deadline, letters := l.deadline()
	if l.lending.wasUsed() {
		letters = true
	}
	if letters && l.hasRead && l.emptied && time.Since(l.readAt) < freshRead {
		l.hasRead = false
		return 0, nil
	}
	l.in.fit(l.ep.MaxUDPPayloadSize())
	l.lending.leave(deadline, true)
	n, err = l.backend.ReadBatch(l.in.ms, deadline)
	if n == 0 && err == nil && !letters && l.mail.worked() {
		// A step of TLS had the core and woke the loop. Datagrams have come meanwhile as a rule.
		// They need no turn of their own.
		n, err = l.backend.ReadBatch(l.in.ms, l.now)
	}
	l.lending.back()
	l.lending.wasUsed() // this turn does what there is to do
	l.hasRead, l.emptied = true, n < len(l.in.ms)
	return n, err
}

// Yield lets other goroutines run before the loop sends or takes another turn. It is for Handlers
// that wake goroutines. The loop then finds all their answers in one turn; without Yield each
// answer wakes the loop again. Functions that these goroutines post run in the turn after. A
// Handler that takes their answers in Flush sends them sooner. If Flush wakes goroutines, it calls
// Yield again. Call Yield on the loop's goroutine.
func (l *Loop) Yield() { l.woken, l.roused = true, true }

// wokeBorrower is Yield for a goroutine that can borrow the loop. What such goroutines write is in
// the connection when they have run once, before the loop sends.
func (l *Loop) wokeBorrower() { l.roused = true }

// maxYields is how often in a row the loop lets other goroutines run. The runtime takes it out of
// turn once in 61 times, and then some of those that were woken have not run.
const maxYields = 4

// yield does what Yield asked for.
func (l *Loop) yield() {
	used := false
	if l.woken || l.roused {
		used, _ = l.letRun(l.clock())
	}
	l.woken, l.lending.used = false, used
}

// clock returns the time. The time of day in it is that of the turn's beginning plus what has
// passed by the monotonic clock. So it costs half of what time.Now does.
func (l *Loop) clock() time.Time { return l.now.Add(time.Since(l.now)) }

// letRun lets other goroutines run, from now on. It reports whether they have given the loop
// something to do, and returns the time when they have run.
func (l *Loop) letRun(now time.Time) (used bool, end time.Time) {
	used = l.rounds(runtime.Gosched)
	l.roused = false
	end = l.clock()
	l.order.ran(now, end)
	return used, end
}

// rounds calls run, which lets other goroutines run. It goes on while they use the Endpoint,
// because others may be about to. Where goroutines take long, what they have sent does not wait for
// more.
func (l *Loop) rounds(run func()) (used bool) {
	again := true
	until := l.now.Add(1) // what is due now was not due when the last turn ended
	for n := 0; again && n < maxYields && (n == 0 || time.Since(l.now) < freshRead); n++ {
		l.lending.leave(until, false)
		run()
		l.lending.back()
		until = l.lending.until // later if a borrower has moved the time of the Endpoint
		again = l.lending.wasUsed()
		used = used || again
	}
	return used
}

// deadline returns the time until which the loop may wait for datagrams. It also reports whether
// letters wait, and then the loop must not wait.
func (l *Loop) deadline() (t time.Time, letters bool) {
	switch {
	case !l.mail.sleep():
		return l.now, true
	case l.stopping && len(l.out.waiting) == 0:
		return l.now, false
	case len(l.out.waiting) > 0, l.idle >= maxIdle:
		return l.now.Add(retryWait), false
	default:
		return l.ep.Timeout(), false
	}
}

func (l *Loop) due() bool {
	t := l.ep.Timeout()
	return !t.IsZero() && !t.After(l.now)
}

// watch counts turns in a row that were due and achieved nothing. At maxIdle it writes a log line,
// and deadline lets the loop sleep a little between turns: a fault of the state machine then costs
// little time.
func (l *Loop) watch(progress bool) {
	if progress || len(l.out.waiting) > 0 || !l.due() {
		l.idle = 0
		return
	}
	if l.idle++; l.idle == maxIdle {
		l.log.Error("loop makes no progress", "loop", l.index, "timeout", l.ep.Timeout())
	}
}

// over reports whether the loop may stop: it has nothing left to send, or has waited long enough.
func (l *Loop) over(sent int) bool {
	if l.draining && !l.alive() {
		l.end()
	}
	if len(l.out.waiting) > 0 {
		return l.stopping && !l.now.Before(l.stopBy)
	}
	return l.stopping && sent == 0
}

// receive feeds the endpoint: the n messages that were read, datagrams that other loops handed
// over, and finished TLS work.
func (l *Loop) receive(n int) {
	for i := range l.in.ms[:n] {
		m := &l.in.ms[i]
		d := conn.Datagram{
			Data:        m.Buf,
			SegmentSize: m.SegmentSize,
			Remote:      m.Remote,
			Local:       m.Local,
			ECN:         conn.ECN(m.ECN),
		}
		if m.Err != nil {
			l.undelivered(d, m.Err)
		} else if l.shards == nil || l.shards.alone() {
			l.ep.Receive(l.now, d)
		} else {
			l.route(l.now, &d)
		}
	}
	if n > 0 && l.leaving != nil {
		l.forward()
	}
	l.in.next(l.now, n)
	l.letters.handed.receive(l.now, l.ep)
	for _, w := range l.letters.works {
		l.ep.Complete(l.now, w)
	}
}

// undelivered handles an ICMP message about the datagram d. The source connection ID, which this
// side chose, tells which loop has sent d.
func (l *Loop) undelivered(d conn.Datagram, err error) {
	if l.shards != nil {
		h, _ := conn.ParseHeader(d.Data, l.shards.idLen)
		if i := l.shards.indexOf(h.SCID); i != l.index {
			other := l.group.loops[i]
			d.Data = bytes.Clone(d.Data)
			other.Post(func(now time.Time) { other.ep.Undelivered(now, d, err) })
			return
		}
	}
	l.ep.Undelivered(l.now, d, err)
}

// dispatch hands out events, and sends between them at the pace of sendPace. It returns how many
// events there were, and how many messages were sent.
func (l *Loop) dispatch() (events, sent int, err error) {
	pace := sendPace{sendEvents, sendEvents}
	ev, ok := l.ep.NextEvent() // one variable for all: an Event is large
	for ; ok; ev, ok = l.ep.NextEvent() {
		l.handle(&ev)
		if events++; pace.due(events) {
			n, err := l.sendAnswered(false)
			if err != nil {
				return events, sent, err
			}
			sent += n
		}
	}
	return events, sent, nil
}

// sendAnswered is send after goroutines have run that the turn has woken. What they write is sent,
// too, without another turn. In the middle of a turn, the peer then has work while the turn goes
// on. With 64 small requests at a time, that makes half as many again, and costs no more CPU.
//
// Goroutines that borrow the loop have written to their connections when they have run, and
// Handlers take the answers of others in Flush. Letters still wait for the next turn. last says
// that the turn ends: what Yield asked for is done then.
func (l *Loop) sendAnswered(last bool) (sent int, err error) {
	l.serveReady()
	if (l.roused || last && l.woken) && l.yielded < maxYielded && l.order.othersFirst(l.now) {
		l.now = l.clock()
		l.publish()               // what came in this turn counts for writers
		_, now := l.letRun(l.now) // the turn goes on, and looks for all there is to do
		l.yielded += now.Sub(l.now)
		l.now = now
		if last {
			l.woken = false
		}
	}
	// The Endpoint takes more where it knows of less: it must know what others keep by now.
	l.mail.takeAccounts(&l.letters)
	l.settle()
	return l.send()
}

// send serves and flushes what has changed, and transmits. It does so in several rounds if much has
// changed.
func (l *Loop) send() (sent int, err error) {
	for more := true; more && err == nil; {
		more = l.flush()
		l.now = l.clock() // without a new time, a long turn would distort samples of RTT and rate
		var n int
		n, err = l.transmit()
		sent += n
	}
	return sent, err
}

// runLetters runs the functions that other goroutines posted, serves their connections, and
// enqueues their streams.
func (l *Loop) runLetters() {
	for _, f := range l.letters.posts {
		f(l.now)
	}
	for _, c := range l.letters.conns {
		c.serve()
	}
	for _, s := range l.letters.streams {
		l.enqueue(s)
	}
	l.letters.clear()
}

// enqueue lets s be served in this turn.
func (l *Loop) enqueue(s *streamState) {
	if !s.queued {
		s.queued = true
		l.ready = append(l.ready, s)
	}
}

// flush serves streams, and then the connections that had events. It reports whether streams are
// left.
func (l *Loop) flush() (more bool) {
	more = l.serveReady()
	l.flushTouched()
	return more
}

// serveReady serves up to sendEvents streams that had events or letters. It reports whether streams
// are left.
func (l *Loop) serveReady() (more bool) {
	n := min(len(l.ready), sendEvents)
	for _, s := range l.ready[:n] {
		s.queued = false
		s.serve()
	}
	left := copy(l.ready, l.ready[n:])
	clear(l.ready[left:])
	l.ready = l.ready[:left]
	return left > 0
}

// flushTouched calls Flush for the connections that had events.
func (l *Loop) flushTouched() {
	for i := 0; i < len(l.touched); i++ { // the length may grow: Flush may touch other connections
		a := l.touched[i]
		a.touched = false
		if a.closed {
			continue
		}
		if a.h != nil {
			a.h.Flush(l.now, a.c)
		}
		if a.handle != nil {
			a.handle.flush()
		}
	}
	clear(l.touched)
	l.touched = l.touched[:0]
}
