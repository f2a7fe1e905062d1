package h3http

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/lazoquic/lazo/h3"
)

// A clientExchange is an exchange of a Transport. It is a request that waits for a stream, and then
// for its response.
//
// Most exchanges carry one request after another, maybe on other connections. Whoever comes from
// the body of a response finds by turn whether its request is over. See retire.
type clientExchange struct {
	exchange
	clientState
}

// A clientState is all of a clientExchange that is new with each request, beside its exchange.
type clientState struct {
	client *clientConn

	fields  []h3.Field // of the request
	whole   bool       // no body follows
	bare    bool       // the stream opens without the request, for a RequestStream
	safe    bool       // the request may be sent as early data
	movable bool       // the request may be sent again, on another connection
	shown   bool       // the application sees each 1xx response

	state outgoingState // belongs to the loop

	// The lock of the exchange guards these.
	opened    bool         // the request was sent
	awaited   bool         // somebody waits in waitOpen
	early     bool         // it was sent before the handshake was complete
	empty     bool         // the end of the response has come with it, and there is no body
	known     bool         // not only the loop and the body know the exchange: see retire
	over      bool         // the loop is through with the exchange
	read      bool         // so is the application
	head      []h3.Field   // the header section of the response; emptied by nextHead
	info      [][]h3.Field // 1xx responses that the application has not seen yet
	infoSize  int64        // bytes of 1xx responses: of all, or of those in info if shown is set
	leave     func()       // called by leavePlace
	late      *time.Timer  // set by limitHead
	stopWatch func() bool  // set by watch

	room *fieldRoom // the memory of head; nil before and after
}

// An outgoingState is how far the sending of a request has got.
type outgoingState uint8

const (
	outgoingNew outgoingState = iota
	outgoingWaiting
	outgoingOpen
	outgoingOver
)

var _ half = (*clientExchange)(nil)

func (x *clientExchange) service(now time.Time) { x.client.service(now, x) }

// gotHead implements half. The header sections of 1xx responses come first, then that of the
// response.
func (x *clientExchange) gotHead(fields []h3.Field) bool {
	status := statusOf(fields)
	switch {
	case x.head != nil:
		return false
	case status/100 == 1:
		for _, f := range fields {
			x.infoSize += f.Size()
		}
		limit := x.client.t.maxResponseHeaderBytes()
		if x.shown {
			limit = max(limit, minInfoBacklog)
		}
		if x.infoSize > limit {
			x.cancelLocked(h3.ExcessiveLoad, errManyInfo)
			return true
		}
		x.info = append(x.info, slices.Clone(fields))
	default:
		x.room = x.client.t.rooms.get()
		x.head = append(x.room[:0], fields...)
		x.unlimitHead()
		x.c.tally.missed.response(status)
	}
	return true
}

// minInfoBacklog is how many bytes of 1xx responses may wait until the application sees them,
// whatever the limit. Many can arrive at once.
const minInfoBacklog = 64 << 10

// errManyInfo is the error of a request that is answered with 1xx responses without end.
var errManyInfo = errors.New("h3http: too many 1xx informational responses")

func (x *clientExchange) stopWaiting(error) { x.unlimitHead() }

// lost implements half. A request that was not sent was not processed by any server.
func (x *clientExchange) lost(err error) error {
	x.unwatchLocked()
	x.leavePlace()
	if !x.opened {
		err = &unprocessedError{err}
	}
	return err
}

// waitOpen waits until the request has a stream.
func (x *clientExchange) waitOpen() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for !x.opened {
		if x.life.failure != nil {
			return x.life.failure
		}
		x.awaited = true
		x.in.cond.Wait()
	}
	return nil
}

// nextHead waits for header sections. It returns that of the response, or those of informational
// responses before it.
func (x *clientExchange) nextHead() (head []h3.Field, info [][]h3.Field, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	in := &x.in
	for {
		info, x.info = x.info, nil
		if x.shown {
			x.infoSize = 0
		}
		switch {
		case x.head != nil:
			head = x.head
			if !x.bare {
				x.head = head[:0:0] // the caller gives its memory back
			}
			x.empty = in.buf.Len() == 0 && in.err == io.EOF && in.trailer == nil
			return head, info, nil
		case in.err == io.EOF:
			return nil, info, io.ErrUnexpectedEOF
		case in.err != nil:
			return nil, info, in.err
		case info != nil:
			return nil, info, nil
		}
		in.cond.Wait()
	}
}

// limitHead cancels the request if its response does not begin within d.
func (x *clientExchange) limitHead(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if d <= 0 || x.head != nil || x.in.err != nil {
		return
	}
	x.late = time.AfterFunc(d, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.head == nil {
			x.cancelLocked(h3.RequestCancelled, headTimeout{})
		}
	})
}

// unlimitHead stops the timer of limitHead. The caller has locked x.
func (x *clientExchange) unlimitHead() {
	if x.late != nil {
		x.known = !x.late.Stop() || x.known
		x.late = nil
	}
}

// watch cancels the exchange when ctx is done. It watches until the exchange is over or unwatch is
// called.
func (x *clientExchange) watch(ctx context.Context) {
	if ctx.Done() == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stopWatch = context.AfterFunc(ctx, func() { x.cancel(h3.RequestCancelled, context.Cause(ctx)) })
}

func (x *clientExchange) unwatch() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.unwatchLocked()
}

func (x *clientExchange) unwatchLocked() {
	if x.stopWatch != nil {
		x.known = !x.stopWatch() || x.known
		x.stopWatch = nil
	}
}

// leavePlace gives back the place of a request that is over. The caller has locked x.
func (x *clientExchange) leavePlace() {
	if x.leave != nil {
		x.leave()
		x.leave = nil
	}
}

// statusOf returns the status of a response, or 0 if it has none.
func statusOf(fields []h3.Field) int {
	for _, f := range fields {
		if f.Name == ":status" {
			code, _ := strconv.Atoi(f.Value) // package h3 has checked that it has three digits
			return code
		}
	}
	return 0
}
