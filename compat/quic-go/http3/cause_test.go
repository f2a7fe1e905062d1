package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/iotest"
)

// A list is an error that cannot be compared.
type list []string

func (l list) Error() string { return l[0] }

// TestCauseIsNotComparable: a context may end with any error, also one that == panics for.
func TestCauseIsNotComparable(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(list{"enough"})
	req, err := http.NewRequestWithContext(ctx, "GET", "https://lazo.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	b := body{ReadCloser: io.NopCloser(iotest.ErrReader(context.Cause(ctx))), resp: &http.Response{Request: req}}
	if _, err := b.Read(make([]byte, 1)); err == nil || err.Error() != "enough" {
		t.Errorf("Read returned %v", err)
	}

	stop := errors.New("stop")
	ctx, cancel = context.WithCancelCause(t.Context())
	cancel(stop)
	b = body{ReadCloser: io.NopCloser(iotest.ErrReader(stop)), resp: &http.Response{Request: req.WithContext(ctx)}}
	_, err = b.Read(make([]byte, 1))
	if e, ok := errors.AsType[*Error](err); !ok || e.ErrorCode != ErrCodeRequestCanceled {
		t.Errorf("Read returned %v", err)
	}
}
