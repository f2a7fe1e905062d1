package loop

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// Bounds of the datagrams that wait between the application and the connection, which has queues of
// its own besides. Of those to be sent, maxDatagrams wait. Of those that were received, at most
// maxReceived bytes wait, with what they cost. That is eight times as much as a turn of the loop
// brings: a reader loses nothing while the system lets others have its processor for some turns.
const (
	maxDatagrams = 64
	maxReceived  = 2 << 20
	minReceived  = 64 << 10 // as memory gets short
)

// A datagram is one that waits to be sent or to be received.
type datagram struct {
	b   []byte
	how conn.DatagramOptions // if it is to be sent
}

// datagramCost is what a datagram takes beside its bytes, with its place in a queue.
const datagramCost = 64

func (d *datagram) cost() int { return cap(d.b) + datagramCost }

// A datagramQueue holds copies of datagrams, in memory of the Loop's datagramPool. They count in an
// Account.
type datagramQueue struct {
	queue[*datagram]
	pool    *datagramPool
	account *Account
	bytes   int // what its datagrams cost
}

func (q *datagramQueue) add(b []byte, how conn.DatagramOptions) {
	d := q.pool.get()
	d.b, d.how = append(d.b[:0], b...), how
	q.push(d)
	q.bytes += d.cost()
	q.account.Hold(d.cost())
}

func (q *datagramQueue) front() *datagram { return q.items[q.head] }

func (q *datagramQueue) drop() {
	if d, ok := q.pop(); ok {
		q.bytes -= d.cost()
		q.account.Hold(-d.cost())
		q.pool.put(d)
	}
}

// A datagramPool recycles datagrams of all queues of a Loop. Any goroutine may use it.
type datagramPool struct{ pool sync.Pool }

func (p *datagramPool) get() *datagram {
	if d, ok := p.pool.Get().(*datagram); ok {
		return d
	}
	return new(datagram)
}

func (p *datagramPool) put(d *datagram) { p.pool.Put(d) }

// datagrams holds the datagrams of a Conn. The mutex of the Conn guards it.
type datagrams struct {
	out, in        datagramQueue
	full           bool          // the connection takes no more: EventDatagramWritable follows
	receiving      bool          // ReceiveDatagram was called
	readable       bool          // the connection may have more
	left           bool          // in Loop.leftovers
	waiting        int           // how many goroutines wait for arrival
	space, arrival chan struct{} // tokens for goroutines that wait to send and to receive
}

func (d *datagrams) init(pool *datagramPool, a *Account) {
	d.out = datagramQueue{pool: pool, account: a}
	d.in = datagramQueue{pool: pool, account: a}
}

// dropOutgoing drops the datagrams that wait to be sent, because none can be sent any more.
func (d *datagrams) dropOutgoing() {
	for d.out.len() > 0 {
		d.out.drop()
	}
}

func (d *datagrams) wakeAll() {
	notify(d.space)
	notify(d.arrival)
}

// sendDatagrams moves datagrams that wait to the connection. It runs on the loop's goroutine, with
// c.mu held.
func (c *Conn) sendDatagrams() {
	d := &c.datagrams
	moved := false
	for d.out.len() > 0 && !d.full && c.err == nil {
		g := d.out.front()
		_, err := c.c.SendDatagram(g.b, c.l.lending.fromNow(g.how))
		if errors.Is(err, conn.ErrWouldBlock) {
			d.full = true
			break
		}
		d.out.drop() // the path may have become too narrow for it: drop it then, too
		moved = true
	}
	if moved {
		notify(d.space)
		c.l.wokeBorrower()
	}
}

// leaveDatagrams leaves datagrams that the connection received where they are, if a goroutine waits
// for them: see leftovers. It runs on the loop's goroutine, with c.mu held.
func (c *Conn) leaveDatagrams() {
	d := &c.datagrams
	d.readable = true
	if d.waiting == 0 {
		c.receiveDatagrams()
		return
	}
	if !d.left {
		d.left = true
		c.l.leftovers.conns = append(c.l.leftovers.conns, c)
	}
	notify(d.arrival)
	c.l.wokeBorrower()
}

// receiveDatagrams moves datagrams that the connection received to the queue. It runs on the loop's
// goroutine, with c.mu held.
func (c *Conn) receiveDatagrams() {
	d := &c.datagrams
	if !d.receiving || !d.readable {
		return
	}
	for room := c.account.Room(maxReceived, minReceived); d.in.bytes < room; {
		b, ok := c.c.ReceiveDatagram()
		if !ok {
			d.readable = false
			break
		}
		d.in.add(b, conn.DatagramOptions{})
	}
	if d.in.len() > 0 {
		if d.waiting > 0 {
			notify(d.arrival)
		}
		c.l.wokeBorrower() // also for a reader that does not wait, but has lost its processor
	}
}

// usable returns why c cannot be used for datagrams. The caller holds c.mu.
func (c *Conn) usable() error {
	if c.err == nil && c.handled {
		return errHandled
	}
	return c.err
}

// SendDatagram queues a copy of b, which is dropped if it waits longer than maxAge to be sent; 0
// for never. If the queue is full, [conn.Config.DatagramPolicy] decides. SendDatagram waits only if
// the policy is to wait, and then until there is room or ctx is done.
func (c *Conn) SendDatagram(ctx context.Context, b []byte, maxAge time.Duration) error {
	return c.sendDatagram(ctx, b, conn.DatagramOptions{MaxAge: maxAge})
}

// SendRedundantDatagram is SendDatagram on every path of a connection with multipath that works and
// is no backup: see [conn.DatagramOptions]. The peer receives each copy that arrives.
func (c *Conn) SendRedundantDatagram(ctx context.Context, b []byte, maxAge time.Duration) error {
	return c.sendDatagram(ctx, b, conn.DatagramOptions{MaxAge: maxAge, Redundant: true})
}

func (c *Conn) sendDatagram(ctx context.Context, b []byte, how conn.DatagramOptions) error {
	if err := c.fits(ctx, len(b)); err != nil {
		return err
	}
	for waited := false; ; waited = true {
		if done, err := c.queueDatagram(b, how, waited); done {
			return err
		}
		c.l.mayWait("SendDatagram")
		select {
		case <-c.datagrams.space:
		case <-ctx.Done():
			if err := c.closed(); err != nil { // ctx may be done because of this error
				return err
			}
			return ctx.Err()
		}
	}
}

// queueDatagram queues a datagram. It reports false if there is no room and the policy is to wait.
// A caller that has waited passes the token on to others who wait.
func (c *Conn) queueDatagram(b []byte, how conn.DatagramOptions, waited bool) (done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &c.datagrams
	if err := c.usable(); err != nil {
		notify(d.space)
		return true, err
	}
	if c.sendThrough(b, how) {
		if waited {
			notify(d.space)
		}
		return true, nil
	}
	if d.out.len() >= maxDatagrams {
		switch c.policy {
		case conn.DatagramDropOldest:
			d.out.drop()
		case conn.DatagramDropNewest:
			return true, nil
		default:
			tokens(&d.space)
			return false, nil
		}
	}
	d.out.add(b, how)
	if waited && d.out.len() < maxDatagrams {
		notify(d.space)
	}
	if !d.full {
		c.mark()
	}
	return true, nil
}

// sendThrough hands a datagram to the connection, if none waits before it, and if the loop can be
// borrowed. It reports false if the datagram has to wait. The caller holds c.mu.
func (c *Conn) sendThrough(b []byte, how conn.DatagramOptions) bool {
	d := &c.datagrams
	if d.full || d.out.len() > 0 || !c.borrowNow() {
		return false
	}
	_, err := c.c.SendDatagram(b, c.l.lending.fromNow(how))
	c.l.giveBack()
	d.full = errors.Is(err, conn.ErrWouldBlock)
	return !d.full // the path may have become too narrow for it: it is dropped then
}

// fits returns an error if a datagram of n bytes cannot be sent.
func (c *Conn) fits(ctx context.Context, n int) error {
	if int64(n) <= c.maxDatagram.Load() {
		return nil
	}
	// The path may have grown since the loop looked.
	none := false
	if err := c.Do(ctx, func(_ time.Time, cc *conn.Conn) {
		c.flush()
		none = cc.NoDatagrams()
	}); err != nil {
		return err
	}
	if err := c.closed(); err != nil {
		return err
	}
	switch {
	case none:
		return conn.ErrNoDatagrams
	case int64(n) > c.maxDatagram.Load():
		return conn.ErrTooLarge
	}
	return nil
}

// MaxDatagramSize is [conn.Conn.MaxDatagramSize]. It is 0 once the connection has ended.
func (c *Conn) MaxDatagramSize() int { return int(c.maxDatagram.Load()) }

// ReceiveDatagram copies the oldest received datagram to b. If b is too short,
// the rest is lost, and the error is io.ErrShortBuffer.
func (c *Conn) ReceiveDatagram(ctx context.Context, b []byte) (int, error) {
	got, size, err := c.receiveDatagram(ctx, b, false)
	if len(got) < size {
		err = io.ErrShortBuffer
	}
	return len(got), err
}

// AppendDatagram is ReceiveDatagram for those who do not know how long the datagram is: it appends
// the datagram to b, and returns the extended slice. If it returns an error, that is b itself.
func (c *Conn) AppendDatagram(ctx context.Context, b []byte) ([]byte, error) {
	b, _, err := c.receiveDatagram(ctx, b, true)
	return b, err
}

// receiveDatagram appends the oldest received datagram to b, or copies to b what fits. It returns
// the result and the size of the datagram.
func (c *Conn) receiveDatagram(ctx context.Context, b []byte, whole bool) ([]byte, int, error) {
	d := &c.datagrams
	failed := b
	if !whole {
		failed = nil
	}
	for waited := false; ; waited = true {
		c.mu.Lock()
		if waited {
			d.waiting--
		}
		if !d.receiving && c.usable() == nil {
			d.receiving = true
			c.post()
		}
		if got, size, ok := c.takeDatagram(b, whole); ok {
			c.mu.Unlock()
			return got, size, nil
		}
		err := c.usable()
		if err != nil {
			notify(d.arrival)
			c.mu.Unlock()
			return failed, 0, err
		}
		if d.readable {
			c.post() // the loop is at work, and may sleep after that
		}
		d.waiting++
		arrival := tokens(&d.arrival)
		c.mu.Unlock()
		if whole {
			c.l.mayWait("AppendDatagram")
		} else {
			c.l.mayWait("ReceiveDatagram")
		}
		if !await(ctx, arrival) {
			return failed, 0, c.stopWaiting(ctx)
		}
	}
}

// stopWaiting ends the wait of a goroutine whose ctx is done, and returns the error of the call.
func (c *Conn) stopWaiting(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &c.datagrams
	d.waiting--
	if d.in.len() > 0 || d.readable || c.err != nil {
		notify(d.arrival) // the token may have been for the caller
	}
	if c.err != nil { // ctx may be done because of this error
		return c.err
	}
	return ctx.Err()
}

// takeDatagram removes the oldest datagram, of the queue or of the connection, and does with it
// what receiveDatagram says. It reports false if there is none. Once few are in the queue, the loop
// brings more. The caller holds c.mu.
func (c *Conn) takeDatagram(b []byte, whole bool) (got []byte, size int, ok bool) {
	d := &c.datagrams
	if d.in.len() > 0 {
		g := d.in.front().b
		got, size = appended(b, g, whole), len(g)
		d.in.drop()
		if d.readable && d.in.bytes <= minReceived/2 {
			c.mark()
		}
	} else if d.readable && c.borrow() {
		g, ok := c.c.ReceiveDatagram()
		got, size, d.readable = appended(b, g, whole), len(g), ok
		c.l.giveBack()
		if !ok {
			return nil, 0, false
		}
	} else {
		return nil, 0, false
	}
	if d.waiting > 0 && (d.in.len() > 0 || d.readable || c.usable() != nil) {
		notify(d.arrival) // the next one takes what is left, or learns of the end
	}
	return got, size, true
}

// appended does with the datagram g what receiveDatagram says.
func appended(b, g []byte, whole bool) []byte {
	if whole {
		return append(b, g...)
	}
	return b[:copy(b, g)]
}
