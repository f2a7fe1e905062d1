package quic

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"

	"github.com/quic-go/quic-go/internal/link"
	"github.com/quic-go/quic-go/qlogwriter"
)

// A Conn is a connection. After it has ended, its methods return an *ApplicationError,
// *TransportError, *IdleTimeoutError, *HandshakeTimeoutError, *StatelessResetError or
// *VersionNegotiationError. Each of these matches net.ErrClosed.
type Conn struct {
	t     *Transport
	lc    *loop.Conn
	cfg   *Config // with all defaults
	trace trace

	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when err is set
	err    error

	client bool
	early  bool        // a client that may send early data
	next   atomic.Bool // NextConnection was called
	closer sync.Once
	mine   atomic.Pointer[error] // why this side closed the connection

	probing chan struct{} // has room for one Path that probes
}

// newConn returns the Conn of lc, whose context is derived from ctx.
func newConn(t *Transport, lc *loop.Conn, cfg *Config, ctx context.Context, trace trace) *Conn {
	c := &Conn{t: t, lc: lc, cfg: cfg, trace: trace, done: make(chan struct{}), probing: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancelCause(link.With(ctx, lc))
	t.add(c)
	context.AfterFunc(lc.Context(), c.end)
	return c
}

// end notes why the connection has ended.
func (c *Conn) end() {
	cause := context.Cause(c.lc.Context())
	var app *conn.ApplicationError
	switch mine := c.mine.Load(); {
	case mine != nil:
		c.err = *mine
	case errors.As(cause, &app) && !app.Remote && app.Code == 0 && app.Reason == "":
		c.err = c.t.cause() // the loop has stopped; a protocol above closes with a code of its own
	case errors.Is(cause, conn.ErrVersion):
		c.err = c.noVersion(cause)
	default:
		c.err = translated(cause)
	}
	c.cancel(c.err) // first: after CloseWithError the context is done
	close(c.done)
	c.t.visits.leave(c)
	c.t.remove(c)
}

// noVersion translates the error of a connection whose sides have no version in common.
func (c *Conn) noVersion(err error) error {
	e := &VersionNegotiationError{Ours: c.cfg.Versions}
	if v, ok := errors.AsType[*conn.VersionError](err); ok {
		for _, theirs := range v.Versions {
			e.Theirs = append(e.Theirs, Version(theirs))
		}
	}
	return e
}

// explain translates an error of Lazo. After the connection has ended, it returns the error of the
// connection, which says more.
func (c *Conn) explain(err error) error {
	if err == nil || !errors.Is(err, conn.ErrClosed) && !errors.Is(err, net.ErrClosed) {
		return translated(err)
	}
	if !errors.Is(err, conn.ErrClosed) && c.lc.Context().Err() == nil { // a stream that was closed
		return translated(err)
	}
	<-c.done
	return c.err
}

// ended returns the error of a connection that has ended, or nil.
func (c *Conn) ended() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// stop closes the connection and waits until it has ended, and its qlog is written. Methods on this
// side return err.
func (c *Conn) stop(err error, code uint64, reason string) {
	c.closer.Do(func() { c.mine.Store(&err) })
	c.lc.Close(code, reason)
	<-c.done
	c.trace.wait()
}

// abandon ends the connection without telling the peer. Methods on this side return err.
func (c *Conn) abandon(err error) {
	c.closer.Do(func() { c.mine.Store(&err) })
	c.lc.Do(context.Background(), func(_ time.Time, cc *conn.Conn) { cc.Abandon() })
}

// CloseWithError closes the connection at once, and tells the peer code and desc.
func (c *Conn) CloseWithError(code ApplicationErrorCode, desc string) error {
	c.stop(&ApplicationError{ErrorCode: code, ErrorMessage: desc}, uint64(code), desc)
	return nil
}

// Context returns a context that is done when the connection has ended. Its cause says why.
func (c *Conn) Context() context.Context { return c.ctx }

// HandshakeComplete returns a channel that is closed when the handshake is complete.
func (c *Conn) HandshakeComplete() <-chan struct{} { return c.lc.Handshake() }

// LocalAddr returns the address of this side. A client's is that of its socket, which may have no IP
// address. So is a server's on a net.PacketConn that is no net.UDPConn; otherwise it is the address
// to which the peer sends.
func (c *Conn) LocalAddr() net.Addr {
	if t := c.at(); c.client || t.book != nil {
		return t.Conn.LocalAddr()
	}
	return net.UDPAddrFromAddrPort(c.lc.LocalAddr())
}

// RemoteAddr returns the address of the peer. If Transport.Conn is no net.UDPConn, it is of the type
// that it has there.
func (c *Conn) RemoteAddr() net.Addr { return c.at().named(c.lc.RemoteAddr()) }

// named returns an address as the program knows it.
func (t *Transport) named(a netip.AddrPort) net.Addr {
	if t.book != nil {
		if own := t.book.find(a); own != nil {
			return own
		}
	}
	return net.UDPAddrFromAddrPort(a)
}

// QlogTrace returns the trace that [Config].Tracer made, or nil.
func (c *Conn) QlogTrace() qlogwriter.Trace { return c.trace.Trace }

// rejected returns Err0RTTRejected until NextConnection is called, if the server took no early data.
func (c *Conn) rejected() error {
	if c.early && !c.next.Load() && c.lc.HandshakeComplete() && !c.lc.EarlyDataAccepted() {
		return Err0RTTRejected
	}
	return nil
}

// NextConnection waits for the handshake. It returns the same connection. If the server has
// rejected early data, the connection can be used again from then on, but streams that were opened
// before cannot.
func (c *Conn) NextConnection(ctx context.Context) (*Conn, error) {
	select {
	case <-c.lc.Handshake():
		c.next.Store(true)
		return c, nil
	case <-c.done:
		return nil, c.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// open opens a stream, and waits until the peer allows it.
func (c *Conn) open(ctx context.Context, dir conn.Dir) (*stream, error) {
	if err := c.rejected(); err != nil {
		return nil, err
	}
	ls, err := c.lc.OpenStream(ctx, dir)
	if err != nil {
		return nil, c.explain(err)
	}
	return newStream(c, ls, true), nil
}

// tryOpen opens a stream if the peer allows it now.
func (c *Conn) tryOpen(dir conn.Dir) (*stream, error) {
	if err := c.rejected(); err != nil {
		return nil, err
	}
	ls, err := c.lc.TryOpenStream(dir)
	if errors.Is(err, conn.ErrStreamLimit) {
		return nil, &StreamLimitReachedError{}
	}
	if err != nil {
		return nil, c.explain(err)
	}
	return newStream(c, ls, true), nil
}

// OpenStream opens a bidirectional stream, or returns a *StreamLimitReachedError.
func (c *Conn) OpenStream() (*Stream, error) {
	s, err := c.tryOpen(conn.Bidi)
	if err != nil {
		return nil, err
	}
	return &Stream{s}, nil
}

// OpenStreamSync opens a bidirectional stream, and waits until the peer allows it.
func (c *Conn) OpenStreamSync(ctx context.Context) (*Stream, error) {
	s, err := c.open(ctx, conn.Bidi)
	if err != nil {
		return nil, err
	}
	return &Stream{s}, nil
}

// OpenUniStream opens a unidirectional stream, or returns a *StreamLimitReachedError.
func (c *Conn) OpenUniStream() (*SendStream, error) {
	s, err := c.tryOpen(conn.Uni)
	if err != nil {
		return nil, err
	}
	return &SendStream{s}, nil
}

// OpenUniStreamSync opens a unidirectional stream, and waits until the peer allows it.
func (c *Conn) OpenUniStreamSync(ctx context.Context) (*SendStream, error) {
	s, err := c.open(ctx, conn.Uni)
	if err != nil {
		return nil, err
	}
	return &SendStream{s}, nil
}

func (c *Conn) accept(ctx context.Context, dir conn.Dir) (*stream, error) {
	if err := c.rejected(); err != nil {
		return nil, err
	}
	ls, err := c.lc.AcceptStreamOf(ctx, dir)
	if err != nil {
		return nil, c.explain(err)
	}
	return newStream(c, ls, false), nil
}

// AcceptStream returns the next bidirectional stream of the peer.
func (c *Conn) AcceptStream(ctx context.Context) (*Stream, error) {
	s, err := c.accept(ctx, conn.Bidi)
	if err != nil {
		return nil, err
	}
	return &Stream{s}, nil
}

// AcceptUniStream returns the next unidirectional stream of the peer.
func (c *Conn) AcceptUniStream(ctx context.Context) (*ReceiveStream, error) {
	s, err := c.accept(ctx, conn.Uni)
	if err != nil {
		return nil, err
	}
	return &ReceiveStream{s}, nil
}

var errNoDatagrams = errors.New("datagram support disabled")

// SendDatagram sends p in a DATAGRAM frame (RFC 9221). It waits while the queue is full.
func (c *Conn) SendDatagram(p []byte) error {
	err := c.lc.SendDatagram(context.Background(), p, 0)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, conn.ErrNoDatagrams):
		return errNoDatagrams
	case errors.Is(err, conn.ErrTooLarge):
		return &DatagramTooLargeError{MaxDatagramPayloadSize: int64(c.lc.MaxDatagramSize())}
	}
	return c.explain(err)
}

// ReceiveDatagram returns the next datagram.
func (c *Conn) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	if !c.cfg.EnableDatagrams {
		return nil, errNoDatagrams
	}
	b, err := c.lc.AppendDatagram(ctx, []byte{}) // not nil if it is empty
	if err != nil {
		if err == ctx.Err() {
			return nil, context.Cause(ctx)
		}
		return nil, c.explain(err)
	}
	return b, nil
}

// ConnectionState describes the connection.
func (c *Conn) ConnectionState() ConnectionState {
	s := ConnectionState{
		TLS:                        c.lc.TLS(),
		RequireStreamCreditRelease: c.cfg.RequireStreamCreditRelease,
		Used0RTT:                   c.lc.EarlyDataAccepted(),
		Version:                    Version(c.lc.Version()),
		GSO:                        c.t.gso,
	}
	s.SupportsDatagrams.Local = c.cfg.EnableDatagrams
	s.SupportsStreamResetPartialDelivery.Local = c.cfg.EnableStreamResetPartialDelivery
	// After the loop has stopped, what the peer supports is not known any more.
	c.lc.Do(context.Background(), func(_ time.Time, cc *conn.Conn) {
		s.SupportsDatagrams.Remote = cc.MaxDatagramSize() > 0
		s.SupportsStreamResetPartialDelivery.Remote = cc.ResetAtSupported()
	})
	return s
}

// ConnectionStats returns counters and estimates.
func (c *Conn) ConnectionStats() ConnectionStats {
	s := c.lc.Stats()
	return ConnectionStats{
		MinRTT:           s.MinRTT,
		LatestRTT:        s.LatestRTT,
		SmoothedRTT:      s.SmoothedRTT,
		MeanDeviation:    s.RTTVar,
		CongestionWindow: s.CongestionWindow,
		BytesSent:        s.BytesSent,
		PacketsSent:      s.PacketsSent,
		BytesReceived:    s.BytesReceived,
		PacketsReceived:  s.PacketsReceived,
		BytesLost:        s.BytesLost,
		PacketsLost:      s.PacketsLost,
	}
}
