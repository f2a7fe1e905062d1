// Package qlog has the events of connections, and writes them to files if the environment asks for
// it.
package qlog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

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
// destination connection ID of the client. A client chooses that ID. If it repeats the ID of an
// earlier connection, that connection's file stays, and the time in nanoseconds follows the ID in
// the name of the new one.
//
// A program may also call it by itself. The file then ends when the last Recorder is closed. As in
// quic-go, it overwrites a file of the same name, so a client that repeats an ID can overwrite the
// file of an earlier connection.
func DefaultConnectionTracer(_ context.Context, isClient bool, connID ConnectionID) qlogwriter.Trace {
	dir := os.Getenv("QLOGDIR")
	id, ok := conn.ConnIDFromSlice(connID.Bytes())
	if dir == "" || !ok {
		return nil
	}
	return packetlog.New(
		func() io.WriteCloser { return loop.QLogDir(dir)(id, !isClient) },
		func() qlogwriter.Trace { return file(dir, isClient, connID) })
}

// file returns a trace that is written to a file in dir, or nil if there can be none.
func file(dir string, isClient bool, id ConnectionID) qlogwriter.Trace {
	side := "server"
	if isClient {
		side = "client"
	}
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		var f *os.File
		if f, err = os.Create(filepath.Join(dir, fmt.Sprintf("%s_%s.sqlog", id, side))); err == nil {
			qlogwriter.RegisterEventSchema(EventSchema)
			t := qlogwriter.NewConnectionFileSeq(f, isClient, id)
			go t.Run()
			return t
		}
	}
	slog.Default().Error("no qlog", "err", err)
	return nil
}
