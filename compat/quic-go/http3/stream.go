package http3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/internal/qerr"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/quicvarint"
)

// A stream is what Stream and RequestStream share. It has a stream of Lazo, and closes it once both
// directions have ended.
type stream struct {
	s *h3http.Stream
	c *quic.Conn

	mu     sync.Mutex
	rerr   error    // of Read from now on; nil while receiving goes on
	werr   error    // of Write from now on; nil while sending goes on
	closed bool     // s is closed
	late   [][]byte // datagrams that had come before s was closed

	closeFailed bool // Close has said that the stream was canceled

	ctx    context.Context
	cancel context.CancelCauseFunc

	received     context.Context // ends when rerr is set
	stopReceiver context.CancelFunc
}

func newStream(c *quic.Conn, s *h3http.Stream) *stream {
	n := &stream{s: s, c: c}
	n.ctx, n.cancel = context.WithCancelCause(c.Context())
	n.received, n.stopReceiver = context.WithCancel(context.Background())
	inner := s.Context()
	context.AfterFunc(inner, func() { n.cancel(overQUIC(explain(context.Cause(inner)))) })
	return n
}

// Context returns a context that is done when sending has ended, or a direction has failed.
func (s *stream) Context() context.Context { return s.ctx }

// SetPriority sets the order in which streams are sent: urgency from 0 to 7, 0 first.
func (s *stream) SetPriority(urgency int8, incremental bool) {
	s.s.SetPriority(conn.Priority{Urgency: min(max(urgency, 0), 7) - 3, Incremental: incremental})
}

// SetDeadline sets both deadlines.
func (s *stream) SetDeadline(t time.Time) error { return s.s.SetDeadline(t) }

// SetReadDeadline has Read return os.ErrDeadlineExceeded from t on.
func (s *stream) SetReadDeadline(t time.Time) error { return s.s.SetReadDeadline(t) }

// SetWriteDeadline has Write return os.ErrDeadlineExceeded from t on.
func (s *stream) SetWriteDeadline(t time.Time) error { return s.s.SetWriteDeadline(t) }

func (s *stream) id() quic.StreamID { return quic.StreamID(s.s.ID()) }

// end notes that receiving or sending has ended with err. If it had ended before, the earlier error
// stays. end returns the error that counts.
func (s *stream) end(of *error, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *of == nil {
		*of = err
		if of == &s.werr {
			s.cancel(overQUIC(err))
		} else {
			s.stopReceiver()
		}
		if s.rerr != nil && s.werr != nil && !s.closed {
			s.closed = true
			s.keepDatagrams()
			s.s.Close()
		}
	}
	return *of
}

func (s *stream) ended(of *error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *of
}

// explain translates the error of a call on a direction. Unless the error is a timeout, it also
// ends the direction.
func (s *stream) explain(of *error, err error) error {
	if err == nil {
		return nil
	}
	if was := s.ended(of); was != nil { // this side has ended it meanwhile
		return was
	}
	if t, ok := err.(interface{ Timeout() bool }); ok && t.Timeout() {
		return qerr.Translated(err)
	}
	return s.end(of, explain(err))
}

func (s *stream) read(p []byte) (int, error) {
	if err := s.ended(&s.rerr); err != nil {
		return 0, err
	}
	n, err := s.s.Read(p)
	return n, s.explain(&s.rerr, err)
}

func (s *stream) write(p []byte) (int, error) {
	if err := s.ended(&s.werr); err != nil {
		return 0, err
	}
	n, err := s.s.Write(p)
	return n, s.explain(&s.werr, err)
}

func (s *stream) tryWriteAll(p []byte) error {
	if err := s.ended(&s.werr); err != nil {
		return err
	}
	err := s.s.TryWrite(p)
	if errors.Is(err, conn.ErrWouldBlock) {
		return quic.ErrWouldBlock
	}
	return s.explain(&s.werr, err)
}

// Close ends sending behind what was written. Receiving goes on. It returns an error if the stream
// is canceled, and none after the end of the connection.
func (s *stream) Close() error {
	if err := s.ended(&s.werr); err != nil {
		return s.closeCanceled(err)
	}
	if s.explain(&s.werr, s.s.CloseWrite()) != nil {
		return s.closeCanceled(s.ended(&s.werr))
	}
	s.end(&s.werr, quic.ErrStreamClosed)
	return nil
}

// closeCanceled returns the error of Close after sending has ended with err. Only the first Close
// of a stream that was canceled has one.
func (s *stream) closeCanceled(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, canceled := errors.AsType[*quic.StreamError](err); !canceled || s.closeFailed {
		return nil
	}
	s.closeFailed = true
	return fmt.Errorf("close called for canceled stream %d", s.id())
}

// CancelRead ends receiving at once.
func (s *stream) CancelRead(code quic.StreamErrorCode) {
	s.s.StopSending(h3.ErrorCode(code))
	s.end(&s.rerr, streamError(s.id(), code, false))
}

// CancelWrite ends sending at once. What was written may be lost.
func (s *stream) CancelWrite(code quic.StreamErrorCode) {
	s.s.Reset(h3.ErrorCode(code))
	s.end(&s.werr, streamError(s.id(), code, false))
}

var errNoDatagrams = errors.New("datagram support disabled")

func (s *stream) sendDatagram(p []byte) error {
	if s.ctx.Err() != nil {
		return explain(context.Cause(s.ctx))
	}
	err := s.s.SendDatagram(context.Background(), p, 0)
	if e, ok := errors.AsType[*dgram.TooLargeError](err); ok {
		if !s.c.ConnectionState().SupportsDatagrams.Remote {
			return errNoDatagrams
		}
		// Programs subtract what stands for the stream themselves (RFC 9297, Section 2.1).
		return &quic.DatagramTooLargeError{MaxDatagramPayloadSize: int64(e.Max + quicvarint.Len(uint64(s.id())/4))}
	}
	return explain(err)
}

// keepDatagrams keeps the datagrams that have come, because Close would drop them. The caller has
// locked s.
func (s *stream) keepDatagrams() {
	for {
		b, err := s.takeDatagram(ended())
		if err != nil {
			return
		}
		s.late = append(s.late, b)
	}
}

// ended returns a context that is done.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// receiveDatagram returns the next datagram. When receiving has ended, it returns those that have
// come, and then the error of receiving.
func (s *stream) receiveDatagram(ctx context.Context) ([]byte, error) {
	either, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.received, cancel)()
	b, err := s.takeDatagram(either)
	if err == nil {
		return b, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.late) > 0:
		b = s.late[0]
		s.late = s.late[1:]
		return b, nil
	case s.rerr != nil && ctx.Err() == nil:
		return nil, s.rerr
	}
	return nil, err
}

func (s *stream) takeDatagram(ctx context.Context) ([]byte, error) {
	b, err := s.s.AppendDatagram(ctx, nil)
	if err != nil {
		return nil, explain(err)
	}
	return b, nil
}

// A Stream is the stream of a request in a handler. It reads and writes the content of DATA
// frames.
type Stream struct {
	*stream
	mute bool // the response has no header
}

// StreamID returns the stream's ID.
func (s *Stream) StreamID() quic.StreamID { return s.stream.id() }

// Read reads what the client sends.
func (s *Stream) Read(b []byte) (int, error) { return s.stream.read(b) }

// Write writes to the client, after the header.
func (s *Stream) Write(b []byte) (int, error) {
	if s.mute {
		return 0, errors.New("http3: invalid use of Stream.Write before sending the response header")
	}
	return s.stream.write(b)
}

// TryWriteAll writes all of b if there is room now. Otherwise it writes nothing, and returns
// quic.ErrWouldBlock.
func (s *Stream) TryWriteAll(b []byte) error {
	if s.mute {
		return errors.New("http3: invalid use of Stream.TryWriteAll before sending the response header")
	}
	return s.stream.tryWriteAll(b)
}

// SendDatagram sends a datagram that belongs to the request (RFC 9297).
func (s *Stream) SendDatagram(b []byte) error { return s.stream.sendDatagram(b) }

// ReceiveDatagram returns the next datagram of the request.
func (s *Stream) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	return s.stream.receiveDatagram(ctx)
}

// QlogTrace returns the trace of the connection, or nil.
func (s *Stream) QlogTrace() qlogwriter.Trace { return s.stream.c.QlogTrace() }

// A RequestStream is a stream of a client. The application sends the request on it, and then reads
// the response.
type RequestStream struct {
	s *stream
	r *h3http.RequestStream

	sent     atomic.Bool // SendRequestHeader was called
	connect  atomic.Bool // the request has the method CONNECT
	answered atomic.Bool // ReadResponse has returned the response
}

// tooEarly returns the error of a call of a RequestStream before another.
func tooEarly(call, before string) error {
	return fmt.Errorf("http3: invalid use of RequestStream.%s before %s", call, before)
}

// StreamID returns the stream's ID.
func (s *RequestStream) StreamID() quic.StreamID { return s.s.id() }

// SendRequestHeader sends the header of a request without a body. It takes one request.
func (s *RequestStream) SendRequestHeader(req *http.Request) error {
	if req.Body != nil && req.Body != http.NoBody {
		return errors.New("http3: invalid use of RequestStream.SendRequestHeader with a request that has a request body")
	}
	if s.sent.Swap(true) {
		return errors.New("http3: invalid duplicate use of RequestStream.SendRequestHeader")
	}
	s.connect.Store(req.Method == http.MethodConnect)
	r, err := outgoing(req, true, true)
	if err != nil {
		return err
	}
	return explain(s.r.SendRequest(r))
}

// ReadResponse waits for the header of the response. Call it after SendRequestHeader. If it fails, the
// stream has ended.
func (s *RequestStream) ReadResponse() (*http.Response, error) {
	if !s.sent.Load() {
		return nil, tooEarly("ReadResponse", "SendRequestHeader")
	}
	resp, err := s.r.ReadResponse()
	if err != nil {
		err = explainResponse(s.s.explain(&s.s.rerr, err))
		s.s.CancelRead(quic.StreamErrorCode(ErrCodeFrameError)) // the caller need not end the stream
		s.s.CancelWrite(quic.StreamErrorCode(ErrCodeFrameError))
		return nil, err
	}
	resp.ContentLength = declaredLength(resp, s.connect.Load())
	s.answered.Store(true)
	resp.Body = &streamBody{s: s.s, body: resp.Body}
	return resp, nil
}

// A streamBody is the Body of a response that ReadResponse has returned.
type streamBody struct {
	s    *stream
	body io.ReadCloser
}

func (b *streamBody) Read(p []byte) (int, error) {
	if err := b.s.ended(&b.s.rerr); err != nil {
		return 0, err
	}
	n, err := b.body.Read(p)
	return n, b.s.explain(&b.s.rerr, err)
}

func (b *streamBody) Close() error {
	b.s.CancelRead(quic.StreamErrorCode(ErrCodeRequestCanceled))
	return b.body.Close()
}

// Read reads the content of the response, after ReadResponse.
func (s *RequestStream) Read(b []byte) (int, error) {
	if !s.answered.Load() {
		return 0, tooEarly("Read", "ReadResponse")
	}
	return s.s.read(b)
}

// Write sends content of the request, after SendRequestHeader.
func (s *RequestStream) Write(b []byte) (int, error) {
	if !s.sent.Load() {
		return 0, tooEarly("Write", "SendRequestHeader")
	}
	return s.s.write(b)
}

// TryWriteAll is [Stream.TryWriteAll].
func (s *RequestStream) TryWriteAll(b []byte) error {
	if !s.sent.Load() {
		return tooEarly("TryWriteAll", "SendRequestHeader")
	}
	return s.s.tryWriteAll(b)
}

// SendDatagram is [Stream.SendDatagram].
func (s *RequestStream) SendDatagram(b []byte) error { return s.s.sendDatagram(b) }

// ReceiveDatagram is [Stream.ReceiveDatagram].
func (s *RequestStream) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	return s.s.receiveDatagram(ctx)
}

// QlogTrace is [Stream.QlogTrace].
func (s *RequestStream) QlogTrace() qlogwriter.Trace { return s.s.c.QlogTrace() }

// Context returns a context that is done when sending has ended, or a direction has failed.
func (s *RequestStream) Context() context.Context { return s.s.Context() }

// Close ends sending behind what was written. Receiving goes on.
func (s *RequestStream) Close() error { return s.s.Close() }

// CancelRead ends receiving at once.
func (s *RequestStream) CancelRead(errorCode quic.StreamErrorCode) { s.s.CancelRead(errorCode) }

// CancelWrite ends sending at once. What was written may be lost.
func (s *RequestStream) CancelWrite(errorCode quic.StreamErrorCode) { s.s.CancelWrite(errorCode) }

// SetDeadline sets both deadlines.
func (s *RequestStream) SetDeadline(t time.Time) error { return s.s.SetDeadline(t) }

// SetReadDeadline has Read return os.ErrDeadlineExceeded from t on.
func (s *RequestStream) SetReadDeadline(t time.Time) error { return s.s.SetReadDeadline(t) }

// SetWriteDeadline has Write return os.ErrDeadlineExceeded from t on.
func (s *RequestStream) SetWriteDeadline(t time.Time) error { return s.s.SetWriteDeadline(t) }
