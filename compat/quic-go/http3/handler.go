package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/lazoquic/lazo/h3/h3http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/internal/qerr"
)

// A served is a connection of a Server.
type served struct {
	conn  *quic.Conn
	ctx   context.Context // of all requests
	h     *h3http.ServerConn
	ready chan struct{} // closed when h is set
}

// inner returns the connection of Lazo. The first request may come before it is known.
func (c *served) inner() *h3http.ServerConn {
	<-c.ready
	return c.h
}

// A handling is what the handler of one request gets, in one piece of memory. A program that keeps
// the context keeps all of it.
type handling struct {
	w    responseWriter
	ctx  requestContext
	body requestBody
}

// handle answers a request, with the Handler.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	c := ctx.Value(http.ServerContextKey).(*served) // see attach
	h := &handling{w: responseWriter{ResponseWriter: w, c: c}, ctx: requestContext{c: c, inner: ctx}}
	h.w.ctx = &h.ctx
	shown := h.show(r)
	defer func() {
		r.MultipartForm = shown.MultipartForm // Lazo removes its files
		if h.w.stream != nil {
			h.ctx.detach()
			return
		}
		h.body.over.Store(true)
		h.ctx.finish()
	}()
	handlerOf(s.Handler).ServeHTTP(&h.w, shown)
	h.w.settle()
	h.w.showShort(shown)
}

// show returns r as handlers see it.
func (h *handling) show(r *http.Request) *http.Request {
	shown := r.WithContext(&h.ctx)
	if protocol := r.Header[":protocol"]; len(protocol) > 0 { // extended CONNECT
		delete(r.Header, ":protocol")
		shown.Proto = protocol[0]
	}
	if _, ok := r.Header["Content-Length"]; !ok {
		shown.ContentLength = -1 // also if there is no body
	}
	if len(r.Trailer) == 0 {
		shown.Trailer = nil
	}
	if r.Body != http.NoBody {
		h.body.ReadCloser, h.body.of, h.body.shown = r.Body, r, shown
		shown.Body = &h.body
	}
	return shown
}

// A requestBody is the Body of a request in a handler.
type requestBody struct {
	io.ReadCloser
	of, shown *http.Request

	settled atomic.Bool // the error of Read stays as it is: the end or an error has come, or Close was called
	over    atomic.Bool // the handler has returned, and has not taken the stream
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.given() {
		return 0, givenBack()
	}
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		b.settled.Store(true)
		if len(b.of.Trailer) > 0 {
			dropMissing(b.of.Trailer)
			b.shown.Trailer = b.of.Trailer
		}
	case err == nil:
		return n, nil
	case b.given():
		return n, givenBack()
	case errors.Is(err, os.ErrDeadlineExceeded):
	case errors.Is(err, http.ErrBodyReadAfterClose):
		err = canceled(nil)
	default:
		b.settled.Store(true)
	}
	return n, explain(err)
}

// Close ends the body.
func (b *requestBody) Close() error {
	b.settled.Store(true)
	return b.ReadCloser.Close()
}

// given reports whether the handler has given back a body whose end it has not read.
func (b *requestBody) given() bool { return b.over.Load() && !b.settled.Load() }

// givenBack returns the error of a body that the handler has given back.
func givenBack() error {
	return streamError(unknownStream, quic.StreamErrorCode(ErrCodeNoError), false)
}

// endsConnection reports whether err has ended the connection of a request.
func endsConnection(err error) bool {
	switch qerr.Translated(err).(type) {
	case *qerr.ApplicationError, *qerr.TransportError, *qerr.IdleTimeoutError, *qerr.HandshakeTimeoutError, *qerr.StatelessResetError:
		return true
	}
	return false
}
