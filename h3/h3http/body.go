package h3http

import (
	"io"
	"maps"
	"net/http"
	"sync"

	"github.com/lazoquic/lazo/h3"
)

// A body is the content of a message that the peer sends: the Body of a request in
// a handler, or that of a response.
type body struct {
	x       *exchange
	remain  int64        // of the Content-Length; negative if it is not known
	unknown bool         // whether it is not known
	trailer *http.Header // of the Request or Response

	// expect, if not nil, is called before the first Read: the client waits for 100
	// (Continue).
	expect func()

	onEOF   func() // called at most once, before Read returns io.EOF
	onClose func() // called by Close, once

	mu     sync.Mutex // Close may be called while another goroutine reads
	closed bool
	err    error // sticky
}

func newBody(x *exchange, length int64, trailer *http.Header) *body {
	return &body{x: x, remain: length, unknown: length < 0, trailer: trailer}
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	err, closed := b.err, b.closed
	b.mu.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if err != nil {
		return 0, err
	}
	if b.expect != nil {
		b.expect()
		b.expect = nil
	}
	n, err := b.x.read(p)
	if !b.unknown {
		b.remain -= int64(n)
		if b.remain < 0 || err == io.EOF && b.remain > 0 {
			// RFC 9114, Section 4.1.2
			b.x.cancel(h3.MessageError, errLength)
			n, err = max(0, n+int(min(b.remain, 0))), errLength
		}
	}
	if err == io.EOF {
		err = b.end()
	}
	if err != nil && !temporary(err) {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

// temporary reports whether Read may succeed after err: a deadline can be moved.
func temporary(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// end takes the trailer section and returns io.EOF, or what is wrong with it.
func (b *body) end() error {
	b.x.mu.Lock()
	fields := b.x.in.trailer
	b.x.in.trailer = nil
	b.x.mu.Unlock()
	if len(fields) > 0 {
		trailer, err := trailerHeader(fields)
		if err != nil {
			b.x.cancel(h3.MessageError, err)
			return err
		}
		if *b.trailer == nil {
			*b.trailer = trailer
		} else {
			maps.Copy(*b.trailer, trailer)
		}
	}
	if b.onEOF != nil {
		b.onEOF()
	}
	return io.EOF
}

func (b *body) Close() error {
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.mu.Unlock()
	if !closed && b.onClose != nil {
		b.onClose()
	}
	return nil
}
