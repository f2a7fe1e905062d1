package masque

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/h3"
)

// A relay is a tunnel of a Proxy together with its socket. The socket is connected, so only the
// target's answers come in.
// RFC 9298, Section 3.1 [4, 5]; RFC 9298, Section 6 [1, 2]; RFC 9298, Section 6.2 [1, 2].
type relay struct {
	tunnel
	socket net.Conn
	idle   time.Duration // 0 means for ever
	used   atomic.Int64  // when the last payload passed, in nanoseconds since start
	start  time.Time
	ending sync.Once
}

// errIdle is the reason for the end of a relay that nobody uses. errEnded is the reason when its
// client or its Proxy ends it.
var (
	errIdle  = errors.New("masque: the tunnel was idle")
	errEnded = errors.New("masque: the tunnel has ended")
)

// endTime bounds how long a relay whose stream ends relays what came before. Datagrams end only
// when the end of the stream could be sent. A client that takes nothing delays that.
const endTime = 5 * time.Second

// run relays both ways until one of them ends. It returns why. If it is not the socket that ends,
// everything that the client has sent before is relayed first, whichever way it came.
// RFC 9298, Section 3.1 [6].
func (r *relay) run() error {
	r.start = time.Now()
	results := make(chan error, 3)
	relay := func(way func() error) {
		err := way()
		results <- err // in front of what follows from the end
		if ofSocket(err) {
			r.endWith(err)
		}
	}
	var incoming sync.WaitGroup // from the client: datagrams, and capsules
	incoming.Go(func() { relay(func() error { return r.receiveDatagrams(r.toTarget) }) })
	incoming.Go(func() { relay(func() error { return r.receiveCapsules(r.toTarget) }) })
	go relay(r.fromTarget)
	cause := <-results
	if !ofSocket(cause) {
		r.endStream(cause)
		late := time.AfterFunc(endTime, r.end)
		incoming.Wait()
		late.Stop()
	}
	r.endWith(cause)
	for range cap(results) - 1 {
		<-results
	}
	r.release()
	return cause
}

// ofSocket reports whether err means that the socket is of no use any more.
func ofSocket(err error) bool {
	_, unusable := errors.AsType[*socketError](err)
	return unusable || err == errIdle || err == errEnded
}

// endStream ends both directions of the stream. What the client has sent before can still be
// received. Nothing after it can be.
func (r *relay) endStream(cause error) {
	malformed, isMalformed := errors.AsType[*h3.Error](cause)
	switch {
	case isMalformed:
		r.s.StopSending(malformed.Code) // RFC 9297, Section 3.3
		r.s.Reset(malformed.Code)
	case r.s.CloseWrite() != nil:
		// The client takes nothing more, or the connection has ended.
		r.s.StopSending(h3.RequestCancelled)
	}
}

// endWith ends the stream in the way that suits cause, and closes the socket.
// RFC 9298, Section 3.1 [7, 8].
func (r *relay) endWith(cause error) {
	r.ending.Do(func() {
		_, unusable := errors.AsType[*socketError](cause)
		malformed, isMalformed := errors.AsType[*h3.Error](cause)
		switch {
		case unusable:
			r.s.Cancel(h3.ConnectError) // RFC 9114, Section 4.4
		case isMalformed:
			r.s.Cancel(malformed.Code)
		default:
			r.s.Close()
		}
		r.socket.Close()
	})
}

// end ends the relay. Any goroutine may call it.
func (r *relay) end() { r.endWith(errEnded) }

// touch notes that the tunnel is in use.
func (r *relay) touch() { r.used.Store(int64(time.Since(r.start))) }

// fromTarget relays the payloads that the target sends.
func (r *relay) fromTarget() error {
	size := maxPayload
	if r.s.MaxDatagramSize() > 0 {
		size = max(2048, r.limit) // a longer payload would never fit
	}
	var buf buffer
	buf.grow(headroom+size+1, r.hold)
	defer func() { buf.release(r.hold) }()
	for {
		n, err := r.read(buf[headroom:])
		switch {
		case err == nil && n > size:
			r.counters.tooLarge.Add(1)
			continue
		case err == nil:
		case passing(err):
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return errIdle
		case errors.Is(err, net.ErrClosed):
			return errEnded
		default:
			return &socketError{err}
		}
		r.touch()
		if err := r.send(context.Background(), buf[:headroom+n]); err != nil && !errors.Is(err, syscall.EMSGSIZE) {
			return err
		}
	}
}

// read reads from the socket. If the tunnel is idle for too long, the error is
// [os.ErrDeadlineExceeded].
func (r *relay) read(b []byte) (int, error) {
	for {
		if r.idle > 0 {
			r.socket.SetReadDeadline(r.start.Add(time.Duration(r.used.Load()) + r.idle))
		}
		n, err := r.socket.Read(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(r.start) >= time.Duration(r.used.Load())+r.idle {
			return n, err
		}
	}
}

// toTarget relays a payload that the client has sent. It drops a payload that is too long for the
// path (RFC 9298, Section 5).
func (r *relay) toTarget(b []byte) error {
	r.touch()
	_, err := r.socket.Write(b)
	switch {
	case err == nil:
		return nil
	case passing(err):
		r.counters.dropped.Add(1)
		return nil
	case errors.Is(err, net.ErrClosed):
		return errEnded
	}
	return &socketError{err}
}

// passing reports whether err concerns only one datagram, and not the socket.
func passing(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMSGSIZE, syscall.ENOBUFS, syscall.EPERM, syscall.EAGAIN, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// A socketError says that the socket cannot be used any more, perhaps because of an ICMP message.
// The tunnel must end then (RFC 9298, Section 3.1).
type socketError struct{ err error }

func (e *socketError) Error() string { return "masque: socket: " + e.err.Error() }
func (e *socketError) Unwrap() error { return e.err }
