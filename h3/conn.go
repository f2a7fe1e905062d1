package h3

import (
	"errors"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/internal/list"
	"github.com/lazoquic/lazo/internal/qpack"
	"github.com/lazoquic/lazo/internal/wire"
)

// A Conn is the HTTP/3 state of one connection, of either side. It belongs to the
// goroutine that drives the connection.
//
// When the peer breaks a rule of the connection, the Conn closes it with the
// [ErrorCode] that the RFC names; [EventClosed] follows.
type Conn struct {
	q      *conn.Conn
	cfg    Config
	server bool
	err    *Error    // the rule that the peer broke; nothing is read any more then
	closed error     // the error of EventClosed
	now    time.Time // the time of the last event

	out     [outStreams]outStream
	seen    [4]bool // which critical streams of the peer exist, by type
	control controlReader
	dec     *qpack.Decoder
	enc     *qpack.Encoder
	mux     *dgram.Mux // nil without Config.Datagrams

	peerSettings map[uint64]uint64
	peer         peerLimits
	remembered   map[uint64]uint64 // the settings that early data relies on
	maxPushID    uint64
	goAway       uint64 // the ID in the peer's GOAWAY; noID before it
	sentGoAway   uint64
	nextRequest  conn.StreamID // above the IDs of all requests that have come, or were opened
	early        []earlyPriority

	streams map[conn.StreamID]*Stream
	// requests that have begun, but whose fields have not come, oldest first
	waiting      list.List[*Stream]
	silent       int // how many requests have not begun
	free         []*Stream
	wantRequests bool // OpenRequest was refused because of the limit

	queue   queue
	pending uint32 // which kinds of events are in queue
	stats   Stats
	log     *eventLog // nil without a qlog
	cancels cancelBucket

	// Memory for reuse.
	fields  []Field
	frame   []byte
	partial int     // bytes of incomplete field sections in all streams
	short   uint64  // see shortSection
	empty   [2]byte // a DATA frame without data
	scratch [1]byte
}

// maxFlowQueue is how many received datagrams wait for each request. More may wait as far as those
// of all requests are not more than the connection hands over at once: see [dgram.NewMux].
const maxFlowQueue = 32

// NewConn returns the HTTP/3 state of q. A server calls it at [conn.EventAccepted],
// a client after Dial; it opens the control and QPACK streams as soon as they may
// be. A nil cfg is the zero one. The error is one of cfg.
func NewConn(q *conn.Conn, cfg *Config) (*Conn, error) {
	checked, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Conn{
		q: q, cfg: checked, server: q.Server(),
		control:    controlReader{server: q.Server()},
		peer:       limits(nil),
		goAway:     noID,
		sentGoAway: noID,
		streams:    make(map[conn.StreamID]*Stream),
		short:      shortSection(q.Config()),
	}
	if c.cfg.Datagrams {
		c.mux = dgram.NewMux(q, maxFlowQueue)
		c.mux.Hold(true)
	}
	c.log = newEventLog(q)
	q.Hold(connCost + int64(c.cfg.QPACKTableCapacity) + int64(c.cfg.QPACKEncoderCapacity))
	c.prepare()
	c.openCritical()
	c.remember()
	return c, nil
}

// prepare makes QPACK's state, and the first bytes of the critical streams: their types, and the
// settings. A reserved frame follows the settings. The peer must ignore it (RFC 9114, Section
// 7.2.8).
func (c *Conn) prepare() {
	c.dec = qpack.NewDecoder(uint64(c.cfg.QPACKTableCapacity), int(c.cfg.QPACKBlockedStreams), c.cfg.MaxFieldSectionSize)
	c.dec.LimitFields(c.cfg.MaxFields + maxPseudoFields)
	c.enc = qpack.NewEncoder(uint64(c.cfg.QPACKEncoderCapacity))
	n := c.grease()
	for i := range c.out {
		c.out[i].buf = c.out[i].buf[:0:0]
		c.out[i].count()
	}
	control := []byte{streamControl}
	control = c.cfg.appendSettings(control, n)
	// RFC 9114, Section 3.2 [3]; RFC 9114, Section 6.2.1 [1]; RFC 9114, Section 7.2.4 [1]; RFC
	// 9114, Section 7.2.4.2 [3].
	control = appendFrameHeader(control, reserved(n>>4), n&3)
	control = append(control, "lazo"[:n&3]...)
	c.out = [outStreams]outStream{
		outControl: {account: c.q, buf: control},
		outEncoder: {account: c.q, buf: []byte{streamQPACKEncoder}},
		outDecoder: {account: c.q, buf: []byte{streamQPACKDecoder}},
	}
	for i := range c.out {
		c.out[i].count()
	}
}

// grease returns a number that differs between connections. It comes from the connection ID, so it
// is the same in each run of a simulation.
func (c *Conn) grease() uint64 {
	n := uint64(0)
	for _, b := range c.q.ID().Append(make([]byte, 0, 20)) {
		n = n*31 + uint64(b)
	}
	return n % (1 << 20)
}

// HandleEvent processes an event of the QUIC connection, and reports whether it
// was HTTP/3's alone. The others are the caller's, or the caller's too: the
// handshake, stream limits, paths, [conn.EventTimer], datagrams without
// Config.Datagrams, streams of OpenUni and of conn.Conn.OpenStream, and those of
// [Config.StreamTypes] once [EventStream] has announced them.
func (c *Conn) HandleEvent(now time.Time, ev conn.Event) bool {
	c.now = now
	switch ev.Kind {
	case conn.EventStreamOpened:
		if c.err == nil {
			c.accept(ev.Stream)
		}
		return true
	case conn.EventStreamReadable, conn.EventStreamWritable, conn.EventStreamReset,
		conn.EventStreamStopped, conn.EventStreamAcked:
		return c.handleStreamEvent(ev)
	case conn.EventConnected, conn.EventStreamsAvailable:
		c.openCritical()
		if c.wantRequests {
			c.wantRequests = false
			c.push(entry{kind: EventRequestsAvailable})
		}
	case conn.EventEarlyDataRejected:
		c.restart()
	case conn.EventDatagramReadable:
		return c.handleDatagrams(now, ev)
	case conn.EventDatagramAcked, conn.EventDatagramLost:
		if c.mux != nil {
			c.mux.HandleEvent(now, ev)
		}
	case conn.EventClosed:
		c.closed = ev.Err
		c.push(entry{kind: EventClosed})
		return true
	}
	return false
}

// handleStreamEvent passes an event to its stream if HTTP/3 uses that stream.
func (c *Conn) handleStreamEvent(ev conn.Event) bool {
	switch u := ev.Stream.UserData.(type) {
	case *Stream:
		if u.qs != ev.Stream {
			return false // UserData of the caller, which refers to a request
		}
		if c.err == nil {
			u.handleEvent(ev)
		}
	case *peerStream:
		if c.err == nil {
			c.handlePeerEvent(u, ev)
		}
	case *outStream:
		switch {
		case c.err != nil:
		case ev.Kind == conn.EventStreamWritable:
			u.flush()
		case ev.Kind == conn.EventStreamStopped:
			c.fail(&Error{ClosedCriticalStream, "a critical stream was stopped"})
		}
	default:
		return false
	}
	return true
}

// beyondLimit reports whether a client may not open the request yet, so that no frame and no
// datagram may name it.
func (c *Conn) beyondLimit(id conn.StreamID) bool {
	if c.server {
		return uint64(id)/4 >= c.q.PeerStreamLimit(conn.Bidi)
	}
	return uint64(id)/4 >= c.q.StreamLimit(conn.Bidi)
}

// fail closes the connection.
func (c *Conn) fail(err *Error) {
	if c.err == nil {
		c.err = err
		c.q.Close(uint64(err.Code), err.Reason)
	}
}

// OpenRequest opens a request stream and sends its fields, :method and the like first. If end, the
// request has no body. The error is [conn.ErrStreamLimit] until [EventRequestsAvailable],
// [ErrGoAway], [ErrFieldsTooLarge], [ErrNoExtendedConnect], or an *[Error] for fields that are no
// request (RFC 9114, Section 4.3.1). Clients only.
// RFC 9114, Section 4.1 [1].
func (c *Conn) OpenRequest(fields []Field, end bool) (*Stream, error) {
	m, err := c.checkRequest(fields)
	if err != nil {
		return nil, err
	}
	s, err := c.OpenStream()
	if err != nil {
		return nil, err
	}
	if err := s.sendRequest(m, fields); err != nil {
		s.Release()
		return nil, err
	}
	if end {
		s.CloseWrite()
	}
	return s, nil
}

// OpenStream opens a request stream without a request, for a caller that needs the ID first. The
// fields follow by [Stream.SendFields], which returns the errors about fields that OpenRequest has.
// The other errors are those of OpenRequest. Clients only.
// RFC 9114, Section 7.2.4.2 [4].
func (c *Conn) OpenStream() (*Stream, error) {
	switch {
	case c.server:
		return nil, errors.New("h3: a server opens no requests")
	case c.goAway != noID: // RFC 9114, Section 5.2 [3]
		return nil, ErrGoAway
	}
	c.openCritical()
	qs, err := c.q.OpenStream(conn.Bidi)
	if err != nil {
		c.wantRequests = c.wantRequests || errors.Is(err, conn.ErrStreamLimit)
		return nil, err
	}
	s := c.newStream(qs)
	s.visible = true
	c.nextRequest = max(c.nextRequest, s.id+4)
	return s, nil
}

// checkRequest checks whether the fields of a request can be sent.
// RFC 9114, Section 7.2.4.2 [1].
func (c *Conn) checkRequest(fields []Field) (message, error) {
	m, herr := checkFields(sectionRequest, fields)
	switch {
	case herr != nil:
		return m, herr
	case m.protocol && !c.peer.extendedConnect:
		return m, ErrNoExtendedConnect
	case fieldsSize(fields) > c.peer.maxFieldSectionSize: // RFC 9114, Section 4.2.2 [1]
		return m, ErrFieldsTooLarge
	}
	return m, nil
}

// OpenUni opens a unidirectional stream and writes its type, which must be below
// 1<<62. The caller serves it, and handles its events.
func (c *Conn) OpenUni(typ uint64) (*conn.Stream, error) {
	qs, err := c.q.OpenStream(conn.Uni)
	if err != nil {
		return nil, err
	}
	if c.log != nil {
		c.log.streamType(false, qs.ID(), typ)
	}
	if _, err := qs.Write(wire.AppendVarint(make([]byte, 0, 8), typ)); err != nil {
		qs.Release()
		return nil, err
	}
	return qs, nil
}

// PeerSettings returns the peer's settings by identifier, nil until
// [EventSettings]. The map must not be changed.
func (c *Conn) PeerSettings() map[uint64]uint64 { return c.peerSettings }

// QUIC returns the connection below. Close that, with an [ErrorCode].
func (c *Conn) QUIC() *conn.Conn { return c.q }

// Expects reports whether the request stream id is open, or yet to come. While it is true, keep
// what refers to the request and overtook it, as streams of WebTransport may.
func (c *Conn) Expects(id conn.StreamID) bool {
	return c.streams[id] != nil || c.server && id >= c.nextRequest
}
