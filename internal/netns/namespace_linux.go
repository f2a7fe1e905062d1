package netns

import (
	"fmt"
	"runtime"
	"syscall"
)

// A Namespace is a network namespace without a name. It lasts as long as this process has it open,
// or sockets or processes in it, so nothing is left behind however the process ends.
type Namespace struct {
	calls chan call
	begun chan struct{} // closed when run has its thread
	ended chan struct{}
}

// A call is a function to run, and the channel for its error.
type call struct {
	f   func() error
	err chan error
}

// New makes a namespace, in which nothing but a loopback device exists. The error matches
// fs.ErrPermission where the process may not.
func New() (*Namespace, error) {
	n := &Namespace{calls: make(chan call), begun: make(chan struct{}), ended: make(chan struct{})}
	made := make(chan error)
	go n.run(made)
	if err := <-made; err != nil {
		return nil, fmt.Errorf("netns: %w", err)
	}
	return n, nil
}

// run locks the one thread of the process that is in the namespace. The thread ends with the
// goroutine, because run never unlocks it. The main thread does not fit: it would not end, and
// /proc/self and /proc/net show its namespace. If run gets the main thread, it holds that thread
// until another run has begun on another thread.
func (n *Namespace) run(made chan<- error) {
	runtime.LockOSThread()
	if syscall.Gettid() == syscall.Getpid() {
		go n.run(made)
		<-n.begun
		runtime.UnlockOSThread()
		return
	}
	close(n.begun)
	defer close(n.ended)
	err := syscall.Unshare(syscall.CLONE_NEWNET)
	if err == nil {
		err = loopbackUp()
	}
	made <- err
	if err != nil {
		return
	}
	for c := range n.calls {
		c.err <- c.f()
	}
}

// Do runs f in the namespace and returns its error. Sockets that f opens and processes that it
// starts are of the namespace for ever, whoever uses them; goroutines that it starts are not. f
// must not call Do, nor end its goroutine as the methods of testing.T do that fail a test. Calls
// run one at a time.
func (n *Namespace) Do(f func() error) error {
	c := call{f, make(chan error, 1)}
	n.calls <- c
	return <-c.err
}

// Close leaves the namespace. Do must not be called any more.
func (n *Namespace) Close() {
	close(n.calls)
	<-n.ended
}
