package quic

import (
	"context"
	"time"
)

// A SendStream is a unidirectional stream that sends.
type SendStream struct{ s *stream }

// StreamID returns the stream's ID.
func (s *SendStream) StreamID() StreamID { return s.s.id() }

// Write writes p, and waits while there is no room. After Close it returns ErrStreamClosed. After
// either side has canceled the stream it returns a *StreamError.
func (s *SendStream) Write(p []byte) (int, error) { return s.s.write(p) }

// TryWriteAll writes all of p without waiting. If there is no room, it writes nothing and returns
// ErrWouldBlock.
func (s *SendStream) TryWriteAll(p []byte) error { return s.s.tryWriteAll(p) }

// WriteWithLimit writes as much of p as limiter allows. limiter is asked for at most 16 KiB at a
// time, before they go to the stream. The bytes that it allows are used up even if they must wait
// for credit of the peer. If it allows less than it was asked for, WriteWithLimit returns
// ErrWriteLimitReached.
func (s *SendStream) WriteWithLimit(p []byte, limiter func(maxBytes int) int) (int, error) {
	return s.s.writeWithLimit(p, limiter)
}

// Close ends the stream after the bytes that were written.
func (s *SendStream) Close() error { return s.s.closeWrite() }

// CancelWrite ends sending at once.
func (s *SendStream) CancelWrite(errorCode StreamErrorCode) { s.s.cancelWrite(errorCode) }

// Context returns a context that is done when sending has ended. Its cause says why.
func (s *SendStream) Context() context.Context { return s.s.context() }

// SetPriority sets urgency, from 0 to 7, and whether the stream takes turns with others (RFC 9218).
func (s *SendStream) SetPriority(urgency int8, incremental bool) {
	s.s.setPriority(urgency, incremental)
}

// SetReliableBoundary makes the bytes written so far arrive in spite of a later CancelWrite, if the
// peer supports RESET_STREAM_AT.
func (s *SendStream) SetReliableBoundary() { s.s.setReliableBoundary() }

// SetWriteDeadline has Write return an error that matches os.ErrDeadlineExceeded from t on.
func (s *SendStream) SetWriteDeadline(t time.Time) error { return s.s.setWriteDeadline(t) }

// A ReceiveStream is a unidirectional stream that receives.
type ReceiveStream struct{ s *stream }

// StreamID returns the stream's ID.
func (s *ReceiveStream) StreamID() StreamID { return s.s.id() }

// Read reads bytes that have arrived, and waits if none have. It returns io.EOF together with the
// last bytes if the end of the stream has arrived. After either side has canceled the stream it
// returns a *StreamError.
func (s *ReceiveStream) Read(p []byte) (int, error) { return s.s.read(p) }

// Peek waits until len(b) bytes have arrived, and copies them to b without consuming them.
func (s *ReceiveStream) Peek(b []byte) (int, error) { return s.s.peek(b) }

// CancelRead ends receiving at once.
func (s *ReceiveStream) CancelRead(errorCode StreamErrorCode) { s.s.cancelRead(errorCode) }

// ReleaseStreamCredit lets the peer open another stream once this one has ended, if
// [Config].RequireStreamCreditRelease is set.
func (s *ReceiveStream) ReleaseStreamCredit() { s.s.releaseCredit() }

// SetReadDeadline has Read return an error that matches os.ErrDeadlineExceeded from t on.
func (s *ReceiveStream) SetReadDeadline(t time.Time) error { return s.s.setReadDeadline(t) }

// SetReceiveFinalSizeCallback sets a function that is called with the size of the stream when the
// peer has ended or reset it, on the goroutine of the socket. It must not block or use the stream.
func (s *ReceiveStream) SetReceiveFinalSizeCallback(callback func(int64)) { s.s.onFinal(callback) }

// A Stream is a bidirectional stream.
type Stream struct{ s *stream }

// StreamID returns the stream's ID.
func (s *Stream) StreamID() StreamID { return s.s.id() }

// Read is [ReceiveStream.Read].
func (s *Stream) Read(p []byte) (int, error) { return s.s.read(p) }

// Peek is [ReceiveStream.Peek].
func (s *Stream) Peek(b []byte) (int, error) { return s.s.peek(b) }

// CancelRead is [ReceiveStream.CancelRead].
func (s *Stream) CancelRead(errorCode StreamErrorCode) { s.s.cancelRead(errorCode) }

// ReleaseStreamCredit is [ReceiveStream.ReleaseStreamCredit].
func (s *Stream) ReleaseStreamCredit() { s.s.releaseCredit() }

// SetReceiveFinalSizeCallback is [ReceiveStream.SetReceiveFinalSizeCallback].
func (s *Stream) SetReceiveFinalSizeCallback(callback func(int64)) { s.s.onFinal(callback) }

// Write is [SendStream.Write].
func (s *Stream) Write(p []byte) (int, error) { return s.s.write(p) }

// TryWriteAll is [SendStream.TryWriteAll].
func (s *Stream) TryWriteAll(p []byte) error { return s.s.tryWriteAll(p) }

// WriteWithLimit is [SendStream.WriteWithLimit].
func (s *Stream) WriteWithLimit(p []byte, limiter func(maxBytes int) int) (int, error) {
	return s.s.writeWithLimit(p, limiter)
}

// Close ends sending after the bytes that were written. Receiving goes on.
func (s *Stream) Close() error { return s.s.closeWrite() }

// CancelWrite is [SendStream.CancelWrite].
func (s *Stream) CancelWrite(errorCode StreamErrorCode) { s.s.cancelWrite(errorCode) }

// Context is [SendStream.Context].
func (s *Stream) Context() context.Context { return s.s.context() }

// SetPriority is [SendStream.SetPriority].
func (s *Stream) SetPriority(urgency int8, incremental bool) { s.s.setPriority(urgency, incremental) }

// SetReliableBoundary is [SendStream.SetReliableBoundary].
func (s *Stream) SetReliableBoundary() { s.s.setReliableBoundary() }

// SetReadDeadline is [ReceiveStream.SetReadDeadline].
func (s *Stream) SetReadDeadline(t time.Time) error { return s.s.setReadDeadline(t) }

// SetWriteDeadline is [SendStream.SetWriteDeadline].
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.s.setWriteDeadline(t) }

// SetDeadline sets both deadlines.
func (s *Stream) SetDeadline(t time.Time) error {
	s.s.setReadDeadline(t)
	return s.s.setWriteDeadline(t)
}
