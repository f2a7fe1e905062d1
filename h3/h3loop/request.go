package h3loop

import (
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/list"
	"github.com/lazoquic/lazo/loop"
)

// maxKept is how long a buffer may be that a request keeps for reuse.
const maxKept = 4 << 10

// A Request is a request and its response. It belongs to the goroutine of the loop, and no method
// blocks.
//
// A Request ends when the Handler returns, unless the Handler has called Follow. Then it ends with
// the last event of its Follower, or with Reset. It must not be used any more then: the struct is
// used again.
//
// The end of the response, by Respond, SendFields with end, or CloseWrite, stops what is left of
// the request body with H3_NO_ERROR (RFC 9114, Section 4.1).
type Request struct {
	c      *serverConn
	stream *h3.Stream // nil in phase outOfStream

	// Of the header section. Fields is nil after the Handler has returned.
	fields                          []h3.Field
	method, scheme, authority, path string
	hasBody                         bool

	follower Follower
	phase    phase
	rest     []byte // of the body of Respond, what is still to be sent
	kept     int    // bytes of the header section, which the Follower may still ask for
	memory   int    // bytes of rest and kept that count in the account

	// For stall.go.
	blocked bool      // Write has returned ErrWouldBlock
	written int64     // bytes of the body that the stream has taken
	mark    int64     // sent when due was set
	due     time.Time // when the response is given up; zero for never
	place   list.Item[*Request]
	turn    list.Item[*Request] // in blocked or delivering of the connection
}

// requests are requests in some order.
type requests = list.List[*Request]

// A Follower gets the events of a request that come after the Handler has returned. It is called on
// the goroutine of the loop, and must not block.
type Follower interface {
	// HandleEvent is called with these events of package h3:
	//
	//   - EventReadable: Read or Peek have more of the body, or its end.
	//   - EventFields: Fields are the trailers, which come before Read returns io.EOF.
	//   - EventWritable: Write or SendFields, which had returned [conn.ErrWouldBlock], take more.
	//   - EventDatagram, EventPriority: see there.
	//
	// One of these is the last. r must not be used after it:
	//
	//   - EventAcked: the client has acknowledged all of the response.
	//   - EventCanceled: the client has canceled, has broken a rule, or has kept the response
	//     waiting for too long, and then Err is [os.ErrDeadlineExceeded]. The stream is reset.
	//   - EventClosed: the connection has ended. What it had received can still be read.
	HandleEvent(r *Request, ev h3.Event)
}

// Follow lets f know what becomes of the request. It replaces an earlier Follower.
func (r *Request) Follow(f Follower) { r.follower = f }

// takeFields keeps the pseudo-header fields, which are in front.
func (r *Request) takeFields(fields []h3.Field) {
	r.fields = fields
	for i := range fields {
		f := &fields[i]
		switch f.Name {
		case ":method":
			r.method = f.Value
		case ":scheme":
			r.scheme = f.Value
		case ":authority", "host": // they agree if there are both
			r.authority = f.Value
		case ":path":
			r.path = f.Value
		}
	}
}

// holdFields counts the header section after the Handler has returned. Its strings are parts of
// one, which lives as long as one of them does.
func (r *Request) holdFields() {
	for i := range r.fields {
		r.kept += len(r.fields[i].Name) + len(r.fields[i].Value)
	}
	r.fields = nil
	r.account()
}

// dropFields forgets the header section, so that a Request that waits for its end, or for reuse,
// does not keep the strings.
func (r *Request) dropFields() {
	r.fields, r.kept = nil, 0
	r.method, r.scheme, r.authority, r.path = "", "", "", ""
}

// Method returns the method.
func (r *Request) Method() string { return r.method }

// Scheme returns the scheme, which is empty for CONNECT.
func (r *Request) Scheme() string { return r.scheme }

// Authority returns the host, and the port if there is one, that the request is for.
func (r *Request) Authority() string { return r.authority }

// Path returns the path with the query. It is empty for CONNECT.
func (r *Request) Path() string { return r.path }

// Fields returns the header section, with pseudo-header fields first. It is lent until the Handler
// returns: clone the slice to keep it.
func (r *Request) Fields() []h3.Field { return r.fields }

// Field returns the value of the first field with the name, which is lower case, and whether there
// is one. It knows the fields until the Handler returns.
func (r *Request) Field(name string) (value string, ok bool) {
	for i := range r.fields {
		if r.fields[i].Name == name {
			return r.fields[i].Value, true
		}
	}
	return "", false
}

// HasBody reports whether a body, trailers or the end of the request had still to come with the
// header section.
func (r *Request) HasBody() bool { return r.hasBody }

// Early reports whether the request may be a replay, because it came as early data: see
// [conn.Stream.Early].
func (r *Request) Early() bool { return r.stream != nil && r.stream.Early() }

// Loop returns the loop that the request belongs to.
func (r *Request) Loop() *loop.Loop { return r.c.l }

// QUIC returns the connection.
func (r *Request) QUIC() *conn.Conn { return r.c.quic }

// Stream returns the stream, for what Request has no method for. Its UserData is this package's;
// leave Release and the end of the response to the Request. It is nil after the end.
func (r *Request) Stream() *h3.Stream { return r.stream }

// Read reads the body: see [h3.Stream.Read].
func (r *Request) Read(p []byte) (int, error) {
	if r.stream == nil {
		return 0, errEnded
	}
	n, err := r.stream.Read(p)
	r.c.soon() // Read may have come upon trailers
	return n, err
}

// Peek returns bytes of the body without consuming them: see [h3.Stream.Peek].
func (r *Request) Peek(n int) ([]byte, error) {
	if r.stream == nil {
		return nil, errEnded
	}
	b, err := r.stream.Peek(n)
	r.c.soon()
	return b, err
}

// Discard consumes n bytes, at most what Peek returned.
func (r *Request) Discard(n int) {
	if r.stream != nil {
		r.stream.Discard(n)
	}
}

// handle processes an event of the stream.
func (r *Request) handle(e h3.Event) {
	switch e.Kind {
	case h3.EventWritable:
		r.writable(e)
	case h3.EventAcked:
		r.last(e)
	case h3.EventCanceled:
		r.stream.Cancel(h3.RequestCancelled)
		r.last(e)
	default:
		r.tell(e)
	}
}

// tell hands an event to the Follower. Once the response has ended, only the last event is left.
func (r *Request) tell(e h3.Event) {
	if r.follower != nil && r.phase == answering {
		r.follower.HandleEvent(r, e)
	}
}

// last hands out the last event, and ends the request.
func (r *Request) last(e h3.Event) {
	r.leaveLists()
	if f := r.follower; f != nil {
		e.Stream = r.stream
		r.follower = nil
		f.HandleEvent(r, e)
	}
	r.end()
}

// end gives the stream back.
func (r *Request) end() {
	if r.phase == outOfStream {
		return
	}
	c := r.c
	r.leaveLists()
	r.stream.UserData = nil
	r.stream.Release()
	r.phase, r.stream, r.follower = outOfStream, nil, nil
	c.over = append(c.over, r)
}

// account counts the memory of rest and of the header section.
func (r *Request) account() {
	if n := cap(r.rest) + r.kept; n != r.memory {
		r.c.quic.Hold(int64(n - r.memory))
		r.memory = n
	}
}
