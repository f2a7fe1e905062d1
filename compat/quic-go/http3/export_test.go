package http3

import "context"

// CanBeCanceled reports whether the context of a request, as a handler gets it, has made the
// context that can be canceled.
func CanBeCanceled(ctx context.Context) bool {
	r := ctx.(*requestContext)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ctx != nil
}
