// Package envlog gives the connections of an example the logs that the environment asks for:
// QLOGDIR names a directory for qlogs, and SSLKEYLOGFILE a file for the keys of TLS.
package envlog

import (
	"crypto/tls"
	"io"
	"log/slog"
	"os"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// QLog returns the function for [conn.Config.QLog] that the environment asks for, nil for none.
func QLog() func(id conn.ConnID, server bool) io.WriteCloser {
	dir := os.Getenv("QLOGDIR")
	if dir == "" {
		return nil
	}
	return loop.QLogDir(dir)
}

// Attach makes connections with tc and cfg write the logs that the environment asks for. A cfg
// that has a QLog keeps it. If keys are written, log is warned: whoever has them can read what the
// connections carry. done closes the file of keys, after the last connection.
func Attach(tc *tls.Config, cfg *conn.Config, log *slog.Logger) (done func() error, err error) {
	if cfg.QLog == nil {
		cfg.QLog = QLog()
	}
	return Keys(tc, log)
}

// Keys is the part of Attach that concerns keys.
func Keys(tc *tls.Config, log *slog.Logger) (done func() error, err error) {
	name := os.Getenv("SSLKEYLOGFILE")
	if name == "" {
		return func() error { return nil }, nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	log.Warn("the keys of all connections are written to a file", "SSLKEYLOGFILE", name)
	tc.KeyLogWriter = f
	return f.Close, nil
}
