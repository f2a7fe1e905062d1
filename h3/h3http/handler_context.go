package h3http

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// A handlerContext is the context of a request, or that of a connection. Most handlers ask it for
// nothing, so it makes the context that can be canceled only when somebody asks. Any goroutine may
// use it, also one that has locked the exchange, and also after the handler has returned.
type handlerContext struct {
	parent context.Context // that of the connection, or of all connections

	mu     sync.Mutex
	ctx    context.Context         // made by get
	cancel context.CancelCauseFunc // of ctx; nil before that is made
	ended  error                   // what it was canceled with; nil before
}

// get returns the context that can be canceled.
func (c *handlerContext) get() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx != nil {
		return c.ctx
	}
	parent := c.parent
	if c.ended != nil {
		parent = context.WithoutCancel(parent) // it may have ended since, for another reason
	}
	if c.ctx, c.cancel = context.WithCancelCause(parent); c.ended != nil {
		c.cancel(c.ended)
	}
	return c.ctx
}

// end cancels the context: the exchange has failed, the handler has returned, or the connection has
// ended. Only the first cause counts. The parent may be set later.
func (c *handlerContext) end(cause error) {
	if cause != context.Canceled {
		cause = &endError{cause}
	}
	c.mu.Lock()
	if c.ended == nil {
		c.ended = cause
	}
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
}

// An endError is why the context of a request has ended before its handler. It matches
// context.Canceled, which is all that net/http says: a client that sends a request with this
// context, as httputil.ReverseProxy does, fails with it, and programs ask if it was canceled.
type endError struct{ err error }

func (e *endError) Error() string   { return e.err.Error() }
func (e *endError) Unwrap() []error { return []error{e.err, context.Canceled} }

// Deadline is part of [context.Context].
func (c *handlerContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Done is part of [context.Context].
func (c *handlerContext) Done() <-chan struct{} { return c.get().Done() }

// Err is part of [context.Context].
func (c *handlerContext) Err() error { return c.get().Err() }

// Value is part of [context.Context]. Package context asks by a key of its own what can be
// canceled, so keys that are not known here go to what get returns.
func (c *handlerContext) Value(key any) any {
	switch key {
	case http.ServerContextKey, http.LocalAddrContextKey, connKey{}:
		return c.parent.Value(key)
	}
	return c.get().Value(key)
}

// String makes a context that derives from this one print well.
func (c *handlerContext) String() string { return "h3http.handlerContext" }
