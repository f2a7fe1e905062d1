package quic

import (
	"context"
	"io"
	"net"

	"github.com/lazoquic/lazo/conn"

	"github.com/quic-go/quic-go/internal/events"
	"github.com/quic-go/quic-go/internal/packetlog"
	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/qlogwriter"
)

// A trace holds the trace that [Config].Tracer made for a connection. The zero value holds none.
type trace struct {
	qlogwriter.Trace
	packets io.WriteCloser // what Lazo writes its qlog to, and closes at the end; or nil
}

// newTrace asks [Config].Tracer for the trace of a connection. local is the address of the socket.
func newTrace(ctx context.Context, cfg *Config, client bool, id conn.ConnID, local net.Addr) (t trace) {
	if cfg.Tracer == nil {
		return t
	}
	if t.Trace = cfg.Tracer(ctx, client, protocol.ParseConnectionID(id.Append(nil))); t.Trace == nil {
		return t
	}
	if own, ok := t.Trace.(*packetlog.Trace); ok {
		t.packets = own.File()
	}
	if t.packets != nil {
		return t
	}
	if r := t.AddProducer(); r != nil {
		at, _ := addrPort(local) // not valid for a socket of another kind
		t.packets = events.New(r, at)
	}
	return t
}

// wait waits until the file of a connection that has ended is written.
func (t trace) wait() {
	if f, ok := t.packets.(interface{ Done() <-chan struct{} }); ok {
		<-f.Done()
	}
}

// abandon closes the trace of a connection that was not made.
func (t trace) abandon() {
	if t.packets != nil {
		t.packets.Close()
	}
}
