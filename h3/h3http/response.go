package h3http

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/lazoquic/lazo/h3"
)

// holdBuffer is how many bytes of a response are held back. A response of at most so many bytes
// gets a Content-Length and leaves in one piece. In a longer response, small writes are collected.
// Flush sends the bytes that are held.
const holdBuffer = 4 << 10

// sniffLen is how many bytes http.DetectContentType looks at.
const sniffLen = 512

// A response is the [http.ResponseWriter] of an exchange. As in net/http, only one goroutine may
// use it at a time.
//
// It has three states. At first the handler may change the header. After WriteHeader the header is
// fixed (wroteHeader). Then it is sent (committed).
type response struct {
	x      *exchange
	req    *http.Request
	logger *slog.Logger
	drain  func() // begins the graceful end of the connection

	goAhead func() // sends 100 (Continue), once; nil if the client does not wait for it

	header      http.Header // the header that the handler changes
	fixed       http.Header // the header at the time of WriteHeader
	status      int
	wroteHeader bool
	committed   bool
	handlerDone bool
	taken       bool // TakeStream was called

	length  int64 // the declared Content-Length, or -1
	written int64 // bytes of the body, even if it is not sent
	// the start of a body that is not sent: HEAD gets the same Content-Type as GET
	unsent   []byte
	trailers []string // the declared trailers
}

var _ interface {
	http.ResponseWriter
	http.Flusher
	io.StringWriter
	io.ReaderFrom
} = (*response)(nil)

func (w *response) Header() http.Header { return w.header }

// WriteHeader fixes the header, or sends an informational response at once.
func (w *response) WriteHeader(code int) {
	switch {
	case code < 100 || code > 999:
		panic(fmt.Sprintf("h3http: invalid WriteHeader code %d", code))
	case w.handlerDone || w.taken:
		w.logger.Error("h3http: WriteHeader after the handler gave up the response", "code", code)
	case w.wroteHeader:
		w.logger.Error("h3http: superfluous WriteHeader call", "code", code)
	case code == http.StatusSwitchingProtocols: // RFC 9114, Section 4.5
		w.logger.Error("h3http: status 101 does not exist in HTTP/3")
	case code == http.StatusContinue && w.goAhead != nil:
		w.goAhead()
	case code < 200:
		skip := func(key string) bool { return key == "Content-Length" }
		w.x.sendFields(appendHeader(statusField(code), w.header, skip), false, true)
	default:
		w.fix(code)
	}
}

func statusField(code int) []h3.Field {
	return append(make([]h3.Field, 0, 8), h3.Field{Name: ":status", Value: strconv.Itoa(code)})
}

// fix copies the header, because the handler may go on changing it.
func (w *response) fix(code int) {
	w.wroteHeader = true
	w.status = code
	w.fixed = w.header.Clone()
	w.length = -1
	if values := w.fixed["Content-Length"]; len(values) > 0 {
		n, err := strconv.ParseUint(values[0], 10, 63)
		if err == nil {
			w.length = int64(n)
			w.fixed["Content-Length"] = values[:1]
		} else {
			if values[0] != "" {
				w.logger.Error("h3http: invalid Content-Length", "value", values[0])
			}
			w.fixed.Del("Content-Length")
		}
	}
	for key := range declaredTrailer(http.Header{"Trailer": w.fixed["Trailer"]}) {
		w.trailers = append(w.trailers, key)
	}
	slices.Sort(w.trailers)
	if code == http.StatusNoContent {
		w.fixed.Del("Content-Length") // RFC 9110, Section 8.6
	}
	if httpguts.HeaderValuesContainsToken(w.fixed["Connection"], "close") {
		w.drain()
	}
}

func (w *response) Write(p []byte) (int, error) {
	if err := w.beforeWrite(len(p)); err != nil {
		return 0, err
	}
	if w.req.Method == http.MethodHead {
		if n := min(len(p), sniffLen-len(w.unsent)); n > 0 && !w.committed {
			w.unsent = append(w.unsent, p[:n]...)
		}
		return len(p), nil
	}
	if !w.committed {
		if w.x.hold(p, holdBuffer) {
			return len(p), nil
		}
		w.commit(p, false)
	}
	return w.x.write(p, holdBuffer)
}

// WriteString is part of [io.StringWriter].
func (w *response) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// ReadFrom is part of [io.ReaderFrom]. It saves those who copy files a buffer for each.
func (w *response) ReadFrom(r io.Reader) (n int64, err error) {
	chunk := w.x.c.pool.Get(0)
	defer w.x.c.pool.Put(chunk)
	buf := chunk.Memory
	for {
		k, err := r.Read(buf)
		if k > 0 {
			k, werr := w.Write(buf[:k])
			n += int64(k)
			if werr != nil {
				return n, werr
			}
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// beforeWrite checks whether n bytes may be written, and counts them.
func (w *response) beforeWrite(n int) error {
	if w.taken || w.handlerDone {
		return http.ErrHijacked
	}
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	if !bodyAllowed(w.status) {
		return http.ErrBodyNotAllowed
	}
	if w.length >= 0 && w.written+int64(n) > w.length {
		return http.ErrContentLength
	}
	w.written += int64(n)
	return nil
}

// bodyAllowed reports whether a response may have content (RFC 9110, Section 6.4.1).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// commit sends the header. The body starts with the bytes that are held, or else with p. end says
// that nothing follows those that are held.
func (w *response) commit(p []byte, end bool) {
	w.committed = true
	w.x.c.missed.response(w.status)
	held, first := w.x.held()
	switch {
	case w.unsent != nil:
		first = w.unsent
	case held == 0:
		first = p
	}
	fields := statusField(w.status)
	if bodyAllowed(w.status) {
		_, fixed := w.fixed["Content-Length"] // the handler may have set it to none
		if end && !fixed && (w.written > 0 || w.req.Method != http.MethodHead) && len(w.trailerFields()) == 0 {
			fields = append(fields, h3.Field{Name: "content-length", Value: strconv.FormatInt(w.written, 10)})
		}
		if _, has := w.fixed["Content-Type"]; !has && len(first) > 0 && w.fixed.Get("Content-Encoding") == "" {
			fields = append(fields, h3.Field{Name: "content-type", Value: http.DetectContentType(first)})
		}
	}
	if _, has := w.fixed["Date"]; !has {
		fields = append(fields, h3.Field{Name: "date", Value: time.Now().UTC().Format(http.TimeFormat)})
	}
	skip := func(key string) bool {
		return strings.HasPrefix(key, http.TrailerPrefix) || slices.Contains(w.trailers, key)
	}
	w.x.sendFields(appendHeader(fields, w.fixed, skip), true, false)
}

// trailerFields returns the trailer section. It has the fields that the Trailer field declared, and
// those whose names have the prefix for trailers.
func (w *response) trailerFields() []h3.Field {
	trailer := make(http.Header)
	for _, key := range w.trailers {
		trailer[key] = w.header[key]
	}
	for key, values := range w.header {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok {
			trailer[http.CanonicalHeaderKey(name)] = values
		}
	}
	return appendHeader(nil, trailer, func(key string) bool { return !httpguts.ValidTrailerHeader(key) })
}

// Flush is FlushError for those who do not care.
func (w *response) Flush() { w.FlushError() }

// FlushError sends what is held, the header first. It does not wait until it has left.
func (w *response) FlushError() error {
	if w.taken || w.handlerDone {
		return http.ErrHijacked
	}
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	if !w.committed {
		w.commit(nil, false)
	}
	return w.x.push()
}

// CloseNotify is part of http.CloseNotifier, which is deprecated and which frameworks
// demand of a ResponseWriter nevertheless.
func (w *response) CloseNotify() <-chan bool {
	gone := make(chan bool, 1)
	context.AfterFunc(w.req.Context(), func() { gone <- true })
	return gone
}

// SetReadDeadline, SetWriteDeadline and EnableFullDuplex serve [http.ResponseController].
func (w *response) SetReadDeadline(t time.Time) error {
	w.x.setReadDeadline(t)
	return nil
}

// SetWriteDeadline also holds after the handler has returned: if there was no room
// for all of the response in the send buffer of the stream by then, the stream is reset.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.x.setWriteDeadline(t, true)
	return nil
}

// EnableFullDuplex does nothing: streams of HTTP/3 are full duplex.
func (w *response) EnableFullDuplex() error { return nil }

// finish completes the response after the handler has returned.
func (w *response) finish() {
	if w.taken {
		return
	}
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	if w.length >= 0 && w.written < w.length && bodyAllowed(w.status) && w.req.Method != http.MethodHead {
		// To end the stream here would make the message malformed (RFC 9114, Section 4.1.2).
		w.logger.Error("h3http: response is shorter than its Content-Length", "written", w.written, "length", w.length)
		w.abort()
		return
	}
	if !w.committed {
		w.commit(nil, true)
	}
	w.handlerDone = true
	w.x.closeWrite(w.trailerFields())
	w.x.finish()
}

// abort ends the response with a reset, behind what was sent. So when the backend of a proxy dies,
// the client still gets everything that the backend had sent.
func (w *response) abort() {
	if w.taken {
		return
	}
	w.handlerDone = true
	w.x.breakOff(h3.InternalError, http.ErrAbortHandler)
	w.x.finish()
}
