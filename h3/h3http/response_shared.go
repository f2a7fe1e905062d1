package h3http

import "net/http"

// WriteShared is w.Write(p) for data that never changes, such as a file that a server keeps in
// memory. If w is of this package, most of p is not copied before it goes into packets. It may be
// read until the client has acknowledged all of it, which can be long after the handler has
// returned. It does not count against MaxBuffered.
//
// A ResponseWriter that wraps another one gets p by its own WriteShared if it has such a method,
// and otherwise by Write: WriteShared does not pass it by.
func WriteShared(w http.ResponseWriter, p []byte) (int, error) {
	if s, ok := w.(sharedWriter); ok {
		return s.WriteShared(p)
	}
	return w.Write(p)
}

// A sharedWriter is a ResponseWriter that can do without a copy of what is written.
type sharedWriter interface {
	WriteShared(p []byte) (int, error)
}

// WriteShared is what the function WriteShared calls.
func (w *response) WriteShared(p []byte) (n int, err error) {
	if len(p) <= holdBuffer || w.request.Method == http.MethodHead {
		return w.Write(p)
	}
	if err := w.beforeWrite(len(p)); err != nil {
		return 0, err
	}
	if !w.enter() {
		return 0, errStreamClosed
	}
	defer w.x.mu.Unlock()
	n, _ = w.begin(p) // not all: that is more than is held
	k, err := w.x.writeShared(p[n:], holdBuffer)
	return n + k, err
}
