package http3

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// A requestContext is the context of a request in a handler: it has the values of the connection,
// and ends with the request. Most handlers ask it for nothing, so it makes the context that can be
// canceled only when somebody asks. Any goroutine may use it, also after the handler has returned.
type requestContext struct {
	c *served

	mu     sync.Mutex
	inner  context.Context         // that of Lazo, which ends with the handler; nil after detach
	ctx    context.Context         // made by get
	cancel context.CancelCauseFunc // of ctx; nil before that is made
	stop   func() bool             // ends the wait for inner
	over   bool                    // end was called
	late   bool                    // the context of the connection had ended before
	cause  error                   // why, if over; nil for context.Canceled
}

// get returns the context that can be canceled.
func (r *requestContext) get() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ctx != nil:
	case r.over:
		ctx := r.c.ctx
		if !r.late {
			ctx = context.WithoutCancel(ctx)
		}
		r.ctx, r.cancel = context.WithCancelCause(ctx)
		r.cancel(r.cause)
	default:
		r.ctx, r.cancel = context.WithCancelCause(r.c.ctx)
		if inner := r.inner; inner != nil {
			r.stop = context.AfterFunc(inner, func() { r.end(r.why(context.Cause(inner))) })
		}
	}
	return r.ctx
}

// why returns with what the context ends when that of Lazo has ended with cause. If it is the end
// of the connection, the context of the program may last longer: ConnContext says.
func (r *requestContext) why(cause error) error {
	if !endsConnection(cause) {
		return nil
	}
	<-r.c.conn.Context().Done()
	return context.Cause(r.c.conn.Context())
}

// finish ends the context when the handler has returned. If the connection has ended before, that
// is why.
func (r *requestContext) finish() { r.end(context.Cause(r.c.conn.Context())) }

// detach has the context outlive the handler, which has taken the stream.
func (r *requestContext) detach() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inner = nil
	if r.stop != nil {
		r.stop()
	}
}

// end cancels the context. Only the first cause counts.
func (r *requestContext) end(cause error) {
	r.mu.Lock()
	if !r.over {
		r.over, r.late, r.cause = true, r.c.ctx.Err() != nil, cause
	}
	cancel, stop := r.cancel, r.stop
	r.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
	if stop != nil {
		stop()
	}
}

// Deadline is part of [context.Context].
func (r *requestContext) Deadline() (time.Time, bool) { return r.c.ctx.Deadline() }

// Done is part of [context.Context].
func (r *requestContext) Done() <-chan struct{} { return r.get().Done() }

// Err is part of [context.Context].
func (r *requestContext) Err() error { return r.get().Err() }

// Value is part of [context.Context]. Package context asks by a key of its own what can be
// canceled, so keys that are not known here go to what get returns.
func (r *requestContext) Value(key any) any {
	switch key {
	case ServerContextKey, RemoteAddrContextKey, http.LocalAddrContextKey:
		return r.c.ctx.Value(key)
	}
	return r.get().Value(key)
}

// String makes a context that derives from this one print well.
func (r *requestContext) String() string { return "http3.requestContext" }
