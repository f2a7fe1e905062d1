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

// A response is the [http.ResponseWriter] of a request, and all else that a handler may keep of it.
// As in net/http, only one goroutine may use it at a time. It uses the exchange only while that
// serves this request: see enter.
//
// It has three states. At first the handler may change the header. After WriteHeader the header is
// fixed (wroteHeader). Then it is sent (committed).
type response struct {
	x    *serverExchange
	turn uint64 // that of x for this request

	request http.Request
	ctx     handlerContext // of request

	goAhead func() // sends 100 (Continue), once; nil if the client does not wait for it

	header      http.Header // the header that the handler changes; nil before it asks for it
	status      int
	wroteHeader bool
	committed   bool
	handlerDone bool
	taken       bool // TakeStream was called
	left        bool // the handler no longer counts: see leave
	bulk        bool // the last Read of ReadFrom has filled its memory

	fixed fixedHeader // the header at the time of WriteHeader

	length  int64 // the declared Content-Length, or -1
	written int64 // bytes of the body, even if it is not sent
	// the start of a body that is not sent: HEAD gets the same Content-Type as GET
	unsent   []byte
	trailers []string // the declared trailers
}

// A fixedHeader is the header section of a response, without the fields that commit may add.
type fixedHeader struct {
	fields                      []h3.Field
	hasLength, hasType, hasDate bool // the handler has set them, if only to none
	encoded                     bool // Content-Encoding is not empty
}

var _ interface {
	http.ResponseWriter
	http.Flusher
	io.StringWriter
	io.ReaderFrom
} = (*response)(nil)

func (w *response) logger() *slog.Logger { return w.x.s.logger() }

// enter locks the exchange, unless that is over with this request. A goroutine of the handler may
// come as late as that.
func (w *response) enter() bool {
	w.x.mu.Lock()
	if w.x.turn == w.turn {
		return true
	}
	w.x.mu.Unlock()
	return false
}

func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader fixes the header, or sends an informational response at once.
func (w *response) WriteHeader(code int) {
	switch {
	case code < 100 || code > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %d", code)) // the text of net/http
	case w.handlerDone || w.taken:
		w.logger().Error("h3http: WriteHeader after the handler gave up the response", "code", code)
	case w.wroteHeader:
		w.logger().Error("h3http: superfluous WriteHeader call", "code", code)
	case code == http.StatusSwitchingProtocols: // RFC 9114, Section 4.5
		w.logger().Error("h3http: status 101 does not exist in HTTP/3")
	case code == http.StatusContinue && w.goAhead != nil:
		w.goAhead()
	case code < 200:
		skip := func(_, name string) bool { return name == "content-length" }
		w.sendInfo(appendHeader(appendStatus(nil, code), w.header, skip))
	default:
		w.fix(code)
	}
}

// sendInfo sends an informational response.
func (w *response) sendInfo(fields []h3.Field) {
	if w.enter() {
		defer w.x.mu.Unlock()
		w.x.sendFields(fields, false)
	}
}

func appendStatus(to []h3.Field, code int) []h3.Field {
	return append(to, h3.Field{Name: ":status", Value: statusCode(code)})
}

// fix makes the header section, because the handler may go on changing the header.
func (w *response) fix(code int) {
	w.wroteHeader = true
	w.status = code
	length := w.fixLength()
	h := w.header
	if len(h["Trailer"]) > 0 {
		for key := range declaredTrailer(http.Header{"Trailer": h["Trailer"]}) {
			w.trailers = append(w.trailers, key)
		}
		slices.Sort(w.trailers)
	}
	if !w.enter() {
		return
	}
	defer w.x.mu.Unlock()
	w.fixFields(code, length)
	if httpguts.HeaderValuesContainsToken(h["Connection"], "close") {
		w.x.server.post(w.x.server.drain) // begins the graceful end of the connection
	}
}

// fixFields makes the fields, in the memory that had those of the request. The caller has entered
// the exchange.
func (w *response) fixFields(code int, length string) {
	if w.committed {
		return
	}
	fields := appendStatus(w.x.room[:0], code)
	if length != "" {
		fields = append(fields, h3.Field{Name: "content-length", Value: length})
	}
	fixed := &w.fixed
	fixed.fields = appendHeader(fields, w.header, func(key, name string) bool {
		switch name {
		case "content-length":
			return true
		case "content-type":
			fixed.hasType = true
		case "content-encoding":
			fixed.encoded = fixed.encoded || first(w.header[key]) != ""
		case "date":
			fixed.hasDate = true
		}
		return slices.Contains(w.trailers, key)
	})
}

// fixLength takes the Content-Length that the handler has declared. It returns the value to send,
// or "" if there is none.
func (w *response) fixLength() string {
	w.length = -1
	values, has := w.header["Content-Length"]
	w.fixed.hasLength = has
	if len(values) == 0 {
		return ""
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil {
		if values[0] != "" {
			w.logger().Error("h3http: invalid Content-Length", "value", values[0])
		}
		w.fixed.hasLength = false
		return ""
	}
	w.length = int64(n)
	if w.status == http.StatusNoContent {
		w.fixed.hasLength = false
		return "" // RFC 9110, Section 8.6
	}
	return values[0]
}

func (w *response) Write(p []byte) (int, error) {
	if err := w.beforeWrite(len(p)); err != nil {
		return 0, err
	}
	if w.request.Method == http.MethodHead {
		if n := min(len(p), sniffLen-len(w.unsent)); n > 0 && !w.committed {
			w.unsent = append(w.unsent, p[:n]...)
		}
		return len(p), nil
	}
	if !w.enter() {
		return 0, errStreamClosed
	}
	defer w.x.mu.Unlock()
	n, held := w.begin(p)
	if held {
		return n, nil
	}
	k, err := w.x.writeLocked(p[n:], holdBuffer)
	return n + k, err
}

// begin holds p while the header may wait. Otherwise it sends the header, behind which as much of p
// is held as tells its type. It returns how many bytes of p are held. The caller has entered the
// exchange.
func (w *response) begin(p []byte) (n int, all bool) {
	if w.committed {
		return 0, false
	}
	if w.x.hold(p, holdBuffer) {
		return len(p), true
	}
	if more := min(len(p), sniffLen-w.x.out.buf.Len()); more > 0 && w.x.hold(p[:more], holdBuffer) {
		n = more // commit looks at them, and at what is held already
	}
	w.commit(false)
	return n, false
}

// WriteString is part of [io.StringWriter].
func (w *response) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

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

// commit sends the header. The body starts with the bytes that are held. whole says that nothing
// follows them. The caller has entered the exchange.
func (w *response) commit(whole bool) {
	if w.committed {
		return
	}
	w.committed = true
	w.x.c.tally.missed.response(w.status)
	fixed := &w.fixed
	fields := fixed.fields
	if bodyAllowed(w.status) {
		if whole && !fixed.hasLength && (w.written > 0 || w.request.Method != http.MethodHead) {
			fields = append(fields, h3.Field{Name: "content-length", Value: strconv.FormatInt(w.written, 10)})
		}
		if !fixed.hasType && !fixed.encoded {
			if guess := w.guessType(); guess != "" {
				fields = append(fields, h3.Field{Name: "content-type", Value: guess})
			}
		}
	}
	if !fixed.hasDate {
		fields = append(fields, h3.Field{Name: "date", Value: w.x.s.date.at(time.Now())})
	}
	fixed.fields = nil
	w.x.out.queue(fields, true)
}

// guessType guesses the media type of the first bytes of the body. It returns "" if there are none.
// The caller has locked the exchange.
func (w *response) guessType() string {
	if len(w.unsent) > 0 {
		return http.DetectContentType(w.unsent)
	}
	return w.x.contentType()
}

// trailerFields returns the trailer section. It has the fields that the Trailer field declared, and
// those whose names have the prefix for trailers.
func (w *response) trailerFields() []h3.Field {
	if !w.hasTrailers() {
		return nil
	}
	trailer := make(http.Header)
	for _, key := range w.trailers {
		trailer[key] = w.header[key]
	}
	for key, values := range w.header {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok {
			trailer[http.CanonicalHeaderKey(name)] = values
		}
	}
	return appendHeader(nil, trailer, notInTrailer)
}

// hasTrailers reports whether there may be a trailer section.
func (w *response) hasTrailers() bool {
	for key := range w.header {
		if strings.HasPrefix(key, http.TrailerPrefix) {
			return true
		}
	}
	return len(w.trailers) > 0
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
	if !w.enter() {
		return errStreamClosed
	}
	defer w.x.mu.Unlock()
	w.commit(false)
	return w.x.push()
}

// CloseNotify is part of http.CloseNotifier, which is deprecated and which frameworks
// demand of a ResponseWriter nevertheless.
func (w *response) CloseNotify() <-chan bool {
	gone := make(chan bool, 1)
	context.AfterFunc(w.request.Context(), func() { gone <- true })
	return gone
}

// SetReadDeadline, SetWriteDeadline and EnableFullDuplex serve [http.ResponseController].
func (w *response) SetReadDeadline(t time.Time) error {
	if w.enter() {
		defer w.x.mu.Unlock()
		w.x.setReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline also holds after the handler has returned: if there was no room
// for all of the response in the send buffer of the stream by then, the stream is reset.
func (w *response) SetWriteDeadline(t time.Time) error {
	if w.enter() {
		defer w.x.mu.Unlock()
		w.x.setWriteDeadline(t, true)
	}
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
	if w.length >= 0 && w.written < w.length && bodyAllowed(w.status) && w.request.Method != http.MethodHead {
		// To end the stream here would make the message malformed (RFC 9114, Section 4.1.2).
		w.logger().Error("h3http: response is shorter than its Content-Length", "written", w.written, "length", w.length)
		w.abort()
		return
	}
	w.handlerDone = true
	trailer := w.trailerFields()
	w.x.mu.Lock()
	defer w.x.mu.Unlock()
	w.commit(len(trailer) == 0)
	w.x.endLocked(trailer)
	w.leave()
}

// leave says that the handler has returned. Nothing but the handler's own goroutines may use the
// exchange for this request after that. The caller has locked the exchange.
func (w *response) leave() {
	w.left = true
	w.x.charge(-w.x.arrival.cost)
	w.x.through = true
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
