package http3

import (
	"context"
	"testing"
	"testing/synctest"
)

// TestDetachedContext: the context of a request whose stream was taken outlives that of Lazo, which
// ends with the handler, whenever somebody asks for it. It still ends with the connection.
func TestDetachedContext(t *testing.T) {
	for name, asked := range map[string]bool{"asked for before the handler returns": true, "asked for after that": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner, returned := context.WithCancel(context.Background())
				conn, end := context.WithCancel(context.Background())
				r := &requestContext{c: &served{ctx: conn}, inner: inner}
				if asked && r.Err() != nil {
					t.Errorf("the context began with %v", r.Err())
				}
				r.detach()
				returned()
				synctest.Wait()
				r.Done()
				synctest.Wait()
				if r.Err() != nil {
					t.Errorf("the context ended with the handler: %v", r.Err())
				}
				end()
				<-r.Done()
			})
		})
	}
}
