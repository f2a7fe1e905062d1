package webtransport

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// A Stream is a stream of a session. It is a [net.Conn], and one direction of one for
// [conn.Uni]. One goroutine may read while another writes.
//
// Its errors are those of [loop.Stream], with a [StreamError] in the place of a
// conn.StreamError, and a [SessionError] once the session has ended.
type Stream struct {
	s      *Session
	qs     *loop.Stream
	header uint64 // bytes that stand in front of the application's
}

var _ net.Conn = (*Stream)(nil)

// ID returns the stream's ID on the connection, with its directionality.
func (st *Stream) ID() conn.StreamID { return st.qs.ID() }

// Session returns the session of the stream.
func (st *Stream) Session() *Session { return st.s }

// Read reads what has arrived, and waits if nothing has. After the last byte it returns io.EOF.
func (st *Stream) Read(p []byte) (int, error) {
	n, err := st.qs.Read(p)
	if f := st.s.flow; f != nil {
		f.gotData(n)
	}
	return n, st.explain(err)
}

// Write copies p, and waits while there is no room; it does not wait for delivery.
func (st *Stream) Write(p []byte) (int, error) {
	n, err := st.qs.Write(p)
	return n, st.explain(err)
}

// explain returns err in terms of WebTransport.
func (st *Stream) explain(err error) error {
	if err == nil || err == io.EOF || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return streamError(st.s.explain(err))
}

// CloseWrite sends the end after what was written, and does not wait.
func (st *Stream) CloseWrite() error { return st.explain(st.qs.CloseWrite()) }

// Close ends both directions: CloseWrite, and what the peer still sends is stopped with
// code 0. It does not wait. A stream that is not closed is a leak until its session ends.
func (st *Stream) Close() error {
	st.StopSending(0)
	st.s.leave(st)
	return st.explain(st.qs.Close())
}

// Reset abandons sending. What was written and has not arrived may be lost, but the peer
// learns of the stream and of code in any case if it knows RESET_STREAM_AT.
func (st *Stream) Reset(code uint32) { st.reset(toHTTP(code)) }

func (st *Stream) reset(code uint64) {
	// draft-ietf-webtrans-http3-15, Section 4.4: the header has to arrive in any case.
	if st.header > 0 {
		if err := st.qs.ResetAt(code, st.header); !errors.Is(err, errors.ErrUnsupported) {
			return
		}
	}
	st.qs.Reset(code)
}

// StopSending abandons receiving and asks the peer to stop. What was received and not
// read is lost.
func (st *Stream) StopSending(code uint32) {
	if st.receives() {
		st.stop(toHTTP(code))
	}
}

// stop abandons receiving. What was not read counts as read in the flow control of the session.
func (st *Stream) stop(code uint64) {
	unread := st.qs.StopReading(code)
	if f := st.s.flow; f != nil {
		f.gotData(unread)
	}
}

// receives reports whether the stream has a direction from the peer.
func (st *Stream) receives() bool { return st.ID().Dir() == conn.Bidi || st.header == 0 }

// sends reports whether the stream has a direction to the peer.
func (st *Stream) sends() bool { return st.ID().Dir() == conn.Bidi || st.header > 0 }

// abandon ends both directions because the peer or the application has ended the session. What was
// received and not read is lost: draft-ietf-webtrans-http3-15, Section 6, demands that reading is
// aborted as RFC 9000, Section 2.4, describes. An application that has data to deliver must see
// it acknowledged, or answered, before it closes the session. It is different when the connection
// ends without a word about the session: see run.
func (st *Stream) abandon() {
	if st.receives() {
		st.stop(uint64(SessionGone))
	}
	if st.sends() {
		st.reset(uint64(SessionGone))
	}
	st.qs.Close()
}

// SetPriority sets the order in which this side sends: see [conn.Stream.SetPriority].
func (st *Stream) SetPriority(p conn.Priority) { st.qs.SetPriority(p) }

// LocalAddr returns the address of this side of the connection, a *net.UDPAddr.
func (st *Stream) LocalAddr() net.Addr { return st.qs.LocalAddr() }

// RemoteAddr returns the address of the peer, a *net.UDPAddr.
func (st *Stream) RemoteAddr() net.Addr { return st.qs.RemoteAddr() }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (st *Stream) SetDeadline(t time.Time) error { return st.explain(st.qs.SetDeadline(t)) }

// SetReadDeadline has Read return os.ErrDeadlineExceeded from t on; the zero Time is none.
func (st *Stream) SetReadDeadline(t time.Time) error { return st.explain(st.qs.SetReadDeadline(t)) }

// SetWriteDeadline has Write return os.ErrDeadlineExceeded from t on; the zero Time is none.
func (st *Stream) SetWriteDeadline(t time.Time) error { return st.explain(st.qs.SetWriteDeadline(t)) }
