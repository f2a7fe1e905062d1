package udpio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sockets is the driver for sockets of the kernel.
type sockets struct {
	cfg    Config
	poller *poller

	mu     sync.Mutex              // held by those who change ports
	ports  atomic.Pointer[[]*port] // oldest first; never empty, and never changed in place
	closed atomic.Bool
	paused atomic.Bool // see SetReading

	directory atomic.Pointer[directory] // of ports, once there have been many
	common    atomic.Pointer[Caps]      // what all ports can do

	overflows, truncated, fallbacks atomic.Uint64

	reader batchReader // of the goroutine in ReadBatch
	writer batchWriter // of the goroutine in WriteBatch
}

func listen(network, address string, cfg Config, reusePort bool) (driver, error) {
	s, err := newSockets(cfg)
	if err != nil {
		return nil, err
	}
	if _, err := s.addLocal(network, address, bindOptions{reusePort: reusePort}); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// wrapUDP makes the driver for a socket that was made elsewhere.
func wrapUDP(c *net.UDPConn, cfg Config) (driver, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("udpio: wrap: %w", err)
	}
	s, err := newSockets(cfg)
	if err != nil {
		return nil, err
	}
	var closer io.Closer = c
	if cfg.KeepOpen {
		closer = leftOpen{rc}
	}
	if err := s.addPort(closer, rc, addrPort(c.LocalAddr()), addrPort(c.RemoteAddr())); err != nil {
		s.poller.close()
		return nil, fmt.Errorf("udpio: wrap: %w", err)
	}
	return s, nil
}

// leftOpen is a socket that its user goes on with: closing it only ends what Wrap began.
type leftOpen struct{ rc syscall.RawConn }

// Close turns GRO off: the user expects one datagram for each read.
func (l leftOpen) Close() error {
	return l.rc.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 0)
	})
}

func newSockets(cfg Config) (*sockets, error) {
	s := &sockets{
		cfg:    cfg,
		reader: batchReader{vector: new(vector), zones: newZones()},
		writer: newBatchWriter(),
	}
	s.ports.Store(new([]*port))
	var err error
	s.poller, err = newPoller(s.tryRead)
	return s, err
}

func (s *sockets) addLocal(network, address string, o bindOptions) (netip.AddrPort, error) {
	lc := net.ListenConfig{Control: func(network, _ string, rc syscall.RawConn) error {
		return o.beforeBind(network, rc)
	}}
	pc, err := lc.ListenPacket(context.Background(), network, address)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("udpio: %w", err)
	}
	c, ok := pc.(*net.UDPConn)
	if !ok {
		pc.Close()
		return netip.AddrPort{}, fmt.Errorf("udpio: listen: %w", net.UnknownNetworkError(network))
	}
	local, err := s.addConn(c)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("udpio: listen: %w", err)
	}
	return local, nil
}

// addConn takes c over, and returns its address.
func (s *sockets) addConn(c *net.UDPConn) (netip.AddrPort, error) {
	local := addrPort(c.LocalAddr())
	f, err := leaveNetpoller(c)
	if err != nil {
		return netip.AddrPort{}, err
	}
	rc, err := f.SyscallConn()
	if err == nil {
		err = s.addPort(f, rc, local, netip.AddrPort{})
	}
	if err != nil {
		f.Close()
		return netip.AddrPort{}, err
	}
	return local, nil
}

// adopt makes the driver for a socket that is bound to an address.
func adopt(c *net.UDPConn, cfg Config) (driver, error) {
	s, err := newSockets(cfg)
	if err != nil {
		c.Close()
		return nil, err
	}
	if _, err := s.addConn(c); err != nil {
		s.poller.close()
		return nil, err
	}
	return s, nil
}

// leaveNetpoller closes c but keeps its socket, as a file that the netpoller does not watch.
// Otherwise the netpoller would hear of each datagram twice, and also whenever one was sent. That
// takes 4 to 6 % of the CPU time on loopback.
func leaveNetpoller(c *net.UDPConn) (*os.File, error) {
	defer c.Close()
	rc, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var f *os.File
	var dupErr error
	err = rc.Control(func(fd uintptr) {
		var dup int
		if dup, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); dupErr != nil {
			return
		}
		// os.NewFile hands non-blocking files to the netpoller. The socket may be in blocking mode,
		// because all calls here pass MSG_DONTWAIT.
		if dupErr = unix.SetNonblock(dup, false); dupErr != nil {
			unix.Close(dup)
			return
		}
		f = os.NewFile(uintptr(dup), "udp")
	})
	return f, errors.Join(err, dupErr)
}

// addPort begins to read from c, whose descriptor is rc. If it fails, the caller closes c.
func (s *sockets) addPort(c io.Closer, rc syscall.RawConn, local, peer netip.AddrPort) error {
	p, err := s.newPort(c, rc, local, peer)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return net.ErrClosed
	}
	old := *s.ports.Load()
	s.enter(p, old) // before there can be events
	s.setPorts(append(old[:len(old):len(old)], p))
	if err := s.poller.add(rc); err != nil {
		s.forget(p)
		s.setPorts(old)
		return err
	}
	if s.paused.Load() {
		s.watch(p)
	}
	if len(old) == 0 { // the first port alone says it
		p.warnBuffers(&s.cfg)
	}
	return nil
}

func (s *sockets) setPorts(ports []*port) {
	c := Caps{MaxSegments: maxSegments, GRO: false, ECN: true, LocalAddr: true}
	for _, p := range ports {
		c.MaxSegments = min(c.MaxSegments, p.caps.MaxSegments)
		c.GRO = c.GRO || p.caps.GRO // one port with GRO is enough to need large buffers
		c.ShortBufs = c.GRO
		c.ECN = c.ECN && p.caps.ECN
		c.LocalAddr = c.LocalAddr && p.caps.LocalAddr
	}
	s.common.Store(&c)
	s.ports.Store(&ports)
}

func (s *sockets) removeLocal(local netip.AddrPort) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return net.ErrClosed
	}
	old := *s.ports.Load()
	for i, p := range old {
		if p.local != local {
			continue
		}
		if len(old) == 1 {
			return fmt.Errorf("udpio: %v is the only socket", local)
		}
		s.setPorts(append(old[:i:i], old[i+1:]...))
		s.forget(p)
		return s.closePort(p)
	}
	return fmt.Errorf("udpio: no socket at %v", local)
}

// watch makes the epoll set watch p for what there is to wait for.
func (s *sockets) watch(p *port) {
	var events uint32
	if !s.paused.Load() {
		events |= unix.EPOLLIN
	}
	if p.full.Load() {
		events |= unix.EPOLLOUT
	}
	s.poller.set(p.rc, events)
}

func (s *sockets) setReading(on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return net.ErrClosed
	}
	s.paused.Store(!on)
	for _, p := range *s.ports.Load() {
		s.watch(p)
	}
	return nil
}

func (s *sockets) closePort(p *port) error {
	p.removed.Store(true)
	// if somebody has duplicated the descriptor, closing it does not take it out of the set
	s.poller.remove(p.rc)
	return p.conn.Close()
}

func (s *sockets) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) {
		return net.ErrClosed
	}
	var errs []error
	for _, p := range *s.ports.Load() {
		errs = append(errs, s.closePort(p))
	}
	s.poller.close()
	return errors.Join(errs...)
}

func (s *sockets) readBatch(ms []Message, deadline time.Time) (int, error) {
	if len(ms) == 0 {
		return 0, nil
	}
	r := &s.reader
	r.ms, r.n, r.err = ms, 0, nil
	for {
		r.again, r.room = false, false
		err := s.poller.wait(deadline)
		if s.closed.Load() {
			err = net.ErrClosed
		}
		if err == nil {
			err = r.err
		}
		if r.n > 0 || err != nil || !r.again || s.poller.woken || s.poller.expired() {
			r.ms = nil
			return r.n, err
		}
	}
}

func (s *sockets) wake()      { s.poller.wake() }
func (s *sockets) caps() Caps { return *s.common.Load() }

func (s *sockets) stats() Stats {
	p := (*s.ports.Load())[0]
	return Stats{
		QueueOverflows: s.overflows.Load(),
		Truncated:      s.truncated.Load(),
		GSOFallbacks:   s.fallbacks.Load(),
		ReadBuffer:     p.readBuffer,
		WriteBuffer:    p.writeBuffer,
	}
}

func (s *sockets) localAddr() netip.AddrPort { return (*s.ports.Load())[0].local }

func (s *sockets) syscallConn() (syscall.RawConn, error) { return (*s.ports.Load())[0].rc, nil }
