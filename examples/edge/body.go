package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// bodyStep is how many bytes of a body a client has to send within the limit, unless the body ends.
const bodyStep = 16 << 10

// errSlowBody is the error of a body whose client sends too little for too long.
var errSlowBody = errors.New("edge: the client is too slow with its request")

// A steadyBody is a request body that has to come at a minimum pace. Its time runs only while the
// edge waits for the client, so a slow backend does no harm.
type steadyBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	limit time.Duration // for bodyStep bytes
	left  time.Duration // for the rest of these bytes
	got   int           // how many of these bytes have come
	slow  *atomic.Bool  // the client was too slow: a Transport may return another error for it
}

// limitBody makes the body of r steady. Streams of gRPC may be quiet for as long as they like.
func limitBody(w http.ResponseWriter, r *http.Request, limit time.Duration) {
	if r.Body == nil || r.Body == http.NoBody || isGRPC(r) {
		return
	}
	r.Body = &steadyBody{ReadCloser: r.Body, rc: http.NewResponseController(w), limit: limit, left: limit, slow: &tripOf(r).slow}
}

func (b *steadyBody) Read(p []byte) (int, error) {
	begin := time.Now()
	b.rc.SetReadDeadline(begin.Add(b.left))
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.slow.Store(true)
		return n, errSlowBody
	}
	b.rc.SetReadDeadline(time.Time{}) // the server sets its own deadlines
	if b.got += n; b.got >= bodyStep {
		b.got, b.left = 0, b.limit
	} else {
		b.left -= time.Since(begin)
	}
	return n, err
}
