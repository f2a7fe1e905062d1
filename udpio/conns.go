package udpio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conns is the driver for any net.PacketConn. One goroutine for each net.PacketConn reads ahead, so
// ReadBatch can wait for several of them, and needs none of their deadlines.
type conns struct {
	cfg   Config
	ready chan *datagram
	woken chan struct{} // has a token after wake
	timer *time.Timer   // of the goroutine in ReadBatch

	mu     sync.Mutex
	list   atomic.Pointer[[]*packetConn] // oldest first; never changed in place; set with mu held
	done   chan struct{}                 // closed when err is set
	err    error
	closed bool

	truncated, fallbacks atomic.Uint64
}

func newConns(cfg Config) *conns {
	d := &conns{
		cfg:   cfg,
		ready: make(chan *datagram, readAhead),
		woken: make(chan struct{}, 1),
		timer: time.NewTimer(time.Hour),
		done:  make(chan struct{}),
	}
	d.timer.Stop()
	d.list.Store(new([]*packetConn))
	return d
}

func (d *conns) addLocal(network, address string, o bindOptions) (netip.AddrPort, error) {
	lc := net.ListenConfig{Control: func(network, _ string, rc syscall.RawConn) error {
		return o.beforeBind(network, rc)
	}}
	c, err := lc.ListenPacket(context.Background(), network, address)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("udpio: %w", err)
	}
	if _, ok := c.(*net.UDPConn); !ok {
		c.Close()
		return netip.AddrPort{}, fmt.Errorf("udpio: listen: %w", net.UnknownNetworkError(network))
	}
	p := newPacketConn(d, c, network)
	if err := d.add(p); err != nil {
		c.Close()
		return netip.AddrPort{}, err
	}
	return p.local, nil
}

func (d *conns) add(p *packetConn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return net.ErrClosed
	}
	old := *d.list.Load()
	list := append(old[:len(old):len(old)], p)
	d.list.Store(&list)
	if len(old) == 0 {
		p.warnBuffers()
	}
	go p.read()
	return nil
}

func (d *conns) removeLocal(local netip.AddrPort) error {
	p, err := d.take(local)
	if err != nil {
		return err
	}
	return p.close() // which may wait for a reader that wants d.mu
}

// take removes the packetConn at local from the list.
func (d *conns) take(local netip.AddrPort) (*packetConn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return nil, net.ErrClosed
	}
	old := *d.list.Load()
	for i, p := range old {
		if p.local != local {
			continue
		}
		if len(old) == 1 {
			return nil, fmt.Errorf("udpio: %v is the only socket", local)
		}
		list := append(old[:i:i], old[i+1:]...)
		d.list.Store(&list)
		return p, nil
	}
	return nil, fmt.Errorf("udpio: no socket at %v", local)
}

// fail ends all reading and writing.
func (d *conns) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop(err)
}

// stop is fail for callers that hold mu.
func (d *conns) stop(err error) {
	if d.err == nil {
		close(d.done)
	}
	d.err = err
}

func (d *conns) close() error {
	d.mu.Lock()
	was := d.closed
	d.closed = true
	d.stop(net.ErrClosed)
	d.mu.Unlock()
	if was {
		return net.ErrClosed
	}
	var errs []error
	for _, p := range *d.list.Load() {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

func (d *conns) stopped() error {
	select {
	case <-d.done:
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.err
	default:
		return nil
	}
}

func (d *conns) readBatch(ms []Message, deadline time.Time) (n int, err error) {
	woken := false
	select {
	case <-d.woken:
		woken = true
	default:
	}
	for n == 0 && len(ms) > 0 {
		g, err := d.next(deadline, woken)
		if g == nil {
			return 0, err
		}
		for ; g != nil; g = d.poll() {
			if g.moveTo(&ms[n]) {
				n++
			} else {
				d.truncated.Add(1)
			}
			if n == len(ms) {
				break
			}
		}
		woken = woken || !deadline.IsZero() && time.Until(deadline) <= 0
	}
	return n, nil
}

// next waits for a datagram. It returns nil at the deadline, and after a call of wake. Woken says
// whether wake has been called already.
func (d *conns) next(deadline time.Time, woken bool) (*datagram, error) {
	if err := d.stopped(); err != nil {
		return nil, err
	}
	if g := d.poll(); g != nil || woken {
		return g, nil
	}
	var expired <-chan time.Time
	if !deadline.IsZero() {
		wait := time.Until(deadline)
		if wait <= 0 {
			return nil, nil
		}
		d.timer.Reset(wait)
		defer d.timer.Stop()
		expired = d.timer.C
	}
	select {
	case g := <-d.ready:
		return g, nil
	case <-d.done:
		return nil, d.stopped()
	case <-d.woken:
	case <-expired:
	}
	return nil, nil
}

// poll returns a datagram that has been read, or nil.
func (d *conns) poll() *datagram {
	select {
	case g := <-d.ready:
		return g
	default:
		return nil
	}
}

// setReading fails: a goroutine reads ahead.
func (d *conns) setReading(bool) error {
	return fmt.Errorf("udpio: pause reading: %w", errors.ErrUnsupported)
}

func (d *conns) wake() {
	select {
	case d.woken <- struct{}{}:
	default:
	}
}

func (d *conns) writeBatch(ms []Message) (n int, err error) {
	for ; n < len(ms); n++ {
		if err := d.stopped(); err != nil {
			return n, endOfWriting(err)
		}
		m := &ms[n]
		p := d.route(m)
		if p == nil {
			continue // its socket was removed
		}
		switch err := p.write(m); {
		case err == nil || p.isClosed():
		case errors.Is(err, net.ErrClosed):
			return n, net.ErrClosed
		default:
			return n, fmt.Errorf("udpio: write to %v: %w", m.Remote, err)
		}
	}
	return n, nil
}

// endOfWriting returns the error of writing after err has ended everything. It matches
// net.ErrClosed. It tells the reason too, because a caller may write before it reads again.
func endOfWriting(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	return fmt.Errorf("%w, after %w", net.ErrClosed, err)
}

// route returns the conn for m, or nil if m names one that is gone.
func (d *conns) route(m *Message) *packetConn {
	list := *d.list.Load()
	for _, p := range list {
		if m.Local.IsValid() && p.owns(m.Local) || !m.Local.IsValid() && p.reaches(m.Remote.Addr()) {
			return p
		}
	}
	if m.Local.IsValid() {
		return nil
	}
	return list[0] // none reaches m.Remote: its error says why
}

func (d *conns) caps() Caps {
	c := Caps{MaxSegments: 1, LocalAddr: true}
	for _, p := range *d.list.Load() {
		c.LocalAddr = c.LocalAddr && p.hasLocal
	}
	return c
}

func (d *conns) stats() Stats {
	p := (*d.list.Load())[0]
	return Stats{
		Truncated:    d.truncated.Load(),
		GSOFallbacks: d.fallbacks.Load(),
		ReadBuffer:   p.readBuffer,
		WriteBuffer:  p.writeBuffer,
	}
}

func (d *conns) localAddr() netip.AddrPort { return (*d.list.Load())[0].local }

func (d *conns) syscallConn() (syscall.RawConn, error) {
	if c, ok := (*d.list.Load())[0].conn.(syscall.Conn); ok {
		return c.SyscallConn()
	}
	return nil, fmt.Errorf("udpio: the conn has no descriptor: %w", errors.ErrUnsupported)
}
