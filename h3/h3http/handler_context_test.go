package h3http

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// TestHandlerContext: the context of a request ends with the request, whether it was asked before
// that or is asked for the first time afterwards.
func TestHandlerContext(t *testing.T) {
	type key struct{}
	for _, test := range []struct {
		name           string
		asked, failing bool
	}{{"returns", false, false}, {"returns, asked before", true, false}, {"fails", false, true}, {"fails, asked before", true, true}} {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
				contexts := make(chan context.Context, 1)
				ended := 0
				p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ctx := r.Context()
					if contexts <- ctx; !test.asked {
						require.True(t, ConnOf(r) != nil)
						require.True(t, ctx.(*handlerContext).ctx == nil, "nobody has asked what can be canceled")
					} else {
						require.NoError(t, ctx.Err())
						require.Nil(t, ctx.Value(key{}))
						context.AfterFunc(context.WithValue(ctx, key{}, 1), func() { ended++ })
					}
					if test.failing {
						time.Sleep(time.Second) // the client gives up meanwhile
					}
				}))
				ctx := t.Context()
				if test.failing {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
					defer cancel()
				}
				_, err := p.c.Do(p.request("GET", "/", nil).WithContext(ctx))
				require.Equal(t, test.failing, err != nil)
				time.Sleep(2 * time.Second)
				synctest.Wait()

				got := <-contexts
				require.Equal(t, context.Canceled, got.Err())
				if test.failing {
					var cause *conn.StreamError
					require.ErrorAs(t, context.Cause(got), &cause)
					require.ErrorIs(t, context.Cause(got), context.Canceled)
				} else {
					require.Equal(t, context.Canceled, context.Cause(got))
				}
				select {
				case <-got.Done():
				default:
					t.Error("not done")
				}
				if test.asked {
					require.Equal(t, 1, ended)
				}
				require.True(t, ConnFromContext(got) != nil)
			})
		})
	}
}

// TestHandlerContextUnderLock: package h3http asks contexts of its caller while it has locked an
// exchange, which may be that of the context.
func TestHandlerContextUnderLock(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
		p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := w.(*response).x
			x.mu.Lock()
			defer x.mu.Unlock()
			require.NoError(t, context.WithoutCancel(r.Context()).Err())
			require.NoError(t, r.Context().Err())
		}))
		p.get("/")
	})
}

// TestHandlerContextKeepsCause: a request has failed, and its connection ends later. Whoever asks
// then for the first time learns of the first of the two.
func TestHandlerContextKeepsCause(t *testing.T) {
	parent, end := context.WithCancelCause(t.Context())
	c := &handlerContext{parent: parent}
	first := errors.New("the stream was reset")
	c.end(first)
	end(errors.New("the connection ended"))
	require.ErrorIs(t, context.Cause(c), first)
	require.Equal(t, context.Canceled, c.Err())
}
