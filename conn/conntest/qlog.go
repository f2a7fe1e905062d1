package conntest

import (
	"io"
	"os"

	"github.com/lazoquic/lazo/conn"
)

// qlogVariable is the environment variable with the directory for qlogs.
const qlogVariable = "LAZO_QLOG"

// qlog returns a function for [conn.Config.QLog] that writes each connection of a simulation to a
// file in the directory that LAZO_QLOG names; nil without one. The names of the files begin with
// the ID of the connection, and end with a number of their own: many tests have the same seed. It
// panics if it cannot make a file: nobody would look for a log that is not there.
func qlog() func(id conn.ConnID, server bool) io.WriteCloser {
	dir := os.Getenv(qlogVariable)
	if dir == "" {
		return nil
	}
	return func(id conn.ConnID, server bool) io.WriteCloser {
		side := "client"
		if server {
			side = "server"
		}
		f, err := os.CreateTemp(dir, id.String()+"_"+side+"_*.sqlog")
		if err != nil {
			panic("conntest: " + qlogVariable + ": " + err.Error())
		}
		return f
	}
}
