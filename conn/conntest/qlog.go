package conntest

import (
	"io"
	"os"

	"github.com/lazoquic/lazo/conn"
)

// qlogVariable is the environment variable with the directory for qlogs.
const qlogVariable = "LAZO_QLOG"

// qlog returns the function of QLogDir for the directory that LAZO_QLOG names, nil without one.
func qlog() func(id conn.ConnID, server bool) io.WriteCloser {
	return QLogDir(os.Getenv(qlogVariable))
}

// QLogDir returns a function for [conn.Config.QLog] that writes each connection of a simulation
// to a file in dir, nil if dir is empty. Its Write waits for the disk, which costs no virtual
// time, so no record is lost. The name of a file begins with the ID of the connection and its
// side, and ends with a number, because simulations with one seed have the same IDs. The function
// panics if it cannot make a file, since a missing log would go unnoticed.
func QLogDir(dir string) func(id conn.ConnID, server bool) io.WriteCloser {
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
			panic("conntest: qlog: " + err.Error())
		}
		return f
	}
}
