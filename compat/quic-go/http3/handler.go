package http3

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/lazoquic/lazo/h3/h3http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/internal/qerr"
)

// servedKey is the key of the *served in the contexts that Lazo has for requests.
type servedKey struct{}

// A served is a connection of a Server.
type served struct {
	conn  *quic.Conn
	ctx   context.Context // of all requests
	h     *h3http.ServerConn
	ready chan struct{} // closed when h is set
}

// handle answers a request, with the Handler.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	inner := r.Context()
	c := inner.Value(servedKey{}).(*served)
	<-c.ready
	ctx, cancel := context.WithCancelCause(c.ctx)
	stop := context.AfterFunc(inner, func() {
		var cause error
		if endsConnection(context.Cause(inner)) { // c.ctx may last longer: ConnContext says
			<-c.conn.Context().Done()
			cause = context.Cause(c.conn.Context())
		}
		cancel(cause)
	})
	own := &responseWriter{ResponseWriter: w, c: c, cancel: cancel}
	shown := show(r, ctx)
	defer func() {
		r.MultipartForm = shown.MultipartForm // Lazo removes its files
		stop()
		if own.stream == nil {
			cancel(nil)
		}
	}()
	handlerOf(s.Handler).ServeHTTP(own, shown)
	own.settle()
	own.showShort(shown)
}

// show returns r as handlers see it, with ctx.
func show(r *http.Request, ctx context.Context) *http.Request {
	shown := r.WithContext(ctx)
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
		shown.Body = &requestBody{ReadCloser: r.Body, of: r, shown: shown}
	}
	return shown
}

// A requestBody is the Body of a request in a handler.
type requestBody struct {
	io.ReadCloser
	of, shown *http.Request
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF && len(b.of.Trailer) > 0:
		dropMissing(b.of.Trailer)
		b.shown.Trailer = b.of.Trailer
	case errors.Is(err, http.ErrBodyReadAfterClose):
		err = canceled(nil)
	}
	return n, explain(err)
}

// endsConnection reports whether err has ended the connection of a request.
func endsConnection(err error) bool {
	switch qerr.Translated(err).(type) {
	case *qerr.ApplicationError, *qerr.TransportError, *qerr.IdleTimeoutError, *qerr.HandshakeTimeoutError, *qerr.StatelessResetError:
		return true
	}
	return false
}
