package conntest

import (
	"io"
	"os"

	"github.com/lazoquic/lazo/conn"
)

// qlogVariable is the environment variable with the directory for qlogs.
const qlogVariable = "LAZO_QLOG"

// qlog returns a function for [conn.Config.QLog] that writes each connection of a simulation to a
// file. The directory is the one that LAZO_QLOG names. Without one, qlog returns nil. The name of a
// file begins with the ID of the connection, and ends with a number, because many tests have the
// same seed. The function panics if it cannot make a file, since a missing log would go unnoticed.
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
