package main

import (
	"crypto/tls"
	"io"
	"log/slog"
	"os"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/examples/internal/envlog"
)

// logs are where the environment wants keys and qlogs of all connections, of both sides.
type logs struct {
	keys io.Writer // nil for none
	qlog string    // a directory; empty for none
}

// open opens the file of keys, and makes the directory. done closes the file.
func (l *logs) open() (done func() error, err error) {
	if l.qlog = os.Getenv("QLOGDIR"); l.qlog != "" {
		if err := os.MkdirAll(l.qlog, 0o755); err != nil {
			return nil, err
		}
	}
	var tc tls.Config
	if done, err = envlog.Keys(&tc, slog.Default()); err == nil {
		l.keys = tc.KeyLogWriter
	}
	return done, err
}

// of returns cfg with the logs. They are written while virtual time stands still, so that none of
// them is incomplete.
func (l *logs) of(cfg *conn.Config) *conn.Config {
	cfg.TLS.KeyLogWriter = l.keys
	if l.qlog != "" {
		cfg.QLog = conntest.QLogDir(l.qlog)
	}
	return cfg
}
