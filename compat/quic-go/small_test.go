package quic_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlogwriter"
)

// TestErrors checks what the errors say and match.
func TestErrors(t *testing.T) {
	for want, err := range map[string]error{
		"Application error 0x2a (remote): why":                                     &quic.ApplicationError{Remote: true, ErrorCode: 42, ErrorMessage: "why"},
		"Application error 0x0 (local)":                                            &quic.ApplicationError{},
		"FLOW_CONTROL_ERROR (local) (frame type: 0x10): too much":                  &quic.TransportError{ErrorCode: quic.FlowControlError, FrameType: 16, ErrorMessage: "too much"},
		"timeout: no recent network activity":                                      new(quic.IdleTimeoutError),
		"timeout: handshake did not complete in time":                              new(quic.HandshakeTimeoutError),
		"received a stateless reset":                                               new(quic.StatelessResetError),
		"no compatible QUIC version found (we support [v1 v2], server offered [])": &quic.VersionNegotiationError{Ours: quic.SupportedVersions()},
		"quic: server closed":                                                      quic.ErrServerClosed,
		"quic: transport closed":                                                   quic.ErrTransportClosed,
	} {
		if err.Error() != want {
			t.Errorf("%T says %q", err, err)
		}
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%T does not match net.ErrClosed", err)
		}
	}
	if err := (&quic.TransportError{ErrorCode: 0x12a}).Error(); !strings.HasPrefix(err, "CRYPTO_ERROR 0x12a (local): ") {
		t.Errorf("an alert says %q", err)
	}
	if errors.Is(&quic.ApplicationError{ErrorCode: 1}, &quic.ApplicationError{ErrorCode: 1, Remote: true}) {
		t.Error("one side matches the other")
	}
}

// TestStreamContext checks the causes of the contexts of streams, which programs have asked for
// before.
func TestStreamContext(t *testing.T) {
	p := connect(t, nil, nil)
	for want, end := range map[error]func(here, there *quic.Stream){
		quic.ErrStreamClosed:                          func(here, there *quic.Stream) { here.Close() },
		&quic.StreamError{ErrorCode: 7}:               func(here, there *quic.Stream) { here.CancelWrite(7) },
		&quic.StreamError{ErrorCode: 9, Remote: true}: func(here, there *quic.Stream) { there.CancelRead(9) },
	} {
		there, here := p.streams(t)
		ctx := here.Context()
		if ctx.Err() != nil || here.Context() != ctx {
			t.Fatalf("a new stream: %v", ctx.Err())
		}
		end(here, there)
		<-ctx.Done()
		if e, ok := want.(*quic.StreamError); ok {
			e.StreamID = here.StreamID()
		}
		if cause := context.Cause(ctx); cause.Error() != want.Error() {
			t.Errorf("the context ended with %v, want %v", cause, want)
		}
		here.CancelWrite(1)
		here.CancelRead(1)
	}
	_, here := p.streams(t)
	ctx := here.Context()
	p.client.CloseWithError(5, "why")
	<-ctx.Done()
	wantErr(t, "the context", context.Cause(ctx), &quic.ApplicationError{Remote: true, ErrorCode: 5, ErrorMessage: "why"})
}

func TestConnectionID(t *testing.T) {
	id := quic.ConnectionIDFromBytes([]byte{1, 2, 0xff})
	if id.String() != "0102ff" || id.Len() != 3 || !id.Valid() || id != quic.ConnectionIDFromBytes(id.Bytes()) {
		t.Errorf("the ID is %v", id)
	}
	if none, empty := (quic.ConnectionID{}), quic.ConnectionIDFromBytes(nil); none.Valid() || !empty.Valid() || none == empty {
		t.Errorf("no ID is %v, an empty one %v", none, empty)
	}
	defer func() {
		if recover() == nil {
			t.Error("an ID of 21 bytes")
		}
	}()
	quic.ConnectionIDFromBytes(make([]byte, 21))
}

// TestTokenStore checks that the newest token comes first, and that old servers and tokens make
// room.
func TestTokenStore(t *testing.T) {
	s := quic.NewLRUTokenStore(2, 2)
	a, b, c := new(quic.ClientToken), new(quic.ClientToken), new(quic.ClientToken)
	if s.Pop("x") != nil {
		t.Error("a token of nobody")
	}
	for _, tok := range []*quic.ClientToken{a, b, c} {
		s.Put("x", tok)
	}
	if s.Pop("x") != c || s.Pop("x") != b || s.Pop("x") != nil {
		t.Error("the wrong tokens were kept")
	}
	for _, key := range []string{"x", "y", "x", "z"} {
		s.Put(key, a)
	}
	if s.Pop("y") != nil || s.Pop("x") != a || s.Pop("z") != a {
		t.Error("the wrong servers were kept")
	}
}

// A traceFile is the file of a trace.
type traceFile struct {
	mu sync.Mutex
	bytes.Buffer
	closed chan struct{}
}

func (f *traceFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Buffer.Write(p)
}

func (f *traceFile) Close() error {
	close(f.closed)
	return nil
}

// TestTracer checks that a trace begins and ends with its connection, and has the packets.
func TestTracer(t *testing.T) {
	f := &traceFile{closed: make(chan struct{})}
	p := connect(t, nil, &quic.Config{Tracer: func(_ context.Context, client bool, id quic.ConnectionID) qlogwriter.Trace {
		if !client || id.Len() < 8 {
			t.Errorf("the Tracer was called with %v, %v", client, id)
		}
		trace := qlogwriter.NewConnectionFileSeq(f, client, id)
		go trace.Run()
		return trace
	}})
	if p.client.QlogTrace() == nil || p.server.QlogTrace() != nil {
		t.Error("the wrong connection has a trace")
	}
	p.client.CloseWithError(0, "")
	select {
	case <-f.closed:
	case <-within(t).Done():
		t.Fatal("the trace does not end with its connection")
	}
	for _, want := range []string{
		"transport:connection_started", "transport:parameters_set", `"new":"handshake_complete"`,
		"transport:packet_sent", "transport:packet_received", `"frame_type":"connection_close"`, "transport:connection_closed",
	} {
		if !strings.Contains(f.String(), want) {
			t.Errorf("the trace has no %s: %s", want, f)
		}
	}
}
