package h3http

import (
	"io"
	"maps"
	"net/http"
	"sync"

	"github.com/lazoquic/lazo/h3"
)

// A body is the content of a message that the peer sends: the Body of a request in a handler, or of
// a response. Package h3 checks that it is as long as the message declares.
type body struct {
	x       *exchange
	trailer *http.Header // the Trailer of the Request or Response

	expect func()  // called before the first Read, because the client waits for 100 (Continue)
	upload *upload // the body of the request, which is abandoned at the end of the response
	// what Close does to x, once; nil for nothing
	onClose func(x *exchange, code h3.ErrorCode, err error)

	mu     sync.Mutex // Close may be called while another goroutine reads
	closed bool
	err    error // what Read returns from now on
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	err := b.err
	if b.closed {
		err = http.ErrBodyReadAfterClose
	}
	b.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if b.expect != nil {
		b.expect()
		b.expect = nil
	}
	n, err := b.x.read(p)
	if err == io.EOF {
		b.end()
	}
	if err != nil && !temporary(err) {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

// temporary reports whether Read may succeed after err. It may after a timeout, because the
// deadline can be moved.
func temporary(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// end takes the trailer section, if there is one.
func (b *body) end() {
	fields := b.x.takeTrailer()
	if len(fields) > 0 {
		trailer := trailerHeader(fields)
		if *b.trailer == nil {
			*b.trailer = trailer
		} else {
			maps.Copy(*b.trailer, trailer)
		}
	}
	b.upload.abandon()
}

func (b *body) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

func (b *body) Close() error {
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.mu.Unlock()
	if !closed && b.onClose != nil {
		b.onClose(b.x, h3.RequestCancelled, http.ErrBodyReadAfterClose)
	}
	return nil
}
