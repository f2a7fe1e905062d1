package h3loop

import (
	"errors"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// MaxBody is how many bytes a body of [Request.Respond] may have.
const MaxBody = 64 << 10

// ErrBodyTooLong is returned by [Request.Respond] for a body of more than [MaxBody] bytes.
var ErrBodyTooLong = errors.New("h3loop: Respond with a body that is too long: use Write")

// errEnded is returned for a response that has ended.
var errEnded = errors.New("h3loop: the response has ended")

// A phase is how far a response has got.
type phase uint8

const (
	answering   phase = iota // it is up to the Handler
	resting                  // the end waits behind what is left of the body of Respond
	delivering               // all was handed to the stream, and is to be acknowledged
	outOfStream              // the request has ended
)

// Respond sends a whole response: fields with :status first, and a body of at most [MaxBody] bytes.
// It keeps neither, and leaves the body out if the request has the method HEAD. What the stream
// does not take of the body at once is copied and sent later. With an error nothing was sent, or
// nothing more can be. The errors are [ErrBodyTooLong] and those of SendFields.
func (r *Request) Respond(fields []h3.Field, body []byte) error {
	if len(body) > MaxBody {
		return ErrBodyTooLong
	}
	if len(body) == 0 || r.method == "HEAD" {
		return r.SendFields(fields, true)
	}
	if err := r.SendFields(fields, false); err != nil {
		return err
	}
	n, err := r.Write(body)
	switch {
	case err == nil:
		return r.CloseWrite()
	case !errors.Is(err, conn.ErrWouldBlock):
		return err
	}
	r.rest = append(r.rest[:0], body[n:]...)
	r.account()
	r.phase = resting
	return nil
}

// SendFields sends a header or trailer section, and ends the response with it if end: see
// [h3.Stream.SendFields]. Interim responses (status 1xx) may come first.
func (r *Request) SendFields(fields []h3.Field, end bool) error {
	if r.phase != answering {
		return errEnded
	}
	if err := r.stream.SendFields(fields, end); err != nil {
		return r.failed(err)
	}
	if end {
		r.finish()
	}
	return nil
}

// Write sends a prefix of p and returns its length. If it is shorter than p, the error is
// [conn.ErrWouldBlock], and [h3.EventWritable] follows: see [h3.Stream.Write].
func (r *Request) Write(p []byte) (int, error) {
	if r.phase != answering {
		return 0, errEnded
	}
	n, err := r.stream.Write(p)
	r.written += int64(n)
	return n, r.failed(err)
}

// Available returns how many bytes Write takes now.
func (r *Request) Available() int {
	if r.phase != answering {
		return 0
	}
	return r.stream.Available()
}

// CloseWrite ends the response. The end follows what was sent before.
func (r *Request) CloseWrite() error {
	if r.phase != answering {
		return errEnded
	}
	if err := r.stream.CloseWrite(); err != nil {
		return err
	}
	r.finish()
	return nil
}

// Reset abandons the response and what is left of the request, with code. It ends the Request: no
// event follows.
func (r *Request) Reset(code h3.ErrorCode) {
	if r.phase != outOfStream {
		r.stream.Abandon(code)
		r.end()
	}
}

// finish notes that the response has ended. The rest of the request is of no use any more.
func (r *Request) finish() {
	r.phase = delivering
	r.stream.StopSending(h3.NoError)
	r.awaitDelivery()
}

// failed notes that the stream takes no more if err says so, and returns err.
func (r *Request) failed(err error) error {
	if errors.Is(err, conn.ErrWouldBlock) {
		r.block()
	}
	return err
}

// writable handles EventWritable.
func (r *Request) writable(e h3.Event) {
	r.blocked = false
	if r.phase == resting {
		r.writeRest()
	} else {
		r.tell(e)
	}
	if r.phase == answering && !r.blocked {
		r.unblock() // all that there was has been taken
	}
}

// writeRest goes on with the body of Respond. If the stream takes no more at all, EventCanceled
// follows.
func (r *Request) writeRest() {
	n, err := r.stream.Write(r.rest)
	r.written += int64(n)
	r.rest = r.rest[:copy(r.rest, r.rest[n:])]
	if r.failed(err) == nil {
		r.stream.CloseWrite()
		r.finish()
	}
}
