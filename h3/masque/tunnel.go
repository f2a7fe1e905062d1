package masque

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
)

const (
	// maxPayload is the longest UDP payload (RFC 9298, Section 5).
	maxPayload = 65527

	// headroom is how many bytes callers leave in front of a payload, for the context ID 0.
	headroom = 1

	// readBuffer is the size of buffers for what comes, in bytes.
	readBuffer = 2048

	// defaultCapsuleLimit is the smallest datagram that a path of QUIC must carry (RFC
	// 9000, Section 14).
	defaultCapsuleLimit = 1200
)

// capsuleLimit returns the limit that a CapsuleLimit in a configuration stands for.
func capsuleLimit(n int) int {
	if n == 0 {
		return defaultCapsuleLimit
	}
	return max(n, -1)
}

// A tunnel is one end of a request stream that carries UDP payloads.
type tunnel struct {
	s        *h3http.Stream
	limit    int // the longest payload that may go in a capsule if it does not fit into a datagram
	maxAge   time.Duration
	counters *counters
	hold     func(n int) // counts n more bytes in the account of the connection

	mu   sync.Mutex // held while a capsule is written
	rest []byte     // what is not written yet of the capsule in memory
	// the memory of the capsule, until release
	capsule  buffer
	released bool
}

// release lets go of what sending keeps. The stream has been closed.
func (t *tunnel) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest, t.released = nil, true
	t.capsule.release(t.hold)
}

// send sends the UDP payload b[headroom:]. It waits for room, at most until ctx is done.
func (t *tunnel) send(ctx context.Context, b []byte) error {
	n := len(b) - headroom
	b[0] = 0 // the context ID
	err := t.s.SendDatagram(ctx, b, t.maxAge)
	if refused, ok := errors.AsType[*dgram.TooLargeError](err); ok {
		if refused.Max > 0 && n > t.limit || n > maxPayload { // RFC 9298, Section 5 [2]
			t.counters.tooLarge.Add(1)
			return tooLarge(n, max(refused.Max-headroom, t.limit))
		}
		if err = t.sendCapsule(b); err == nil {
			t.counters.capsulesSent.Add(1)
		}
	}
	if err == nil {
		t.counters.sent.Add(1)
		t.counters.sentBytes.Add(uint64(n))
	}
	return err
}

// tooLarge returns the error for a payload of n bytes. Like the error of a socket it matches
// EMSGSIZE.
func tooLarge(n, fits int) error {
	return fmt.Errorf("masque: %w: %w", &dgram.TooLargeError{Len: n, Max: max(fits, 0)}, syscall.EMSGSIZE)
}

// sendCapsule sends an HTTP Datagram on the stream (RFC 9297, Section 3.5).
func (t *tunnel) sendCapsule(b []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	// A deadline may have cut off the last capsule.
	if err := t.writeRest(); err != nil {
		return err
	}
	if t.released {
		return net.ErrClosed
	}
	t.capsule.grow(dgram.MaxCapsuleHeader+len(b), t.hold)
	t.rest = dgram.AppendCapsule(t.capsule[:0], dgram.CapsuleDatagram, b)
	return t.writeRest()
}

func (t *tunnel) writeRest() error {
	n, err := t.s.Write(t.rest)
	t.rest = t.rest[:copy(t.rest, t.rest[n:])]
	return err
}

// receiveDatagrams passes the UDP payloads in QUIC datagrams to deliver, until the stream ends.
// deliver must not keep them.
func (t *tunnel) receiveDatagrams(deliver func([]byte) error) error {
	var buf buffer
	buf.grow(readBuffer, t.hold)
	defer func() { buf.release(t.hold) }()
	for {
		n, err := t.s.ReceiveDatagram(context.Background(), buf)
		switch {
		case errors.Is(err, io.ErrShortBuffer) && len(buf) < math.MaxUint16:
			buf.grow(math.MaxUint16, t.hold) // the next ones may be as long
			fallthrough
		case errors.Is(err, io.ErrShortBuffer):
			t.counters.dropped.Add(1)
			continue
		case err != nil:
			return err
		}
		id, k := dgram.ParseContextID(buf[:n])
		if k == 0 || id != 0 {
			// RFC 9298, Section 5 [1].
			t.counters.dropped.Add(1) // RFC 9298, Section 4; RFC 9298, Section 5 [1]
			continue
		}
		if err := t.deliver(buf[k:n], deliver); err != nil {
			return err
		}
	}
}

// receiveCapsules passes the UDP payloads in capsules to deliver, which must not keep them. It
// returns nil when the peer has ended the stream.
func (t *tunnel) receiveCapsules(deliver func([]byte) error) error {
	t.hold(readBuffer)
	defer t.hold(-readBuffer)
	return t.readCapsules(bufio.NewReaderSize(t.s, readBuffer), deliver)
}

// RFC 9297, Section 3.2 [7].
func (t *tunnel) readCapsules(r *bufio.Reader, deliver func([]byte) error) error {
	var buf buffer
	defer func() { buf.release(t.hold) }()
	for {
		typ, length, err := readCapsuleHeader(r)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return t.capsuleError(err)
		case typ != dgram.CapsuleDatagram:
			err = t.skip(r, length) // RFC 9297, Section 3.2 [3]
		default:
			err = t.receiveCapsule(r, length, &buf, deliver)
		}
		if err != nil {
			return t.capsuleError(err)
		}
	}
}

// receiveCapsule reads a DATAGRAM capsule of length bytes into buf.
// RFC 9297, Section 3.5 [4].
func (t *tunnel) receiveCapsule(r *bufio.Reader, length uint64, buf *buffer, deliver func([]byte) error) error {
	id, n, err := peekContextID(r, length)
	switch {
	case err != nil:
		return err
	case n == 0 || id != 0:
		// RFC 9298, Section 5 [4].
		return t.skip(r, length) // RFC 9298, Section 4; RFC 9298, Section 5 [4]
	case length-uint64(n) > maxPayload:
		// RFC 9298, Section 5: no UDP payload is so long.
		// RFC 9298, Section 5 [3].
		return &h3.Error{Code: h3.DatagramError, Reason: "UDP payload of more than 65527 bytes"}
	}
	buf.grow(int(length), t.hold)
	b := (*buf)[:length]
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	t.counters.capsulesReceived.Add(1)
	return t.deliver(b[n:], deliver)
}

// deliver counts a payload that has come, and passes it on.
func (t *tunnel) deliver(payload []byte, deliver func([]byte) error) error {
	t.counters.received.Add(1)
	t.counters.receivedBytes.Add(uint64(len(payload)))
	return deliver(payload)
}

// skip reads and drops a capsule, whatever its length.
func (t *tunnel) skip(r *bufio.Reader, length uint64) error {
	t.counters.dropped.Add(1)
	for length > 0 {
		n, err := r.Discard(int(min(length, 1<<20)))
		length -= uint64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// capsuleError turns the end of the stream within a capsule into the error of a malformed message
// (RFC 9297, Section 3.3).
// RFC 9297, Section 3.3 [1, 5].
func (t *tunnel) capsuleError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return &h3.Error{Code: h3.MessageError, Reason: "capsule cut short"}
	}
	return err
}

// readCapsuleHeader consumes the header of a capsule. The error is io.EOF only if the stream ends
// in front of the header.
func readCapsuleHeader(r *bufio.Reader) (typ, length uint64, err error) {
	for want := 2; ; want = max(r.Buffered(), want+1) {
		b, err := r.Peek(min(want, dgram.MaxCapsuleHeader))
		typ, length, n := dgram.ParseCapsule(b)
		switch {
		case n > 0:
			r.Discard(n)
			return typ, length, nil
		case err == io.EOF && len(b) > 0:
			return 0, 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, 0, err
		}
	}
}

// peekContextID returns the context ID at the start of a capsule's value, and the ID's length. The
// length is 0 if the value is too short for an ID.
func peekContextID(r *bufio.Reader, length uint64) (id uint64, n int, err error) {
	for want := 1; uint64(want) <= length && want <= dgram.MaxContextIDLen; want++ {
		b, err := r.Peek(want)
		if id, n := dgram.ParseContextID(b); n > 0 {
			return id, n, nil
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return 0, 0, nil
}
