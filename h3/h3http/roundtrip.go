package h3http

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// maxAttempts is how often a request is sent, at most.
const maxAttempts = 5

// A call is one RoundTrip or Connect. It may take several attempts.
type call struct {
	t       *Transport
	r       *http.Request
	trace   *httptrace.ClientTrace
	connect bool    // for Connect: take over the stream
	stream  *Stream // the stream that was taken over

	target   target
	fields   []h3.Field    // lie in room, unless there are too many
	body     io.ReadCloser // nil if there is none
	length   int64         // length of body; -1 if it is not known
	gzip     bool          // the Transport has asked for gzip
	expect   bool          // Expect: 100-continue
	started  bool          // bytes have been read from body
	late     bool          // do not send it as early data
	alone    bool          // send it on one connection only
	fresh    bool          // send it on a connection that resumes no session
	patience time.Duration // how long to wait for the handshake; 0 is without end
	undialed bool          // no connection could be made
	attempts int

	room *fieldRoom // nil after giveBack
}

// newCall returns a value, which stays on the stack of most callers.
func newCall(t *Transport, r *http.Request) call {
	c := call{t: t, r: r, trace: httptrace.ContextClientTrace(r.Context()), late: withoutEarlyData(r.Context())}
	if r.Body != nil && r.Body != http.NoBody {
		c.body = r.Body
	}
	return c
}

// closeBody closes the body if nobody else will: see upload.
func (c *call) closeBody() {
	switch {
	case c.body == nil && c.r.Body != nil:
		c.r.Body.Close()
	case c.body != nil && !c.started:
		c.body.Close()
	}
}

// do sends the request until there is a response, or an error that another attempt would not cure.
// The caller then calls closeBody.
func (c *call) do() (*http.Response, error) {
	for {
		c.attempts++
		cc, reused, err := c.connection()
		if err != nil {
			return nil, err
		}
		if c.r.Close {
			cc.leave()
			c.t.forget(cc, false)
		}
		x := c.send(cc)
		resp, err := c.receive(cc, x)
		switch {
		// RFC 9114, Section 10.9 [1].
		case err == nil && resp.StatusCode == http.StatusTooEarly && c.wasEarly(x) && !withTooEarly(c.r.Context()) && c.rewind():
			// RFC 8470, Section 5.2
			c.late = true
			resp.Body.Close()
		case err == nil:
			c.giveBack()
			x.handOver(resp)
			return resp, nil
		case errors.Is(err, errCrowded): // each of these attempts has brought another connection
			c.attempts--
		case !c.repeatable(err, cc, reused) || !c.rewind():
			return nil, err
		default:
			c.fresh = c.fresh || cc.unresumed()
		}
	}
}

// connection returns a connection for another attempt.
func (c *call) connection() (cc *clientConn, reused bool, err error) {
	ctx := c.r.Context()
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	if err := c.t.place(ctx, c.target); err != nil {
		return nil, false, err
	}
	if cc, reused, err = c.t.get(ctx, c.target, c.fresh); err != nil {
		c.undialed = true
		c.t.leavePlace(c.target)
	}
	return cc, reused, err
}

// giveBack lets others use the memory of the fields, because the request is not sent again. No
// exchange reads them any more: the last one has sent them, and those before have failed.
func (c *call) giveBack() {
	c.fields = nil
	c.t.rooms.put(c.room)
	c.room = nil
}

// send gives the request to cc. The body follows once the request has a stream.
func (c *call) send(cc *clientConn) *clientExchange {
	x := c.t.exchanges.get()
	x.client, x.fields = cc, c.fields
	x.whole = c.body == nil && c.r.Method != http.MethodConnect
	x.safe = !c.late && safeMethod(c.r.Method) && c.body == nil
	x.movable = !c.alone && c.idempotent() && (c.body == nil || c.r.GetBody != nil) && c.attempts < maxAttempts
	x.shown = c.trace != nil && c.trace.Got1xxResponse != nil
	x.known = c.body != nil || c.connect || c.patience > 0
	x.init(&cc.connection, x)
	if t, tg := c.t, c.target; t.MaxRequestsPerHost > 0 {
		x.leave = func() { t.leavePlace(tg) }
	}
	x.watch(c.r.Context())
	if c.patience > 0 {
		time.AfterFunc(c.patience, func() {
			if !cc.isConfirmed() {
				x.cancel(h3.RequestCancelled, errSlow)
			}
		})
	}
	if !cc.wake(&x.exchange) {
		x.fail(errGoAway)
	}
	return x
}

// safeMethod reports whether requests with the method may be sent as early data, which can be
// replayed (RFC 8470, Section 2.1).
func safeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

func (c *call) wasEarly(x *clientExchange) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.early
}

// repeatable reports whether the request may be sent again after err.
func (c *call) repeatable(err error, cc *clientConn, reused bool) bool {
	if c.attempts >= maxAttempts || c.r.Context().Err() != nil {
		return false
	}
	if c.target.alt != "" && !errors.Is(err, conn.ErrEarlyDataRejected) {
		return false // the request can go over TCP; another connection of HTTP/3 may fail too
	}
	if _, ok := errors.AsType[*unprocessedError](err); ok {
		return true
	}
	// The server may have processed the request. But a connection that was in use before may have
	// been dead already, and then nobody saw the request. A connection that failed because of a
	// ticket or of early data may succeed without them.
	_, ended := errors.AsType[*connectionError](err)
	return ended && (reused || errors.Is(err, errSilent) || cc.unresumed() && !c.fresh) && c.idempotent()
}

func (c *call) idempotent() bool {
	switch c.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return c.r.Header["Idempotency-Key"] != nil || c.r.Header["X-Idempotency-Key"] != nil
}

// rewind prepares the body for another attempt. It reports whether that is possible.
func (c *call) rewind() bool {
	if c.body == nil || !c.started {
		return true
	}
	if c.r.GetBody == nil {
		return false
	}
	body, err := c.r.GetBody()
	if err != nil {
		return false
	}
	c.body, c.started = body, false
	return true
}

// receive waits for the response to x. It sends the body meanwhile.
func (c *call) receive(cc *clientConn, x *clientExchange) (*http.Response, error) {
	var u *upload
	if c.followsSending() {
		if err := x.waitOpen(); err != nil {
			return nil, err
		}
		u = c.startBody(x)
	}
	head, err := c.waitHead(x, u)
	if err != nil {
		return nil, err
	}
	a := &answer{ctx: requestContext{c.r.Context(), cc.handle}}
	resp := &a.resp
	*resp = newResponse(head)
	c.t.rooms.put(x.room)
	x.room = nil
	a.request = *c.r.WithContext(&a.ctx)
	resp.Request = &a.request
	resp.TLS = cc.tlsState()
	if c.connect && resp.StatusCode/100 == 2 {
		x.unwatch()
		c.stream = newStream(&x.exchange)
		return resp, nil
	}
	c.setBody(a, x, u)
	return resp, nil
}

// followsSending reports whether there is something to do once the header of the request was sent.
// Otherwise the response alone wakes the goroutine that waits for it.
func (c *call) followsSending() bool {
	return c.body != nil || c.trace != nil || c.t.ResponseHeaderTimeout > 0
}

// waitHead waits for the header section of the final response. It reports informational responses
// to the trace.
func (c *call) waitHead(x *clientExchange, u *upload) ([]h3.Field, error) {
	for first := true; ; first = false {
		head, info, err := x.nextHead()
		if first && (head != nil || info != nil) && c.trace != nil && c.trace.GotFirstResponseByte != nil {
			c.trace.GotFirstResponseByte()
		}
		for _, fields := range info {
			if err := c.gotInfo(fields, u); err != nil {
				x.cancel(h3.RequestCancelled, err)
				return nil, err
			}
		}
		if head != nil || err != nil {
			// A server that answers with success may read on.
			u.proceed(statusOf(head)/100 == 2)
			return head, err
		}
	}
}

// gotInfo reports an informational response.
func (c *call) gotInfo(fields []h3.Field, u *upload) error {
	s := parseSection(fields, nil)
	code := statusOf(fields)
	if code == http.StatusContinue {
		if c.trace != nil && c.trace.Got100Continue != nil {
			c.trace.Got100Continue()
		}
		u.proceed(true)
	}
	if c.trace != nil && c.trace.Got1xxResponse != nil {
		return c.trace.Got1xxResponse(code, textproto.MIMEHeader(s.header))
	}
	return nil
}
