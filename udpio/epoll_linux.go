package udpio

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// shortWait is the wait below which the poller sets its timerfd. Go's netpoller sleeps in whole
// milliseconds. The timerfd is exact, but each use costs a system call.
const shortWait = 2 * time.Millisecond

// The states of a poller say what its goroutine does, and whether wake was called.
const (
	awake int32 = iota
	parked
	woken
)

// A poller parks one goroutine until one of several sockets is ready, a deadline passes or wake is
// called. The sockets and a timerfd are in one epoll set. Go's netpoller watches the set through a
// file with its descriptor.
//
// Unless there are many, the poller does not ask the epoll set which socket is ready, and the
// goroutine tries them all. The netpoller sees an edge whenever one of them becomes ready. So
// nothing is lost if each socket is tried between the reset of the file and the next park.
type poller struct {
	file  *os.File // the epoll descriptor
	rc    syscall.RawConn
	state atomic.Int32

	// The fields below belong to the goroutine that waits.
	try      func() bool        // set once, by the owner
	epfd     int                // of the set, inside try
	step     func(uintptr) bool // onStep as a value, which would cost an allocation each time
	deadline time.Time          // of this wait
	stepped  bool               // in this wait
	tell     bool               // inside try: the scheduler should know of what is called
	woken    bool               // in this wait
	armed    time.Time          // the read deadline of file, unless wake has changed it
	crowding crowding

	timer   *os.File // the timerfd
	timerRC syscall.RawConn
	setTime func(uintptr)
	spec    unix.ItimerSpec
	timerAt time.Time // when the timer fires or has fired
}

func newPoller(try func() bool) (*poller, error) {
	p := &poller{try: try}
	p.step = p.onStep
	p.setTime = func(fd uintptr) { unix.TimerfdSettime(int(fd), 0, &p.spec, nil) }
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("udpio: epoll_create: %w", err)
	}
	// os.NewFile hands a file to the netpoller only if it is non-blocking.
	if err := unix.SetNonblock(epfd, true); err != nil {
		unix.Close(epfd)
		return nil, fmt.Errorf("udpio: epoll descriptor: %w", err)
	}
	p.file = os.NewFile(uintptr(epfd), "epoll")
	tfd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)
	if err != nil {
		p.file.Close()
		return nil, fmt.Errorf("udpio: timerfd_create: %w", err)
	}
	p.timer = os.NewFile(uintptr(tfd), "timerfd")
	if p.rc, err = p.file.SyscallConn(); err == nil {
		p.timerRC, err = p.timer.SyscallConn()
	}
	if err == nil {
		err = p.control(unix.EPOLL_CTL_ADD, p.timerRC, unix.EPOLLIN)
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("udpio: %w", err)
	}
	return p, nil
}

// add begins to watch rc for datagrams. Set changes the events that it is watched for. Remove stops
// watching it.
func (p *poller) add(rc syscall.RawConn) error {
	return p.control(unix.EPOLL_CTL_ADD, rc, unix.EPOLLIN)
}
func (p *poller) set(rc syscall.RawConn, events uint32) error {
	return p.control(unix.EPOLL_CTL_MOD, rc, events)
}
func (p *poller) remove(rc syscall.RawConn) error { return p.control(unix.EPOLL_CTL_DEL, rc, 0) }

func (p *poller) control(op int, rc syscall.RawConn, events uint32) error {
	var ctlErr error
	err := rc.Control(func(fd uintptr) {
		err := p.rc.Control(func(epfd uintptr) {
			ev := unix.EpollEvent{Events: events, Fd: int32(fd)}
			ctlErr = unix.EpollCtl(int(epfd), op, int(fd), &ev)
		})
		if err != nil {
			ctlErr = err
		}
	})
	if err == nil {
		err = ctlErr
	}
	return err
}

// wait calls try until that returns true, and parks in between. It also returns after the deadline,
// if that is not zero, and after wake. It always calls try at least once. Its only error is
// net.ErrClosed.
func (p *poller) wait(deadline time.Time) error {
	p.deadline = deadline
	p.stepped, p.woken = false, false
	for {
		err := p.rc.Read(p.step)
		if err == nil {
			return nil
		}
		if p.state.Load() != awake && p.state.Swap(awake) == woken {
			p.woken = true
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return net.ErrClosed
		}
		// The deadline that passed may be that of this wait, of an earlier wait, or of a late wake.
		// It has to be reset in any case: with a deadline that has passed, Read does not even call
		// step.
		p.armed = time.Time{}
		if err := p.file.SetReadDeadline(time.Time{}); err != nil {
			return net.ErrClosed
		}
		if p.stepped && (p.woken || p.expired()) {
			return nil
		}
	}
}

// onStep tries the sockets. RawConn.Read calls it before it parks, and whenever the netpoller has
// seen an edge. It returns true to end the wait.
func (p *poller) onStep(epfd uintptr) bool {
	p.epfd = int(epfd)
	if p.state.Load() != awake && p.state.Swap(awake) == woken {
		p.woken = true
	}
	p.tell = !p.stepped && p.crowding.crowded() // often the last read before the goroutine parks
	p.stepped = true
	if p.try() || p.woken {
		return true
	}
	if !p.deadline.IsZero() {
		d := time.Until(p.deadline)
		if d <= 0 {
			return true
		}
		p.arm(d)
	}
	p.crowding.park()
	// From here on wake may set a deadline. It does so only if it finds the goroutine parked, so
	// arm cannot undo it.
	if !p.state.CompareAndSwap(awake, parked) {
		p.state.Store(awake)
		p.woken = true
		return true
	}
	return false
}

func (p *poller) expired() bool { return !p.deadline.IsZero() && time.Until(p.deadline) <= 0 }

// arm makes sure that the goroutine runs at the deadline, which is d from now, or earlier. It
// leaves an earlier deadline as it is: one wake-up too many costs less than a change of the timer
// in every turn.
func (p *poller) arm(d time.Duration) {
	if d < shortWait {
		if !p.timerAt.Equal(p.deadline) {
			p.timerAt = p.deadline
			p.spec.Value = unix.NsecToTimespec(int64(d))
			p.timerRC.Control(p.setTime)
		}
		return
	}
	if p.armed.IsZero() || p.deadline.Before(p.armed) {
		p.armed = p.deadline
		p.file.SetReadDeadline(p.deadline)
	}
}

// wake makes the current wait return, or the next one. It sets a deadline in the past, which needs
// no system call. That takes 1.2 us there and back; writing to an eventfd in the epoll set would
// take 4.1.
func (p *poller) wake() {
	if p.state.Swap(woken) == parked {
		p.file.SetReadDeadline(time.Unix(1, 0))
	}
}

// close ends the current and all later waits.
func (p *poller) close() {
	p.file.Close()
	p.timer.Close()
}
