package loop

import (
	"errors"
	"io"
)

// A recording is where an Endpoint writes what happens. It belongs to the loop's goroutine.
type recording struct {
	io.WriteCloser
	err error // of the first write that failed
}

// Write keeps the first error: the Endpoint ends its recording then, and goes on.
func (r *recording) Write(b []byte) (int, error) {
	n, err := r.WriteCloser.Write(b)
	if r.err == nil {
		r.err = err
	}
	return n, err
}

// openRecording begins the recording that Config.Record asks for.
func (l *Loop) openRecording(cfg *Config) error {
	if cfg.Record == nil {
		return nil
	}
	w, err := cfg.Record(l.index)
	if err != nil || w == nil {
		return err
	}
	l.recording = &recording{WriteCloser: w}
	cfg.Endpoint.Record = l.recording
	return nil
}

// closeRecording ends the recording, if there is one. The Endpoint is closed.
func (l *Loop) closeRecording() {
	r := l.recording
	if r == nil {
		return
	}
	if err := errors.Join(r.err, r.Close()); err != nil {
		l.log.Error("recording is not whole", "loop", l.index, "err", err)
	}
}
