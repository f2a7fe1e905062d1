package h3http

import (
	"io"
	"maps"
	"net/http"

	"github.com/lazoquic/lazo/h3"
)

// A body is the content of a message that the peer sends: the Body of a request in a handler, or of
// a response. Package h3 checks that it is as long as the message declares.
type body struct {
	x       *exchange
	turn    uint64       // that of x for this message
	trailer *http.Header // the Trailer of the Request or Response

	expect func()  // called before the first Read, because the client waits for 100 (Continue)
	upload *upload // the body of the request, which is abandoned at the end of the response
	// what Close does to x, once; nil for nothing. The caller has locked x.
	onClose func(x *exchange, code h3.ErrorCode, err error)

	// The lock of x guards these: Close may be called while another goroutine reads.
	closed bool
	err    error // what Read returns from now on
}

func (b *body) Read(p []byte) (int, error) {
	if b.expect != nil && !b.isOver() {
		b.expect()
		b.expect = nil
	}
	n, trailer, err := b.read(p)
	if err == io.EOF {
		b.end(trailer)
	}
	return n, err
}

// read is Read with all that needs the lock of the exchange, the trailer section included. The end
// comes with the last bytes, so that nobody has to ask for it.
func (b *body) read(p []byte) (n int, trailer []h3.Field, err error) {
	x := b.x
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case b.closed:
		return 0, nil, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, nil, b.err
	case x.turn != b.turn: // the handler has returned long ago, or the response has ended
		return 0, nil, errStreamClosed
	}
	n, err = x.readLocked(p)
	if n > 0 && x.in.buf.Len() == 0 && x.in.err == io.EOF {
		err = io.EOF
	}
	if err == io.EOF {
		trailer, x.in.trailer = x.in.trailer, nil
	}
	if err != nil && !temporary(err) {
		b.err = err
		x.half.consumed()
	}
	return n, trailer, err
}

// temporary reports whether Read may succeed after err. It may after a timeout, because the
// deadline can be moved.
func temporary(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// end adds the trailer section, if there is one, to the message.
func (b *body) end(fields []h3.Field) {
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

// isOver reports whether Read has ended for good.
func (b *body) isOver() bool {
	b.x.mu.Lock()
	defer b.x.mu.Unlock()
	return b.closed || b.err != nil
}

func (b *body) isClosed() bool {
	b.x.mu.Lock()
	defer b.x.mu.Unlock()
	return b.closed
}

func (b *body) Close() error {
	b.x.mu.Lock()
	defer b.x.mu.Unlock()
	first := !b.closed && b.x.turn == b.turn
	b.closed = true
	if first && b.onClose != nil {
		b.onClose(b.x, h3.RequestCancelled, http.ErrBodyReadAfterClose)
	}
	if first {
		b.x.half.consumed()
	}
	return nil
}
