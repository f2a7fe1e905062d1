// Package qlog has the events of connections, and writes them to files if the environment asks for
// it.
package qlog

import (
	"context"
	"os"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"

	"github.com/quic-go/quic-go/internal/packetlog"
	"github.com/quic-go/quic-go/qlogwriter"
)

// EventSchema is the schema of the events of QUIC.
const EventSchema = "urn:ietf:params:qlog:events:quic-14"

// DefaultConnectionTracer serves as Config.Tracer. It returns the trace of a connection. The trace
// is a file in the directory that the variable QLOGDIR names, with the events of Lazo's qlog and
// those that the program records. If the variable is not set, the trace is nil. If the directory
// does not exist, it is made. The file is ID_client.sqlog or ID_server.sqlog, where ID is the first
// destination connection ID of the client.
func DefaultConnectionTracer(_ context.Context, isClient bool, connID ConnectionID) qlogwriter.Trace {
	dir := os.Getenv("QLOGDIR")
	id, ok := conn.ConnIDFromSlice(connID.Bytes())
	if dir == "" || !ok {
		return nil
	}
	return packetlog.New(loop.QLogDir(dir)(id, !isClient))
}
