package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
)

// A responseWriter is what handlers get. http.ResponseController finds the other methods of Lazo's.
type responseWriter struct {
	http.ResponseWriter
	c      *served
	ctx    *requestContext
	stream *Stream // set by HTTPStream
	status int     // of WriteHeader, which settle passes on; then passed
	wrote  int64   // how many bytes of the body
}

var (
	_ http.Flusher  = (*responseWriter)(nil)
	_ io.ReaderFrom = (*responseWriter)(nil)
	_ HTTPStreamer  = (*responseWriter)(nil)
	_ Settingser    = (*responseWriter)(nil)
)

// Unwrap returns the http.ResponseWriter of Lazo, for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader sends a 1xx response. The header of any other response is sent with the first bytes of
// the body, by Flush or HTTPStream, or at the end: as in quic-go, a handler may change it until then.
func (w *responseWriter) WriteHeader(code int) {
	switch {
	case w.stream != nil:
		panic("http3: WriteHeader called after HTTPStream")
	case w.status == 0 && code >= 200 && code <= 999:
		w.status = code
	case w.status == 0:
		w.ResponseWriter.WriteHeader(code)
	}
}

// passed is the status of a responseWriter whose header cannot be changed any more.
const passed = -1

// settle has the header of WriteHeader be as it is now.
func (w *responseWriter) settle() {
	if w.status > 0 {
		w.ResponseWriter.WriteHeader(w.status)
		w.status = passed
	}
}

// begin is settle, with status 200 unless WriteHeader was called. It fails after HTTPStream.
func (w *responseWriter) begin() error {
	if w.stream != nil {
		return http.ErrHijacked
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.settle()
	return nil
}

// SetReadDeadline is for [http.ResponseController], and for programs that look for it here.
func (w *responseWriter) SetReadDeadline(t time.Time) error {
	return http.NewResponseController(w.ResponseWriter).SetReadDeadline(t)
}

// SetWriteDeadline is for [http.ResponseController], and for programs that look for it here.
func (w *responseWriter) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	n, err := w.ResponseWriter.Write(p)
	w.wrote += int64(n)
	return n, explain(err)
}

// ReadFrom is part of [io.ReaderFrom]. Programs that copy a file to w need no memory for it.
func (w *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	n, err := w.ResponseWriter.(io.ReaderFrom).ReadFrom(r)
	w.wrote += n
	return n, explain(err)
}

// showShort sends what there is of a response to r that ends before its Content-Length. Lazo then
// resets it.
func (w *responseWriter) showShort(r *http.Request) {
	length, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
	if err == nil && w.wrote < length && r.Method != http.MethodHead && w.stream == nil {
		w.Flush()
	}
}

// Flush sends what was written.
func (w *responseWriter) Flush() { w.FlushError() }

// FlushError is Flush with an error, for http.ResponseController.
func (w *responseWriter) FlushError() error {
	if err := w.begin(); err != nil {
		return err
	}
	return explain(http.NewResponseController(w.ResponseWriter).Flush())
}

var errBodyBegun = errors.New("http3: invalid use of HTTPStream after writing the response body")

// HTTPStream takes the stream from the handler. The context of the request then ends with sending.
func (w *responseWriter) HTTPStream() (*Stream, error) {
	switch {
	case w.stream != nil:
		return w.stream, nil
	case w.wrote > 0:
		return nil, errBodyBegun
	}
	mute := w.status == 0
	w.settle()
	s, err := h3http.TakeUnanswered(w.ResponseWriter)
	if err != nil {
		return nil, explain(err)
	}
	w.stream = &Stream{stream: newStream(w.c.conn, s), mute: mute}
	context.AfterFunc(w.stream.ctx, func() {
		w.ctx.end(context.Cause(w.c.conn.Context())) // nil while the connection goes on
	})
	return w.stream, nil
}

// ReceivedSettings is part of Settingser.
func (w *responseWriter) ReceivedSettings() <-chan struct{} { return w.c.inner().ReceivedSettings() }

// Settings is part of Settingser.
func (w *responseWriter) Settings() *Settings { return settingsOf(w.c.inner().PeerSettings()) }
